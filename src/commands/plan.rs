//! `advent plan`: what `up` would do.

use anyhow::Result;

use super::session::{Session, Start};
use super::{document, url};
use crate::cli::Global;
use crate::engine::Purpose;
use crate::report::Report;

/// Exit code 0 without changes, 2 with.
pub async fn run(global: &Global, report: &Report) -> Result<u8> {
    let Some(session) = Session::open(global, report, Start::IfNeeded).await? else {
        unreachable!("a local cloud that does not run is started")
    };
    let artifacts = session.build().await?;
    let stage = session.read(&artifacts, Purpose::Compare).await?;
    let plan = stage.deployment.stack.plan_up(stage.known);
    let api = stage.deployment.http_api.and_then(|api| plan.state(api));
    let url = api.and_then(|api| url::of(&session.app.manifest, &api.endpoint));
    if global.json {
        report.document(&document::status(&session, &plan, url.as_deref()));
    } else {
        report.planned(&plan);
    }
    Ok(if plan.in_step() { 0 } else { 2 })
}
