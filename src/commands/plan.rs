//! `advent plan`: what `up` would do.

use anyhow::Result;

use super::session::Session;
use super::{document, secrets, url};
use crate::cli::{Global, Plan};
use crate::report::Report;

/// Exit code 0 without changes, 2 with; what is not known, of code or for want of a right, counts as
/// a change.
pub async fn run(global: &Global, args: &Plan, report: &Report) -> Result<u8> {
    let session = Session::open(global, report).await?;
    session.check_limits()?;
    secrets::check(&session.app.manifest)?;
    report.note(&format!("{} in {}", session.app.manifest.name, session.place()));
    let artifacts = if args.build { session.build().await? } else { session.built()? };
    let (deployment, plan) = session.plan(&artifacts).await?;
    let api = deployment.http_api.and_then(|api| plan.state(api));
    let url = api.and_then(|api| url::of(&session.app.manifest, &api.endpoint));
    if global.json {
        report.document(&document::status(&session, &plan, &artifacts, url.as_deref()));
    } else {
        report.planned(&plan);
    }
    let sure = plan.unread().next().is_none();
    Ok(if plan.in_sync() && sure { 0 } else { 2 })
}
