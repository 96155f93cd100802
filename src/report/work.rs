//! What is known of the work under way: nothing here is text yet.

use std::collections::HashMap;
use std::time::Instant;

use super::text;
use crate::engine::{Action, Event, Outcome, Plan};

/// Something that is done before or after the work on the resources.
pub(super) struct Phase {
    pub what: String,
    pub begun: Instant,
    /// When something was last said about it.
    pub spoke: Instant,
    pub note: String,
    /// Crates compiled, crates in all, and one of those under way.
    pub crates: Option<(usize, usize, String)>,
    /// Nothing had to be built.
    pub cached: bool,
}

impl Phase {
    pub fn new(what: &str) -> Self {
        let now = Instant::now();
        Self {
            what: what.to_owned(),
            begun: now,
            spoke: now,
            note: String::new(),
            crates: None,
            cached: false,
        }
    }
}

/// A plan being carried out.
pub(super) struct Work {
    pub begun: Instant,
    pub rows: Vec<Row>,
    index: HashMap<String, usize>,
    /// Columns that the kinds and the names take.
    pub kind_width: usize,
    pub name_width: usize,
}

pub(super) struct Row {
    pub kind: &'static str,
    pub name: String,
    /// Whether the plan says to do something with it.
    planned: bool,
    pub state: RowState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowState {
    Waiting,
    Doing { verb: &'static str, begun: Instant, spoke: Instant, note: String },
    Done,
    Failed,
}

impl Work {
    pub fn new(plan: &Plan) -> Self {
        let rows: Vec<_> = plan
            .steps
            .iter()
            .map(|step| Row {
                kind: step.kind,
                name: step.name.clone(),
                planned: !matches!(step.action, Action::Keep | Action::Foreign(_)),
                state: RowState::Waiting,
            })
            .collect();
        let planned = || rows.iter().filter(|row| row.planned);
        Self {
            begun: Instant::now(),
            kind_width: text::widest(planned().map(|row| row.kind)),
            name_width: text::widest(planned().map(|row| row.name.as_str())),
            index: plan.steps.iter().enumerate().map(|(i, step)| (step.id.clone(), i)).collect(),
            rows,
        }
    }

    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.get(*self.index.get(id)?)
    }

    pub fn take_in(&mut self, event: &Event<'_>) {
        let (Event::Started { id, .. } | Event::Noted { id, .. } | Event::Finished { id, .. }) =
            event
        else {
            return;
        };
        let Some(row) = self.index.get(*id).and_then(|index| self.rows.get_mut(*index)) else {
            return;
        };
        let now = Instant::now();
        match event {
            Event::Started { action, .. } => {
                let (verb, _) = text::verbs(action);
                row.state = RowState::Doing { verb, begun: now, spoke: now, note: String::new() };
            }
            Event::Noted { text, .. } => {
                if let RowState::Doing { note, spoke, .. } = &mut row.state {
                    (*note, *spoke) = ((*text).to_owned(), now);
                }
            }
            Event::Finished { outcome, .. } => {
                row.state = match outcome {
                    Outcome::Done => RowState::Done,
                    Outcome::Failed(_) => RowState::Failed,
                    Outcome::Skipped => RowState::Waiting,
                };
            }
            Event::Secret { .. } => {}
        }
    }

    /// How many of the planned steps are at this state.
    pub fn count(&self, state: &RowState) -> usize {
        self.planned().filter(|row| row.state == *state).count()
    }

    pub fn total(&self) -> usize {
        self.planned().count()
    }

    fn planned(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.planned)
    }
}
