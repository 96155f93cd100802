//! `advent build`: the functions as zips.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::session::{application, build};
use crate::cli::{Build, Global};
use crate::failure::Failure;
use crate::report::Report;

pub async fn run(global: &Global, args: &Build, report: &Report) -> Result<u8> {
    super::in_json(global, &args.out)?;
    let app = application(report)?;
    let arch = global.arch.map_or_else(|| app.arch(), Ok)?;
    let artifacts = build(&app, arch, global, report).await?;
    let written = |path: &Path, result: std::io::Result<()>| {
        result.map_err(|error| {
            Failure::new(format!("failed to write {}", path.display()))
                .hint("choose another folder with --out")
                .source(error)
        })
    };
    written(&args.out, std::fs::create_dir_all(&args.out))?;
    let mut documents = Vec::new();
    for artifact in &artifacts {
        let path = args.out.join(format!("{}.zip", artifact.function));
        written(&path, std::fs::write(&path, &artifact.zip))?;
        if !global.json {
            report.data(&format!("{}  {} bytes", path.display(), artifact.zip.len()));
        }
        documents.push(json!({
            "function": artifact.function,
            "package": artifact.package,
            "arch": artifact.arch.to_string(),
            "zip": super::in_json(global, &path)?,
            "bytes": artifact.zip.len(),
            "sha256": artifact.sha256,
        }));
    }
    if global.json {
        report.document(&json!({ "functions": documents }));
    }
    Ok(0)
}
