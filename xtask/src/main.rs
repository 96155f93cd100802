//! Chores of this repository: `cargo xtask bench | dist | docs | install | prove | tidy | torture`.

mod bench;
mod dist;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Write dist/advent: one executable with this repository's application inside
    Dist,
    /// Put advent, with no application inside, where `cargo install` puts programs
    Install,
    /// Check what rustfmt and clippy do not: the invariants of ARCHITECTURE.md
    Tidy,
    /// Build dist/advent, measure it and write the figures into BENCHMARKS.md
    Bench {
        /// Only these; the other tables of `BENCHMARKS.md` are left as they are
        #[arg(value_parser = bench::CHAPTERS)]
        only: Vec<String>,
    },
    /// Deploy for a moment, look into every open point, clean up, and report (`prove --help`)
    #[command(disable_help_flag = true)]
    Prove {
        /// What `prove` is given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Write what docs/ has of the code: the manifest's schema and reference, the table of drift
    Docs {
        /// Only say whether it is written as the code has it
        #[arg(long)]
        check: bool,
    },
    /// Run the exhaustive tests that a plain `cargo test` leaves out (some ten minutes)
    Torture {
        /// Only cases whose description contains this, such as `Throttled` or `CreateRole`
        only: Option<String>,
    },
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
        Chore::Bench { only } => bench::bench(&root, only).map(|()| ExitCode::SUCCESS),
        Chore::Torture { only } => torture(&root, only.as_deref()),
        Chore::Prove { args } => prove(&root, args),
        Chore::Docs { check } => docs(&root, *check),
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

/// Tests know what is written, and write it where they are told to.
fn docs(root: &Path, check: bool) -> Result<ExitCode> {
    for tests in [["--lib", "_is_written"], ["--test=it", "properties::the_documentation"]] {
        let mut test = Command::new(env!("CARGO"));
        test.current_dir(root).args(["test", "--quiet", "--workspace", "--locked"]).args(tests);
        if !check {
            test.env("ADVENT_WRITE_DOCS", "1");
        }
        if !test.status().context("cargo could not be run")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One test after another: each keeps the machine busy by itself.
fn torture(root: &Path, only: Option<&str>) -> Result<ExitCode> {
    let mut test = Command::new(env!("CARGO"));
    test.current_dir(root)
        .args(["test", "--workspace", "--locked", "--test", "it", "--", "--ignored"])
        .args(["--test-threads", "1"]);
    if let Some(only) = only {
        test.env("ADVENT_TORTURE", only).arg("sweep");
    }
    let status = test.status().context("cargo could not be run")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Passes the exit code on: 1 also says that something differs.
fn prove(root: &Path, args: &[String]) -> Result<ExitCode> {
    let mut prove = dist::cargo(root);
    prove.args(["run", "--quiet", "--locked", "--package", "prove", "--"]).args(args);
    let status = prove.status().context("cargo could not be run")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
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
