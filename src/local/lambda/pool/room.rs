//! Where there is no room for another process: who gets the next one.

use std::sync::Arc;

use super::{Fleet, Limits, Pool, State};

impl State {
    /// A function that has work and no process, while there is no room for one.
    pub(super) fn starving(&self, limits: &Limits) -> Option<String> {
        if self.workers.len() < limits.processes {
            return None;
        }
        let starves = |fleet: &Fleet| fleet.alive == 0 && !fleet.waiting.is_empty();
        self.fleets.iter().find(|(_, fleet)| starves(fleet)).map(|(key, _)| key.clone())
    }
}

impl Pool {
    /// There is room again, where there was none: those without a process come first.
    pub(super) fn start_for_all(self: &Arc<Self>, state: &mut State, there_was_none: bool) {
        if !there_was_none {
            return;
        }
        let mut waiting: Vec<_> = state
            .fleets
            .iter()
            .filter(|(_, fleet)| !fleet.waiting.is_empty())
            .map(|(key, fleet)| (fleet.alive, key.clone()))
            .collect();
        waiting.sort_unstable();
        for (_, key) in waiting {
            self.start_missing(state, &key);
        }
    }
}
