//! STS: who calls.

use std::sync::Arc;

use serde_json::json;

use super::ACCOUNT;
use super::call::{ApiCall, Principal, Reply};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::iam;
use super::need::Need;

/// What a call needs.
pub fn needs(call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    match call.operation.as_str() {
        // No permission.
        "GetCallerIdentity" => Ok(Vec::new()),
        _ => Err(AwsError::unknown_call(call)),
    }
}

pub fn handle(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    match call.operation.as_str() {
        "GetCallerIdentity" => {
            let user = match &call.principal {
                Principal::Operator => ACCOUNT.to_owned(),
                Principal::Function { role, function } => {
                    let id =
                        iam::role(cloud, role)?.map(|role| role.id.clone()).unwrap_or_default();
                    format!("{id}:{function}")
                }
            };
            Ok(Reply::query(
                call,
                &json!({"Arn": call.principal.arn(), "UserId": user, "Account": ACCOUNT}),
            ))
        }
        _ => Err(AwsError::unknown_call(call)),
    }
}
