//! The article's application, where every request costs 50 ms: advent, and Terraform beside it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::measure::{Usage, median, row, run, table};
use crate::terraform::Terraform;
use crate::tests::support::cli::Cli;
use crate::tests::support::project::{Project, pack};
use crate::tests::support::proxy::{Imitation, Proxy, Records};
use crate::tests::support::python::{Boto, Python};
use crate::tests::support::world::World;

const RUNS: usize = 5;
const DELAY: Duration = Duration::from_millis(50);
/// Changes one function's code.
const OTHER: &[u8] = b"another bootstrap";

/// The commands, and what Terraform calls them.
const COMMANDS: [(&str, &str); 5] = [
    ("first `up`", "apply"),
    ("`up`, nothing changed", "apply"),
    ("`up`, one function's code", "apply"),
    ("`status`", "plan"),
    ("`down`", "destroy"),
];

/// What was measured of a command, a run after the other.
#[derive(Default)]
struct Measured(Vec<(Usage, Records)>);

impl Measured {
    fn median(&self, value: fn(&Usage) -> f64) -> f64 {
        median(self.0.iter().map(|(usage, _)| value(usage)).collect())
    }

    fn seconds(&self) -> f64 {
        self.median(|usage| usage.wall.as_secs_f64())
    }

    fn requests(&self) -> usize {
        self.0[0].1.len()
    }

    fn chain(&self) -> usize {
        self.0.iter().map(|(_, records)| records.chain().len()).min().unwrap_or_default()
    }
}

struct Bench {
    cli: Cli,
    proxy: Proxy,
    boto: Boto<'static>,
    /// As most write it, and with the code through S3.
    terraform: Vec<Terraform>,
}

impl Bench {
    fn measure(&self, command: &mut Command, into: &mut Measured) {
        self.proxy.take();
        let usage = run(command);
        into.0.push((usage, self.proxy.take()));
    }

    /// Every command once, in order.
    fn advent(&self, measured: &mut [Measured; 5]) {
        let all: [&[&str]; 5] = [&["up"], &["up"], &["up"], &["status"], &["down", "--yes"]];
        for (index, (arguments, into)) in all.iter().zip(measured).enumerate() {
            if index == 2 {
                let code = json!({
                    "FunctionName": "sns_logger", "ZipFile": Project::archive(OTHER),
                });
                self.boto.call("lambda", "update_function_code", code);
            }
            self.measure(&mut self.cli.command(*arguments), into);
        }
        World::read(&self.boto).assert_empty("after down");
    }

    fn terraform(&self, terraform: &Terraform, zip: &[u8], measured: &mut [Measured; 5]) {
        let other = pack(OTHER);
        for (index, ((_, command), into)) in COMMANDS.iter().zip(measured).enumerate() {
            terraform.change("sns_logger", if index < 2 { zip } else { &other });
            self.measure(&mut terraform.command(command), into);
        }
        World::read(&self.boto).assert_empty("after destroy");
    }
}

/// How long the first deployment takes.
fn first(up: impl Fn() -> Command, down: impl Fn() -> Command) -> f64 {
    let all = (0..RUNS).map(|_| {
        let usage = run(&mut up());
        run(&mut down());
        usage.wall.as_secs_f64()
    });
    median(all.collect())
}

pub fn figures(python: &'static Python, program: &Path) -> String {
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let folder = TempDir::new().expect("a folder");
    let cli = Cli::new(folder.path()).program(program).endpoint(&proxy.url);
    cli.ok(["build", "--out", "zips"]);
    let zips = folder.path().join("zips");
    let zip = std::fs::read(zips.join("sns_logger.zip")).expect("a zip");
    let terraform = [false, true].map(|s3| Terraform::prepare(&zips, &proxy.url, s3));
    let terraform = terraform.into_iter().flatten().collect();
    let bench = Bench { cli, proxy, boto: Boto::new(python, &moto.url), terraform };
    // Makes moto load every service.
    World::read(&bench.boto).assert_empty("at first");
    bench.proxy.delay(DELAY);
    let mut ours: [Measured; 5] = Default::default();
    let mut theirs: Vec<[Measured; 5]> =
        bench.terraform.iter().map(|_| Default::default()).collect();
    for _ in 0..RUNS {
        bench.advent(&mut ours);
        for (terraform, measured) in bench.terraform.iter().zip(&mut theirs) {
            bench.terraform(terraform, &zip, measured);
        }
    }

    bench.proxy.delay(Duration::ZERO);
    bench.proxy.imitate(Imitation {
        role_assumable: Duration::from_secs(8),
        table_creating: Duration::from_secs(6),
        function_pending: Duration::from_secs(2),
        ..Imitation::default()
    });
    let waits = first(|| bench.cli.command(["up"]), || bench.cli.command(["down", "--yes"]));
    let of_terraform: Vec<f64> = bench
        .terraform
        .iter()
        .map(|terraform| first(|| terraform.command("apply"), || terraform.command("destroy")))
        .collect();
    report(&bench, &ours, &theirs, waits, &of_terraform)
}

fn report(
    bench: &Bench,
    ours: &[Measured; 5],
    theirs: &[[Measured; 5]],
    waits: f64,
    of_terraform: &[f64],
) -> String {
    let mut header = row(&["command", "s", "requests", "chain", "CPU s", "peak MB"]);
    if let [_, _] = theirs {
        header.extend(row(&[
            "Terraform",
            "Terraform, code through S3",
            "times as fast as the faster",
        ]));
    }
    let mut rows = vec![header];
    for (index, (name, _)) in COMMANDS.iter().enumerate() {
        let of = |measured: &Measured| {
            [
                format!("{:.2}", measured.seconds()),
                measured.requests().to_string(),
                measured.chain().to_string(),
                format!("{:.2}", measured.median(|usage| usage.cpu.as_secs_f64())),
                format!("{:.0}", measured.median(|usage| usage.peak)),
            ]
        };
        let mut cells = row(&[name]);
        cells.extend(of(&ours[index]));
        if let [written, through_s3] = theirs {
            for peer in [written, through_s3] {
                let [s, requests, chain, cpu, peak] = of(&peer[index]);
                cells.push(format!(
                    "{s} s, {requests} requests, chain {chain}, {cpu} s CPU, {peak} MB"
                ));
            }
            let faster = written[index].seconds().min(through_s3[index].seconds());
            cells.push(format!("{:.0}", faster / ours[index].seconds()));
        }
        rows.push(cells);
    }
    let peer = match (bench.terraform.first(), of_terraform) {
        (Some(terraform), [written, through_s3]) => format!(
            "{written:.1} s with Terraform, {through_s3:.1} s with its code sent through S3. Beside it \
             the same application in Terraform (`benches/terraform/main.tf`; {}), whose `status` is \
             `plan`",
            terraform.version()
        ),
        _ => "Terraform was not at hand to be measured beside it".to_owned(),
    };
    let remark = format!(
        "moto behind a proxy that adds 50 ms to every request, medians of {RUNS}. Bounded by the chain \
         (chain × 50 ms) and by moto, which serves one request at a time in some 5 ms. With imitated \
         waits (role assumable after 8 s, table after 6 s, functions Active after 2 s) the first `up` \
         takes {waits:.1} s of the 10 s that these waits need one after another; {peer}."
    );
    table("Deploys, 50 ms a request", &remark, &rows)
}
