//! `advent up`: create the stack, or bring it up to date.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::session::Session;
use super::{document, url};
use crate::aws::ApiError;
use crate::cli::{Global, Up};
use crate::engine::{Action, Applied, Outcome, Plan, Report as StepReport, Resource as _, Step};
use crate::failure::Failure;
use crate::report::Report;
use crate::resources::permission::{self, Permission};

/// How often a stack is planned that another run is changing at the same time.
const ROUNDS: u32 = 4;

pub async fn run(global: &Global, args: &Up, report: &Report) -> Result<u8> {
    let session = Session::open(global, report).await?;
    session.check_limits()?;
    let artifacts = session.build().await?;
    let mut begun = None;
    let mut reports = Vec::new();
    let mut round = 1;
    let (deployment, applied, interrupted) = loop {
        let (deployment, plan) = session.plan(&artifacts).await?;
        if round == 1 {
            refuse_strangers(&plan)?;
            super::refuse_protected(&session, &plan)?;
        }
        report.plan(&plan);
        if !allowed(global, args, report, &plan)? {
            report.note("nothing was changed");
            return Ok(1);
        }
        begun.get_or_insert_with(Instant::now);
        let (applied, interrupted) = session.apply(&deployment, &plan).await;
        merge(&mut reports, &applied.reports);
        if interrupted || !overtaken(&applied) || round == ROUNDS {
            break (deployment, applied, interrupted);
        }
        round += 1;
        session.cloud.forget_answers();
        report.note("another run is changing this stack as well: looking again");
    };
    let api = deployment.http_api.and_then(|api| applied.state(api));
    let manifest = &session.app.manifest;
    let url = api.and_then(|api| url::of(manifest, &api.endpoint));
    let done = reports.iter().all(|step: &StepReport| step.outcome.is_done());
    if global.json {
        report.document(&document::outcome(&manifest.name, url.as_deref(), &reports));
    } else if done {
        let open = deployment.is_open(|function| applied.state(function));
        let title =
            title(&manifest.name, &reports, begun.map_or(Duration::ZERO, |begun| begun.elapsed()));
        summary(&session, &title, url.as_deref(), open);
    } else {
        let why = if interrupted { "interrupted" } else { "not everything succeeded" };
        report.note(&format!(
            "{why}: {}; `advent up` continues, `advent down` removes what is there",
            left(&reports)
        ));
    }
    Ok(u8::from(!done))
}

/// Whether the cloud was not as it had been read: another run is changing it.
fn overtaken(applied: &Applied) -> bool {
    let gone = |step: &StepReport| match &step.outcome {
        Outcome::Failed(error) => ApiError::is_not_found_in(error),
        _ => false,
    };
    applied.overtaken || applied.reports.iter().any(gone)
}

/// What became of each resource in the end, and what was done to it on the way there.
fn merge(reports: &mut Vec<StepReport>, later: &[StepReport]) {
    for report in later {
        match reports.iter_mut().find(|earlier| earlier.id == report.id) {
            Some(earlier) if report.action == Action::Keep => {
                earlier.outcome = report.outcome.clone();
            }
            Some(earlier) => *earlier = report.clone(),
            None => reports.push(report.clone()),
        }
    }
}

/// # Errors
/// A refusal that names every stranger that has one of the stack's names.
fn refuse_strangers(plan: &Plan) -> Result<()> {
    let strangers: Vec<_> = plan
        .strangers()
        .map(|(step, whose)| format!("the {} {} exists, and {whose}", step.kind, step.name))
        .collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let what = format!("{}; nothing was changed", strangers.join("; "));
    let hint = "give yours another `name` in advent.toml, deploy with --stage NAME, or remove what \
                is there if nobody needs it";
    Err(Failure::refused(what).hint(hint).into())
}

/// Asks before something existing is destroyed. Creating and updating just happens.
fn allowed(global: &Global, args: &Up, report: &Report, plan: &Plan) -> Result<bool> {
    let replaced = |step: &&Step| matches!(step.action, Action::Replace(_));
    let unnamed = plan
        .steps
        .iter()
        .filter(replaced)
        .find(|step| step.kind == "table" && !args.replace_table.contains(&step.name));
    if let Some(table) = unnamed {
        let name = &table.name;
        let what = format!(
            "table {name} would have to be replaced, and with it die {}",
            table.data.as_deref().unwrap_or("its items")
        );
        let hint = format!("if that is meant, say --replace-table {name}");
        return Err(Failure::refused(what).hint(hint).into());
    }
    // Of routes: replaced by a statement for all of them, or gone with the route. No loss.
    let superseded = |step: &Step| {
        step.kind == Permission::KIND && step.name.starts_with(permission::ROUTE_PREFIX)
    };
    let destroyed: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Replace(_) | Action::Delete))
        .filter(|step| !superseded(step))
        .collect();
    super::consent(global, report, "delete or replace", &destroyed)
}

fn left(reports: &[StepReport]) -> String {
    let done = reports.iter().filter(|step| step.outcome.is_done()).count();
    format!("{done} of {} resources are in step", reports.len())
}

fn title(stack: &str, reports: &[StepReport], took: Duration) -> String {
    let seconds = took.as_secs_f32();
    match reports.iter().filter(|step| step.action != Action::Keep).count() {
        0 => format!("{stack} is up, nothing had to change"),
        1 => format!("{stack} is up: 1 resource changed in {seconds:.1} s"),
        changed => format!("{stack} is up: {changed} resources changed in {seconds:.1} s"),
    }
}

fn summary(session: &Session<'_>, title: &str, url: Option<&str>, open: bool) {
    let names = &session.cloud.names;
    let whereto = match &session.local {
        Some(local) => format!("the local cloud at {}", local.url),
        None => format!("account {}, {}", names.account, names.region),
    };
    let mut rows = vec![("where", whereto)];
    if let Some(url) = url {
        rows.push(("URL", url.to_owned()));
        rows.push(("callers", super::callers(session, open)));
    }
    let mut next = Vec::new();
    if url.is_some() {
        let command = |name: &str| super::command_line(session.global, name);
        if session.local.is_none() {
            next.push("paste the URL into Slack: an outgoing webhook's URL(s), or a slash command's request URL".to_owned());
        }
        next.push(format!("{} \"{} some words\"", command("say"), names.stack));
        next.push(format!("{} --follow", command("logs")));
        next.push(command("down"));
    }
    session.report.done(title, &rows, &next);
}
