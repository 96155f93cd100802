//! How asynchronous events of a function are retried.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::function;
use crate::local::call::{ApiCall, Reply};
use crate::local::clock::now_ms;
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EventInvokeConfig {
    /// 0 to 2.
    pub retries: Option<u32>,
    /// Seconds, 60 to 21,600.
    pub age: Option<u32>,
    /// Milliseconds since the epoch.
    pub modified: i64,
}

impl EventInvokeConfig {
    fn json(&self, arn: &str) -> Value {
        let mut value = json!({
            "FunctionArn": format!("{arn}:$LATEST"),
            "LastModified": self.modified / 1000,
            "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
        });
        if let Some(retries) = self.retries {
            value["MaximumRetryAttempts"] = retries.into();
        }
        if let Some(age) = self.age {
            value["MaximumEventAgeInSeconds"] = age.into();
        }
        value
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Option<Value>,
}

pub(super) fn put(cloud: &Arc<LocalCloud>, call: &ApiCall, name: &str) -> Result<Reply, AwsError> {
    let input: Input = call.input()?;
    if input.maximum_retry_attempts.is_some_and(|retries| retries > 2) {
        return Err(function::range("maximumRetryAttempts", 0, 2));
    }
    if input.maximum_event_age_in_seconds.is_some_and(|age| !(60..=21_600).contains(&age)) {
        return Err(function::range("maximumEventAgeInSeconds", 60, 21_600));
    }
    let names = |side: &str| {
        input.destination_config.as_ref().is_some_and(|to| to[side]["Destination"].is_string())
    };
    if names("OnSuccess") || names("OnFailure") {
        return Err(function::invalid(
            "The local cloud has no destinations: it keeps what failed for good itself.",
        ));
    }
    let update = call.operation.starts_with("Update");
    cloud.store.write(|db| {
        let mut function = function::find(db, call, name)?;
        let mut config = function.event_invoke.take().filter(|_| update).unwrap_or_default();
        config.retries = input.maximum_retry_attempts.or(config.retries);
        config.age = input.maximum_event_age_in_seconds.or(config.age);
        config.modified = now_ms();
        let answer = config.json(&function.arn());
        function.event_invoke = Some(config);
        function.put(db)?;
        Reply::json(&answer)
    })
}

fn missing(arn: &str) -> AwsError {
    AwsError::new(
        404,
        "ResourceNotFoundException",
        format!("The function {arn}:$LATEST doesn't have an EventInvokeConfig"),
    )
}

pub(super) fn get(cloud: &Arc<LocalCloud>, call: &ApiCall, name: &str) -> Result<Reply, AwsError> {
    let function = function::require(cloud, call, name)?;
    let arn = function.arn();
    let config = function.event_invoke.ok_or_else(|| missing(&arn))?;
    Reply::json(&config.json(&arn))
}

pub(super) fn delete(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Reply, AwsError> {
    cloud.store.write(|db| {
        let mut function = function::find(db, call, name)?;
        function.event_invoke.take().ok_or_else(|| missing(&function.arn()))?;
        function.put(db)?;
        Ok(Reply::empty(204))
    })
}
