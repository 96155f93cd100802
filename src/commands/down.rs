//! `advent down`: delete the stack and everything in it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::session::{Observation, Session, application, folder};
use super::{document, interrupt, rights};
use crate::cli::Global;
use crate::engine::{Action, Goal, Plan};
use crate::local;
use crate::report::Report;
use crate::stack;

pub async fn run(global: &Global, report: &Report) -> Result<u8> {
    let app = application(report)?;
    stack::check_stage(&global.stage)?;
    if global.local && !local::state_dir(folder(&app))?.exists() {
        if global.json {
            let mut document = document::nowhere(&app.manifest.name, global);
            document["interrupted"] = false.into();
            report.document(&document);
        }
        report.note("nothing to delete: no local cloud ever ran here");
        return Ok(0);
    }
    let session = Session::of(app, global, report).await?;
    report.note(&format!("{} in {}", session.app.manifest.name, session.place()));
    let Observation { deployment, observed, .. } = session.read(&[], Goal::Down).await?;
    let plan = deployment.stack.plan_down(observed);
    report.name(&plan);
    for (step, whose) in plan.foreign() {
        report.note(&format!("left alone: {} {}, because {whose}", step.kind, step.name));
    }
    super::refuse_protected(&session, &plan)?;
    let doomed: Vec<_> = plan.steps.iter().filter(|step| step.action == Action::Delete).collect();
    if !doomed.is_empty() {
        report.plan(&plan);
    }
    if !super::consent(&session, "delete", &doomed, false)? {
        report.note("nothing was deleted");
        return Ok(1);
    }
    let begun = Instant::now();
    let (applied, interrupted) = session.apply(&deployment, &plan).await;
    let done = applied.reports.iter().all(|step| step.outcome.is_done());
    if global.json {
        let mut document = document::outcome(&session, &applied.reports);
        document["interrupted"] = (interrupted && !done).into();
        report.document(&document);
    } else if done {
        summary(&session, &plan, begun.elapsed());
    } else {
        rights::ask(report, &applied.reports);
        let why = if interrupted { "interrupted" } else { "not everything could be deleted" };
        report.note(&format!("{why}: `advent down` continues"));
    }
    if let (true, Some(running)) = (done, &session.local) {
        if local::is_empty(running).await? {
            local::stop(&running.dir).await?;
            report.note("the local cloud is empty and was stopped");
        } else {
            report.note("the local cloud still has other things in it and goes on");
        }
    }
    Ok(match (done, interrupted) {
        (true, _) => 0,
        (false, true) => interrupt::EXIT,
        (false, false) => 1,
    })
}

fn summary(session: &Session<'_>, plan: &Plan, took: Duration) {
    let deleted = plan.steps.iter().filter(|step| step.action == Action::Delete).count();
    let names = &session.cloud.names;
    let title = if deleted == 0 {
        format!("nothing to delete: {} is not in {}", names.stack, session.place())
    } else {
        let seconds = took.as_secs_f32();
        format!("{} is down: {deleted} resources deleted in {seconds:.1} s", names.stack)
    };
    session.report.done(&title, &[], &[]);
}
