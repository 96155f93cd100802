//! `advent local`: run, stop or use the local cloud.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cli::{Global, Local, Start};
use crate::failure::Failure;
use crate::local::{self, Environment};
use crate::manifest::Manifest;
use crate::report::Report;

pub async fn run(global: &Global, command: &Local, report: &Report) -> Result<u8> {
    match command {
        Local::Start(args) => start(global, args, report).await,
        Local::Stop => stop(global, report).await,
        Local::Env => env(global, report).await,
    }
}

async fn start(global: &Global, args: &Start, report: &Report) -> Result<u8> {
    let dir = args.dir.clone().map_or_else(state_dir, Ok)?;
    // What the local cloud cannot tell anybody who asks it goes to its log.
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    local::serve(&dir, args.port, |url| {
        if global.json {
            report.document(&json!({ "url": url, "dir": dir.to_string_lossy() }));
        } else {
            report.data(&format!("the local cloud listens at {url}"));
        }
    })
    .await?;
    Ok(0)
}

async fn stop(global: &Global, report: &Report) -> Result<u8> {
    let stopped = local::stop(&state_dir()?).await?;
    if global.json {
        report.document(&json!({ "stopped": stopped }));
    } else {
        report.note(if stopped { "stopped; its state stays" } else { "no local cloud runs here" });
    }
    Ok(0)
}

/// Prints what is evaluated by a shell. Where that would leave the shell as it is, and its next
/// command to a real account, the printed text makes `eval` fail and leads to no cloud at all.
async fn env(global: &Global, report: &Report) -> Result<u8> {
    let running = async {
        let dir = state_dir()?;
        local::find(&dir).await?.ok_or_else(|| {
            Failure::new("no local cloud runs here")
                .hint(
                    "start it: `advent up --local`, or `advent local start`; until this was \
                     evaluated again, AWS commands of a shell that evaluated it reach no cloud",
                )
                .into()
        })
    };
    let running: Result<_> = running.await;
    let running = match running {
        Ok(running) => running,
        Err(error) => {
            if !global.json && !report.results_are_read() {
                fail_eval(report);
            }
            return Err(error);
        }
    };
    // This is where it is asked for, in a shell that has evaluated it before too.
    report.reveal(&running.key.secret_access_key);
    let environment = Environment::new(Some(&running), own_environment());
    if global.json {
        // Nothing but variables, for whoever sets them all.
        report.prescribed(&json!(environment.variables()));
    } else {
        report.data(&environment.script());
    }
    Ok(0)
}

/// Prints what makes `eval` fail, and the commands after it reach no cloud.
pub fn fail_eval(report: &Report) {
    report.data(&Environment::new(None, own_environment()).script());
    report.data("false");
}

fn own_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The local cloud's folder of the project that the command runs in, if there is one.
fn state_dir() -> Result<PathBuf> {
    let here = std::env::current_dir().context("failed to find the current folder")?;
    let project = Manifest::find(&here)?.map(|(folder, _, _)| folder);
    local::state_dir(project.as_deref())
}
