//! Chores of this repository: `cargo xtask dist | install | tidy`.

mod dist;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Write dist/advent: one executable with this repository's application inside
    Dist,
    /// Write dist/advent and put it where `cargo install` puts programs
    Install,
    /// Check what rustfmt and clippy do not: the invariants of ARCHITECTURE.md
    Tidy,
}

fn main() -> ExitCode {
    match run(&Chore::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<ExitCode> {
    let root = root()?;
    match chore {
        Chore::Dist => dist::dist(&root).map(|_| ExitCode::SUCCESS),
        Chore::Install => dist::install(&root).map(|()| ExitCode::SUCCESS),
        Chore::Tidy => {
            let findings = tidy::check(&root)?;
            for finding in &findings {
                say(&finding.to_string());
            }
            if findings.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            say(&format!("{} findings", findings.len()));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The repository's folder.
fn root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package.parent().context("xtask lies in the repository")?.to_owned())
}

#[expect(clippy::print_stderr, reason = "the one place where xtask prints")]
fn say(text: &str) {
    eprintln!("{text}");
}
