//! The figures of `BENCHMARKS.md`, measured.

use std::path::Path;

use anyhow::Result;

use crate::dist::{cargo, dist, run, target_folder};

/// The parts that can be measured by themselves.
pub(crate) const CHAPTERS: [&str; 6] = ["deploy", "cli", "functions", "local", "scale", "builds"];
/// What the functions and the local cloud are compared with, or driven by.
const PROGRAMS: [&str; 3] = ["bench_hello", "bench_sequential", "bench_load"];

/// Builds everything that is measured, then measures it: all, or the chapters in `only`.
pub(crate) fn bench(root: &Path, only: &[String]) -> Result<()> {
    let advent = dist(root)?;
    // As the functions that ship.
    let mut programs = cargo(root);
    programs.args(["build", "--locked", "--profile", "lambda"]);
    run(programs.args(PROGRAMS.iter().flat_map(|name| ["--package", name])))?;
    let mut bench = cargo(root);
    // What drives and watches need not be optimised.
    bench
        .args(["bench", "--workspace", "--locked", "--profile", "dev", "--bench", "figures", "--"])
        .args(only)
        .env("ADVENT_BENCH", advent)
        .env("ADVENT_BENCH_PROGRAMS", target_folder(root)?.join("lambda"));
    run(&mut bench)
}
