//! The figures of `BENCHMARKS.md`, measured.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::dist::{cargo, dist, run, target_folder};

/// What the functions and the local cloud are compared with, or driven by.
const PROGRAMS: [&str; 3] = ["bench_hello", "bench_sequential", "bench_load"];

/// Builds everything that is measured, then measures it: all, or the chapters in `only`.
pub(crate) fn bench(root: &Path, only: &[String]) -> Result<ExitCode> {
    let advent = dist(root)?;
    // As the functions that ship.
    let mut programs = cargo(root);
    programs.args(["build", "--locked", "--profile", "lambda"]);
    run(programs.args(PROGRAMS.iter().flat_map(|name| ["--package", name])))?;
    let mut bench: Command = cargo(root);
    // What drives and watches need not be optimised.
    bench
        .args(["bench", "--workspace", "--locked", "--profile", "dev", "--bench", "figures", "--"])
        .args(only)
        .env("ADVENT_BENCH", advent)
        .env("ADVENT_BENCH_PROGRAMS", target_folder(root)?.join("lambda"));
    ensure!(bench.status()?.success(), "not everything was measured");
    Ok(ExitCode::SUCCESS)
}
