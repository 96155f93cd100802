//! From a clean clone to a local cloud that answers, and from a changed line to one that is live.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::measure::{Usage, median, row, run, table};
use crate::tests::support::python::Python;

const RUNS: usize = 5;
/// The function that is changed, and a text in it.
const CHANGED: &str = "functions/aws_advent/src/lib.rs";
const TEXT: &str = "This did not work out";

/// A clone of this repository, as somebody new has it.
struct Clone(TempDir);

impl Clone {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let clone = Self(folder);
        let cloned = Command::new("git")
            .args(["clone", "--quiet", env!("CARGO_MANIFEST_DIR")])
            .arg(clone.path())
            .status();
        assert!(cloned.expect("git").success(), "the repository is cloned");
        clone
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME")
            {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    fn up(&self) -> Usage {
        run(&mut self.cargo(&["run", "--quiet", "--", "up", "--local", "--trace", "trace.json"]))
    }

    /// What the last `up` did.
    fn trace(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path().join("trace.json")).expect("a trace");
        serde_json::from_str(&text).expect("JSON")
    }

    /// How long the last `up` was building functions.
    fn building(&self) -> Duration {
        let trace = self.trace();
        let build = trace.iter().find(|event| event["name"] == "build").expect("a build");
        Duration::from_micros(build["dur"].as_u64().expect("microseconds"))
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        drop(self.cargo(&["run", "--quiet", "--", "down", "--local", "--yes"]).status());
    }
}

pub fn figures(_: &'static Python, _: &Path) -> String {
    let (mut first, mut of_functions) = (Vec::new(), Vec::new());
    let mut clone = None;
    for _ in 0..RUNS {
        // Before there is another one: a machine has no room for five.
        drop(clone.take());
        let new = Clone::new();
        first.push(new.up().wall.as_secs_f64());
        of_functions.push(new.building().as_secs_f64());
        clone = Some(new);
    }
    let clone = clone.expect("a clone");
    let (first, of_functions) = (median(first), median(of_functions));
    let unchanged = median((0..RUNS).map(|_| clone.up().wall.as_secs_f64()).collect());
    let file = clone.path().join(CHANGED);
    let original = fs::read_to_string(&file).expect("a function");
    let (mut live, mut compiling) = (Vec::new(), Vec::new());
    for number in 0..RUNS {
        let changed = original.replacen(TEXT, &format!("{TEXT} ({number})"), 1);
        assert_ne!(changed, original, "the text is there");
        fs::write(&file, changed).expect("a change");
        let begun = Instant::now();
        clone.up();
        live.push(begun.elapsed().as_secs_f64());
        compiling.push(clone.building().as_secs_f64());
        let is_update = |event: &Value| {
            event["name"].as_str().is_some_and(|name| name.contains("UpdateFunctionCode"))
        };
        assert!(clone.trace().iter().any(is_update), "the change is deployed");
    }
    let (live, compiling) = (median(live), median(compiling));
    let rows = vec![
        row(&["what", "measured", "of it the functions"]),
        row(&[
            "first `cargo run -- up --local`, clean clone",
            &format!("{first:.0} s"),
            &format!("{of_functions:.0} s"),
        ]),
        row(&["the same again, nothing changed", &format!("{unchanged:.2} s"), ""]),
        row(&[
            "one line of `aws_advent` changed, until it is live",
            &format!("{live:.1} s"),
            &format!("{compiling:.1} s"),
        ]),
    ];
    let remark = format!(
        "Crates downloaded before; medians of {RUNS}. Bounded by compiling: the \
         eight AWS clients of the CLI, then DynamoDB's and SNS's again for the functions, which ship \
         in another profile; after a change by linking one function."
    );
    table("Builds", &remark, &rows)
}
