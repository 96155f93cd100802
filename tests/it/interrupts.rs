//! `up` and `down`, ended half-way at every write: the next run finishes the job.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::cli::Switch;
use crate::support::proxy::{Fault, Rule};
use crate::support::python::python;
use crate::support::rig::{Rig, packed};

#[test]
fn up_converges_wherever_it_was_killed() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    let clean = rig.clean();
    let mut index = 0;
    loop {
        // Lost before it was carried out, a write leaves what the one before it has left.
        let applied = index % 3 != 1;
        let at = |fault| Rule::mutating(fault).at(index);
        if rig.kill("up", at, applied).is_none() {
            break;
        }
        let when = format!("killed at write {index} (applied: {applied})");
        if index % 4 == 3 {
            rig.assert_down(&when);
        } else {
            rig.assert_up(&clean, &when);
            rig.assert_down(&when);
        }
        index += 1;
    }
    assert!(index > 15, "only {index} writes in `up`");
}

#[test]
fn down_empties_wherever_it_was_killed() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let clean = rig.world();
    let mut index = 0;
    loop {
        let applied = index % 3 != 1;
        let at = |fault| Rule::mutating(fault).at(index);
        if rig.kill("down", at, applied).is_none() {
            break;
        }
        let when = format!("killed at write {index} (applied: {applied})");
        if index % 3 == 0 {
            rig.cli.ok(["up"]);
            clean.assert_same(&rig.world(), &format!("{when}, after up"));
        } else {
            rig.assert_down(&when);
            rig.cli.ok(["up"]);
        }
        index += 1;
    }
    assert!(index > 10, "only {index} writes in `down`");
    rig.world().assert_empty("at last");
}

/// Runs a command and sends a signal to it at its first write.
fn interrupted(rig: &Rig, command: &str, signal: &'static str) -> serde_json::Value {
    let switch = Switch::default();
    let sent = AtomicBool::new(false);
    let sender = switch.clone();
    let first = move |operation: &crate::support::proxy::Operation| {
        if operation.mutating && !sent.swap(true, Ordering::SeqCst) {
            sender.signal(signal);
        }
        operation.mutating
    };
    // What is under way takes long enough for the signal to come first.
    rig.proxy.inject(Rule::new(first, Fault::Slow(Duration::from_millis(500))));
    let run = rig.cli.spawn_with(&switch, [command]).wait().code(130);
    rig.proxy.heal();
    run.last_json()
}

#[test]
fn a_signal_lets_what_is_under_way_end() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    let clean = rig.clean();
    for signal in ["INT", "TERM"] {
        let document = interrupted(&rig, "up", signal);
        let ended = (&document["outcome"], &document["interrupted"]);
        assert_eq!(ended, (&json!("failed"), &json!(true)), "{document:#}");
        let resources = document["resources"].as_array().expect("resources");
        let outcome = |outcome| resources.iter().filter(|r| r["outcome"] == outcome).count();
        assert!(outcome("done") > 0 && outcome("skipped") > 0, "{document:#}");
        assert_eq!(outcome("failed"), 0, "{document:#}");
        // What it says is done is there, and nothing else.
        let plan = rig.cli.run(["plan"]).code(2).json();
        for (planned, was) in plan["resources"].as_array().expect("resources").iter().zip(resources)
        {
            let there = planned["action"] != "create";
            assert_eq!(there, was["outcome"] == "done", "{planned} {was}");
        }
        let run = rig.cli.ok(["up"]);
        assert_eq!(run.last_json()["outcome"], "done");
        clean.assert_same(&rig.world(), "after the interrupted up");

        let document = interrupted(&rig, "down", signal);
        assert_eq!(document["outcome"], "failed", "{document:#}");
        rig.cli.ok(["down"]);
        rig.world().assert_empty("after the interrupted down");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.proxy.inject(Rule::mutating(Fault::Stall { applied: true }));
    let running = rig.people.clone().arg("--region").arg("us-east-1").spawn(["up"]);
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    while rig.world().is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing written");
    }
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.stderr_so_far().contains("a second Ctrl-C ends at once"));
    running.signal("INT");
    let run = running.wait().code(130);
    assert!(run.took < Duration::from_mins(1), "{:?}", run.took);
    let hint = format!("`{} up --region us-east-1` continues", packed().display());
    assert!(
        run.stderr.ends_with(&format!(
            "{hint}, `{} down --region us-east-1` removes what is \
        there\n",
            packed().display()
        )),
        "{}",
        run.stderr
    );
    rig.proxy.heal();
    rig.cli.ok(["down"]);
    rig.world().assert_empty("after down");
}

/// What has not written yet ends at the first signal.
#[test]
fn a_signal_ends_what_only_reads() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.proxy.inject(Rule::any(Fault::Stall { applied: false }));
    for (cli, signal) in [(&rig.people, "INT"), (&rig.cli, "TERM")] {
        for (command, said) in [
            ("up", "interrupted: nothing was changed"),
            ("down", "interrupted: nothing was changed"),
            ("status", "interrupted"),
        ] {
            rig.proxy.take();
            let running = cli.spawn([command]);
            let deadline = std::time::Instant::now() + Duration::from_mins(1);
            while rig.proxy.take().len() == 0 {
                assert!(std::time::Instant::now() < deadline, "nothing was asked");
                std::thread::sleep(Duration::from_millis(10));
            }
            running.signal(signal);
            let run = running.wait().code(130).says(said);
            if signal == "TERM" {
                assert_eq!(run.last_json()["error"]["exit"], 130, "{}", run.stdout);
            }
        }
    }
}
