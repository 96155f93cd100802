//! One file, one subcommand; here what several of them do.

mod build;
mod document;
mod down;
mod local;
mod logs;
mod pack;
mod plan;
mod say;
mod session;
mod status;
mod up;
mod url;

use anyhow::Result;

use crate::aws::naming::DEFAULT_STAGE;
use crate::cli::{Cli, Command, Global};
use crate::engine::Step;
use crate::failure::Failure;
use crate::report::Report;
use crate::trace;
use session::Session;

/// Runs a subcommand.
///
/// # Errors
/// Whatever kept it from its end; [`crate::failure::Failure`] in the chain knows the exit code.
pub async fn run(cli: Cli, report: &Report) -> Result<u8> {
    let global = &cli.global;
    if let Some(path) = &global.trace {
        trace::begin(path)?;
    }
    let code = match cli.command {
        Command::Up(args) => up::run(global, &args, report).await,
        Command::Plan(args) => plan::run(global, &args, report).await,
        Command::Status => status::run(global, report).await,
        Command::Down => down::run(global, report).await,
        Command::Say(args) => say::run(global, &args, report).await,
        Command::Logs(args) => logs::run(global, &args, report).await,
        Command::Build(args) => build::run(global, &args, report).await,
        Command::Pack(args) => pack::run(global, &args, report).await,
        Command::Local(args) => local::run(global, &args, report).await,
    };
    trace::end();
    code
}

/// Asks whether these may be deleted or replaced, unless `--yes` was said.
///
/// # Errors
/// A refusal where nobody can be asked.
fn consent(global: &Global, report: &Report, verb: &str, doomed: &[&Step]) -> Result<bool> {
    if doomed.is_empty() || global.yes {
        return Ok(true);
    }
    let data: Vec<_> = doomed
        .iter()
        .filter_map(|step| Some(format!("{} {}: {}", step.kind, step.name, step.data.as_ref()?)))
        .collect();
    let loss = if data.is_empty() {
        String::new()
    } else {
        format!("\nwith them is lost for ever:\n  {}\n", data.join("\n  "))
    };
    let count = doomed.len();
    if !report.can_ask() {
        let what = format!("refused to {verb} {count} existing resources unasked{loss}");
        let hint = "say --yes to go ahead without being asked";
        return Err(Failure::refused(what.trim_end()).hint(hint).into());
    }
    Ok(report.ask(&format!("{verb} {count} existing resources?{loss}")))
}

/// Who may call the URL, in words.
fn callers(session: &Session<'_>, open: bool) -> String {
    let api = session.app.manifest.http_api.as_ref();
    let throttle = api.map_or_else(String::new, |api| {
        format!(
            "; the stage lets {} requests/s through, bursts of {}",
            api.throttle_rate, api.throttle_burst
        )
    });
    if open {
        format!("everyone who knows the URL: no secret is set{throttle}")
    } else {
        format!("verified by the function{throttle}")
    }
}

/// How to call a command on the same stage: by the name that this one was called by, with the
/// same target.
fn command_line(global: &Global, command: &str) -> String {
    // Cargo says so to what it runs.
    let through_cargo = std::env::var_os("CARGO_PKG_NAME").is_some();
    let mut line = format!("{} {command}", if through_cargo { "cargo run --" } else { "advent" });
    if global.local {
        line.push_str(" --local");
    }
    let named = [
        ("--endpoint-url", global.endpoint_url.as_deref()),
        ("--profile", global.profile.as_deref()),
        ("--region", global.region.as_deref()),
        ("--stage", Some(global.stage.as_str()).filter(|stage| *stage != DEFAULT_STAGE)),
    ];
    for (flag, value) in named {
        if let Some(value) = value {
            line = format!("{line} {flag} {value}");
        }
    }
    line
}
