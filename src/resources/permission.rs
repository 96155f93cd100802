//! Leave for a topic or a route to invoke a function: one statement of its resource policy.

mod room;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::function::{self, Lookup};
use super::watch::{Look, identity, ignored, ours};
use crate::aws::cache::Cache;
use crate::aws::retry::ignore_not_found;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Wait, told};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Identity, Loss, Resource, Watched};
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

pub struct PermissionId {
    /// `{trigger} -> {function}`, for people.
    pub label: String,
    /// Name of the function that may be invoked.
    pub function: String,
    /// Statement id: [`SID_PREFIX`] and what is unique to the trigger.
    pub sid: String,
    pub names: Names,
}

pub struct Permission {
    pub id: PermissionId,
    /// Service that may invoke it: `sns.amazonaws.com`.
    pub principal: String,
    pub wanted: Arc<Wanted>,
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

impl Identity for PermissionId {
    const KIND: &'static str = "permission";
    type Client = Cloud;
    type State = Statement;

    fn name(&self) -> &str {
        &self.label
    }

    /// A route's goes with the route, or when one for all routes is in place.
    fn loss(&self, _: &Statement) -> Loss {
        if self.sid.starts_with(ROUTE_PREFIX) { Loss::Nothing } else { Loss::Settings }
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<Statement>> {
        // The function is there, most likely.
        let (function, policy) =
            tokio::try_join!(function::lookup(cx, &self.function), ask(cx, &self.function))?;
        Ok(self.judged(function, policy))
    }

    async fn delete(&self, _: &Statement, cx: &Context<'_>) -> Result<()> {
        let lock = policy_lock(cx, &self.function);
        let _held = lock.lock().await;
        self.remove(&self.sid, cx).await
    }
}

impl Resource for Permission {
    type Id = PermissionId;
    type Inputs = SourceArn;

    fn id(&self) -> &PermissionId {
        &self.id
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<Statement>> {
        let name = &self.id.function;
        let (function, policy) = tokio::try_join!(function::lookup(cx, name), policy(cx, name))?;
        Ok(self.id.judged(function, policy))
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
        let lock = policy_lock(cx, &self.id.function);
        let _held = lock.lock().await;
        self.put(source, cx).await
    }

    async fn update(
        &self,
        source: &SourceArn,
        state: &Statement,
        cx: &Context<'_>,
    ) -> Result<Statement> {
        let lock = policy_lock(cx, &self.id.function);
        let _held = lock.lock().await;
        for _ in 0..state.copies {
            self.id.remove(&self.id.sid, cx).await?;
        }
        self.put(source, cx).await
    }
}

impl PermissionId {
    /// A foreign function is not ours to change, whatever its policy says.
    fn judged(&self, function: Option<Arc<Lookup>>, policy: Policy) -> Found<Statement> {
        let function = function.and_then(|found| function::judge(&self.names, &found).ok());
        part(function, policy.into_iter().find(|statement| statement.sid == self.sid))
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

impl Permission {
    async fn add(&self, source: &SourceArn, cx: &Context<'_>) -> Result<Statement> {
        let request = cx
            .cloud
            .lambda
            .add_permission()
            .function_name(&self.id.function)
            .statement_id(&self.id.sid)
            .action("lambda:InvokeFunction")
            .principal(&self.principal)
            .source_arn(source);
        let added = Call::new("lambda:AddPermission", &self.id.function)
            .wait(cx, &[CONCURRENT])
            .send(|| request.clone().send())
            .await;
        match added {
            Ok(_) => Ok(Statement {
                sid: self.id.sid.clone(),
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

/// A function's resource policy, asked for once a run. Of what is to be created there is none.
pub async fn policy(cx: &Context<'_>, function: &str) -> Result<Policy, ApiError> {
    match function::lookup(cx, function).await? {
        Some(_) => ask(cx, function).await,
        None => Ok(Policy::new()),
    }
}

/// The same, of a function that is there most likely.
async fn ask(cx: &Context<'_>, function: &str) -> Result<Policy, ApiError> {
    let ask = || async {
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
