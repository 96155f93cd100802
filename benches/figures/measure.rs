//! Processes under observation, medians, and tables.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How often the processes that a process started are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a process took, with those that it started.
pub struct Usage {
    pub wall: Duration,
    /// User and system time, in ticks of 10 ms.
    pub cpu: Duration,
    /// Peak resident memory in MB.
    pub peak: f64,
}

/// Runs a command that must succeed. Linux tells of it in `/proc` until it is waited for.
pub fn run(command: &mut Command) -> Usage {
    let begun = Instant::now();
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the command starts");
    let stat = format!("/proc/{}/stat", child.id());
    let (mut peak, mut looked) = (0.0_f64, begun);
    let (wall, cpu) = loop {
        peak = peak.max(memory(child.id()).1);
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            peak = peak.max(family(child.id()).into_iter().map(|process| memory(process).0).sum());
        }
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        // After the name, which may hold anything.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        if fields.first() == Some(&"Z") {
            // Its own, and those of the children that it waited for.
            let ticks = fields[11..15].iter().map(|ticks| ticks.parse().unwrap_or(0_u64));
            break (begun.elapsed(), Duration::from_millis(ticks.sum::<u64>() * 10));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let status = child.wait().expect("its end");
    assert!(status.success(), "{command:?} ended with {status}");
    Usage { wall, cpu, peak }
}

/// A process and all that it started, directly or not.
fn family(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|ids| ids.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect();
    [process].into_iter().chain(children.into_iter().flat_map(family)).collect()
}

/// Where `cargo xtask bench` has built the programs of this folder.
pub fn comparisons() -> PathBuf {
    std::env::var_os("ADVENT_BENCH_PROGRAMS").expect("set by cargo xtask bench").into()
}

/// Memory of a process that runs, in MB: now, and at most.
pub fn memory(process: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    (field_kb(&status, "VmRSS:") / 1024.0, field_kb(&status, "VmHWM:") / 1024.0)
}

fn field_kb(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// A heading, a remark and rows of cells, the first of which is the header.
pub fn table(title: &str, remark: &str, rows: &[Vec<String>]) -> String {
    let mut text = format!("## {title}\n\n{remark}\n\n");
    for (index, row) in rows.iter().enumerate() {
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes it");
        if index == 0 {
            writeln!(text, "|{}", "---|".repeat(row.len())).expect("a string takes it");
        }
    }
    text
}

pub fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// What all of it ran on.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field_kb(&read("/proc/meminfo"), "MemTotal:") / 1024.0 / 1024.0;
    format!(
        "Measured on {cores} cores of {}, {memory:.0} GB, Linux {}, with the executable that `cargo \
         xtask dist` makes.\n",
        model.unwrap_or("an unnamed processor"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}
