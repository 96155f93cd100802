//! What neither rustfmt nor clippy checks: the invariants that ARCHITECTURE.md states.

mod rules;
mod rust;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A broken rule, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub path: String,
    /// Counted from 1; 0 stands for the whole file.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// A file of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    pub text: String,
}

/// Everything that is out of order in the repository at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let paths = tracked(root)?;
    let mut sources = Vec::new();
    for path in &paths {
        // Not there: deleted, but not committed yet. Not text: a picture.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            sources.push(Source { path: path.clone(), text });
        }
    }
    Ok(rules::check(&sources, &|path| root.join(path).exists()))
}

/// The repository's files, also those that are new and not committed.
fn tracked(root: &Path) -> Result<Vec<String>> {
    if !root.join(".git").exists() {
        let mut paths = Vec::new();
        walk(root, root, &mut paths)?;
        paths.sort();
        return Ok(paths);
    }
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("could not run git")?;
    ensure!(output.status.success(), "git ls-files failed");
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// For an unpacked archive of the sources, which is no git repository.
fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "dist", ".advent", ".git"].contains(&name.as_str()) {
                walk(root, &path, paths)?;
            }
        } else if let Some(path) = path.strip_prefix(root)?.to_str() {
            paths.push(path.replace('\\', "/"));
        }
    }
    Ok(())
}
