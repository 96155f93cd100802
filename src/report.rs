//! The only code that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where printing happens")]

use crate::{
    aws::advice,
    bundle,
    engine::{Event, Plan, Reporter},
};
use serde_json::Value;

#[derive(Clone)]
pub struct Options {
    pub json: bool,
    pub quiet: bool,
    pub color: bool,
}
impl Options {
    pub fn detect(json: bool, quiet: bool, no_color: bool) -> Self {
        Self { json, quiet, color: !no_color }
    }
}
pub struct Report;
impl Report {
    pub fn new(_: Options) -> Self {
        Self
    }
    pub fn begin(&self, what: &str) {
        eprintln!("{what}");
    }
    pub fn progress(&self, p: &bundle::Progress<'_>) {
        eprintln!("{p:?}");
    }
    pub fn end(&self) {}
    pub fn note(&self, text: &str) {
        eprintln!("{text}");
    }
    pub fn warn(&self, text: &str) {
        eprintln!("warning: {text}");
    }
    pub fn plan(&self, plan: &Plan) {
        for s in &plan.steps {
            eprintln!("{} {} {:?}", s.kind, s.name, s.action);
        }
    }
    pub fn apply_begins(&self, _: &Plan) {}
    pub fn apply_ends(&self) {}
    pub fn ask(&self, _: &str) -> bool {
        false
    }
    pub fn can_ask(&self) -> bool {
        false
    }
    pub fn data(&self, t: &str) {
        println!("{t}");
    }
    pub fn document(&self, t: &Value) {
        println!("{t}");
    }
    pub fn done(&self, t: &str, rows: &[(&str, String)], next: &[String]) {
        eprintln!("{t} {rows:?} {next:?}");
    }
    pub fn status(&self, h: &[(&str, String)], plan: &Plan) {
        eprintln!("{h:?}");
        self.plan(plan);
    }
}
impl Reporter for Report {
    fn report(&self, e: Event<'_>) {
        eprintln!("{e:?}");
    }
}
pub fn error(e: &anyhow::Error, _: &Options) {
    eprintln!("error: {e:?} hint: {:?}", advice::hint(e));
}
