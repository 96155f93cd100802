//! A stack of 200 functions at AWS's published rates: the test of it, at full size.

use std::path::Path;
use std::process::Command;

use crate::measure::{row, table};
use crate::tests::support::python::Python;

/// What the test runs, of a smaller stack and then of the full size.
const COMMANDS: [&str; 4] = ["first `up`", "`up`, nothing changed", "`status`", "`down`"];
const TEST: &str = "scale::a_stack_beyond_the_bursts_keeps_to_the_rates";

pub fn figures(_: &'static Python, _: &Path) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--test", "it", "--", "--exact", "--nocapture", TEST])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("ADVENT_TEST_SCALE", "full")
        .output()
        .expect("cargo");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let measured: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("(at best "))
        .filter_map(|line| Some(line.split_once(": ")?.1))
        .collect();
    assert_eq!(measured.len(), 2 * COMMANDS.len(), "{told}");
    let each = told.lines().find(|line| line.ends_with(" MB a function")).expect("the memory");
    let mut rows = vec![row(&["command", "measured"])];
    for (command, measured) in COMMANDS.iter().zip(&measured[COMMANDS.len()..]) {
        rows.push(row(&[command, measured]));
    }
    rows.push(row(&["memory beyond that of 30 functions", each]));
    let remark = "200 functions, 50 topics, 50 tables and 100 routes against the local cloud behind a \
                  proxy that throttles at AWS's published rates; once, a debug build. \"At best\" is \
                  what those rates take for the requests that were made. Bounded by CreateLogGroup \
                  and DeleteLogGroup (5 a second) and by GetPolicy (15 a second); where an account has \
                  more, the pace finds it.";
    table("Scale", remark, &rows)
}
