//! IAM: roles with their trust, inline policies and permissions boundaries.

mod managed;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ACCOUNT;
use super::call::{ApiCall, Reply};
use super::clock::{iso8601, now_ms};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::policy;
use super::store::Db;

const KIND: &str = "role";
/// Characters that IAM leaves as they are in a document on the wire (RFC 3986).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Characters of a trust policy, and of all inline policies of a role without white space.
const TRUST_SIZE: usize = 2048;
const INLINE_SIZE: usize = 10_240;
const MAX_TAGS: usize = 50;

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    /// Begins and ends with a slash.
    pub path: String,
    pub id: String,
    pub arn: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// The trust policy, as it was sent.
    pub trust: String,
    pub description: Option<String>,
    pub max_session_seconds: u32,
    pub tags: BTreeMap<String, String>,
    /// The inline policies.
    pub policies: BTreeMap<String, Document>,
    /// ARN of the managed policy that bounds what they allow.
    #[serde(default)]
    pub boundary: Option<String>,
}

/// A policy: its text as it was sent, parsed when it is asked for first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Document {
    text: String,
    parsed: OnceLock<Value>,
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        Self { text, parsed: OnceLock::new() }
    }
}

impl From<Document> for String {
    fn from(document: Document) -> Self {
        document.text
    }
}

impl Role {
    /// The inline policies, parsed.
    pub fn documents(&self) -> impl Iterator<Item = &Value> {
        let parse = |text: &str| serde_json::from_str(text).unwrap_or_default();
        self.policies.values().map(move |policy| policy.parsed.get_or_init(|| parse(&policy.text)))
    }

    /// Whether its trust policy lets a service (`lambda.amazonaws.com`) assume it.
    pub fn trusts(&self, service: &str) -> bool {
        serde_json::from_str(&self.trust)
            .is_ok_and(|document| policy::trusts_service(&document, service))
    }
}

/// What a role's permissions boundary says, if it has one; `Null`, which allows nothing, if that
/// policy is gone.
pub fn boundary(cloud: &LocalCloud, role: &Role) -> Result<Option<Value>, AwsError> {
    role.boundary.as_deref().map(|arn| managed::document(cloud, arn)).transpose()
}

/// A role by its name.
pub fn role(cloud: &LocalCloud, name: &str) -> Result<Option<Arc<Role>>, AwsError> {
    cloud.store.read(|db| db.shared(KIND, "", name))
}

/// What a call needs.
pub fn needs(cloud: &LocalCloud, call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    let name = call.text("RoleName").unwrap_or("*");
    let resource = match call.operation.as_str() {
        "CreateRole" => arn(call.text("Path").unwrap_or("/"), name),
        "ListRoles" => {
            format!("arn:aws:iam::{ACCOUNT}:role{}", call.text("PathPrefix").unwrap_or("/"))
        }
        "GetRole"
        | "DeleteRole"
        | "UpdateRole"
        | "UpdateAssumeRolePolicy"
        | "PutRolePermissionsBoundary"
        | "DeleteRolePermissionsBoundary"
        | "PutRolePolicy"
        | "GetRolePolicy"
        | "DeleteRolePolicy"
        | "ListRolePolicies"
        | "ListAttachedRolePolicies"
        | "ListInstanceProfilesForRole"
        | "TagRole"
        | "UntagRole"
        | "ListRoleTags" => role(cloud, name)?.map_or_else(|| arn("/", name), |r| r.arn.clone()),
        _ => managed::resource(call).ok_or_else(|| AwsError::unknown_call(call))?,
    };
    Ok(vec![Need::new(format!("iam:{}", call.operation), resource)])
}

pub fn handle(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    if let Some(result) = managed::handle(cloud, call)? {
        return Ok(Reply::query(call, &result));
    }
    let result = match call.operation.as_str() {
        "CreateRole" => cloud.store.write(|db| create(db, call)),
        "GetRole" => cloud.store.read(|db| Ok(json!({"Role": described(&find(db, call)?, true)}))),
        "DeleteRole" => cloud.store.write(|db| delete(db, call)),
        "UpdateRole" => change(cloud, call, |role| {
            if let Some(description) = call.text("Description") {
                role.description = Some(description.to_owned());
            }
            // Without a value it is the default again.
            role.max_session_seconds = session_seconds(call)?;
            Ok(json!({}))
        }),
        "UpdateAssumeRolePolicy" => change(cloud, call, |role| {
            role.trust = document(call, "PolicyDocument", true)?;
            Ok(Value::Null)
        }),
        "PutRolePermissionsBoundary" => cloud.store.write(|db| {
            let mut role = find(db, call)?;
            role.boundary = managed::boundary(db, call)?;
            db.put(KIND, "", &role.name, &role)?;
            Ok(Value::Null)
        }),
        "DeleteRolePermissionsBoundary" => change(cloud, call, |role| {
            role.boundary = None;
            Ok(Value::Null)
        }),
        "PutRolePolicy" | "GetRolePolicy" | "DeleteRolePolicy" | "ListRolePolicies" => {
            inline(cloud, call)
        }
        "ListAttachedRolePolicies" => {
            cloud.store.read(|db| find(db, call))?;
            page(call, "AttachedPolicies", Vec::new())
        }
        "ListInstanceProfilesForRole" => {
            cloud.store.read(|db| find(db, call))?;
            page(call, "InstanceProfiles", Vec::new())
        }
        "ListRoles" => cloud.store.read(|db| {
            let prefix = call.text("PathPrefix").unwrap_or("/");
            let roles = db.list::<Role>(KIND, "")?.into_iter();
            let found = roles
                .filter(|(_, role)| role.path.starts_with(prefix))
                .map(|(name, role)| (name, described(&role, false)));
            page(call, "Roles", found.collect())
        }),
        "TagRole" => change(cloud, call, |role| {
            role.tags.extend(tags(call)?);
            limit_tags(&role.tags)?;
            Ok(Value::Null)
        }),
        "UntagRole" => change(cloud, call, |role| {
            for key in call.params["TagKeys"].as_array().into_iter().flatten() {
                role.tags.remove(key.as_str().unwrap_or_default());
            }
            Ok(Value::Null)
        }),
        "ListRoleTags" => cloud.store.read(|db| {
            let tags = find(db, call)?.tags.into_iter();
            let tags = tags.map(|(key, value)| (key.clone(), json!({"Key": key, "Value": value})));
            page(call, "Tags", tags.collect())
        }),
        _ => Err(AwsError::unknown_call(call)),
    }?;
    Ok(Reply::query(call, &result))
}

/// A role's inline policies.
fn inline(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Value, AwsError> {
    match call.operation.as_str() {
        "PutRolePolicy" => change(cloud, call, |role| {
            let name = legal_name(call, "PolicyName", 128)?;
            role.policies.insert(name, document(call, "PolicyDocument", false)?.into());
            let size: usize = role
                .policies
                .values()
                .map(|policy| policy.text.chars().filter(|c| !c.is_whitespace()).count())
                .sum();
            if size > INLINE_SIZE {
                return Err(AwsError::new(
                    409,
                    "LimitExceeded",
                    format!(
                        "Maximum policy size of {INLINE_SIZE} bytes exceeded for role {}",
                        role.name
                    ),
                ));
            }
            Ok(Value::Null)
        }),
        "GetRolePolicy" => cloud.store.read(|db| {
            let role = find(db, call)?;
            let name = call.need("PolicyName")?;
            let text = &role.policies.get(name).ok_or_else(|| no_policy(name))?.text;
            Ok(json!({
                "RoleName": role.name, "PolicyName": name, "PolicyDocument": encoded(text),
            }))
        }),
        "DeleteRolePolicy" => change(cloud, call, |role| {
            let name = call.need("PolicyName")?;
            role.policies.remove(name).map(|_| Value::Null).ok_or_else(|| no_policy(name))
        }),
        "ListRolePolicies" => cloud.store.read(|db| {
            let names =
                find(db, call)?.policies.into_keys().map(|name| (name.clone(), json!(name)));
            page(call, "PolicyNames", names.collect())
        }),
        _ => Err(AwsError::unknown_call(call)),
    }
}

fn arn(path: &str, name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role{path}{name}")
}

fn find(db: &Db<'_>, call: &ApiCall) -> Result<Role, AwsError> {
    let name = call.need("RoleName")?;
    db.get(KIND, "", name)?.ok_or_else(|| {
        AwsError::new(404, "NoSuchEntity", format!("The role with name {name} cannot be found."))
    })
}

fn no_policy(name: &str) -> AwsError {
    AwsError::new(404, "NoSuchEntity", format!("The role policy with name {name} cannot be found."))
}

fn change(
    cloud: &LocalCloud,
    call: &ApiCall,
    f: impl FnOnce(&mut Role) -> Result<Value, AwsError>,
) -> Result<Value, AwsError> {
    cloud.store.write(|db| {
        let mut role = find(db, call)?;
        let result = f(&mut role)?;
        db.put(KIND, "", &role.name, &role)?;
        Ok(result)
    })
}

fn create(db: &Db<'_>, call: &ApiCall) -> Result<Value, AwsError> {
    let name = legal_name(call, "RoleName", 64)?;
    let path = call.text("Path").unwrap_or("/").to_owned();
    let printable = path.bytes().all(|b| (0x21..=0x7e).contains(&b));
    if !(path.starts_with('/') && path.ends_with('/') && printable && path.len() <= 512) {
        return Err(AwsError::new(
            400,
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with / and contain \
             only alphanumeric characters and/or / characters.",
        ));
    }
    let tags = tags(call)?;
    limit_tags(&tags)?;
    let role = Role {
        arn: arn(&path, &name),
        id: identifier("AROA"),
        path,
        created: now_ms(),
        trust: document(call, "AssumeRolePolicyDocument", true)?,
        description: call.text("Description").map(ToOwned::to_owned),
        max_session_seconds: session_seconds(call)?,
        tags,
        policies: BTreeMap::new(),
        boundary: match call.text("PermissionsBoundary") {
            Some(_) => managed::boundary(db, call)?,
            None => None,
        },
        name,
    };
    // Names are unique without regard to case.
    let taken = db.conn().query_row(
        "SELECT EXISTS (SELECT 1 FROM document WHERE kind = ? AND region = '' AND lower(name) = lower(?))",
        [KIND, &role.name],
        |row| row.get::<_, bool>(0),
    )?;
    if taken {
        return Err(AwsError::new(
            409,
            "EntityAlreadyExists",
            format!("Role with name {} already exists.", role.name),
        ));
    }
    db.put(KIND, "", &role.name, &role)?;
    Ok(json!({"Role": described(&role, true)}))
}

fn delete(db: &Db<'_>, call: &ApiCall) -> Result<Value, AwsError> {
    let role = find(db, call)?;
    if !role.policies.is_empty() {
        return Err(AwsError::new(
            409,
            "DeleteConflict",
            "Cannot delete entity, must delete policies first.",
        ));
    }
    db.delete(KIND, "", &role.name)?;
    Ok(Value::Null)
}

fn described(role: &Role, tags: bool) -> Value {
    let mut value = json!({
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": iso8601(role.created),
        "AssumeRolePolicyDocument": encoded(&role.trust),
        "Description": role.description,
        "MaxSessionDuration": role.max_session_seconds,
    });
    // As the tags, it is in the answer to GetRole and not in lists.
    if let Some(boundary) = role.boundary.as_ref().filter(|_| tags) {
        value["PermissionsBoundary"] = json!({
            "PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": boundary,
        });
    }
    if tags && !role.tags.is_empty() {
        value["Tags"] =
            role.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    }
    value
}

fn encoded(document: &str) -> String {
    utf8_percent_encode(document, UNRESERVED).to_string()
}

fn identifier(prefix: &str) -> String {
    format!("{prefix}{}", &Uuid::new_v4().simple().to_string()[..17].to_ascii_uppercase())
}

fn legal_name(call: &ApiCall, parameter: &str, longest: usize) -> Result<String, AwsError> {
    let name = call.need(parameter)?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if name.is_empty() || name.len() > longest || !name.bytes().all(legal) {
        let mut shown = parameter.to_owned();
        shown[..1].make_ascii_lowercase();
        return Err(AwsError::new(
            400,
            "ValidationError",
            format!(
                "The specified value for {shown} is invalid. It must contain only alphanumeric \
                 characters and/or the following: +=,.@_- and be 1 to {longest} characters long"
            ),
        ));
    }
    Ok(name.to_owned())
}

fn session_seconds(call: &ApiCall) -> Result<u32, AwsError> {
    match call.text("MaxSessionDuration").map(str::parse) {
        None => Ok(3600),
        Some(Ok(seconds @ 3600..=43_200)) => Ok(seconds),
        Some(_) => Err(AwsError::new(
            400,
            "ValidationError",
            "The requested MaxSessionDuration must be between 3600 and 43200 seconds",
        )),
    }
}

fn document(call: &ApiCall, parameter: &str, trust: bool) -> Result<String, AwsError> {
    let text = call.need(parameter)?;
    policy::check(text, trust).map_err(|why| AwsError::new(400, "MalformedPolicyDocument", why))?;
    if trust && text.chars().filter(|c| !c.is_whitespace()).count() > TRUST_SIZE {
        return Err(AwsError::new(
            409,
            "LimitExceeded",
            format!("Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE}"),
        ));
    }
    Ok(text.to_owned())
}

fn tags(call: &ApiCall) -> Result<BTreeMap<String, String>, AwsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: String,
        value: String,
    }
    let invalid = |message: String| AwsError::new(400, "InvalidInput", message);
    let list: Vec<Tag> = match &call.params["Tags"] {
        Value::Array(items) => items
            .iter()
            .map(Tag::deserialize)
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(format!("Tags: {error}")))?,
        _ => Vec::new(),
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut tags = BTreeMap::new();
    for Tag { key, value } in list {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid(format!("The tag {key:?} is empty or too long.")));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("System tags cannot be added/updated by requester.".to_owned()));
        }
        if !seen.insert(key.to_lowercase()) {
            return Err(invalid(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive."
                    .to_owned(),
            ));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}

fn limit_tags(tags: &BTreeMap<String, String>) -> Result<(), AwsError> {
    if tags.len() > MAX_TAGS {
        return Err(AwsError::new(
            409,
            "LimitExceeded",
            format!("The number of tags has reached the maximum limit of {MAX_TAGS}."),
        ));
    }
    Ok(())
}

/// One page of a list whose items come with their names, in order. The marker is the last name.
fn page(call: &ApiCall, member: &str, items: Vec<(String, Value)>) -> Result<Value, AwsError> {
    let size: usize = match call.text("MaxItems").map(str::parse) {
        None => 100,
        Some(Ok(size @ 1..=1000)) => size,
        Some(_) => {
            return Err(AwsError::new(
                400,
                "ValidationError",
                "MaxItems must be between 1 and 1000",
            ));
        }
    };
    let after = call.text("Marker");
    let mut rest =
        items.into_iter().filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let mut result = json!({"IsTruncated": more});
    if more {
        result["Marker"] = json!(page.last().map(|(name, _)| name));
    }
    result[member] = page.into_iter().map(|(_, value)| value).collect();
    Ok(result)
}
