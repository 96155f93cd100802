//! What must have ended before something else begins, seen on the wire.

use std::time::Duration;

use crate::support::cli::Cli;
use crate::support::local::Local;
use crate::support::proxy::{Proxy, Record, Records};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

/// `service:Operation subject`, any subject if there is none.
fn matches(record: &Record, what: &str) -> bool {
    let operation = &record.operation;
    let (name, subject) = what.split_once(' ').unwrap_or((what, ""));
    format!("{}:{}", operation.service, operation.name) == name
        && (subject.is_empty() || operation.subject == subject)
}

/// Every request of the first kind has ended when the first of the second kind begins.
#[track_caller]
fn assert_before(records: &Records, first: &str, then: &str) {
    let of = |what| records.0.iter().filter(move |record| matches(record, what));
    let ended = of(first).map(|record| record.end.expect("an answer")).max();
    let begun = of(then).map(|record| record.start).min();
    let (Some(ended), Some(begun)) = (ended, begun) else {
        panic!("{first} or {then} is missing: {records}")
    };
    assert!(ended <= begun, "{then} did not wait for {first}: {records}");
}

#[test]
fn what_is_needed_comes_first_and_goes_last() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.proxy.take();
    rig.cli.ok(["up"]);
    let up = rig.proxy.take();
    for function in ["small-front", "small-back"] {
        let role = format!("{function}-us-east-1");
        let create = format!("lambda:CreateFunction {function}");
        // A first invocation must find its rights, and its log group, or Lambda makes one.
        assert_before(&up, &format!("iam:CreateRole {role}"), &create);
        assert_before(&up, &format!("iam:PutRolePolicy {role}"), &create);
        assert_before(&up, &format!("logs:CreateLogGroup /aws/lambda/{function}"), &create);
        assert_before(&up, &create, &format!("lambda:AddPermission {function}"));
    }
    // A message to a function that SNS may not invoke yet is lost.
    assert_before(&up, "lambda:AddPermission small-back", "sns:Subscribe");
    assert_before(&up, "sns:CreateTopic", "sns:Subscribe");
    // A stage without routes fails to deploy.
    assert_before(&up, "apigateway:CreateRoute", "apigateway:CreateStage");

    rig.cli.ok(["down"]);
    let down = rig.proxy.take();
    // SNS would lose what it cannot deliver.
    assert_before(&down, "sns:Unsubscribe", "lambda:DeleteFunction small-back");
    for function in ["small-front", "small-back"] {
        let gone = format!("lambda:DeleteFunction {function}");
        assert_before(&down, &gone, &format!("iam:DeleteRole {function}-us-east-1"));
        assert_before(&down, &gone, &format!("logs:DeleteLogGroup /aws/lambda/{function}"));
    }
}

/// Statements that are written at the same time are lost.
#[test]
fn the_statements_of_one_function_are_written_one_after_another() {
    let local = Local::start();
    local.project.edit("[topic.news]", "[topic.news]\n\n[topic.more]");
    local.project.edit(
        "topic = \"news\"",
        "topic = [\"news\", \"more\"]\nroute = [\"GET /one\", \"GET /two\"]",
    );
    let proxy = Proxy::start(&local.url);
    proxy.delay(Duration::from_millis(50));
    let cli = Cli::new(local.project.path()).endpoint(&proxy.url).arg("--yes");
    cli.ok(["up"]);
    let up = proxy.take();
    let mut writes: Vec<_> =
        up.0.iter().filter(|record| matches(record, "lambda:AddPermission small-back")).collect();
    assert_eq!(writes.len(), 4, "{up}");
    writes.sort_by_key(|record| record.start);
    for pair in writes.windows(2) {
        assert!(pair[0].end.expect("an answer") <= pair[1].start, "{up}");
    }
    cli.ok(["down"]);
}
