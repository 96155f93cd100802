//! Leave for a topic or a route to invoke a function: one statement of its resource policy.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::function;
use super::watch::{Look, identity, ignored, ours};
use crate::aws::cache::Cache;
use crate::aws::retry::ignore_not_found;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Wait, told};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Loss, Purpose, Resource, Watched};
use crate::failure::Failure;
use crate::ownership::part;

/// Statements whose id begins so are ours.
pub const SID_PREFIX: &str = "advent-";
/// Those of routes: `advent-routes`, `advent-route-…`.
const ROUTE_PREFIX: &str = "advent-route";

const CONCURRENT: Wait = Wait {
    code: "ResourceConflict",
    // Not `update`, which may be part of a statement's id that exists already.
    message: "concurrent update",
    note: "waiting for another change of the function",
    at_most: Duration::from_mins(2),
};

/// What is done about each property. Statements of others are watched as their function's.
pub const LOOKS: &[Look] = &[
    Look {
        call: "lambda:GetPolicy",
        root: "",
        properties: &[
            ours("Policy", "principal", "each statement, below"),
            ignored("RevisionId", "changes with every change of the policy"),
        ],
    },
    Look {
        call: "lambda:GetPolicy",
        root: "Policy.Statement[]",
        properties: &[
            identity("Sid", "it is found by; those of others are watched as their function's"),
            ours("Effect", "effect", "the trigger may invoke it"),
            ours("Principal", "principal", "the service of the trigger"),
            ours("Action", "action", "lambda:InvokeFunction and no more"),
            identity("Resource", "the function whose policy it is"),
            ours("Condition.ArnLike", "source", "the trigger's ARN"),
            ours("Condition", "other conditions", "they may let nothing through"),
        ],
    },
];

pub struct Permission {
    /// `{trigger} -> {function}`, for people.
    pub label: String,
    /// Name of the function that may be invoked.
    pub function: String,
    /// Statement id: [`SID_PREFIX`] and what is unique to the trigger.
    pub sid: String,
    /// Service that may invoke it: `sns.amazonaws.com`.
    pub principal: String,
    pub wanted: Arc<Wanted>,
    pub names: Names,
}

/// What a function's resource policy is to have, of which a permission is a part.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Statement ids.
    pub sids: BTreeSet<String>,
    /// What stands behind API and stage in the sources of the function's routes, `GET/path`, in
    /// every form that lets calls through.
    pub served: BTreeSet<String>,
}

/// The ARN that the service must call on behalf of. No account besides: for SNS that is
/// documented to end in access denied, and the ARN has it.
pub type SourceArn = String;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sid: String,
    principal: String,
    source_arn: String,
    action: String,
    effect: String,
    /// Besides the source; empty if there are none.
    conditions: String,
    /// How many of this id there are. AWS refuses a second one, emulators do not.
    copies: usize,
}

impl Statement {
    /// Whether it lets a route of this API call the function.
    pub fn is_for_api(&self, id: &str) -> bool {
        self.source_arn.contains(&format!(":{id}/"))
    }
}

/// The statements of a function's resource policy.
pub type Policy = Vec<Statement>;

/// By function name.
#[derive(Default)]
struct Policies(Cache<Policy>);

/// By function name: held by whoever writes its resource policy, since parallel writes lose
/// statements.
#[derive(Default)]
struct PolicyLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

fn policy_lock(cx: &Context<'_>, function: &str) -> Arc<tokio::sync::Mutex<()>> {
    let locks = cx.cloud.shared.of::<PolicyLocks>();
    let mut locks = locks.0.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(locks.entry(function.to_owned()).or_default())
}

impl Resource for Permission {
    const KIND: &'static str = "permission";
    type Client = Cloud;
    type Inputs = SourceArn;
    type State = Statement;

    fn name(&self) -> &str {
        &self.label
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<Statement>> {
        let (function, policy) =
            tokio::try_join!(function::lookup(cx, &self.function), policy(cx, &self.function))?;
        // A foreign function is not ours to change, whatever its policy says.
        let function = function.and_then(|found| function::judge(&self.names, &found).ok());
        Ok(part(function, policy.into_iter().find(|statement| statement.sid == self.sid)))
    }

    /// A route's goes with the route, or when one for all routes is in place.
    fn loss(&self, _: &Statement) -> Loss {
        if self.sid.starts_with(ROUTE_PREFIX) { Loss::Nothing } else { Loss::Settings }
    }

    fn diff(&self, source: &SourceArn, state: &Statement) -> Diff {
        let mut changes = Changes::default();
        changes.compare("principal", &state.principal, &self.principal);
        changes.compare("source", &state.source_arn, source);
        changes.compare("action", state.action.as_str(), "lambda:InvokeFunction");
        changes.compare("statements of this id", &state.copies, &1);
        changes.compare("effect", state.effect.as_str(), "Allow");
        let conditions = if state.conditions.is_empty() { "none" } else { &state.conditions };
        changes.compare("other conditions", conditions, "none");
        changes.update()
    }

    async fn create(&self, source: &SourceArn, cx: &Context<'_>) -> Result<Statement> {
        let lock = policy_lock(cx, &self.function);
        let _held = lock.lock().await;
        self.put(source, cx).await
    }

    async fn update(
        &self,
        source: &SourceArn,
        state: &Statement,
        cx: &Context<'_>,
    ) -> Result<Statement> {
        let lock = policy_lock(cx, &self.function);
        let _held = lock.lock().await;
        for _ in 0..state.copies {
            self.remove(&self.sid, cx).await?;
        }
        self.put(source, cx).await
    }

    async fn delete(&self, _: &Statement, cx: &Context<'_>) -> Result<()> {
        let lock = policy_lock(cx, &self.function);
        let _held = lock.lock().await;
        self.remove(&self.sid, cx).await
    }
}

impl Permission {
    /// Adds the statement, although the policy may be full of earlier ones.
    async fn put(&self, source: &SourceArn, cx: &Context<'_>) -> Result<Statement> {
        let mut removed = BTreeSet::new();
        loop {
            let error = match self.add(source, cx).await {
                Err(error) if is_too_long(&error) => error,
                added => return added,
            };
            let policy = policy(&cx.fresh(), &self.function).await?;
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
            self.remove(sid, cx).await?;
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
            self.function, self.label
        );
        let hint = if theirs.is_empty() {
            "Lambda takes 20,480 bytes: share the triggers among several functions".to_owned()
        } else {
            let remove = format!(
                "lambda remove-permission --function-name {} --statement-id ID",
                self.function
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

    async fn add(&self, source: &SourceArn, cx: &Context<'_>) -> Result<Statement> {
        let request = cx
            .cloud
            .lambda
            .add_permission()
            .function_name(&self.function)
            .statement_id(&self.sid)
            .action("lambda:InvokeFunction")
            .principal(&self.principal)
            .source_arn(source);
        let added = Call::new("lambda:AddPermission", &self.function)
            .wait(cx, &[CONCURRENT])
            .send(|| request.clone().send())
            .await;
        match added {
            Ok(_) => Ok(Statement {
                sid: self.sid.clone(),
                principal: self.principal.clone(),
                source_arn: source.clone(),
                action: "lambda:InvokeFunction".to_owned(),
                copies: 1,
                effect: "Allow".to_owned(),
                conditions: String::new(),
            }),
            Err(error) if error.message.contains("already exists") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(&self, sid: &str, cx: &Context<'_>) -> Result<()> {
        let request =
            cx.cloud.lambda.remove_permission().function_name(&self.function).statement_id(sid);
        let removed = Call::new("lambda:RemovePermission", &self.function)
            .wait(cx, &[CONCURRENT])
            .send(|| request.clone().send())
            .await;
        Ok(ignore_not_found(removed)?)
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

const ANY_SOURCE: &str = "any";
/// Where a condition may say for whom a service must act.
const SOURCES: [(&str, &str); 8] = [
    ("ArnLike", "AWS:SourceArn"),
    ("ArnLike", "aws:SourceArn"),
    ("ArnEquals", "AWS:SourceArn"),
    ("ArnEquals", "aws:SourceArn"),
    ("StringEquals", "AWS:SourceArn"),
    ("StringEquals", "aws:SourceArn"),
    ("StringLike", "AWS:SourceArn"),
    ("StringLike", "aws:SourceArn"),
];

fn is_too_long(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &ApiError| error.is("PolicyLengthExceeded"))
}

/// A function's resource policy, asked for once a run.
pub async fn policy(cx: &Context<'_>, function: &str) -> Result<Policy, ApiError> {
    let ask = || async {
        // Of what is to be created there is none. What is to be deleted is there, most likely.
        if cx.purpose == Purpose::Compare && function::lookup(cx, function).await?.is_none() {
            return Ok(Policy::new());
        }
        let answer = Call::new("lambda:GetPolicy", function)
            .send(|| cx.cloud.lambda.get_policy().function_name(function).send())
            .await;
        match answer {
            Ok(answer) => told(answer.policy, "Policy", ("lambda:GetPolicy", function))
                .map(|it| statements(&it)),
            Err(error) if error.is_not_found() => Ok(Policy::new()),
            Err(error) => Err(error),
        }
    };
    cx.cloud.answers.of::<Policies>().0.get(cx, function, ask).await
}

impl Statement {
    /// That somebody else may invoke the function, if it is not ours.
    pub(super) fn notice(&self) -> Option<Watched> {
        if self.sid.starts_with(SID_PREFIX) {
            return None;
        }
        let Self { sid, principal, source_arn, action, effect, conditions, .. } = self;
        let anybody = principal == "*" || principal.contains("\"*\"");
        let bare = source_arn == ANY_SOURCE && conditions.is_empty();
        let alarm =
            (anybody && bare && effect == "Allow").then(|| "everybody may invoke it".to_owned());
        let with = if conditions.is_empty() { String::new() } else { format!(" if {conditions}") };
        let found = format!("{effect} {principal} {action} for {source_arn}{with}");
        Some(Watched { property: format!("permission {sid}"), found, usual: None, alarm })
    }
}

fn statements(policy: &str) -> Policy {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let source = |statement: &Value| {
        SOURCES.iter().find(|at| !statement["Condition"][at.0][at.1].is_null()).copied()
    };
    let others = |statement: &Value| {
        let mut conditions = statement["Condition"].clone();
        if let Some((operator, key)) = source(statement) {
            conditions[operator].as_object_mut().map(|keys| keys.remove(key));
        }
        if let Some(operators) = conditions.as_object_mut() {
            operators.retain(|_, keys| keys.as_object().is_none_or(|keys| !keys.is_empty()));
        }
        match conditions {
            Value::Null => String::new(),
            Value::Object(none) if none.is_empty() => String::new(),
            some => some.to_string(),
        }
    };
    let statement = |statement: &Value| Statement {
        sid: text(&statement["Sid"]),
        principal: text(match &statement["Principal"]["Service"] {
            Value::Null => &statement["Principal"],
            service => service,
        }),
        source_arn: source(statement).map_or_else(
            || ANY_SOURCE.to_owned(),
            |(operator, key)| text(&statement["Condition"][operator][key]),
        ),
        effect: text(&statement["Effect"]),
        conditions: others(statement),
        action: text(&statement["Action"]),
        copies: 1,
    };
    let mut all = Policy::new();
    for statement in policy["Statement"].as_array().into_iter().flatten().map(statement) {
        match all.iter_mut().find(|earlier| earlier.sid == statement.sid) {
            Some(earlier) if !statement.sid.is_empty() => earlier.copies += 1,
            _ => all.push(statement),
        }
    }
    all
}

#[cfg(test)]
mod tests {
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
            label: String::new(),
            function: "f".to_owned(),
            sid: "advent-routes".to_owned(),
            principal: String::new(),
            wanted: Arc::new(Wanted {
                sids: ["advent-routes".to_owned()].into(),
                served: ["GET/alone", "GET/a/b", "*/a/*"].map(str::to_owned).into(),
            }),
            names: Names {
                stack: "s".into(),
                stage: "default".into(),
                region: "r".into(),
                account: "1".into(),
                partition: "aws".into(),
                own_tags: crate::aws::naming::Tags::new(),
            },
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

    #[test]
    fn statements_are_read_as_lambda_writes_them() {
        let policy = r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"advent-topic-t",
            "Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},
            "Action":"lambda:InvokeFunction","Resource":"arn:f",
            "Condition":{"ArnLike":{"AWS:SourceArn":"arn:t"}}},
            {"Sid":"open","Principal":"*","Action":"lambda:*"}]}"#;
        let read = statements(policy);
        assert_eq!(read[0].sid, "advent-topic-t");
        assert_eq!(read[0].principal, "sns.amazonaws.com");
        assert_eq!(read[0].source_arn, "arn:t");
        assert_eq!((read[1].principal.as_str(), read[1].source_arn.as_str()), ("*", "any"));
        assert_eq!(statements("no json"), []);
    }
}
