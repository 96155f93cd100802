//! The variables that a function is given.

use std::collections::BTreeMap;

use aws_sdk_lambda::types::Environment;

use super::{Function, FunctionId, State};
use crate::aws::{Context, Names};
use crate::engine::Changes;
use crate::hidden::INSTEAD as HIDDEN;

/// Field of the change that says that they could not be read.
pub(super) const UNREAD: &str = "environment";

impl Function {
    /// What the function is given; secrets that the operator has not set stay as they are.
    pub(super) fn wanted_environment(&self, state: Option<&State>) -> BTreeMap<String, String> {
        let mut environment = self.environment.clone();
        for (key, value) in &self.secrets {
            let known = state.and_then(|state| state.environment.as_ref().ok());
            let kept = || known.and_then(|known| known.get(key)).cloned();
            let value = value.clone().or_else(kept).filter(|value| !value.is_empty());
            environment.extend(value.map(|value| (key.clone(), value)));
        }
        environment
    }

    /// Secrets are hidden in what it shows.
    pub(super) fn compare_environment(&self, state: &State, changes: &mut Changes) {
        let known = match &state.environment {
            Ok(known) => known,
            Err(error) => {
                let why = format!("could not be read: it needs {}", error.operation);
                return changes.push(UNREAD, why, "left as it is");
            }
        };
        let wanted = self.wanted_environment(Some(state));
        for (key, to) in &wanted {
            let from = known.get(key);
            if from == Some(to) {
                continue;
            }
            let show = |value: &str| {
                let secret = self.secrets.contains_key(key);
                if secret { HIDDEN.to_owned() } else { value.to_owned() }
            };
            let from = from.map_or_else(|| "none".to_owned(), |from| show(from));
            changes.push(&format!("environment {key}"), from, show(to));
        }
        for key in known.keys().filter(|key| !wanted.contains_key(*key)) {
            changes.push(&format!("environment {key}"), HIDDEN, "none");
        }
    }
}

impl FunctionId {
    /// What is in its variables, and advent.toml has not said, is nobody's business: Lambda gives
    /// back all of them in an error about one.
    pub(super) fn keep_secrets(
        &self,
        state: &State,
        said: &BTreeMap<String, String>,
        cx: &Context<'_>,
    ) {
        let Ok(known) = &state.environment else { return };
        let public = |value: &String| {
            let Names { stack, stage, account, region, .. } = &self.names;
            // An ARN is no secret, and names what is.
            value.starts_with("arn:")
                || [stack, stage, account, region].contains(&value)
                || said.values().any(|said| said == value)
        };
        for value in known.values().filter(|value| !public(value)) {
            cx.keep_secret(value);
        }
    }
}

pub(super) fn variables(environment: &BTreeMap<String, String>) -> Environment {
    // An absent map would leave the old one in place.
    let variables = environment.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Environment::builder().set_variables(Some(variables)).build()
}
