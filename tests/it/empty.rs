//! Answers that say nothing, with a status of success, are no proof that there is nothing.

use std::collections::BTreeSet;

use crate::support::proxy::{Answer, Fault, Operation, Rule};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

/// Nothing at all.
fn nothing(_: &Operation, answer: Answer) -> Answer {
    with("", answer)
}

/// The least that the service's protocol calls an answer.
fn least(operation: &Operation, answer: Answer) -> Answer {
    let Operation { service, name, .. } = operation;
    if matches!(service.as_str(), "iam" | "sns" | "sts") {
        return with(&format!("<{name}Response><{name}Result/></{name}Response>"), answer);
    }
    with("{}", answer)
}

fn with(body: &str, mut answer: Answer) -> Answer {
    if answer.status.is_success() {
        answer.body = body.to_owned().into();
        answer.headers.remove("content-length");
    }
    answer
}

type Rewrite = fn(&Operation, Answer) -> Answer;

const WAYS: [(&str, Rewrite); 2] = [("nothing", nothing), ("the least", least)];

/// Every read of a command that is answered, with every way of saying nothing instead.
fn silences(rig: &Rig, command: &str) -> Vec<(Operation, &'static str, Rewrite)> {
    rig.proxy.take();
    drop(rig.cli.ok([command]));
    let asked = rig.proxy.take().0;
    let told = asked.into_iter().filter(|it| !it.operation.mutating && it.status == Some(200));
    let mut seen = BTreeSet::new();
    let once = |it: &Operation| seen.insert((it.service.clone(), it.name.clone()));
    let reads: Vec<_> = told.map(|it| it.operation).filter(once).collect();
    let silence = |read: Operation| WAYS.map(|(how, rewrite)| (read.clone(), how, rewrite));
    let told = |(read, how, _): &(Operation, &str, Rewrite)| {
        *how == "nothing" || !NOT_TOLD.contains(&read.name.as_str())
    };
    reads.into_iter().flat_map(silence).filter(told).collect()
}

/// What is said of orphans where they could not be looked for.
const UNKNOWN: &str = "could not be looked for";
/// The client makes a list that is absent an empty one, in XML where the model demands it. AWS never
/// leaves it out.
const NOT_TOLD: [&str; 2] = ["ListRolePolicies", "ListRoles"];

#[test]
fn what_says_nothing_is_not_in_sync() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let silences = silences(&rig, "status");
    assert!(silences.len() > 40, "{silences:?}");
    for (read, how, rewrite) in silences {
        strike(&rig, &read, rewrite);
        let run = rig.cli.run(["status"]);
        rig.proxy.heal();
        let in_sync = run.code == Some(0) && run.json()["in_sync"] == true;
        let said = format!("{}{}", run.stdout, run.stderr).contains(UNKNOWN);
        assert!(!in_sync || said, "{read:?} with {how}: {}", run.stdout);
    }
    rig.assert_down("at last");
}

#[test]
fn what_says_nothing_is_not_deleted() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let silences = silences(&rig, "down");
    assert!(silences.len() > 16, "{silences:?}");
    for (read, how, rewrite) in silences {
        rig.cli.ok(["up"]);
        strike(&rig, &read, rewrite);
        let run = rig.cli.run(["down"]);
        rig.proxy.heal();
        let gone = rig.world().is_empty();
        let what = format!("{read:?} with {how}: {}{}", run.stdout, run.stderr);
        assert!(run.code != Some(0) || gone, "{what}");
        if !gone {
            rig.cli.ok(["down"]);
        }
    }
}

fn strike(rig: &Rig, read: &Operation, rewrite: Rewrite) {
    let (service, name) = (read.service.clone(), read.name.clone());
    let is_it = move |operation: &Operation| operation.is(&service, &name);
    rig.proxy.inject(Rule::new(is_it, Fault::Rewrite(rewrite)));
}
