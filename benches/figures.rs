//! Figures for `BENCHMARKS.md`: `cargo xtask bench`.
#![expect(clippy::expect_used, reason = "a benchmark may end in a panic")]

#[path = "figures/builds.rs"]
mod builds;
#[path = "figures/cli.rs"]
mod cli;
#[path = "figures/deploy.rs"]
mod deploy;
#[path = "figures/functions.rs"]
mod functions;
#[path = "figures/local.rs"]
mod local;
#[path = "figures/measure.rs"]
mod measure;
#[path = "figures/runtime_api.rs"]
mod runtime_api;
#[path = "figures/scale.rs"]
mod scale;
#[path = "figures/terraform.rs"]
mod terraform;
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

use tests::support::python::{Python, python};

/// Between these lines of `BENCHMARKS.md` stands what is measured here.
const BEGIN: &str = "<!-- measured by cargo xtask bench -->";
const END: &str = "<!-- end -->";

type Chapter = fn(&'static Python, &Path) -> String;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The executable that is handed out, with the article's application inside.
    let program = std::env::var_os("ADVENT_BENCH").map(PathBuf::from);
    let Some(program) = program.filter(|program| program.is_file()) else {
        say("SKIPPED: `cargo xtask bench` builds dist/advent and measures it");
        return;
    };
    let Some(python) = python() else { return };
    let chapters: [(&str, Chapter); 6] = [
        ("deploy", deploy::figures),
        ("cli", cli::figures),
        ("functions", functions::figures),
        ("local", local::figures),
        ("scale", scale::figures),
        ("builds", builds::figures),
    ];
    let only: Vec<_> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let mut tables = vec![measure::machine()];
    for (name, figures) in chapters {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            let table = figures(python, &program);
            say(&table);
            tables.push(table);
        }
    }
    if !only.is_empty() {
        return;
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
