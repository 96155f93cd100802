//! Every fault at every request of `up` and of `down`: what is left is repaired, and nothing else.

use std::collections::HashMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::cli::Run;
use crate::support::proxy::{
    Answer, Fault, Operation, Records, Rule, busy, unknown, without_tags, writes_to_existing,
};
use crate::support::python::{Python, python};
use crate::support::rig::{Backend, Rig};
use crate::support::world::World;

/// Requests that a command can do without: it says that it could not look for orphans.
const DISPENSABLE: [&str; 2] = ["GetResources", "ListRoles"];
/// Sent along with `GetRole`; the answers mean nothing when there is no role yet.
const SPECULATIVE: [&str; 3] = ["GetRolePolicy", "ListRolePolicies", "ListAttachedRolePolicies"];
/// What it tells is only known a little earlier than without it.
const FORETOLD: &str = "ListInstanceProfilesForRole";

/// One request of a clean run, recognised in another run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Point {
    service: String,
    name: String,
    /// Empty where it differs from run to run: an API's id.
    subject: String,
    /// How many like it come before.
    nth: usize,
    mutating: bool,
    of_existing: bool,
}

impl Point {
    fn of(operation: &Operation) -> Self {
        let Operation { service, name, subject, mutating, .. } = operation.clone();
        let subject = if service == "apigateway" { String::new() } else { subject };
        let of_existing = writes_to_existing(operation);
        Self { service, name, subject, nth: 0, mutating, of_existing }
    }

    fn all(records: &Records) -> Vec<Self> {
        let mut seen: HashMap<Self, usize> = HashMap::new();
        let point = |record: &crate::support::proxy::Record| {
            let point = Self::of(&record.operation);
            let nth = seen.entry(point.clone()).or_default();
            *nth += 1;
            Self { nth: *nth - 1, ..point }
        };
        records.0.iter().map(point).collect()
    }

    /// Strikes this request, and the same again as often as it is repeated.
    fn rule(&self, fault: Fault) -> Rule {
        let like = Self { nth: 0, ..self.clone() };
        Rule::new(move |operation| Self::of(operation) == like, fault).skip(self.nth)
    }
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Throttled,
    Internal,
    Unavailable,
    ResetBefore,
    ResetAfter,
    Truncated,
    /// An error, of which only the status comes whole.
    TruncatedError,
    StallBefore,
    StallAfter,
    Twice,
    KillBefore,
    KillAfter,
    Denied,
    /// As if what it writes to did not exist, were being changed, or had no tags yet.
    Unknown,
    Busy,
    Untagged,
    /// The function's tags are left out.
    TagsDenied,
}

impl Failure {
    const ALL: [Self; 17] = [
        Self::Throttled,
        Self::Internal,
        Self::Unavailable,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Truncated,
        Self::TruncatedError,
        Self::StallBefore,
        Self::StallAfter,
        Self::Twice,
        Self::KillBefore,
        Self::KillAfter,
        Self::Denied,
        Self::Unknown,
        Self::Busy,
        Self::Untagged,
        Self::TagsDenied,
    ];

    /// The fault, and how many times in a row.
    fn fault(self) -> (Fault, usize) {
        match self {
            Self::Throttled => (Fault::Answer(Answer::throttled), 3),
            Self::Internal => (Fault::Answer(Answer::internal), 2),
            Self::Unavailable => (Fault::Answer(Answer::unavailable), 2),
            Self::ResetBefore => (Fault::Reset { applied: false }, 1),
            Self::ResetAfter => (Fault::Reset { applied: true }, 1),
            Self::Truncated => (Fault::Truncated, 1),
            Self::TruncatedError => (Fault::TruncatedAnswer(Answer::denied), 1),
            Self::StallBefore => (Fault::Stall { applied: false }, 1),
            Self::StallAfter => (Fault::Stall { applied: true }, 1),
            Self::Twice => (Fault::Duplicate, 1),
            Self::Denied => (Fault::Answer(Answer::denied), usize::MAX),
            Self::Unknown => (Fault::Answer(unknown), 2),
            Self::Busy => (Fault::Answer(busy), 2),
            Self::Untagged => (Fault::Answer(Answer::denied), 1),
            Self::TagsDenied => (Fault::Rewrite(without_tags), usize::MAX),
            Self::KillBefore => (Fault::lost_request(), 1),
            Self::KillAfter => (Fault::lost_answer(), 1),
        }
    }

    fn applies(self, point: &Point, backend: Backend) -> bool {
        match self {
            // moto lets an API have a route, and a policy a statement, twice.
            Self::Twice => point.mutating && backend == Backend::Local,
            Self::ResetAfter | Self::StallAfter | Self::Truncated
                if backend == Backend::Moto && point.name == "AddPermission" =>
            {
                false
            }
            Self::TruncatedError => backend == Backend::Local,
            // What is created from nothing has nothing that could be unknown or untagged.
            Self::Unknown | Self::Untagged => point.of_existing,
            Self::TagsDenied => point.service == "lambda" && point.name == "GetFunction",
            // One piece of code repeats every read, whatever answers: the strict cloud shows it.
            Self::Throttled
            | Self::Internal
            | Self::Unavailable
            | Self::ResetBefore
            | Self::StallBefore
            | Self::KillBefore
                if backend == Backend::Moto =>
            {
                point.mutating
            }
            // Of a read it does not matter.
            Self::Busy | Self::KillAfter | Self::ResetAfter | Self::StallAfter => point.mutating,
            _ => true,
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    failure: Failure,
    command: &'static str,
    point: Point,
}

/// A worker's rig and what a clean `up` makes.
struct Bench {
    rig: Rig,
    clean: World,
}

impl Bench {
    fn new(python: &'static Python, backend: Backend) -> Self {
        let mut rig = Rig::new(python, backend);
        rig.cli = rig.cli.env("ADVENT_TIMEOUT", "1");
        let clean = rig.clean();
        Self { rig, clean }
    }

    /// From nothing, through the failure, to nothing.
    fn run(&self, case: &Case) -> Result<(), String> {
        let Case { failure, command, point } = case;
        let Rig { cli, proxy, .. } = &self.rig;
        if *command == "down" {
            cli.ok(["up"]);
        }
        proxy.take();
        let (fault, times) = failure.fault();
        match failure {
            Failure::KillBefore | Failure::KillAfter => {
                let at = |fault| point.rule(fault).times(1);
                let applied = *failure == Failure::KillAfter;
                if self.rig.kill(command, at, applied).is_none() {
                    return Err("was not struck".to_owned());
                }
            }
            _ => {
                let rule = proxy.inject(point.rule(fault).times(times));
                let run = cli.run([command]);
                proxy.settle();
                proxy.heal();
                if rule.struck() == 0 {
                    return Err("was not struck".to_owned());
                }
                self.ended_well(case, &run, rule.struck())?;
            }
        }
        // Whatever it was, the next run goes on from there.
        if *command == "up" {
            self.rig.assert_up(&self.clean, "next");
        }
        self.rig.assert_down("next");
        Ok(())
    }

    /// What is temporary is survived; what is forbidden is said soon, and after few requests.
    fn ended_well(&self, case: &Case, run: &Run, struck: usize) -> Result<(), String> {
        let Case { failure, command, point } = case;
        let text = format!("{}\n{}", run.stdout, run.stderr);
        // The second look only asks whether it is gone.
        if *failure == Failure::TagsDenied && *command == "down" && point.nth == 0 {
            let said = run.code == Some(1) && text.contains("lambda:ListTags");
            return if said { Ok(()) } else { Err(format!("not said: {text}")) };
        }
        if *failure != Failure::Denied {
            if run.code != Some(0) {
                return Err(format!("failed: {text}"));
            }
            match *command {
                // One that is there twice does no harm; the next run finds and deletes it.
                "up" if *failure == Failure::Twice && point.name == "CreateIntegration" => {}
                "up" => self.clean.assert_same(&self.rig.world(), "after the fault"),
                _ => self.rig.world().assert_empty("after the fault"),
            }
            return Ok(());
        }
        let speculative = *command == "up" && SPECULATIVE.contains(&point.name.as_str());
        if speculative || point.name == FORETOLD {
            return if run.code == Some(0) { Ok(()) } else { Err(format!("failed: {text}")) };
        }
        if DISPENSABLE.contains(&point.name.as_str()) {
            let said = run.code == Some(0) && run.stderr.contains("warning");
            return if said { Ok(()) } else { Err(format!("not survived, or not said: {text}")) };
        }
        if run.code != Some(1) {
            return Err(format!("ended with {:?}: {text}", run.code));
        }
        let action = format!("{}:{}", point.service, point.name);
        if !text.contains(&action) || !text.contains(&point.subject) {
            return Err(format!("does not name {action} and {}: {text}", point.subject));
        }
        // Each resource that needs the answer asks for it once; and what this run has just tagged
        // is tried twice more, since rights may hang on the tags.
        // A role may have two policies, each of which is tried again twice: rights may hang on the
        // tags that the role was just given.
        let most = if point.name == "PutRolePolicy" { 6 } else { 3 };
        if struck > most {
            return Err(format!("was sent {struck} times: {text}"));
        }
        Ok(())
    }
}

fn sweep(backend: Backend, workers: usize) {
    let Some(python) = python() else { return };
    let mut cases = Vec::new();
    {
        let Bench { rig, .. } = Bench::new(python, backend);
        rig.proxy.take();
        for command in ["up", "down"] {
            rig.cli.ok([command]);
            for point in Point::all(&rig.proxy.take()) {
                for failure in Failure::ALL {
                    if failure.applies(&point, backend) {
                        cases.push(Case { failure, command, point: point.clone() });
                    }
                }
            }
        }
    }
    if let Ok(only) = std::env::var("ADVENT_TORTURE") {
        cases.retain(|case| format!("{case:?}").contains(&only));
    }
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut bench = Bench::new(python, backend);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let result = catch_unwind(AssertUnwindSafe(|| bench.run(case)));
                    let what = match result {
                        Ok(Ok(())) => continue,
                        Ok(Err(what)) => what,
                        Err(panic) => panic
                            .downcast_ref::<String>()
                            .map_or_else(|| "panicked".to_owned(), Clone::clone),
                    };
                    drop(writeln!(std::io::stderr(), "{case:?}: {what}\n"));
                    wrong.lock().expect("no panic while it is held").push(case.clone());
                    bench = Bench::new(python, backend);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic while it is held");
    drop(writeln!(std::io::stderr(), "{backend:?}: {} cases", cases.len()));
    assert!(wrong.is_empty(), "{} of {} cases: {wrong:#?}", wrong.len(), cases.len());
}

#[test]
#[ignore = "minutes: cargo xtask torture"]
fn every_fault_at_every_request_of_a_strict_cloud() {
    sweep(Backend::Local, 4);
}

#[test]
#[ignore = "minutes: cargo xtask torture"]
fn every_fault_at_every_request_of_an_independent_emulator() {
    sweep(Backend::Moto, 3);
}
