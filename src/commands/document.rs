//! The JSON documents that commands end with.

use serde_json::{Value, json};

use super::session::Session;
use crate::bundle::Artifact;
use crate::engine::{Action, Outcome, Plan, Report, Step};

/// What a person or a program calls an action.
fn action(action: &Action) -> &'static str {
    match action {
        Action::Keep | Action::Foreign(_) => "keep",
        Action::Create => "create",
        Action::Update(_) | Action::Recheck => "update",
        Action::Replace(_) => "replace",
        Action::Delete => "delete",
    }
}

/// `log_group` for what people read as "log group".
fn kind(kind: &str) -> String {
    kind.replace(' ', "_")
}

/// `status --json` and `plan --json`. `artifacts` are the functions whose code is known.
pub fn status(
    session: &Session<'_>,
    plan: &Plan,
    artifacts: &[Artifact],
    url: Option<&str>,
) -> Value {
    let names = &session.cloud.names;
    json!({
        "stack": names.stack,
        "stage": names.stage,
        "account": names.account,
        "region": names.region,
        "endpoint": session.cloud.endpoint,
        "url": url,
        "in_step": plan.in_step(),
        "not_built": session.unbuilt(artifacts),
        "resources": plan.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    let mut document = json!({
        "id": step.id,
        "kind": kind(step.kind),
        "name": step.name,
        "arn": step.arn,
        "action": action(&step.action),
        "changes": step.action.changes(),
    });
    if let Action::Foreign(whose) = &step.action {
        document["foreign"] = json!(whose);
    }
    document
}

/// `up --json` and `down --json`.
pub fn outcome(stack: &str, url: Option<&str>, reports: &[Report]) -> Value {
    let done = reports.iter().all(|report| report.outcome.is_done());
    json!({
        "stack": stack,
        "url": url,
        "outcome": if done { "done" } else { "failed" },
        "resources": reports.iter().map(report).collect::<Vec<_>>(),
    })
}

fn report(report: &Report) -> Value {
    let mut document = json!({
        "id": report.id,
        "kind": kind(report.kind),
        "name": report.name,
        "action": action(&report.action),
        "outcome": match report.outcome {
            Outcome::Done => "done",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped => "skipped",
        },
        "ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
    });
    if let Outcome::Failed(error) = &report.outcome {
        document["error"] = json!(format!("{error:#}"));
    }
    document
}
