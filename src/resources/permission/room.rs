//! Room for a statement in a resource policy that is full.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Permission, SID_PREFIX, SourceArn, Statement, policy};
use crate::aws::{ApiError, Context};
use crate::failure::Failure;

impl Permission {
    /// Adds the statement, although the policy may be full of earlier ones.
    pub(super) async fn put(&self, source: &SourceArn, cx: &Context<'_>) -> Result<Statement> {
        let mut removed = BTreeSet::new();
        loop {
            let error = match self.add(source, cx).await {
                Err(error) if is_too_long(&error) => error,
                added => return added,
            };
            let policy = policy(&cx.fresh(), &self.id.function).await?;
            let Some(superseded) = self.superseded(&policy, &removed) else {
                return Err(self.no_room(&policy, error, cx));
            };
            let lost = if superseded.missed == Missed::Route {
                "; calls of its route fail until the one that replaces it is in place"
            } else {
                ""
            };
            let sid = superseded.sid;
            cx.note(&format!("making room in the function's policy: removing {sid}{lost}"));
            self.id.remove(sid, cx).await?;
            removed.insert(sid.to_owned());
        }
    }

    /// The statement of ours that is missed least: none that is wanted, and one that alone lets a
    /// route's calls through only if there is no other.
    fn superseded<'a>(
        &self,
        policy: &'a [Statement],
        removed: &BTreeSet<String>,
    ) -> Option<Superseded<'a>> {
        let unwanted = |statement: &&Statement| {
            let sid = &statement.sid;
            sid.starts_with(SID_PREFIX) && !self.wanted.sids.contains(sid) && !removed.contains(sid)
        };
        let serves = |statement: &&Statement| {
            let route = statement.source_arn.split_once("/*/").map(|(_, route)| route);
            statement.principal == "apigateway.amazonaws.com"
                && route.is_some_and(|route| self.wanted.served.contains(route))
        };
        let covered = |statement: &Statement| {
            policy.iter().any(|other| {
                other.sid != statement.sid
                    && !removed.contains(&other.sid)
                    && other.principal == statement.principal
                    && other.action == statement.action
                    && is_like(&statement.source_arn, &other.source_arn)
            })
        };
        let missed = |statement: &'a Statement| {
            let missed = match (serves(&statement), covered(statement)) {
                (false, _) => Missed::Nothing,
                (true, true) => Missed::Double,
                (true, false) => Missed::Route,
            };
            Superseded { missed, sid: &statement.sid }
        };
        policy.iter().filter(unwanted).map(missed).min_by_key(|superseded| superseded.missed)
    }

    fn no_room(
        &self,
        policy: &[Statement],
        error: anyhow::Error,
        cx: &Context<'_>,
    ) -> anyhow::Error {
        let theirs = policy.iter().filter(|statement| !statement.sid.starts_with(SID_PREFIX));
        let theirs: Vec<_> = theirs.map(|statement| statement.sid.as_str()).collect();
        let what = format!(
            "the resource policy of function {} has no room for the permission {}",
            self.id.function, self.id.label
        );
        let hint = if theirs.is_empty() {
            "Lambda takes 20,480 bytes: share the triggers among several functions".to_owned()
        } else {
            let remove = format!(
                "lambda remove-permission --function-name {} --statement-id ID",
                self.id.function
            );
            format!(
                "Lambda takes 20,480 bytes, and these statements were not made by advent: {}; \
                 remove those that nobody needs with `{}`",
                theirs.join(", "),
                cx.cloud.command(&remove)
            )
        };
        Failure::new(what).hint(hint).source(error).into()
    }
}

/// A statement that is no longer wanted.
#[derive(Debug, PartialEq, Eq)]
struct Superseded<'a> {
    missed: Missed,
    sid: &'a str,
}

/// What a statement that is no longer wanted still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missed {
    Nothing,
    /// It lets a route's calls through, as another one does.
    Double,
    /// It alone lets a route's calls through.
    Route,
}

/// Whether a source is among those that a pattern stands for, in which `*` is any text.
fn is_like(source: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return source == pattern };
    source.strip_prefix(start).is_some_and(|source| {
        let ends = source.char_indices().map(|(at, _)| at).chain([source.len()]);
        ends.into_iter().any(|at| is_like(&source[at..], rest))
    })
}

fn is_too_long(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &ApiError| error.is("PolicyLengthExceeded"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{PermissionId, Wanted};
    use super::*;

    #[test]
    fn the_statement_that_is_missed_least_makes_room() {
        let statement = |sid: &str, route: &str| Statement {
            sid: sid.to_owned(),
            principal: "apigateway.amazonaws.com".to_owned(),
            source_arn: format!("arn:aws:execute-api:r:1:api/*/{route}"),
            action: "lambda:InvokeFunction".to_owned(),
            copies: 1,
            effect: "Allow".to_owned(),
            conditions: String::new(),
        };
        let alone = statement("advent-route-alone", "GET/alone");
        let double = statement("advent-route-double", "GET/a/b");
        let wide = statement("advent-route-wide", "*/a/*");
        let gone = statement("advent-route-gone", "GET/gone");
        let theirs = statement("theirs", "GET/theirs");
        let permission = Permission {
            id: PermissionId {
                label: String::new(),
                function: "f".to_owned(),
                sid: "advent-routes".to_owned(),
                names: crate::aws::naming::tests::names("default"),
            },
            principal: String::new(),
            wanted: Arc::new(Wanted {
                sids: ["advent-routes".to_owned()].into(),
                served: ["GET/alone", "GET/a/b", "*/a/*"].map(str::to_owned).into(),
            }),
        };
        let policy = [theirs, alone, double, wide, gone];
        let mut removed = BTreeSet::new();
        let mut order = Vec::new();
        while let Some(superseded) = permission.superseded(&policy, &removed) {
            order.push((superseded.sid, superseded.missed));
            removed.insert(superseded.sid.to_owned());
        }
        let wanted = [
            ("advent-route-gone", Missed::Nothing),
            ("advent-route-double", Missed::Double),
            ("advent-route-alone", Missed::Route),
            ("advent-route-wide", Missed::Route),
        ];
        assert_eq!(order, wanted);
        assert!(is_like("a/GET/x", "a/*/x") && !is_like("a/GET/xy", "a/*/x"));
    }
}
