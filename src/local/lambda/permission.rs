//! A function's resource policy: who may invoke it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::function::{self, Function};
use crate::local::ACCOUNT;
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::policy::{self, Decision, Request};

/// The largest policy, in bytes (AWS: `AddPermission`).
const POLICY_LIMIT: usize = 20 * 1024;

pub(super) fn add(cloud: &Arc<LocalCloud>, call: &ApiCall, name: &str) -> Result<Reply, AwsError> {
    let sid = call.need("StatementId")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=100).contains(&sid.len()) || !sid.bytes().all(legal) {
        return Err(function::constraint(sid, "statementId", "([a-zA-Z0-9-_]+)"));
    }
    let action = call.need("Action")?;
    if action != "*" && !action.starts_with("lambda:") {
        return Err(function::constraint(action, "action", r"(lambda:[*]|lambda:[a-zA-Z]+|[*])"));
    }
    let principal = principal(call.need("Principal")?)?;
    let mut conditions = serde_json::Map::new();
    if let Some(account) = call.text("SourceAccount") {
        conditions.insert("StringEquals".into(), json!({"AWS:SourceAccount": account}));
    }
    if let Some(source) = call.text("SourceArn") {
        if !source.starts_with("arn:") {
            return Err(function::constraint(source, "sourceArn", "arn:..."));
        }
        conditions.insert("ArnLike".into(), json!({"AWS:SourceArn": source}));
    }
    let statement = change(cloud, call, name, |function| {
        if function.policy.iter().any(|statement| statement["Sid"] == sid) {
            return Err(AwsError::new(
                409,
                "ResourceConflictException",
                format!(
                    "The statement id ({sid}) provided already exists. Please provide a new \
                     statement id, or remove the existing statement."
                ),
            ));
        }
        let mut statement = json!({
            "Sid": sid, "Effect": "Allow", "Principal": principal, "Action": action,
            "Resource": function.arn(),
        });
        if !conditions.is_empty() {
            statement["Condition"] = Value::Object(conditions);
        }
        function.policy.push(statement.clone());
        if document(function).to_string().len() > POLICY_LIMIT {
            return Err(AwsError::new(
                400,
                "PolicyLengthExceededException",
                format!("The final policy size is bigger than the limit ({POLICY_LIMIT})."),
            ));
        }
        Ok(statement)
    })?;
    Reply::json_status(201, &json!({"Statement": statement.to_string()}))
}

fn principal(text: &str) -> Result<Value, AwsError> {
    if text == "*" {
        return Ok(json!("*"));
    }
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(json!({"AWS": format!("arn:aws:iam::{text}:root")}));
    }
    if text.starts_with("arn:") {
        return Ok(json!({"AWS": text}));
    }
    if text.ends_with(".amazonaws.com") {
        return Ok(json!({"Service": text}));
    }
    Err(function::invalid(
        "The provided principal was invalid. Please check the principal and try again.",
    ))
}

pub(super) fn remove(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
    sid: &str,
) -> Result<Reply, AwsError> {
    change(cloud, call, name, |function| {
        let before = function.policy.len();
        function.policy.retain(|statement| statement["Sid"] != sid);
        if function.policy.len() == before {
            return Err(AwsError::new(
                404,
                "ResourceNotFoundException",
                format!("Statement {sid} is not found in resource policy."),
            ));
        }
        Ok(())
    })?;
    Ok(Reply::empty(204))
}

pub(super) fn get(cloud: &Arc<LocalCloud>, call: &ApiCall, name: &str) -> Result<Reply, AwsError> {
    let function = function::require(cloud, call, name)?;
    if function.policy.is_empty() {
        return Err(AwsError::new(
            404,
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        ));
    }
    let policy = document(&function).to_string();
    Reply::json(&json!({"Policy": policy, "RevisionId": function.policy_revision}))
}

fn document(function: &Function) -> Value {
    json!({"Version": "2012-10-17", "Id": "default", "Statement": function.policy})
}

/// Changes the policy under its own revision: the function itself stays as it is.
fn change<T>(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
    change: impl FnOnce(&mut Function) -> Result<T, AwsError>,
) -> Result<T, AwsError> {
    let revision = call.text("RevisionId").or_else(|| call.query("RevisionId"));
    cloud.store.write(|db| {
        let mut function = function::find(db, call, name)?;
        if revision.is_some_and(|revision| revision != function.policy_revision) {
            return Err(function::stale_revision());
        }
        let result = change(&mut function)?;
        function.policy_revision = Uuid::new_v4().to_string();
        function.put(db)?;
        Ok(result)
    })
}

/// Whether `service` may invoke the function for `source`.
pub(super) fn allows(function: &Function, service: &str, source: &str) -> bool {
    let mut context = BTreeMap::from([("aws:SourceArn".to_owned(), vec![source.to_owned()])]);
    // SNS does not say for which account it calls (AWS: Lambda's guide on SNS), so that a
    // condition on the account lets nothing through.
    if service != "sns.amazonaws.com" {
        context.insert("aws:SourceAccount".to_owned(), vec![ACCOUNT.to_owned()]);
    }
    let arn = function.arn();
    let request = Request {
        principal: Some(("Service", service)),
        action: "lambda:InvokeFunction",
        resource: &arn,
        context,
    };
    policy::evaluate([&document(function)], &request) == Decision::Allow
}
