//! What a function's configuration may be: checked as Lambda checks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::function::{Function, Logging, invalid, range};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::iam;

/// What `CreateFunction` and `UpdateFunctionConfiguration` have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    pub role: Option<String>,
    pub runtime: Option<String>,
    pub handler: Option<String>,
    pub description: Option<String>,
    pub timeout: Option<u32>,
    pub memory_size: Option<u32>,
    pub environment: Option<Environment>,
    pub tracing_config: Option<Value>,
    pub ephemeral_storage: Option<EphemeralStorage>,
    pub logging_config: Option<Logging>,
    // What the local cloud has not got: refused unless empty.
    pub layers: Option<Value>,
    pub vpc_config: Option<Value>,
    pub file_system_configs: Option<Value>,
    pub dead_letter_config: Option<Value>,
    pub image_config: Option<Value>,
    #[serde(rename = "KMSKeyArn")]
    pub kms_key_arn: Option<Value>,
    pub snap_start: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Environment {
    #[serde(rename = "Variables")]
    pub variables: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct EphemeralStorage {
    #[serde(rename = "Size")]
    pub size: u32,
}

/// Variables that Lambda sets itself.
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// All variables together, in bytes (AWS: Lambda quotas).
const ENVIRONMENT_LIMIT: usize = 4096;

impl Input {
    /// Checks what was given and writes it into `function`.
    pub fn apply(self, cloud: &Arc<LocalCloud>, function: &mut Function) -> Result<(), AwsError> {
        self.refuse_what_is_missing_here()?;
        if let Some(role) = self.role {
            check_role(cloud, &role)?;
            function.role = role;
        }
        if let Some(runtime) = self.runtime {
            if !matches!(runtime.as_str(), "provided.al2023" | "provided.al2") {
                return Err(invalid(format!(
                    "The local cloud runs provided.al2023 and provided.al2, not {runtime}."
                )));
            }
            function.runtime = runtime;
        }
        if let Some(handler) = self.handler {
            if handler.is_empty() || handler.len() > 128 || handler.contains(char::is_whitespace) {
                return Err(super::function::constraint(&handler, "handler", r"[^\s]+"));
            }
            function.handler = handler;
        }
        if let Some(timeout) = self.timeout {
            if !(1..=900).contains(&timeout) {
                return Err(range("timeout", 1, 900));
            }
            function.timeout = timeout;
        }
        if let Some(memory) = self.memory_size {
            if !(128..=10_240).contains(&memory) {
                return Err(range("memorySize", 128, 10_240));
            }
            function.memory_size = memory;
        }
        if let Some(storage) = self.ephemeral_storage {
            if !(512..=10_240).contains(&storage.size) {
                return Err(range("ephemeralStorage.size", 512, 10_240));
            }
            function.ephemeral_storage = storage.size;
        }
        if let Some(description) = self.description {
            if description.chars().count() > 256 {
                return Err(range("description", 0, 256));
            }
            function.description = description;
        }
        // `Environment` without `Variables` leaves them as they are.
        if let Some(variables) = self.environment.and_then(|environment| environment.variables) {
            check_variables(&variables)?;
            function.environment = variables;
        }
        if let Some(tracing) = self.tracing_config {
            tracing["Mode"].as_str().unwrap_or("PassThrough").clone_into(&mut function.tracing);
        }
        if let Some(logging) = self.logging_config {
            logging.check()?;
            function.logging = Some(logging);
        }
        Ok(())
    }

    fn refuse_what_is_missing_here(&self) -> Result<(), AwsError> {
        let wanted = [
            ("Layers", &self.layers),
            ("VpcConfig", &self.vpc_config),
            ("FileSystemConfigs", &self.file_system_configs),
            ("DeadLetterConfig", &self.dead_letter_config),
            ("ImageConfig", &self.image_config),
            ("KMSKeyArn", &self.kms_key_arn),
        ];
        for (name, value) in wanted {
            if value.as_ref().is_some_and(|value| !is_empty(value)) {
                return Err(invalid(format!("The local cloud does not know {name}.")));
            }
        }
        let snap = self.snap_start.as_ref().and_then(|snap| snap["ApplyOn"].as_str());
        if snap.is_some_and(|apply| apply != "None") {
            return Err(invalid(
                "provided.al2023 is not supported for SnapStart enabled functions.",
            ));
        }
        Ok(())
    }
}

/// Whether nothing is asked for: null, "", [], {} or objects of such.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

fn check_role(cloud: &Arc<LocalCloud>, arn: &str) -> Result<(), AwsError> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    let assumable = iam::role(cloud, name)?
        .is_some_and(|role| role.arn == arn && role.trusts("lambda.amazonaws.com"));
    if assumable {
        Ok(())
    } else {
        Err(invalid("The role defined for the function cannot be assumed by Lambda."))
    }
}

fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), AwsError> {
    let reserved: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment \
             variables you have provided contains reserved keys that are currently not supported \
             for modification. Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    for name in variables.keys() {
        let mut bytes = name.bytes();
        let legal = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && name.len() > 1
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !legal {
            return Err(super::function::constraint(
                name,
                "environment.variables",
                "[a-zA-Z]([a-zA-Z0-9_])+",
            ));
        }
    }
    let size: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > ENVIRONMENT_LIMIT {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment \
             variables you have provided exceeded the 4KB limit. String measured: {}",
            json!(variables)
        )));
    }
    if let Some((name, _)) = variables.iter().find(|(_, value)| value.contains('\0')) {
        return Err(super::function::constraint(name, "environment.variables", "no NUL"));
    }
    Ok(())
}
