//! `advent status`: every resource, what and where it is, in sync or drifted.

use anyhow::Result;

use super::callers::Callers;
use super::session::Session;
use super::{document, url};
use crate::cli::Global;
use crate::local;
use crate::report::Report;

pub async fn run(global: &Global, report: &Report) -> Result<u8> {
    let session = Session::open(global, report).await?;
    let artifacts = session.built()?;
    let (deployment, plan) = session.plan(&artifacts).await?;
    let api = deployment.http_api.and_then(|api| plan.state(api));
    let callers = Callers::of(&deployment, |function| plan.state(function));
    let url = api.and_then(|api| url::of(&session.app.manifest, &api.endpoint));
    let failed = match &session.local {
        Some(running) => local::failed_events(running).await?,
        None => Vec::new(),
    };
    if global.json {
        let mut document = document::status(&session, &plan, &artifacts, url.as_deref());
        if let Some(api) = api {
            document["routes"] = url::documents(&session.app.manifest, &api.endpoint);
            document["callers"] = callers.document();
        }
        if session.local.is_some() {
            document["failed_events"] = failed.into();
        }
        report.document(&document);
        return Ok(0);
    }
    let names = &session.cloud.names;
    let mut header = vec![
        ("stack", names.stack.clone()),
        ("stage", names.stage.clone()),
        ("account", names.account.clone()),
        ("region", names.region.clone()),
    ];
    header.extend(session.cloud.endpoint.clone().map(|endpoint| ("endpoint", endpoint)));
    if let Some(url) = url {
        header.push(("URL", url));
        header.push(("callers", callers.text(&session)));
    }
    report.status(&header, &plan);
    for event in &failed {
        let function = event["function"].as_str().unwrap_or_default();
        let why = &event["condition"];
        report.warn(&format!(
            "an event for {function} failed for good after {} attempts ({why}): {}",
            event["attempts"], event["event"]
        ));
    }
    Ok(0)
}
