//! Managed policies: made, read and deleted, to bound what roles allow. None can be attached.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::ACCOUNT;
use super::super::call::ApiCall;
use super::super::clock::{iso8601, now_ms};
use super::super::cloud::LocalCloud;
use super::super::error::AwsError;
use super::super::policy;
use super::super::store::Db;
use super::{KIND as ROLE, Role, encoded, identifier, legal_name};

/// The store's kind of managed policies; their name there is the ARN.
const KIND: &str = "managed-policy";
/// Characters of a managed policy without white space.
const SIZE: usize = 6_144;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Managed {
    name: String,
    path: String,
    id: String,
    /// Milliseconds since 1970.
    created: i64,
    document: String,
}

/// The policy that a call is about, if it is about one.
pub(super) fn resource(call: &ApiCall) -> Option<String> {
    Some(match call.operation.as_str() {
        "CreatePolicy" => {
            arn(call.text("Path").unwrap_or("/"), call.text("PolicyName").unwrap_or("*"))
        }
        "GetPolicy" | "GetPolicyVersion" | "DeletePolicy" => {
            call.text("PolicyArn").unwrap_or("*").to_owned()
        }
        _ => return None,
    })
}

/// The answer, if the call is about managed policies.
pub(super) fn handle(cloud: &LocalCloud, call: &ApiCall) -> Result<Option<Value>, AwsError> {
    let result = match call.operation.as_str() {
        "CreatePolicy" => cloud.store.write(|db| create(db, call)),
        "GetPolicy" => cloud.store.read(|db| {
            let arn = call.need("PolicyArn")?;
            Ok(json!({"Policy": described(arn, &find(db, arn)?)}))
        }),
        "GetPolicyVersion" => cloud.store.read(|db| {
            let found = find(db, call.need("PolicyArn")?)?;
            if call.need("VersionId")? != "v1" {
                return Err(missing("Policy version", call.need("VersionId")?));
            }
            Ok(json!({"PolicyVersion": {
                "Document": encoded(&found.document), "VersionId": "v1",
                "IsDefaultVersion": true, "CreateDate": iso8601(found.created),
            }}))
        }),
        "DeletePolicy" => cloud.store.write(|db| delete(db, call)),
        _ => return Ok(None),
    }?;
    Ok(Some(result))
}

/// The policy that a call names as a permissions boundary, which must exist.
pub(super) fn boundary(db: &Db<'_>, call: &ApiCall) -> Result<Option<String>, AwsError> {
    let arn = call.need("PermissionsBoundary")?;
    match find(db, arn) {
        Ok(_) => Ok(Some(arn.to_owned())),
        Err(_) => Err(AwsError::new(
            404,
            "NoSuchEntity",
            format!("Scope ARN: {arn} does not exist or is not attachable."),
        )),
    }
}

/// What a policy says; `Null` if there is none of this ARN.
pub(super) fn document(cloud: &LocalCloud, arn: &str) -> Result<Value, AwsError> {
    let found = cloud.store.read(|db| db.get::<Managed>(KIND, "", arn))?;
    Ok(found.and_then(|found| serde_json::from_str(&found.document).ok()).unwrap_or_default())
}

fn arn(path: &str, name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy{path}{name}")
}

fn missing(what: &str, name: &str) -> AwsError {
    AwsError::new(
        404,
        "NoSuchEntity",
        format!("{what} {name} does not exist or is not attachable."),
    )
}

fn find(db: &Db<'_>, arn: &str) -> Result<Managed, AwsError> {
    db.get(KIND, "", arn)?.ok_or_else(|| missing("Policy", arn))
}

fn create(db: &Db<'_>, call: &ApiCall) -> Result<Value, AwsError> {
    let name = legal_name(call, "PolicyName", 128)?;
    let path = call.text("Path").unwrap_or("/").to_owned();
    let document = call.need("PolicyDocument")?.to_owned();
    policy::check(&document, false)
        .map_err(|why| AwsError::new(400, "MalformedPolicyDocument", why))?;
    if document.chars().filter(|c| !c.is_whitespace()).count() > SIZE {
        let message = format!("Cannot exceed quota for PolicySize: {SIZE}");
        return Err(AwsError::new(409, "LimitExceeded", message));
    }
    let arn = arn(&path, &name);
    if db.get::<Managed>(KIND, "", &arn)?.is_some() {
        let message =
            format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(AwsError::new(409, "EntityAlreadyExists", message));
    }
    let managed = Managed { name, path, id: identifier("ANPA"), created: now_ms(), document };
    db.put(KIND, "", &arn, &managed)?;
    Ok(json!({"Policy": described(&arn, &managed)}))
}

fn delete(db: &Db<'_>, call: &ApiCall) -> Result<Value, AwsError> {
    let arn = call.need("PolicyArn")?;
    find(db, arn)?;
    let bounds = |role: &Role| role.boundary.as_deref() == Some(arn);
    if db.list::<Role>(ROLE, "")?.iter().any(|(_, role)| bounds(role)) {
        let message = "Cannot delete a policy attached to entities.";
        return Err(AwsError::new(409, "DeleteConflict", message));
    }
    db.delete(KIND, "", arn)?;
    Ok(Value::Null)
}

fn described(arn: &str, managed: &Managed) -> Value {
    json!({
        "PolicyName": managed.name, "PolicyId": managed.id, "Arn": arn, "Path": managed.path,
        "DefaultVersionId": "v1", "AttachmentCount": 0, "IsAttachable": true,
        "CreateDate": iso8601(managed.created), "UpdateDate": iso8601(managed.created),
    })
}
