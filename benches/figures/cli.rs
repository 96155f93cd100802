//! The command line by itself.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::measure::{Usage, median, row, run, table};
use crate::tests::support::cli::Cli;
use crate::tests::support::python::{Boto, Python};
use crate::tests::support::world::World;

const RUNS: u32 = 21;

pub fn figures(python: &'static Python, program: &Path) -> String {
    let moto = python.moto();
    World::read(&Boto::new(python, &moto.url)).assert_empty("at first");
    let folder = TempDir::new().expect("a folder");
    let cli = Cli::new(folder.path()).program(program).endpoint(&moto.url);
    let command = |arguments: &[&str]| run(&mut cli.command(arguments));
    command(&["up", "--yes"]);
    let median_of = |runs: &[Usage], value: fn(&Usage) -> f64| {
        median(runs.iter().map(value).collect::<Vec<_>>())
    };
    let version: Vec<_> = (0..RUNS).map(|_| command(&["--version"])).collect();
    let plan: Vec<_> = (0..RUNS).map(|_| command(&["plan"])).collect();
    // Ticks are coarse, their mean is not.
    let cpu = plan.iter().map(|usage| usage.cpu).sum::<Duration>().as_secs_f64() / f64::from(RUNS);
    command(&["down", "--yes"]);
    let size = std::fs::metadata(program).map_or(0, |file| file.len());
    #[expect(clippy::cast_precision_loss, reason = "to a tenth of a megabyte")]
    let size = size as f64 / 1e6;
    let rows = vec![
        row(&["what", "measured"]),
        vec![
            "`advent --version`".into(),
            format!("{:.1} ms", median_of(&version, |u| u.wall.as_secs_f64() * 1e3)),
        ],
        vec![
            "`advent plan`, nothing changed, plain HTTP: CPU".into(),
            format!("{:.0} ms (mean)", cpu * 1e3),
        ],
        vec!["the same: peak memory".into(), format!("{:.0} MB", median_of(&plan, |u| u.peak))],
        vec!["`dist/advent` with the three functions".into(), format!("{size:.1} MB")],
    ];
    table("Command line", &format!("Medians of {RUNS}."), &rows)
}
