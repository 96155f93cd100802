//! One file, one subcommand; here what several of them do.

mod build;
mod callers;
mod document;
mod down;
mod guard;
mod interrupt;
mod local;
mod logs;
mod pack;
mod plan;
mod policy;
mod rights;
mod say;
mod secrets;
mod session;
mod status;
mod up;
mod url;

use std::path::Path;

use anyhow::Result;

use crate::cli::{Cli, Command, Global};
use crate::engine::{Action, Plan, Step};
use crate::failure::Failure;
use crate::invocation;
use crate::manifest::Source;
use crate::report::Report;
use crate::trace;
pub use local::fail_eval;
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
    // The local cloud in the foreground ends in its own way.
    if !matches!(cli.command, Command::Local(_)) {
        interrupt::watch(report.voice(), &cli.command);
    }
    let code = match cli.command {
        Command::Up(args) => up::run(global, &args, report).await,
        Command::Plan(args) => plan::run(global, &args, report).await,
        Command::Status => status::run(global, report).await,
        Command::Down => down::run(global, report).await,
        Command::Say(args) => say::run(global, &args, report).await,
        Command::Logs(args) => logs::run(global, &args, report).await,
        Command::Policy(args) => policy::run(global, &args, report).await,
        Command::Build(args) => build::run(global, &args, report).await,
        Command::Pack(args) => pack::run(global, &args, report).await,
        Command::Local(args) => local::run(global, &args, report).await,
        Command::Version => {
            if global.json {
                report.document(&invocation::version_document());
            } else {
                report.data(&format!("advent {}", invocation::version()));
            }
            Ok(0)
        }
    };
    trace::end();
    code
}

/// # Errors
/// A refusal that names everything that would be deleted and is protected from it.
fn refuse_protected(session: &Session<'_>, plan: &Plan) -> Result<()> {
    let (mut what, mut lifts) = (Vec::new(), Vec::new());
    for step in plan.protected() {
        what.push(format!("the {} {} is protected from being deleted", step.kind, step.name));
        lifts.extend(step.protection.iter().map(|lift| session.cloud.command(lift)));
    }
    if what.is_empty() {
        return Ok(());
    }
    let what = format!("{}; nothing was changed", what.join("; "));
    let key = match session.local {
        Some(_) => " (with the variables that `advent local env` prints)",
        None => "",
    };
    let hint = format!("lift the protection if you mean to{key}:\n  {}", lifts.join("\n  "));
    Err(Failure::refused(what).hint(hint).into())
}

/// A path as it stands in the document of `--json`, if there is to be one.
///
/// # Errors
/// A refusal of what JSON cannot hold.
fn in_json(global: &Global, path: &Path) -> Result<String> {
    match path.to_str() {
        None if global.json => {
            let what = format!("{} is not UTF-8, and JSON cannot name it", path.display());
            Err(Failure::refused(what).hint("choose another path, or leave out --json").into())
        }
        _ => Ok(path.display().to_string()),
    }
}

/// Asks whether these may be deleted or replaced, and whether what no manifest of this folder
/// names may be deployed, unless `--yes` was given.
///
/// # Errors
/// A refusal where nobody can be asked.
fn consent(session: &Session<'_>, verb: &str, doomed: &[&Step], deploys: bool) -> Result<bool> {
    let unnamed = deploys && session.app.source == Source::Embedded;
    if session.global.yes || doomed.is_empty() && !unnamed {
        return Ok(true);
    }
    // A step may only be here for what it deletes besides.
    let whole = |step: &&&Step| !matches!(step.action, Action::Update(_) | Action::Recheck);
    let wholes = doomed.iter().filter(whole).count();
    let besides: Vec<_> = doomed
        .iter()
        .flat_map(|step| {
            step.removes.iter().map(move |part| format!("{part} of {} {}", step.kind, step.name))
        })
        .collect();
    let (stack, place) = (&session.cloud.names.stack, session.place());
    let mut parts = Vec::new();
    if unnamed {
        parts.push(format!("deploy the application {stack}, which this executable carries,"));
    }
    if wholes > 0 {
        parts.push(format!("{verb} {wholes} existing resources of {stack}"));
    }
    if !besides.is_empty() {
        parts.push(format!("delete {}", besides.join(", ")));
    }
    let question = format!("{} in {place}", parts.join(" and "));
    let data: Vec<_> = doomed
        .iter()
        .filter_map(|step| Some(format!("{} {}: {}", step.kind, step.name, step.loss.data()?)))
        .collect();
    let loss = if data.is_empty() {
        String::new()
    } else {
        format!("\nthis permanently deletes:\n  {}\n", data.join("\n  "))
    };
    if !session.report.can_ask() {
        let what = format!("refused to {question} unasked{loss}");
        let hint = "pass --yes to go ahead without being asked";
        return Err(Failure::refused(what.trim_end()).hint(hint).into());
    }
    Ok(session.report.ask(&format!("{question}?{loss}")))
}
