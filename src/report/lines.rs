//! How the work goes where nothing can move: a line for each thing that happens, and a sign of
//! life when nothing does.

use std::time::{Duration, Instant};

use super::style::Paint;
use super::work::{Row, RowState, Work};
use super::{Doing, errors, text};
use crate::engine::{Action, Event, Outcome};

/// The line for an event that was taken in already, if it is worth one.
pub(super) fn event(work: &Work, event: &Event<'_>, paint: Paint) -> Option<String> {
    match event {
        Event::Started { id, action } => Some(about(&name(work, id), text::verbs(action).0)),
        Event::Secret { .. } => None,
        Event::Noted { id, text } => Some(about(&name(work, id), text)),
        Event::Finished { id, action, outcome, took } => {
            let (doing, done) = text::verbs(action);
            let took = text::duration(*took);
            match outcome {
                Outcome::Skipped => None,
                Outcome::Done if matches!(action, Action::Keep | Action::Foreign(_)) => None,
                Outcome::Done => Some(about(&name(work, id), &format!("{done} in {took}"))),
                Outcome::Failed(error) => {
                    let line = format!("{doing} failed after {took}");
                    let line = about(&name(work, id), &paint.red(&line));
                    Some(format!("{line}\n{}", errors::details(error, "  ", paint)))
                }
            }
        }
    }
}

/// What has been silent for `silence`.
pub(super) fn heartbeats(doing: &mut Doing, now: Instant, silence: Duration) -> Vec<String> {
    let due = |spoke: &mut Instant| {
        let due = now.saturating_duration_since(*spoke) >= silence;
        if due {
            *spoke = now;
        }
        due
    };
    let since = |begun: Instant| now.saturating_duration_since(begun).as_secs();
    let mut lines = Vec::new();
    if let Some(phase) = &mut doing.phase
        && due(&mut phase.spoke)
    {
        let crates = match phase.crates {
            Some((done, total, _)) => format!(", {done} of {total} crates"),
            None => String::new(),
        };
        lines.push(format!("still {} ({} s{crates})", phase.what, since(phase.begun)));
    }
    for Row { kind, name, state, .. } in doing.work.iter_mut().flat_map(|work| &mut work.rows) {
        if let RowState::Doing { verb, begun, spoke, note } = state
            && due(spoke)
        {
            let line = format!("still {verb} {kind} {name} ({} s)", since(*begun));
            lines.push(if note.is_empty() { line } else { about(&line, note) });
        }
    }
    lines
}

/// `text`, and what it is about.
pub(super) fn about(what: &str, text: &str) -> String {
    if what.is_empty() { text.to_owned() } else { format!("{what}: {text}") }
}

fn name(work: &Work, id: &str) -> String {
    work.row(id).map_or_else(|| id.to_owned(), |row| format!("{} {}", row.kind, row.name))
}
