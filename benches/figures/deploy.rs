//! The article's application, where every request costs 50 ms.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::measure::{Usage, median, row, run, table};
use crate::tests::support::cli::Cli;
use crate::tests::support::project::Project;
use crate::tests::support::proxy::{Imitation, Proxy, Records};
use crate::tests::support::python::{Boto, Python};
use crate::tests::support::world::World;

const RUNS: usize = 5;
const DELAY: Duration = Duration::from_millis(50);

/// The commands, with Terraform's figures for the same stack, machine and delay.
const COMMANDS: [(&str, &str); 5] = [
    ("first `up`", "9.9 s tuned, 21.5 s as written; 91 requests, chain 37"),
    ("`up`, nothing changed", "4.3 s; 50, chain 12"),
    ("`up`, one function's code", "9.7 s; 55, chain 17"),
    ("`status`", "4.1 s; 49, chain 11"),
    ("`down`", "5.3 s; 86, chain 20"),
];

struct Bench {
    cli: Cli,
    _folder: TempDir,
    proxy: Proxy,
    boto: Boto<'static>,
}

impl Bench {
    fn command(&self, arguments: &[&str]) -> (Usage, Records) {
        self.proxy.take();
        let usage = run(&mut self.cli.command(arguments));
        (usage, self.proxy.take())
    }
}

pub fn figures(python: &'static Python, program: &Path) -> String {
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let folder = TempDir::new().expect("a folder");
    let cli = Cli::new(folder.path()).program(program).endpoint(&proxy.url);
    let bench = Bench { cli, _folder: folder, proxy, boto: Boto::new(python, &moto.url) };
    // Makes moto load every service.
    World::read(&bench.boto).assert_empty("at first");
    bench.proxy.delay(DELAY);
    let mut measured: Vec<Vec<(Usage, Records)>> = COMMANDS.map(|_| Vec::new()).into();
    for _ in 0..RUNS {
        measured[0].push(bench.command(&["up"]));
        measured[1].push(bench.command(&["up"]));
        let zip = Project::archive(b"another bootstrap");
        let code = json!({ "FunctionName": "sns_logger", "ZipFile": zip });
        bench.boto.call("lambda", "update_function_code", code);
        measured[2].push(bench.command(&["up"]));
        measured[3].push(bench.command(&["status"]));
        measured[4].push(bench.command(&["down", "--yes"]));
        World::read(&bench.boto).assert_empty("after down");
    }
    let mut rows =
        vec![row(&["command", "s", "requests", "chain", "CPU s", "peak MB", "Terraform"])];
    for ((name, peer), runs) in COMMANDS.iter().zip(&measured) {
        let of = |value: fn(&(Usage, Records)) -> f64| median(runs.iter().map(value).collect());
        let chain = runs.iter().map(|(_, records)| records.chain().len()).min();
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.2}", of(|(usage, _)| usage.wall.as_secs_f64())),
            runs[0].1.len().to_string(),
            chain.unwrap_or_default().to_string(),
            format!("{:.2}", of(|(usage, _)| usage.cpu.as_secs_f64())),
            format!("{:.0}", of(|(usage, _)| usage.peak)),
            (*peer).to_owned(),
        ]);
    }
    bench.proxy.delay(Duration::ZERO);
    bench.proxy.imitate(Imitation {
        role_assumable: Duration::from_secs(8),
        table_creating: Duration::from_secs(6),
        function_pending: Duration::from_secs(2),
        ..Imitation::default()
    });
    let waits: Vec<f64> = (0..3)
        .map(|_| {
            let (usage, _) = bench.command(&["up"]);
            bench.command(&["down", "--yes"]);
            usage.wall.as_secs_f64()
        })
        .collect();
    let remark = format!(
        "moto behind a proxy that adds 50 ms to every request, medians of {RUNS}; Terraform 1.11 on \
         such a machine beside it. Bounded by the chain (chain × 50 ms) and by moto, which serves \
         one request at a time in some 5 ms. With imitated waits (role assumable after 8 s, table \
         after 6 s, functions Active after 2 s) the first `up` takes {:.1} s of the 10 s that these \
         waits need one after another; Terraform 18.2 s tuned, 29.3 s as written.",
        median(waits)
    );
    table("Deploys, 50 ms a request", &remark, &rows)
}
