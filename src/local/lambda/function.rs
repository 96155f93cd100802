//! Functions as Lambda's control plane keeps them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::code::{CodeError, CodeStore, Package};
use super::configuration;
use super::pool::Spec;
use super::settings::EventInvokeConfig;
use super::{KIND, code, output, queue};
use crate::local::ACCOUNT;
use crate::local::call::{Call, Reply};
use crate::local::cloud::Cloud;
use crate::local::error::AwsError;
use crate::local::store::Db;

/// The largest zip, in bytes (AWS: Lambda quotas, direct upload).
const ZIP_LIMIT: usize = 50 * 1024 * 1024;

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
    fn key(&self) -> String {
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
    fn touch(&mut self) {
        let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
        self.generation = i64::try_from(now).unwrap_or(i64::MAX).max(self.generation + 1);
        self.last_modified = output::timestamp().replace('Z', "+0000");
        self.revision = Uuid::new_v4().to_string();
    }

    fn set_code(&mut self, package: &Package) {
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
        "The RevisionId provided does not match the latest RevisionId. Call the \
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

fn not_found(call: &Call, name: &str) -> AwsError {
    AwsError::new(
        404,
        "ResourceNotFoundException",
        format!("Function not found: {}", call.arn("lambda", &format!("function:{name}"))),
    )
}

/// A function's name out of what may stand in its place: name, partial or full ARN.
pub(super) fn name(call: &Call, given: &str) -> Result<String, AwsError> {
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

pub(super) fn name_of_arn(call: &Call, arn: &str) -> Result<String, AwsError> {
    if !arn.starts_with("arn:") {
        return Err(constraint(arn, "resource", r"arn:(aws[a-zA-Z-]*):lambda:..."));
    }
    name(call, arn)
}

pub(super) fn find(db: &Db<'_>, call: &Call, name: &str) -> Result<Function, AwsError> {
    db.get(KIND, &call.region, name)?.ok_or_else(|| not_found(call, name))
}

pub(super) fn require(cloud: &Arc<Cloud>, call: &Call, name: &str) -> Result<Function, AwsError> {
    cloud.store.read(|db| find(db, call, name))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    code: Option<Value>,
    architectures: Option<Vec<String>>,
    package_type: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    publish: Option<bool>,
}

pub(super) async fn create(cloud: &Arc<Cloud>, call: &Call, name: &str) -> Result<Reply, AwsError> {
    let input: Create = call.input()?;
    let configuration: configuration::Input = call.input()?;
    if input.package_type.as_deref().is_some_and(|package| package != "Zip") {
        return Err(invalid("The local cloud runs zips, not images."));
    }
    if configuration.runtime.is_none() || configuration.handler.is_none() {
        return Err(invalid(
            "Runtime and Handler are mandatory parameters for functions created with deployment \
             packages.",
        ));
    }
    call.need("Role")?;
    refuse_versions(input.publish)?;
    check_tags(&input.tags)?;
    let mut function = Function {
        name: name.to_owned(),
        region: call.region.clone(),
        timeout: 3,
        memory_size: 128,
        ephemeral_storage: 512,
        architecture: "x86_64".to_owned(),
        tracing: "PassThrough".to_owned(),
        tags: input.tags,
        ..Function::default()
    };
    let exists = || {
        AwsError::new(409, "ResourceConflictException", format!("Function already exist: {name}"))
            .with("Type", "User")
    };
    if cloud.store.read(|db| db.get::<Function>(KIND, &call.region, name))?.is_some() {
        return Err(exists());
    }
    set_architecture(&mut function, input.architectures)?;
    configuration.apply(cloud, call, &mut function)?;
    let zip = zip_of(input.code.as_ref().unwrap_or(&Value::Null))?;
    let runtime = cloud.lambda.get()?;
    let _in_use = runtime.code_in_use.lock().await;
    function.set_code(&store(&runtime.code, zip).await?);
    function.touch();
    function.policy_revision = Uuid::new_v4().to_string();
    if !cloud.store.write(|db| db.insert(KIND, &call.region, name, &function))? {
        return Err(exists());
    }
    Reply::json_status(201, &function.configuration())
}

fn refuse_versions(publish: Option<bool>) -> Result<(), AwsError> {
    if publish == Some(true) {
        return Err(AwsError::unknown("lambda:PublishVersion (Publish is true)"));
    }
    Ok(())
}

fn set_architecture(
    function: &mut Function,
    architectures: Option<Vec<String>>,
) -> Result<(), AwsError> {
    match architectures.as_deref() {
        None => Ok(()),
        Some([one]) if matches!(one.as_str(), "x86_64" | "arm64") => {
            function.architecture.clone_from(one);
            Ok(())
        }
        Some(other) => Err(constraint(&other.join(", "), "architectures", "[x86_64, arm64]")),
    }
}

fn zip_of(code: &Value) -> Result<Vec<u8>, AwsError> {
    if code["S3Bucket"].is_string() || code["ImageUri"].is_string() {
        return Err(invalid("The local cloud takes code as ZipFile only."));
    }
    let text = code["ZipFile"]
        .as_str()
        .ok_or_else(|| invalid("Please provide a source for function code."))?;
    let zip = BASE64
        .decode(text)
        .map_err(|error| AwsError::new(400, "SerializationException", error.to_string()))?;
    if zip.len() > ZIP_LIMIT {
        return Err(AwsError::new(
            413,
            "RequestEntityTooLargeException",
            format!(
                "Request must be smaller than {ZIP_LIMIT} bytes for the CreateFunction operation"
            ),
        ));
    }
    Ok(zip)
}

fn code_error(error: CodeError) -> AwsError {
    match error {
        CodeError::Invalid => invalid(
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
        CodeError::TooLarge => invalid("Unzipped size must be smaller than 262144000 bytes"),
        CodeError::Io(error) => error.into(),
    }
}

async fn store(code: &CodeStore, zip: Vec<u8>) -> Result<Package, AwsError> {
    let code = code.clone();
    tokio::task::spawn_blocking(move || code.put(&zip))
        .await
        .map_err(AwsError::internal)?
        .map_err(code_error)
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), AwsError> {
    if tags.len() > 50 {
        return Err(invalid("The number of tags must not exceed 50."));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid(format!("Invalid tag: {key}")));
        }
        if key.starts_with("aws:") {
            return Err(invalid("The tag key must not begin with aws:"));
        }
    }
    Ok(())
}

pub(super) fn get(cloud: &Arc<Cloud>, call: &Call, name: &str) -> Result<Reply, AwsError> {
    let function = require(cloud, call, name)?;
    let file = code::name_of(&function.code_sha256);
    let mut value = json!({
        "Configuration": function.configuration(),
        "Code": {
            "RepositoryType": "S3",
            "Location": format!("{}/_aws/lambda/code/{file}.zip", cloud.url),
        },
    });
    if !function.tags.is_empty() {
        value["Tags"] = json!(function.tags);
    }
    Reply::json(&value)
}

pub(super) fn list(cloud: &Arc<Cloud>, call: &Call) -> Result<Reply, AwsError> {
    let most = match call.query("MaxItems").map(str::parse::<usize>) {
        None => 50,
        Some(Ok(most)) if (1..=10_000).contains(&most) => most.min(50),
        Some(_) => return Err(range("maxItems", 1, 10_000)),
    };
    let after = call.query("Marker").unwrap_or_default();
    let all = cloud.store.read(|db| db.list::<Function>(KIND, &call.region))?;
    let rest: Vec<_> =
        all.into_iter().map(|(_, function)| function).filter(|f| f.name.as_str() > after).collect();
    let page: Vec<Value> = rest.iter().take(most).map(Function::configuration).collect();
    let mut value = json!({"Functions": page});
    if rest.len() > most {
        value["NextMarker"] = rest[most - 1].name.clone().into();
    }
    Reply::json(&value)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateCode {
    architectures: Option<Vec<String>>,
    publish: Option<bool>,
    #[serde(default)]
    dry_run: bool,
    revision_id: Option<String>,
}

pub(super) async fn update_code(
    cloud: &Arc<Cloud>,
    call: &Call,
    name: &str,
) -> Result<Reply, AwsError> {
    let input: UpdateCode = call.input()?;
    refuse_versions(input.publish)?;
    let mut function = require(cloud, call, name)?;
    let zip = zip_of(&call.params)?;
    let runtime = cloud.lambda.get()?;
    if input.dry_run {
        set_architecture(&mut function, input.architectures)?;
        let checked = tokio::task::spawn_blocking(move || CodeStore::check(&zip));
        function.set_code(&checked.await.map_err(AwsError::internal)?.map_err(code_error)?);
        return Reply::json(&function.configuration());
    }
    let function = {
        let _in_use = runtime.code_in_use.lock().await;
        let package = store(&runtime.code, zip).await?;
        cloud.store.write(|db| {
            let mut function = find(db, call, name)?;
            if input.revision_id.as_ref().is_some_and(|revision| *revision != function.revision) {
                return Err(stale_revision());
            }
            set_architecture(&mut function, input.architectures)?;
            function.set_code(&package);
            function.touch();
            function.put(db)?;
            Ok(function)
        })?
    };
    collect_garbage(cloud).await;
    Reply::json(&function.configuration())
}

pub(super) fn update_configuration(
    cloud: &Arc<Cloud>,
    call: &Call,
    name: &str,
) -> Result<Reply, AwsError> {
    let input: configuration::Input = call.input()?;
    // Checked outside of the transaction: it asks the store for the role.
    let mut checked = require(cloud, call, name)?;
    let read = checked.revision.clone();
    if call.text("RevisionId").is_some_and(|revision| revision != read) {
        return Err(stale_revision());
    }
    input.apply(cloud, call, &mut checked)?;
    cloud.store.write(|db| {
        let current = find(db, call, name)?;
        if current.revision != read {
            return Err(AwsError::new(
                409,
                "ResourceConflictException",
                format!(
                    "The operation cannot be performed at this time. An update is in progress for \
                     resource: {}",
                    current.arn()
                ),
            ));
        }
        // These have other writers.
        checked.tags = current.tags;
        checked.policy = current.policy;
        checked.policy_revision = current.policy_revision;
        checked.event_invoke = current.event_invoke;
        checked.touch();
        checked.put(db)?;
        Reply::json(&checked.configuration())
    })
}

pub(super) async fn delete(cloud: &Arc<Cloud>, call: &Call, name: &str) -> Result<Reply, AwsError> {
    let key = cloud.store.write(|db| {
        let function = find(db, call, name)?;
        db.delete(KIND, &call.region, name)?;
        queue::forget(db, &call.region, name)?;
        Ok(function.key())
    })?;
    cloud.lambda.get()?.pool.forget(&key);
    collect_garbage(cloud).await;
    Ok(Reply::empty(204))
}

/// Removes the packages that no function has any more.
async fn collect_garbage(cloud: &Arc<Cloud>) {
    let Ok(runtime) = cloud.lambda.get() else { return };
    let _in_use = runtime.code_in_use.lock().await;
    let used = cloud.store.read(|db| {
        let mut used = HashSet::new();
        for region in db.regions(KIND)? {
            let functions = db.list::<Function>(KIND, &region)?;
            used.extend(functions.into_iter().map(|(_, function)| function.code_sha256));
        }
        Ok(used)
    });
    // What stays behind costs space only, and goes the next time.
    let Ok(used) = used else { return };
    let code = runtime.code.clone();
    let _ = tokio::task::spawn_blocking(move || code.retain(&used)).await;
}

pub(super) fn tags(cloud: &Arc<Cloud>, call: &Call, name: &str) -> Result<Reply, AwsError> {
    if call.operation == "ListTags" {
        return Reply::json(&json!({"Tags": require(cloud, call, name)?.tags}));
    }
    cloud.store.write(|db| {
        let mut function = find(db, call, name)?;
        if call.operation == "TagResource" {
            let tags: BTreeMap<String, String> =
                serde_json::from_value(call.params["Tags"].clone())
                    .map_err(|_| invalid("Tags must be a map of texts"))?;
            function.tags.extend(tags);
            check_tags(&function.tags)?;
        } else {
            for (name, key) in &call.query {
                if name == "tagKeys" {
                    function.tags.remove(key);
                }
            }
        }
        function.put(db)?;
        Ok(Reply::empty(204))
    })
}
