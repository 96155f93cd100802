//! `--trace`: every request and step of a run, also of one that fails or is interrupted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::cli::Cli;
use crate::support::local::Local;
use crate::support::proxy::{Answer, Fault, Proxy, Records, Rule};

struct Scene {
    local: Local,
    proxy: Proxy,
    cli: Cli,
    file: PathBuf,
}

const SECRET: &str = "a-key-that-nobody-may-read";

impl Scene {
    fn new() -> Self {
        let local = Local::with_secret(SECRET);
        let proxy = Proxy::start(&local.url);
        let cli = Cli::new(local.project.path()).endpoint(&proxy.url).arg("--yes");
        let cli = cli.env("AWS_SECRET_ACCESS_KEY", SECRET);
        let file = cli.home().join("trace.json");
        Self { local, proxy, cli, file }
    }

    fn file(&self) -> &str {
        self.file.to_str().expect("a path in UTF-8")
    }

    /// Reads the trace, and holds it against what went over the wire.
    fn check(&self, what: &str) -> Vec<Value> {
        let events = read(&self.file);
        let records = self.proxy.take();
        let (mut traced, mut sent) = (requests(&events), operations(&records));
        traced.sort();
        sent.sort();
        assert_eq!(traced, sent, "{what}: {records}");
        covered(&events);
        events
    }
}

fn read(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a trace");
    assert!(!text.contains(SECRET), "{text}");
    let events: Vec<Value> = serde_json::from_str(&text).expect("a trace in JSON");
    for event in &events {
        assert!(matches!(event["ph"].as_str(), Some("X" | "M")), "{event}");
        assert!(event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        assert!(event["ph"] == "M" || event["ts"].is_u64() && event["dur"].is_u64(), "{event}");
    }
    events
}

fn of<'a>(events: &'a [Value], category: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["cat"] == category)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn requests(events: &[Value]) -> Vec<String> {
    of(events, "request").map(|event| text(&event["args"]["operation"])).collect()
}

fn operations(records: &Records) -> Vec<String> {
    let name = |operation: &crate::support::proxy::Operation| {
        // IAM calls the service otherwise than the signature does.
        let service = if operation.service == "tagging" { "tag" } else { &operation.service };
        format!("{service}:{}", operation.name)
    };
    records.0.iter().map(|record| name(&record.operation)).collect()
}

/// Every request lies within a step of its resource, and what overlaps in a thread is nested.
fn covered(events: &[Value]) {
    let tracks: BTreeMap<u64, String> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| (event["tid"].as_u64().expect("a thread"), text(&event["args"]["name"])))
        .collect();
    let place = |event: &Value| {
        let number = |key: &str| event[key].as_u64().expect("a number");
        let track = tracks[&number("tid")].clone();
        (track, number("tid"), number("ts"), number("ts") + number("dur"))
    };
    let steps: Vec<_> = of(events, "step").map(place).collect();
    let requests: Vec<_> = of(events, "request").map(place).collect();
    assert!(!steps.is_empty() && !requests.is_empty(), "{events:?}");
    for (track, tid, begin, end) in &requests {
        let around =
            steps.iter().any(|(of, _, from, to)| of == track && from <= begin && end <= to);
        assert!(around, "a request of {track} at {begin} is in no step: {events:#?}");
        let beside = requests.iter().filter(|(_, other, from, to)| {
            tid == other && (from, to) != (begin, end) && from < end && begin < to
        });
        assert_eq!(beside.count(), 0, "requests of {track} overlap at {begin}");
    }
}

#[test]
fn every_command_traces_what_it_asks_for() {
    let scene = Scene::new();
    for command in ["up", "plan", "status", "up", "down"] {
        scene.cli.ok([command, "--trace", scene.file()]);
        let events = scene.check(command);
        assert!(of(&events, "request").all(|e| e["args"]["attempt"] == 1), "{events:#?}");
        let table =
            |e: &&Value| e["args"]["target"] == "small-items" && e["args"]["status"] == "ok";
        assert!(of(&events, "request").any(|e| table(&e)), "{command}: {events:#?}");
    }
}

#[test]
fn a_failure_and_each_attempt_are_in_it() {
    let scene = Scene::new();
    let create = |fault| Rule::operation("lambda", "CreateFunction", fault);
    scene
        .proxy
        .inject(Rule::operation("sns", "CreateTopic", Fault::Answer(Answer::throttled)).times(1));
    scene.proxy.inject(create(Fault::Answer(Answer::denied)));
    scene.cli.run(["up", "--trace", scene.file()]).code(1);
    let events = scene.check("up");
    let denied = of(&events, "request").find(|e| e["name"] == "lambda:CreateFunction");
    let args = &denied.expect("the denied request")["args"];
    assert_eq!((&args["status"], &args["code"]), (&403.into(), &"AccessDeniedException".into()));
    let attempts = of(&events, "request").filter(|e| e["name"] == "sns:CreateTopic");
    let mut attempts: Vec<_> = attempts.map(|e| e["args"]["attempt"].as_u64()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [Some(1), Some(2)]);
}

#[test]
fn an_interrupted_run_leaves_a_whole_trace() {
    let scene = Scene::new();
    scene.cli.ok(["build", "--quiet", "--out", scene.cli.home().to_str().expect("UTF-8")]);
    let slow = Fault::Slow(Duration::from_secs(2));
    let rule = scene.proxy.inject(Rule::operation("iam", "CreateRole", slow));
    for signals in 1..=2 {
        let running = scene.cli.spawn(["up", "--trace", scene.file()]);
        let already = rule.struck();
        while rule.struck() == already {
            std::thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..signals {
            running.signal("INT");
            std::thread::sleep(Duration::from_millis(200));
        }
        running.wait().code(130);
        let events = read(&scene.file);
        let asked = of(&events, "request").any(|event| event["name"] == "iam:GetRole");
        assert!(asked, "{events:#?}");
        scene.cli.ok(["down"]);
    }
    drop(scene.local);
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_before_anything() {
    let scene = Scene::new();
    let run = scene.cli.run(["up", "--trace", "/nowhere/trace.json"]).code(2);
    run.says("/nowhere/trace.json").says("hint");
    assert_eq!(scene.proxy.take().len(), 0);
}
