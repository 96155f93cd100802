//! How many requests each command makes, and how many of them one after another.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::project::Project;
use crate::support::proxy::{Proxy, Records};
use crate::support::python::{Boto, Python, python};
use crate::support::world::World;

/// Requests, and how many of them the longest chain has: each began after the one before had ended.
type Cost = (usize, usize);

/// One of them lists the topic's subscriptions once they are made: SNS's answer to `Subscribe` is no
/// proof that one exists.
const COLD_UP: Cost = (59, 8);
const IDLE_UP: Cost = (41, 3);
const CODE: Cost = (43, 5);
const ENVIRONMENT: Cost = (43, 5);
const STATUS: Cost = (41, 3);
const DOWN: Cost = (51, 7);
/// Of a stack that is not there.
const DOWN_AGAIN: Cost = (29, 2);

/// What every request takes at least. Those that need not wait for each other overlap then, even
/// on a busy machine.
const DELAY: Duration = Duration::from_millis(600);

/// A machine that is too busy may make a chain look longer than it is, never shorter.
const ATTEMPTS: usize = 3;

#[test]
fn the_article_costs_what_it_must() {
    let Some(python) = python() else { return };
    let mut least = BTreeMap::new();
    for attempt in 1.. {
        measure(python, &mut least);
        let wrong: Vec<_> = least.values().filter(|(should, is, _)| should != is).collect();
        if wrong.is_empty() {
            return;
        }
        assert!(attempt < ATTEMPTS, "{wrong:#?}");
    }
}

/// By command: what it should cost, the least it did, and how.
type Least = BTreeMap<&'static str, (Cost, Cost, String)>;

/// The article's application, from nothing to nothing.
fn measure(python: &Python, least: &mut Least) {
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &moto.url);
    // Makes moto load every service.
    World::read(&boto).assert_empty("at first");
    let cli = Cli::new(Path::new(env!("CARGO_MANIFEST_DIR"))).endpoint(&proxy.url);
    cli.ok(["build", "--quiet", "--out", cli.home().to_str().expect("a path in UTF-8")]);
    proxy.delay(DELAY);

    let mut cost = |what: &'static str, should: Cost, records: Records| {
        let is = (records.len(), records.chain().len());
        drop(writeln!(std::io::stderr(), "{what}: {} requests, chain of {}", is.0, is.1));
        assert_eq!(is.0, should.0, "requests of {what}: {records}");
        let known = least.entry(what).or_insert((should, is, records.to_string()));
        if is < known.1 {
            *known = (should, is, records.to_string());
        }
        records
    };

    cli.ok(["up", "--json"]);
    cost("up", COLD_UP, proxy.take());
    let world = World::read(&boto);

    let idle = cli.ok(["up", "--json"]).last_json();
    let records = cost("up again", IDLE_UP, proxy.take());
    assert_eq!(records.mutating(), [""; 0], "{records}");
    assert_eq!(actions(&idle), json!([]));

    let status = cli.ok(["status", "--json"]).json();
    let records = cost("status", STATUS, proxy.take());
    assert_eq!(records.mutating(), [""; 0], "{records}");
    assert_eq!(status["in_sync"], true, "{status:#}");

    // The code of one function differs from what is deployed.
    let zip = Project::archive(b"another bootstrap");
    let code = json!({ "FunctionName": "sns_logger", "ZipFile": zip });
    boto.call("lambda", "update_function_code", code);
    let changed = cli.ok(["up", "--json"]).last_json();
    let records = cost("up with other code", CODE, proxy.take());
    assert_eq!(actions(&changed), json!(["function.sns_logger: update"]));
    assert_eq!(records.mutating(), ["lambda:UpdateFunctionCode sns_logger"], "{records}");
    World::read(&boto).assert_same(&world, "after the code's repair");

    // A secret of the operator's environment that only one function takes.
    let secret = "known-to-nobody";
    let run = cli.clone().env("SLACK_TOKEN", secret).ok(["up", "--json"]);
    assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{run:?}");
    let records = cost("up with another variable", ENVIRONMENT, proxy.take());
    assert_eq!(actions(&run.last_json()), json!(["function.aws_advent: update"]));
    assert_eq!(records.mutating(), ["lambda:UpdateFunctionConfiguration aws_advent"], "{records}");
    let now = World::read(&boto);
    assert_eq!(now.0["functions"]["aws_advent"]["environment"]["SLACK_TOKEN"], secret);

    cli.ok(["down", "--json", "--yes"]);
    cost("down", DOWN, proxy.take());
    World::read(&boto).assert_empty("after down");

    cli.ok(["down", "--json"]);
    let records = cost("down again", DOWN_AGAIN, proxy.take());
    assert_eq!(records.mutating(), [""; 0], "{records}");
}

/// `id: action` of all that was not kept.
fn actions(document: &Value) -> Value {
    let resources = document["resources"].as_array().expect("resources");
    let changed = resources.iter().filter(|resource| resource["action"] != "keep");
    let line = |resource: &Value| format!("{}: {}", resource["id"], resource["action"]);
    changed.map(line).map(|line| line.replace('"', "")).collect::<Vec<_>>().into()
}
