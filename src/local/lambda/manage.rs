//! The control plane's operations on functions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::code::{CodeError, CodeStore, Package};
use super::function::{Function, constraint, find, invalid, range, require, stale_revision};
use super::{KIND, code, configuration, queue};
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;

/// The largest zip, in bytes (AWS: Lambda quotas, direct upload).
const ZIP_LIMIT: usize = 50 * 1024 * 1024;

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

pub(super) async fn create(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Reply, AwsError> {
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
    if cloud.store.read(|db| db.shared::<Function>(KIND, &call.region, name))?.is_some() {
        return Err(exists());
    }
    set_architecture(&mut function, input.architectures.as_deref())?;
    configuration.apply(cloud, &mut function)?;
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
    architectures: Option<&[String]>,
) -> Result<(), AwsError> {
    match architectures {
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

pub(super) fn get(cloud: &Arc<LocalCloud>, call: &ApiCall, name: &str) -> Result<Reply, AwsError> {
    let function = require(cloud, call, name)?;
    let file = code::name_of(&function.code_sha256);
    let mut value = json!({
        "Configuration": function.configuration(),
        "Code": {
            "RepositoryType": "S3",
            "Location": super::location(cloud, &file),
        },
    });
    if !function.tags.is_empty() {
        value["Tags"] = json!(function.tags);
    }
    Reply::json(&value)
}

pub(super) fn list(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
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
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Reply, AwsError> {
    let input: UpdateCode = call.input()?;
    refuse_versions(input.publish)?;
    let mut function = require(cloud, call, name)?;
    let zip = zip_of(&call.params)?;
    let runtime = cloud.lambda.get()?;
    if input.dry_run {
        set_architecture(&mut function, input.architectures.as_deref())?;
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
            set_architecture(&mut function, input.architectures.as_deref())?;
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
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Reply, AwsError> {
    let input: configuration::Input = call.input()?;
    // Checked outside of the transaction: it asks the store for the role.
    let mut checked = require(cloud, call, name)?;
    let read = checked.revision.clone();
    if call.text("RevisionId").is_some_and(|revision| revision != read) {
        return Err(stale_revision());
    }
    input.apply(cloud, &mut checked)?;
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

pub(super) async fn delete(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Reply, AwsError> {
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
async fn collect_garbage(cloud: &Arc<LocalCloud>) {
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

pub(super) fn tags(cloud: &Arc<LocalCloud>, call: &ApiCall, name: &str) -> Result<Reply, AwsError> {
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
