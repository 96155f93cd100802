//! `advent build`: the functions as zips.

use std::io::Write as _;
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
        written(&path, replace(&path, &artifact.zip))?;
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

/// Writes a file at once or not at all: until all of it is on the disk, an old one stays.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = match path.canonicalize() {
        Ok(real) if real.is_file() => real,
        // Nothing that keeps bytes, such as a device.
        Ok(real) => return std::fs::write(real, bytes),
        Err(_) => path.to_owned(),
    };
    let folder = path.parent().unwrap_or(&path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".advent-build-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As any new file: what of it is left is up to the umask.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    if let Ok(old) = path.metadata() {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
