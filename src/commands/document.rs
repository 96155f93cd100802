//! The JSON documents that commands end with.

use serde_json::{Value, json};

use super::rights;
use super::session::Session;
use crate::aws::denial::Denial;
use crate::bundle::Artifact;
use crate::cli::Global;
use crate::engine::{Action, Outcome, Plan, Step, StepReport};
use crate::local;

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

/// Which stack, and where it is.
fn place(session: &Session<'_>) -> Value {
    let names = &session.cloud.names;
    json!({
        "stack": names.stack,
        "stage": names.stage,
        "account": names.account,
        "region": names.region,
        "endpoint": session.cloud.endpoint,
        "local": session.local.is_some(),
        "url": null,
    })
}

/// `down --json` of a local cloud that never was: what [`outcome`] has, without resources.
pub fn nowhere(stack: &str, global: &Global) -> Value {
    json!({
        "stack": stack,
        "stage": global.stage,
        "account": local::ACCOUNT,
        "region": global.region.as_deref().unwrap_or(local::REGION),
        "endpoint": null,
        "local": true,
        "url": null,
        "outcome": "done",
        "resources": [],
        "missing_rights": null,
    })
}

/// `status --json` and `plan --json`. `artifacts` are the functions whose code is known.
pub fn status(
    session: &Session<'_>,
    plan: &Plan,
    artifacts: &[Artifact],
    url: Option<&str>,
) -> Value {
    let mut document = place(session);
    document["url"] = url.into();
    // What was not looked at may not be as it should.
    document["in_sync"] = (plan.in_sync() && plan.unread().next().is_none()).into();
    document["watched"] =
        plan.steps.iter().map(|step| step.notices.watched.len()).sum::<usize>().into();
    document["not_built"] = session.unbuilt(artifacts).into();
    document["resources"] = plan.steps.iter().map(step).collect();
    document
}

fn step(step: &Step) -> Value {
    let mut document = json!({
        "id": step.id,
        "kind": kind(step.kind),
        "name": step.name,
        "arn": step.arn,
        "action": action(&step.action),
        "changes": step.action.changes(),
        "deletes": step.removes,
        "watched": step.notices.watched,
        "unread": step.notices.unread,
    });
    if let Action::Foreign(whose) = &step.action {
        document["foreign"] = json!(whose);
    }
    document
}

/// `up --json` and `down --json`.
pub fn outcome(session: &Session<'_>, reports: &[StepReport]) -> Value {
    let done = reports.iter().all(|report| report.outcome.is_done());
    let mut document = place(session);
    document["outcome"] = if done { "done" } else { "failed" }.into();
    document["resources"] = reports.iter().map(report).collect();
    document["missing_rights"] = rights::missing(reports).into();
    document
}

fn report(report: &StepReport) -> Value {
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
        if let Some(denial) = Denial::of(error) {
            document["denied"] = denial.document();
        }
    }
    document
}
