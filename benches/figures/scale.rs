//! A stack of 200 functions at AWS's published rates: the test of it, at full size.

use std::path::Path;
use std::process::Command;

use crate::measure::{median, row, table};
use crate::tests::support::python::Python;

const RUNS: usize = 5;
/// What the test runs, of a smaller stack and then of the full size.
const COMMANDS: [&str; 4] = ["first `up`", "`up`, nothing changed", "`status`", "`down`"];
const TEST: &str = "scale::a_stack_beyond_the_bursts_keeps_to_the_rates";

/// What a run of the test told: a line a command, and megabytes a function.
struct Told {
    commands: Vec<String>,
    each: f64,
}

impl Told {
    fn run() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["test", "--workspace", "--test", "it", "--", "--exact", "--nocapture", TEST])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("ADVENT_TEST_SCALE", "full")
            .output()
            .expect("cargo");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let lines = told.lines().filter(|line| line.contains("(at best "));
        let lines: Vec<_> = lines.filter_map(|line| Some(line.split_once(": ")?.1)).collect();
        assert_eq!(lines.len(), 2 * COMMANDS.len(), "{told}");
        let each = told.lines().find_map(|line| line.strip_suffix(" MB a function"));
        Self {
            commands: lines[COMMANDS.len()..].iter().map(ToString::to_string).collect(),
            each: each.and_then(|each| each.parse().ok()).expect("the memory"),
        }
    }

    fn seconds(&self, command: usize) -> f64 {
        let seconds = self.commands[command].split_once("s (");
        seconds.and_then(|(seconds, _)| seconds.parse().ok()).expect("seconds")
    }
}

pub fn figures(_: &'static Python, _: &Path) -> String {
    let mut runs: Vec<_> = (0..RUNS).map(|_| Told::run()).collect();
    let mut rows = vec![row(&["command", "measured"])];
    for (index, command) in COMMANDS.iter().enumerate() {
        runs.sort_by(|one, other| one.seconds(index).total_cmp(&other.seconds(index)));
        rows.push(row(&[command, &runs[RUNS / 2].commands[index]]));
    }
    let each = median(runs.iter().map(|told| told.each).collect());
    rows.push(row(&["memory beyond that of 30 functions", &format!("{each:.3} MB a function")]));
    let remark = format!(
        "200 functions, 50 topics, 50 tables and 100 routes against the local cloud behind a proxy \
         that throttles at AWS's published rates; a debug build, of {RUNS} runs the one with the \
         median time. \"At best\" is what those rates take for the requests that were made. Bounded \
         by CreateLogGroup and DeleteLogGroup (5 a second) and by GetPolicy (15 a second); where an \
         account has more, the pace finds it."
    );
    table("Scale", &remark, &rows)
}
