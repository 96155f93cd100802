//! Functions as Lambda's control plane keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::code::Package;
use super::pool::Spec;
use super::settings::EventInvokeConfig;
use super::{KIND, output};
use crate::local::ACCOUNT;
use crate::local::call::ApiCall;
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::store::Db;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Function {
    pub name: String,
    pub region: String,
    pub role: String,
    pub runtime: String,
    pub handler: String,
    pub description: String,
    /// Seconds.
    pub timeout: u32,
    /// MB.
    pub memory_size: u32,
    /// MB.
    pub ephemeral_storage: u32,
    pub environment: BTreeMap<String, String>,
    pub architecture: String,
    pub tracing: String,
    pub logging: Option<Logging>,
    pub code_sha256: String,
    pub code_size: u64,
    pub last_modified: String,
    pub revision: String,
    /// Microseconds since the epoch of the last change: what runs is of one generation.
    pub generation: i64,
    pub tags: BTreeMap<String, String>,
    pub policy: Vec<Value>,
    pub policy_revision: String,
    pub event_invoke: Option<EventInvokeConfig>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Logging {
    pub log_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_log_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_log_level: Option<String>,
    pub log_group: Option<String>,
}

impl Logging {
    pub fn check(&self) -> Result<(), AwsError> {
        let legal = |value: &Option<String>, of: &[&str]| {
            value.as_deref().is_none_or(|value| of.contains(&value))
        };
        if !legal(&self.log_format, &["Text", "JSON"]) {
            return Err(constraint("", "loggingConfig.logFormat", "[JSON, Text]"));
        }
        let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        if !legal(&self.application_log_level, &levels) {
            return Err(constraint("", "loggingConfig.applicationLogLevel", "a log level"));
        }
        if !legal(&self.system_log_level, &["DEBUG", "INFO", "WARN"]) {
            return Err(constraint("", "loggingConfig.systemLogLevel", "[DEBUG, INFO, WARN]"));
        }
        Ok(())
    }

    fn is_json(&self) -> bool {
        self.log_format.as_deref() == Some("JSON")
    }
}

impl Function {
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT}:function:{}", self.region, self.name)
    }

    fn log_group(&self) -> String {
        self.logging
            .as_ref()
            .and_then(|logging| logging.log_group.clone())
            .unwrap_or_else(|| format!("/aws/lambda/{}", self.name))
    }

    /// Its place in the process pool.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }

    pub fn spec(&self) -> Spec {
        let mut variables: Vec<_> = self.environment.clone().into_iter().collect();
        if let Some(logging) = self.logging.as_ref().filter(|logging| logging.is_json()) {
            let level = logging.application_log_level.as_deref().unwrap_or("INFO");
            variables.insert(0, ("AWS_LAMBDA_LOG_FORMAT".to_owned(), "JSON".to_owned()));
            variables.insert(1, ("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.to_owned()));
        }
        Spec {
            key: self.key(),
            name: self.name.clone(),
            region: self.region.clone(),
            arn: self.arn(),
            generation: self.generation,
            code_sha256: self.code_sha256.clone(),
            handler: self.handler.clone(),
            memory_mb: self.memory_size,
            timeout: Duration::from_secs(self.timeout.into()),
            log_group: self.log_group(),
            role: self.role.rsplit('/').next().unwrap_or_default().to_owned(),
            variables,
        }
    }

    /// As the official model's `FunctionConfiguration`.
    pub fn configuration(&self) -> Value {
        let mut logging = json!({"LogFormat": "Text", "LogGroup": self.log_group()});
        if let Some(own) = self.logging.as_ref().filter(|own| own.is_json()) {
            logging = json!({
                "LogFormat": "JSON", "LogGroup": self.log_group(),
                "ApplicationLogLevel": own.application_log_level.as_deref().unwrap_or("INFO"),
                "SystemLogLevel": own.system_log_level.as_deref().unwrap_or("INFO"),
            });
        }
        let mut value = json!({
            "FunctionName": self.name, "FunctionArn": self.arn(), "Runtime": self.runtime,
            "Role": self.role, "Handler": self.handler, "CodeSize": self.code_size,
            "Description": self.description, "Timeout": self.timeout,
            "MemorySize": self.memory_size, "LastModified": self.last_modified,
            "CodeSha256": self.code_sha256, "Version": "$LATEST",
            "TracingConfig": {"Mode": self.tracing}, "RevisionId": self.revision,
            "State": "Active", "LastUpdateStatus": "Successful", "PackageType": "Zip",
            "Architectures": [self.architecture],
            "EphemeralStorage": {"Size": self.ephemeral_storage},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": logging,
        });
        if !self.environment.is_empty() {
            value["Environment"] = json!({"Variables": self.environment});
        }
        value
    }

    /// The function itself was changed.
    pub(super) fn touch(&mut self) {
        let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
        self.generation = i64::try_from(now).unwrap_or(i64::MAX).max(self.generation + 1);
        self.last_modified = output::timestamp().replace('Z', "+0000");
        self.revision = Uuid::new_v4().to_string();
    }

    pub(super) fn set_code(&mut self, package: &Package) {
        self.code_sha256.clone_from(&package.sha256);
        self.code_size = package.size;
    }

    pub fn put(&self, db: &Db<'_>) -> Result<(), AwsError> {
        db.put(KIND, &self.region, &self.name, self)
    }
}

pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidParameterValueException", message)
}

pub(super) fn constraint(value: &str, member: &str, pattern: &str) -> AwsError {
    AwsError::new(
        400,
        "ValidationException",
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: {pattern}"
        ),
    )
}

pub(super) fn range(member: &str, least: u32, most: u32) -> AwsError {
    AwsError::new(
        400,
        "ValidationException",
        format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
             Member must have value between {least} and {most}"
        ),
    )
}

pub(super) fn stale_revision() -> AwsError {
    AwsError::new(
        412,
        "PreconditionFailedException",
        "The RevisionId provided does not match the latest RevisionId. ApiCall the \
         GetFunction/GetAlias API to retrieve the latest RevisionId",
    )
}

/// Region and name of a function's ARN, with or without `:$LATEST`.
pub(super) fn parse_arn(arn: &str) -> Option<(&str, &str)> {
    let (region, rest) = arn.strip_prefix("arn:aws:lambda:")?.split_once(':')?;
    let name = rest.strip_prefix(ACCOUNT)?.strip_prefix(":function:")?;
    let name = name.strip_suffix(":$LATEST").unwrap_or(name);
    (!name.contains(':')).then_some((region, name))
}

fn not_found(call: &ApiCall, name: &str) -> AwsError {
    AwsError::new(
        404,
        "ResourceNotFoundException",
        format!("Function not found: {}", call.arn("lambda", &format!("function:{name}"))),
    )
}

/// A function's name out of what may stand in its place: name, partial or full ARN.
pub(super) fn name(call: &ApiCall, given: &str) -> Result<String, AwsError> {
    let mut rest = given;
    if rest.starts_with("arn:") {
        let (region, name) = parse_arn(given).ok_or_else(|| not_found(call, given))?;
        if region != call.region {
            return Err(not_found(call, name));
        }
        rest = name;
    } else {
        rest = rest.strip_prefix(&format!("{ACCOUNT}:")).unwrap_or(rest);
        rest = rest.strip_prefix("function:").unwrap_or(rest);
    }
    let (name, qualifier) = match rest.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (rest, call.query("Qualifier")),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(legal) {
        return Err(constraint(
            given,
            "functionName",
            r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
        ));
    }
    match qualifier {
        None | Some("$LATEST") => Ok(name.to_owned()),
        // There are no versions and no aliases here.
        Some(qualifier) => Err(not_found(call, &format!("{name}:{qualifier}"))),
    }
}

pub(super) fn name_of_arn(call: &ApiCall, arn: &str) -> Result<String, AwsError> {
    if !arn.starts_with("arn:") {
        return Err(constraint(arn, "resource", r"arn:(aws[a-zA-Z-]*):lambda:..."));
    }
    name(call, arn)
}

pub(super) fn find(db: &Db<'_>, call: &ApiCall, name: &str) -> Result<Function, AwsError> {
    db.get(KIND, &call.region, name)?.ok_or_else(|| not_found(call, name))
}

pub(super) fn require(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Function, AwsError> {
    cloud.store.read(|db| find(db, call, name))
}
