//! Two operators at once: one consistent stack in the end, never two of anything.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::cli::{Run, Running};
use crate::support::proxy::{Fault, Imitation, Rule};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

/// How two commands are interleaved: what each takes per request, in milliseconds, by turns.
#[derive(Debug, Clone)]
struct Interleaving {
    commands: [&'static str; 2],
    /// Begun so much later.
    head_start: u64,
    pauses: Vec<u64>,
    /// Whether there is a stack at first.
    there: bool,
}

fn interleavings() -> impl Strategy<Value = Interleaving> {
    let command = || prop_oneof![Just("up"), Just("down")];
    let pauses = proptest::collection::vec(prop_oneof![0..5_u64, 0..60_u64, 0..200_u64], 1..20);
    ([command(), command()], 0..400_u64, pauses, any::<bool>()).prop_map(
        |(commands, head_start, pauses, there)| Interleaving {
            commands,
            head_start,
            pauses,
            there,
        },
    )
}

fn run(rig: &Rig, interleaving: &Interleaving) -> [Run; 2] {
    let turns = interleaving.pauses.len();
    for (turn, pause) in interleaving.pauses.iter().enumerate() {
        let slow = Fault::Slow(Duration::from_millis(*pause));
        // The first rule that strikes a request decides: the others do not count it.
        rig.proxy.inject(Rule::any(slow).every(turns - turn));
    }
    let first = rig.cli.spawn([interleaving.commands[0]]);
    std::thread::sleep(Duration::from_millis(interleaving.head_start));
    let second = rig.cli.spawn([interleaving.commands[1]]);
    let runs = [first, second].map(Running::wait);
    rig.proxy.heal();
    runs
}

/// Two `up` end in the stack, two `down` in nothing; an `up` and a `down` in something that the
/// next command of either kind finishes.
fn operators(cases: u32) {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 12, ..Config::default() };
    let result = TestRunner::new(config).run(&interleavings(), |interleaving| {
        // The case before may have failed half-way.
        rig.cli.ok(["down"]);
        if interleaving.there {
            rig.cli.ok(["up"]);
        }
        let runs = run(&rig, &interleaving);
        let took = runs.each_ref().map(|run| run.took);
        // Of four rounds at most, each may wait 15 s for a role that the other has deleted.
        assert!(took.iter().all(|took| took.as_secs() < 90), "{took:?}: {runs:#?}");
        match interleaving.commands {
            ["up", "up"] => {
                for run in runs {
                    run.code(0);
                }
                clean.assert_same(&rig.world(), "after two up at once");
            }
            ["down", "down"] => {
                for run in runs {
                    run.code(0);
                }
                rig.world().assert_empty("after two down at once");
            }
            _ => {
                let apis = rig.world().0["apis"].as_array().map_or(0, Vec::len);
                assert!(apis < 2, "{apis} APIs");
            }
        }
        rig.assert_up(&clean, "one more");
        rig.assert_down("one more");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn two_operators_end_in_one_stack() {
    operators(8);
}

#[test]
#[ignore = "minutes: cargo xtask torture"]
fn two_operators_end_in_one_stack_however_they_interleave() {
    operators(40);
}

/// Held up at one of its requests, a run finds everything done by another that overtook it.
#[test]
fn one_that_is_overtaken_ends_in_the_same_stack() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();
    let held = [
        ("dynamodb", "CreateTable"),
        ("sns", "CreateTopic"),
        ("sns", "Subscribe"),
        ("iam", "CreateRole"),
        ("iam", "PutRolePolicy"),
        ("logs", "CreateLogGroup"),
        ("lambda", "CreateFunction"),
        ("lambda", "AddPermission"),
        ("apigateway", "CreateApi"),
        ("apigateway", "CreateIntegration"),
        ("apigateway", "CreateRoute"),
        ("apigateway", "CreateStage"),
    ];
    for (service, name) in held {
        let when = format!("held up at {name}");
        let long = Fault::Slow(Duration::from_secs(2));
        let rule = rig.proxy.inject(Rule::operation(service, name, long).at(0));
        let slow = rig.cli.spawn(["up"]);
        let begun = Instant::now();
        while rule.struck() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} is never sent");
            std::thread::sleep(Duration::from_millis(5));
        }
        rig.cli.ok(["up"]);
        slow.wait().code(0);
        clean.assert_same(&rig.world(), &when);
        rig.proxy.heal();
        rig.assert_up(&clean, &when);
        rig.assert_down(&when);
    }
}

#[test]
fn one_goes_on_from_what_another_has_just_begun() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();
    // The second does not see yet what the first has created when it was killed.
    let kinds = [
        ("dynamodb", "CreateTable"),
        ("sns", "CreateTopic"),
        ("iam", "CreateRole"),
        ("logs", "CreateLogGroup"),
        ("lambda", "CreateFunction"),
        ("apigateway", "CreateApi"),
    ];
    for (service, name) in kinds {
        let at = |fault| Rule::operation(service, name, fault).at(0);
        let hidden = Duration::from_secs(3);
        rig.proxy.imitate(Imitation { hidden, ..Imitation::default() });
        let killed = rig.kill_in_place("up", at);
        assert_eq!(killed.code, None, "{name}: {}", killed.stderr);
        rig.cli.ok(["up"]);
        clean.assert_same(&rig.world(), &format!("killed after {name}"));
        rig.proxy.heal();
        rig.assert_down(&format!("killed after {name}"));
    }
}
