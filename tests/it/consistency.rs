//! What AWS needs a moment for: survived by `up` and `down`, with a line that says what is waited
//! for.

use std::time::Duration;

use serde_json::json;

use crate::support::proxy::{Imitation, Rate, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig};

/// `up`, `up` again at once, `down`, `up`: in a cloud that lags so.
fn survives(imitation: &Imitation, says: &[&str]) {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();

    rig.proxy.imitate(imitation.clone());
    let first = rig.people.ok(["up"]);
    for text in says {
        assert!(first.stderr.contains(text), "up does not say {text:?}: {}", first.stderr);
    }
    clean.assert_same(&rig.world(), "after up");
    rig.proxy.take();
    rig.cli.ok(["up"]);
    clean.assert_same(&rig.world(), "after up again at once");
    rig.cli.ok(["down"]);
    rig.world().assert_empty("after down");
    if !imitation.table_deleting.is_zero() {
        // Not even on its way out.
        let others = Boto::new(python, &rig.proxy.url);
        let described =
            others.try_call("dynamodb", "describe_table", json!({ "TableName": "small-items" }));
        assert_eq!(described.expect_err("it is gone").code, "ResourceNotFoundException");
    }
    rig.cli.ok(["up"]);
    clean.assert_same(&rig.world(), "after up right after down");
    rig.proxy.heal();
    rig.proxy.take();
    rig.cli.ok(["up"]);
    assert_eq!(rig.proxy.take().mutating(), [""; 0], "up after up");
    rig.assert_down("at last");
}

#[test]
fn a_role_that_cannot_be_assumed_yet() {
    let role_assumable = Duration::from_secs(4);
    let imitation = Imitation { role_assumable, ..Imitation::default() };
    survives(&imitation, &["waiting for the role"]);
}

#[test]
fn things_in_transition() {
    let imitation = Imitation {
        table_creating: Duration::from_secs(3),
        table_deleting: Duration::from_secs(3),
        function_pending: Duration::from_secs(2),
        function_updating: Duration::from_secs(2),
        delete_conflicts: 2,
        exclusive: Duration::from_millis(200),
        ..Imitation::default()
    };
    survives(&imitation, &["waiting for the table", "waiting for the function"]);
}

#[test]
fn created_things_that_reads_do_not_show_yet() {
    for hidden in [Duration::from_millis(100), Duration::from_secs(3)] {
        survives(&Imitation { hidden, ..Imitation::default() }, &[]);
    }
}

#[test]
fn reads_that_answer_as_before_a_change() {
    for stale in [Duration::from_millis(100), Duration::from_secs(3)] {
        survives(&Imitation { stale, ..Imitation::default() }, &[]);
    }
}

#[test]
fn requests_at_the_rates_that_aws_publishes() {
    survives(&Imitation { rates: Rate::published(), ..Imitation::default() }, &[]);
}

/// Its tags are unknown, and it cannot be changed, until it is there.
#[test]
fn a_table_that_a_killed_run_was_creating() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();
    let table_creating = Duration::from_secs(4);
    rig.proxy.imitate(Imitation { table_creating, ..Imitation::default() });
    rig.kill_in_place("up", |fault| Rule::operation("dynamodb", "CreateTable", fault));
    rig.cli.ok(["up"]);
    clean.assert_same(&rig.world(), "after up");
    rig.cli.ok(["down"]);
    rig.world().assert_empty("after down");
}
