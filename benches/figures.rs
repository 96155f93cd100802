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
    let path = root.join("BENCHMARKS.md");
    let text = std::fs::read_to_string(&path).expect("BENCHMARKS.md");
    let (before, rest) = text.split_once(BEGIN).expect("where the figures begin");
    let (earlier, after) = rest.split_once(END).expect("where the figures end");
    let earlier = if only.is_empty() { "" } else { earlier };
    let measured = merged(earlier, &tables.join("\n"));
    std::fs::write(&path, format!("{before}{BEGIN}\n\n{measured}\n{END}{after}"))
        .expect("BENCHMARKS.md can be written");
}

/// What was measured now, in place of what was measured earlier under the same headings.
fn merged(earlier: &str, now: &str) -> String {
    let mut sections: Vec<(&str, &str)> = sections(earlier).collect();
    for (title, text) in self::sections(now) {
        match sections.iter_mut().find(|(earlier, _)| *earlier == title) {
            Some(section) => section.1 = text,
            None => sections.push((title, text)),
        }
    }
    sections.iter().map(|(_, text)| text.trim()).collect::<Vec<_>>().join("\n\n") + "\n"
}

/// By their headings; what stands before the first has none.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let starts = text.match_indices("\n## ").map(|(at, _)| at + 1);
    let starts: Vec<_> = [0].into_iter().chain(starts).chain([text.len()]).collect();
    let parts: Vec<_> = starts.windows(2).map(|bounds| &text[bounds[0]..bounds[1]]).collect();
    parts.into_iter().filter(|part| !part.trim().is_empty()).map(|part| {
        let heading = part.lines().next().filter(|line| line.starts_with("## "));
        (heading.unwrap_or_default(), part)
    })
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
