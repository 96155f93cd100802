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
/// The function whose code is changed, and to what.
const CHANGES: &str = "sns_logger";
const OTHER: &[u8] = b"another bootstrap";

/// What is done in a round, by advent and by Terraform.
const COMMANDS: [(&str, &[&str], &str); 5] = [
    ("first `up`", &["up", "--yes"], "apply"),
    ("`up`, nothing changed", &["up"], "apply"),
    ("`up`, one function's code", &["up", "--yes"], "apply"),
    ("`status`", &["status"], "plan"),
    ("`down`", &["down", "--yes"], "destroy"),
];
/// Before this one, a function's code is changed.
const CHANGED: usize = 2;

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
    /// Every command once, in order.
    fn round(
        &self,
        measured: &mut [Measured; 5],
        command: impl Fn(usize) -> Command,
        change: impl FnOnce(),
    ) {
        let (before, after) = measured.split_at_mut(CHANGED);
        let measure = |(index, into): (usize, &mut Measured)| {
            self.proxy.take();
            let usage = run(&mut command(index));
            into.0.push((usage, self.proxy.take()));
        };
        before.iter_mut().enumerate().for_each(measure);
        change();
        (CHANGED..).zip(after).for_each(measure);
        World::read(&self.boto).assert_empty("after a round");
    }

    fn advent(&self, measured: &mut [Measured; 5]) {
        let command = |index: usize| self.cli.command(COMMANDS[index].1);
        self.round(measured, command, || {
            let code = json!({ "FunctionName": CHANGES, "ZipFile": Project::archive(OTHER) });
            self.boto.call("lambda", "update_function_code", code);
        });
    }

    fn terraform(&self, terraform: &Terraform, zip: &[u8], measured: &mut [Measured; 5]) {
        terraform.change(CHANGES, zip);
        let command = |index: usize| terraform.command(COMMANDS[index].2);
        self.round(measured, command, || terraform.change(CHANGES, &pack(OTHER)));
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
    let zip = std::fs::read(zips.join(format!("{CHANGES}.zip"))).expect("a zip");
    let terraform = [false, true]
        .into_iter()
        .map_while(|through_s3| Terraform::prepare(&zips, &proxy.url, through_s3))
        .collect();
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
    let waits =
        first(|| bench.cli.command(["up", "--yes"]), || bench.cli.command(["down", "--yes"]));
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
    for (index, (name, ..)) in COMMANDS.iter().enumerate() {
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
