//! `advent logs`: what comes late, what comes twice, and what is not there.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::cli::Running;
use crate::support::proxy::{Answer, Fault, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig};

const GROUP: &str = "/aws/lambda/small-front";

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("some years")
}

fn put(boto: &Boto<'_>, stream: &str, ago: Duration, messages: &[&str]) {
    let time = now() - u64::try_from(ago.as_millis()).expect("some years");
    let events = messages.iter().map(|message| json!({ "timestamp": time, "message": message }));
    let events: Vec<Value> = events.collect();
    let stream = json!({ "logGroupName": GROUP, "logStreamName": stream });
    drop(boto.try_call("logs", "create_log_stream", stream.clone()));
    let mut with = stream;
    with["logEvents"] = events.into();
    boto.call("logs", "put_log_events", with);
}

#[track_caller]
fn wait(what: &str, running: &Running, done: impl Fn(&Running) -> bool) {
    let begun = Instant::now();
    while !done(running) {
        let (out, err) = (running.stdout_so_far(), running.stderr_so_far());
        assert!(!running.has_ended(), "{what}: it has ended: {err}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}: {out}\n{err}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The messages so far, in the order in which they were shown.
fn messages(running: &Running) -> Vec<String> {
    let text = running.stdout_so_far();
    let words = text.lines().filter_map(|line| line.split_whitespace().last());
    words.map(str::to_owned).collect()
}

/// From nothing to events that are minutes late, through a throttled and failing endpoint.
#[test]
fn following_misses_nothing_and_shows_nothing_twice() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let cli = rig.people.clone();
    let running = cli.spawn(["logs", "front", "--follow"]);
    wait("nothing is there", &running, |running| {
        let said = running.stderr_so_far();
        said.contains("small-front has no log group") && said.contains("small up`")
    });
    // A group that appears later, its first events, and lines that are alike.
    rig.boto.call("logs", "create_log_group", json!({ "logGroupName": GROUP }));
    put(&rig.boto, "a", Duration::ZERO, &["one", "two", "two"]);
    wait("the first", &running, |running| messages(running).len() >= 3);
    // Minutes late, older than all that was shown; and too late for anybody.
    put(&rig.boto, "b", Duration::from_mins(9), &["late-1", "late-2"]);
    put(&rig.boto, "b", Duration::from_secs(40), &["late-3"]);
    put(&rig.boto, "a", Duration::ZERO, &["three"]);
    let throttled = Fault::Answer(Answer::throttled);
    rig.proxy.inject(Rule::operation("logs", "FilterLogEvents", throttled).times(2));
    rig.proxy.inject(Rule::operation("logs", "FilterLogEvents", Fault::lost_request()).times(8));
    wait("what is late", &running, |running| messages(running).len() >= 7);
    assert!(running.stderr_so_far().contains("going on trying"), "{}", running.stderr_so_far());
    let begun = Instant::now();
    rig.proxy.take();
    // A further look that goes far back.
    std::thread::sleep(Duration::from_millis(6_500));
    let (took, asked) = (begun.elapsed(), rig.proxy.take());
    assert!(asked.len() <= usize::try_from(took.as_secs()).expect("seconds") + 2, "{asked}");
    let shown = messages(&running);
    let place = |message: &str| shown.iter().position(|shown| shown == message).expect(message);
    let mut sorted = shown.clone();
    sorted.sort();
    assert_eq!(sorted, ["late-1", "late-2", "late-3", "one", "three", "two", "two"]);
    assert!(place("one") < place("two") && place("two") < place("three"), "{shown:?}");
    assert!(place("late-1") < place("late-2") && place("late-2") < place("late-3"), "{shown:?}");
}

#[test]
fn of_nothing_it_says_so() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.people.run(["logs"]).code(1).says("small, stage default, is not up").says("small up`");
    rig.people.run(["logs", "back"]).code(1).says("small-back has no log group");
    rig.people.run(["logs", "nobody", "--follow"]).code(2).says("front");
    rig.people.ok(["up"]);
    rig.people.ok(["logs"]).says("nothing was logged in the last 1h");
    let running = rig.people.spawn(["logs", "--follow"]);
    wait("silence", &running, |running| {
        running.stderr_so_far().contains("nothing was logged yet: waiting")
    });
    drop(running);
    // A part of the stack: what there is is shown.
    rig.boto.call("logs", "delete_log_group", json!({ "logGroupName": "/aws/lambda/small-back" }));
    put(&rig.boto, "a", Duration::ZERO, &["alone"]);
    rig.people.ok(["logs"]).says("alone").says("small-back has no log group");
    rig.people.ok(["down"]);
}

/// What a function writes is shown and does nothing.
#[test]
fn nothing_that_is_logged_acts_on_the_terminal() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.people.ok(["up"]);
    let wild =
        "a\x1b[2J b\x1b]0;title\x07 c\r d\u{9b}1A e\u{2028} f\x0b g\u{202e} \x1b[31mred\x1b[0m";
    put(&rig.boto, "a", Duration::ZERO, &[wild]);
    let forbidden = ['\x07', '\r', '\u{9b}', '\u{2028}', '\x0b', '\u{202e}'];
    let text = rig.people.ok(["logs", "front"]);
    let json = rig.people.clone().arg("--json").ok(["logs", "front"]);
    for shown in [&text.stdout, &json.stdout] {
        assert!(!shown.contains(forbidden) && !shown.contains("\x1b[2J"), "{shown:?}");
    }
    text.says("\\u001b[2J").says("\x1b[31mred\x1b[0m");
    assert_eq!(json.json()["events"][0]["message"], wild);
    let raw = rig.people.ok(["logs", "front", "--raw"]);
    // An event stays on one line.
    assert!(raw.stdout.contains(&wild.replace('\r', " ")), "{:?}", raw.stdout);
    rig.people.ok(["down"]);
}
