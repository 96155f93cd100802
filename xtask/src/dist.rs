//! The executable that is handed out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::say;

const NAME: &str = if cfg!(windows) { "advent.exe" } else { "advent" };

/// Writes `dist/advent`: the CLI, built for size, with the application of `advent.toml` inside.
pub(crate) fn dist(root: &Path) -> Result<PathBuf> {
    let started = Instant::now();
    let built = build(root)?;
    let out = root.join("dist").join(NAME);
    run(Command::new(built).current_dir(root).arg("pack").arg("--out").arg(&out))?;

    let bytes = std::fs::metadata(&out)?.len();
    let seconds = started.elapsed().as_secs();
    say(&format!("{}: {:.1} MB, {seconds} s", out.display(), to_megabytes(bytes)));
    Ok(out)
}

/// The CLI, built for size, without any application inside.
fn build(root: &Path) -> Result<PathBuf> {
    let mut build = cargo(root);
    build.args(["build", "--package", "advent", "--bin", "advent", "--profile", "dist"]);
    run(&mut build)?;
    Ok(target_folder(root)?.join("dist").join(NAME))
}

/// Puts the CLI where `cargo install` would: without this repository's application, which whoever
/// calls it in a folder of another would deploy.
pub(crate) fn install(root: &Path) -> Result<()> {
    let built = build(root)?;
    let folder = install_root().context("neither CARGO_HOME nor a home folder is set")?.join("bin");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not make {}", folder.display()))?;
    let (target, fresh) = (folder.join(NAME), folder.join(format!(".{NAME}.new")));
    // One that is running cannot be written to, but its name can be given to another.
    std::fs::copy(&built, &fresh)
        .and_then(|_| std::fs::rename(&fresh, &target))
        .with_context(|| format!("could not write {}", target.display()))?;
    say(&format!("installed {}", target.display()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|entry| entry == folder) {
        say(&format!("put {} on your PATH to call it as `advent`", folder.display()));
    }
    Ok(())
}

/// As `cargo install` decides: `CARGO_INSTALL_ROOT`, `CARGO_HOME`, `~/.cargo`.
fn install_root() -> Option<PathBuf> {
    ["CARGO_INSTALL_ROOT", "CARGO_HOME"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

pub(crate) fn target_folder(root: &Path) -> Result<PathBuf> {
    let output = cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["target_directory"].as_str().context("cargo names no target folder")?;
    Ok(folder.into())
}

pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let named = format!("{command:?}");
    let status = command.status().with_context(|| format!("could not start {named}"))?;
    ensure!(status.success(), "{named} failed: {status}");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people; exact below 9 petabytes")]
fn to_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
