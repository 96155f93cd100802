//! `advent pack`: one executable that carries CLI, manifest and functions.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::session::{application, build};
use crate::bundle;
use crate::cli::{Global, Pack};
use crate::report::Report;

pub async fn run(global: &Global, args: &Pack, report: &Report) -> Result<u8> {
    let out = super::in_json(global, &args.out)?;
    // Before minutes are spent on building.
    bundle::check_out(&args.out)?;
    let app = application(report)?;
    let arch = global.arch.map_or_else(|| app.arch(), Ok)?;
    let artifacts = build(&app, arch, global, report).await?;
    let own = std::env::current_exe().context("failed to find this executable")?;
    let bytes = bundle::pack(&app, &artifacts, &own, &args.out)?;
    if global.json {
        report.document(&json!({
            "executable": out,
            "bytes": bytes,
            "arch": arch.to_string(),
            "functions": artifacts.iter().map(|artifact| &artifact.function).collect::<Vec<_>>(),
        }));
    } else {
        report.data(&format!("{out}  {bytes} bytes"));
    }
    Ok(0)
}
