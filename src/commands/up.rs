//! `advent up`: create the stack, or bring it up to date.

use std::error::Error;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::callers::Callers;
use super::session::Session;
use super::{document, interrupt, rights, secrets, url};
use crate::aws::{ApiError, young};
use crate::cli::{Global, Up};
use crate::engine::{Action, Applied, Conflict, Loss, Outcome, Plan, Step, StepReport};
use crate::failure::Failure;
use crate::report::Report;
use crate::stack::Routed;

/// How often a stack is planned that is not as it was read: another run is changing it, or reads
/// still show what was before.
const ROUNDS: u32 = 4;
/// The least pause before the second round. It doubles with each, and as much again is left to
/// chance, so that two runs do not keep step.
const PAUSE: Duration = Duration::from_millis(500);

pub async fn run(global: &Global, args: &Up, report: &Report) -> Result<u8> {
    let session = Session::open(global, report).await?;
    session.check_limits()?;
    secrets::check(&session.app.manifest)?;
    report.note(&format!("{} in {}", session.app.manifest.name, session.place()));
    let artifacts = session.build().await?;
    let mut begun = None;
    let mut reports = Vec::new();
    let (mut round, mut met_another) = (1, false);
    let (deployment, applied, interrupted) = loop {
        let (deployment, plan) = session.plan(&artifacts).await?;
        if round == 1 {
            refuse_foreign(&plan)?;
            super::refuse_protected(&session, &plan)?;
        }
        report.plan(&plan);
        if !allowed(&session, args, &plan, round == 1)? {
            report.note("nothing was changed");
            return Ok(1);
        }
        begun.get_or_insert_with(Instant::now);
        let (applied, interrupted) = session.apply(&deployment, &plan).await;
        merge(&mut reports, &applied.reports);
        met_another |= applied.conflict;
        let again = look_again(&applied, met_another);
        let again = again.filter(|_| !interrupted && round < ROUNDS);
        let Some(why) = again else { break (deployment, applied, interrupted) };
        report.note(&format!("{why}: looking again"));
        tokio::time::sleep(pause(round)).await;
        round += 1;
        session.cloud.invalidate_caches();
    };
    let api = deployment.http_api.and_then(|api| applied.state(api));
    let endpoint = api.map(|api| api.endpoint.as_str());
    let callers = Callers::of(&deployment, |function| applied.state(function));
    let done = reports.iter().all(|step: &StepReport| step.outcome.is_done());
    if global.json {
        let mut document = document::outcome(&session, &reports);
        if let Some(endpoint) = endpoint {
            document["url"] = url::of(&session.app.manifest, endpoint).into();
            document["routes"] = url::documents(&session.app.manifest, endpoint);
        }
        document["callers"] = callers.document();
        document["interrupted"] = (interrupted && !done).into();
        report.document(&document);
    } else if done {
        let took = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let title = title(&session.app.manifest.name, &reports, took);
        let has = |routed: &Routed, variable: &str| {
            applied.state(routed.function).is_some_and(|state| state.has(variable))
        };
        let silence = |routed: &Routed| routed.caller.as_ref()?.silence(|it| has(routed, it));
        let silent = deployment.routed.iter().find_map(silence);
        summary(&session, &title, endpoint, &callers, silent);
    } else {
        rights::ask(report, &reports);
        let why = if interrupted { "interrupted" } else { "not everything succeeded" };
        report.note(&format!(
            "{why}: {}; `advent up` continues, `advent down` removes what is there",
            left(&reports)
        ));
    }
    Ok(match (done, interrupted) {
        (true, _) => 0,
        (false, true) => interrupt::EXIT,
        (false, false) => 1,
    })
}

/// Why the stack must be planned anew, if it must.
fn look_again(applied: &Applied, met_another: bool) -> Option<&'static str> {
    let failed = |is: fn(&anyhow::Error) -> bool| {
        applied.reports.iter().any(|step| match &step.outcome {
            Outcome::Failed(error) => is(error),
            _ => false,
        })
    };
    // It was waited for as long as makes sense.
    if failed(|error| error.downcast_ref().is_some_and(young::is_lost)) {
        return None;
    }
    let other_run = |error: &anyhow::Error| error.chain().any(<dyn Error>::is::<Conflict>);
    if failed(other_run) {
        return Some("another run is changing this stack as well");
    }
    if applied.conflict || failed(ApiError::is_not_found_in) {
        return Some("the cloud was not as it had been read");
    }
    // What one does in a later round the other may have done at the same time, where the cloud lets
    // a thing be there twice: until a look finds nothing to do.
    let wrote = |step: &StepReport| !matches!(step.action, Action::Keep | Action::Foreign(_));
    let done = applied.reports.iter().all(|step| step.outcome.is_done());
    let wrote = met_another && done && applied.reports.iter().any(wrote);
    wrote.then_some("another run may have done the same")
}

/// Between a round and the next.
fn pause(round: u32) -> Duration {
    let least = PAUSE * 2_u32.pow(round - 1);
    let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    least + least.mul_f64(chance)
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
/// A refusal that names every foreign resource that has one of the stack's names.
fn refuse_foreign(plan: &Plan) -> Result<()> {
    let foreign: Vec<_> = plan
        .foreign()
        .map(|(step, whose)| format!("the {} {} exists, and {whose}", step.kind, step.name))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let what = format!("{}; nothing was changed", foreign.join("; "));
    let hint = "give yours another `name` in advent.toml, deploy with --stage NAME, or remove what \
                is there if nobody needs it";
    Err(Failure::refused(what).hint(hint).into())
}

/// Asks before something existing is destroyed, and once before the first round deploys what no
/// manifest of this folder names. Everything else just happens.
fn allowed(session: &Session<'_>, args: &Up, plan: &Plan, first: bool) -> Result<bool> {
    let holds_data = |step: &&Step| step.loss.data().is_some();
    let holding = || plan.steps.iter().filter(holds_data);
    if let Some(name) = args.replace.iter().find(|name| holding().all(|step| step.name != **name)) {
        let what = format!("there is nothing with data named {name} to be replaced");
        let names: Vec<_> = holding().map(|step| step.name.as_str()).collect();
        let hint = match names.as_slice() {
            [] => "nothing that this stack has holds data: leave out --replace".to_owned(),
            names => format!("what holds data: {}", names.join(", ")),
        };
        return Err(Failure::refused(what).hint(hint).into());
    }
    let unnamed = holding().find(|step| {
        matches!(step.action, Action::Replace(_)) && !args.replace.contains(&step.name)
    });
    if let Some(step) = unnamed {
        let (kind, name, data) = (step.kind, &step.name, step.loss.data().unwrap_or_default());
        let what = format!(
            "the {kind} {name} would have to be replaced, which permanently deletes {data}"
        );
        let hint = format!("if that is intended, pass --replace {name}");
        return Err(Failure::refused(what).hint(hint).into());
    }
    let destroyed: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| {
            matches!(step.action, Action::Replace(_) | Action::Delete) || !step.removes.is_empty()
        })
        .filter(|step| step.loss != Loss::Nothing)
        .collect();
    super::consent(session, "delete or replace", &destroyed, first && !plan.in_sync())
}

fn left(reports: &[StepReport]) -> String {
    let done = reports.iter().filter(|step| step.outcome.is_done()).count();
    format!("{done} of {} resources are in sync", reports.len())
}

fn title(stack: &str, reports: &[StepReport], took: Duration) -> String {
    let seconds = took.as_secs_f32();
    match reports.iter().filter(|step| step.action != Action::Keep).count() {
        0 => format!("{stack} is up, nothing had to change"),
        1 => format!("{stack} is up: 1 resource changed in {seconds:.1} s"),
        changed => format!("{stack} is up: {changed} resources changed in {seconds:.1} s"),
    }
}

fn summary(
    session: &Session<'_>,
    title: &str,
    endpoint: Option<&str>,
    callers: &Callers<'_>,
    silent: Option<String>,
) {
    let manifest = &session.app.manifest;
    let mut rows = vec![("where", session.place())];
    let mut next = Vec::new();
    if let Some(endpoint) = endpoint {
        let routes = url::routes(manifest);
        rows.extend(url::of(manifest, endpoint).map(|url| ("URL", url)));
        if routes.len() > 1 {
            let route = |route: &url::Route<'_>| {
                format!("{} {} -> {}", route.method, route.url(endpoint), route.id)
            };
            rows.extend(routes.iter().map(|it| ("route", route(it))));
        }
        rows.push(("callers", callers.text(session)));
        rows.extend(silent.map(|silent| ("note", silent)));
        if let Some(route) = routes.first() {
            match &route.function.caller {
                Some(caller) => {
                    if session.local.is_none() {
                        next.extend(caller.instructions(&route.url(endpoint)));
                    }
                    next.push(format!("`advent say \"{} some words\"`", manifest.name));
                }
                None => next.push(route.curl(endpoint)),
            }
        }
    }
    next.push("`advent logs --follow`".to_owned());
    next.push("`advent down`".to_owned());
    session.report.done(title, &rows, &next);
}
