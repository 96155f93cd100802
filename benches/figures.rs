//! Figures for `BENCHMARKS.md`: `cargo xtask bench`.
#![expect(clippy::expect_used, reason = "a benchmark may end in a panic")]

#[path = "figures/cli.rs"]
mod cli;
#[path = "figures/deploy.rs"]
mod deploy;
#[path = "figures/local.rs"]
mod local;
#[path = "figures/measure.rs"]
mod measure;
#[path = "../tests/it"]
mod tests {
    #[expect(
        dead_code,
        unused_imports,
        reason = "the tests' own, of which a benchmark needs a part"
    )]
    pub mod support;
}

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tests::support::python::python;

/// Between these lines of `BENCHMARKS.md` stands what is measured here.
const BEGIN: &str = "<!-- measured by cargo xtask bench -->";
const END: &str = "<!-- end -->";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The executable that is handed out, with the article's application inside.
    let program = std::env::var_os("ADVENT_BENCH").map(PathBuf::from);
    let Some(program) = program.filter(|program| program.is_file()) else {
        say("SKIPPED: `cargo xtask bench` builds dist/advent and measures it");
        return;
    };
    let Some(python) = python() else { return };
    let mut tables = vec![measure::machine()];
    for figures in [deploy::figures, cli::figures, local::figures] {
        let table = figures(python, &program);
        say(&table);
        tables.push(table);
    }
    let path = root.join("BENCHMARKS.md");
    let text = std::fs::read_to_string(&path).expect("BENCHMARKS.md");
    let (before, rest) = text.split_once(BEGIN).expect("where the figures begin");
    let (_, after) = rest.split_once(END).expect("where the figures end");
    let tables = tables.join("\n");
    std::fs::write(&path, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
        .expect("BENCHMARKS.md can be written");
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
