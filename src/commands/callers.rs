//! Who may call the routes of a stack, as far as that is known.

use serde_json::{Value, json};

use super::session::Session;
use crate::engine::Handle;
use crate::resources::function::{self, Function};
use crate::slack;
use crate::stack::{Deployment, Routed};

/// What is known of each function with routes.
pub struct Callers<'a>(Vec<(&'a Routed, Access)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The function has what its declared caller is told by.
    Verified,
    /// A caller is declared, but the function has nothing to tell it by.
    Open,
    /// No caller is declared: whether the function asks who calls is its own affair.
    Unknown,
}

impl<'a> Callers<'a> {
    /// `state` tells what is known of a function.
    pub fn of<'s>(
        deployment: &'a Deployment,
        state: impl Fn(Handle<Function>) -> Option<&'s function::State>,
    ) -> Self {
        let access = |routed: &Routed| {
            let has = |variable: &str| state(routed.function).is_some_and(|it| it.has(variable));
            match &routed.caller {
                None => Access::Unknown,
                Some(caller) if caller.is_verified(has) => Access::Verified,
                Some(_) => Access::Open,
            }
        };
        Self(deployment.routed.iter().map(|routed| (routed, access(routed))).collect())
    }

    /// In words, with how much gets through.
    pub fn text(&self, session: &Session<'_>) -> String {
        let mut parts = Vec::new();
        for (routed, access) in &self.0 {
            let id = &routed.id;
            parts.push(match (access, &routed.caller) {
                (Access::Verified, _) => format!("{}, verified by {id}", slack::NAME),
                (_, Some(caller)) => format!(
                    "everyone who knows the URL: {id} has no secret; {}",
                    caller.how_to_verify()
                ),
                (_, None) => {
                    format!("advent does not know who may call {id}: no caller is declared")
                }
            });
        }
        parts.extend(session.app.manifest.http_api.as_ref().map(|api| {
            let (rate, burst) = (api.throttle_rate, api.throttle_burst);
            format!("the stage lets {rate} requests/s through, bursts of {burst}")
        }));
        parts.join("; ")
    }

    pub fn document(&self) -> Value {
        let document = |(routed, access): &(&Routed, Access)| {
            json!({
                "function": routed.id,
                "caller": routed.caller.as_ref().map(|_| slack::SECTION),
                "verified": match access {
                    Access::Verified => Some(true),
                    Access::Open => Some(false),
                    Access::Unknown => None,
                },
            })
        };
        self.0.iter().map(document).collect()
    }
}
