//! Leave for a topic or a route to invoke a function: one statement of its resource policy.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::function;
use crate::aws::retry::gone;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Wait};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Purpose, Resource};

/// Statements whose id begins so are ours.
pub const SID_PREFIX: &str = "advent-";

const CONCURRENT: Wait = Wait {
    code: "ResourceConflict",
    message: "update",
    note: "waiting for another change of the function",
    at_most: Duration::from_mins(2),
};

pub struct Permission {
    /// `{trigger} -> {function}`, for people.
    pub label: String,
    /// Name of the function that may be invoked.
    pub function: String,
    /// Statement id: [`SID_PREFIX`] and what is unique to the trigger.
    pub sid: String,
    /// Service that may invoke it: `sns.amazonaws.com`.
    pub principal: String,
    pub names: Names,
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
}

/// The statements of a function's resource policy.
pub type Policy = Vec<Statement>;

impl Resource for Permission {
    const KIND: &'static str = "permission";
    type Cloud = Cloud;
    type Inputs = SourceArn;
    type State = Statement;

    fn name(&self) -> &str {
        &self.label
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<Statement>> {
        let (function, policy) =
            tokio::try_join!(function::lookup(cx, &self.function), policy(cx, &self.function))?;
        // A stranger's function is not ours to change, whatever its policy says.
        if function.is_none_or(|found| function::stranger(&self.names, &found).is_some()) {
            return Ok(Found::Missing);
        }
        Ok(policy
            .into_iter()
            .find(|statement| statement.sid == self.sid)
            .map_or(Found::Missing, Found::Ours))
    }

    fn diff(&self, source: &SourceArn, state: &Statement) -> Diff {
        let mut changes = Changes::default();
        changes.compare("principal", &state.principal, &self.principal);
        changes.compare("source", &state.source_arn, source);
        changes.compare("action", state.action.as_str(), "lambda:InvokeFunction");
        changes.update()
    }

    async fn create(&self, source: &SourceArn, cx: &Context<'_>) -> Result<Statement> {
        let lock = cx.cloud.policy_lock(&self.function);
        let _held = lock.lock().await;
        self.add(source, cx).await
    }

    async fn update(
        &self,
        source: &SourceArn,
        _: &Statement,
        cx: &Context<'_>,
    ) -> Result<Statement> {
        let lock = cx.cloud.policy_lock(&self.function);
        let _held = lock.lock().await;
        self.remove(cx).await?;
        self.add(source, cx).await
    }

    async fn delete(&self, _: &Statement, cx: &Context<'_>) -> Result<()> {
        let lock = cx.cloud.policy_lock(&self.function);
        let _held = lock.lock().await;
        self.remove(cx).await
    }
}

impl Permission {
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
            }),
            Err(error) if error.message.contains("already exists") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(&self, cx: &Context<'_>) -> Result<()> {
        let request = cx
            .cloud
            .lambda
            .remove_permission()
            .function_name(&self.function)
            .statement_id(&self.sid);
        let removed = Call::new("lambda:RemovePermission", &self.function)
            .wait(cx, &[CONCURRENT])
            .send(|| request.clone().send())
            .await;
        Ok(gone(removed)?)
    }
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
            Ok(answer) => Ok(answer.policy.as_deref().map(statements).unwrap_or_default()),
            Err(error) if error.is_not_found() => Ok(Policy::new()),
            Err(error) => Err(error),
        }
    };
    cx.cloud.policies.get(cx, function, ask).await
}

fn statements(policy: &str) -> Policy {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let statement = |statement: &Value| Statement {
        sid: text(&statement["Sid"]),
        principal: text(match &statement["Principal"]["Service"] {
            Value::Null => &statement["Principal"],
            service => service,
        }),
        source_arn: ["ArnLike", "ArnEquals", "StringEquals", "StringLike"]
            .iter()
            .flat_map(|operator| ["AWS:SourceArn", "aws:SourceArn"].map(|key| (operator, key)))
            .map(|(operator, key)| &statement["Condition"][operator][key])
            .find(|arn| !arn.is_null())
            .map_or_else(|| "any".to_owned(), text),
        action: text(&statement["Action"]),
    };
    policy["Statement"].as_array().into_iter().flatten().map(statement).collect()
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
