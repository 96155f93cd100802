//! Log groups: retention and tags.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::ACCOUNT;
use super::super::call::{ApiCall, Reply};
use super::super::clock::now_ms;
use super::super::error::AwsError;
use super::super::store::Db;
use super::super::tagging::Tagged;
use super::{Tags, group_name, invalid, page};

pub const KIND: &str = "log_group";
/// The numbers of days that AWS knows.
const RETENTION: [i64; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];
const MAX_TAGS: usize = 50;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    /// Milliseconds since 1970.
    pub created: i64,
    pub retention_days: Option<i64>,
    pub class: String,
    pub protected: bool,
    pub tags: Tags,
}

impl Group {
    /// Events before this time (milliseconds since 1970) are gone.
    pub fn horizon(&self) -> i64 {
        self.retention_days.map_or(i64::MIN, |days| now_ms() - days * 86_400_000)
    }
}

pub fn exists(db: &Db<'_>, region: &str, name: &str) -> Result<bool, AwsError> {
    Ok(db.shared::<Group>(KIND, region, name)?.is_some())
}

fn missing() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "The specified log group does not exist.")
}

/// The group that a call names, which must exist.
pub fn existing(db: &Db<'_>, call: &ApiCall) -> Result<Group, AwsError> {
    db.get(KIND, &call.region, group_name(call)?)?.ok_or_else(missing)
}

/// All groups of a Region with their tags.
pub fn tagged(db: &Db<'_>, region: &str) -> Result<Tagged, AwsError> {
    let groups = db.list::<Group>(KIND, region)?.into_iter();
    Ok(groups
        .map(|(name, group)| {
            (format!("arn:aws:logs:{region}:{ACCOUNT}:log-group:{name}"), group.tags)
        })
        .collect())
}

pub fn create(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let name = group_name(call)?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-/.#".contains(&b);
    if name.is_empty() || name.len() > 512 || !name.bytes().all(legal) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        )));
    }
    let group = Group {
        name: name.to_owned(),
        created: now_ms(),
        retention_days: None,
        class: call.text("logGroupClass").unwrap_or("STANDARD").to_owned(),
        protected: call.params["deletionProtectionEnabled"] == true,
        tags: tags(call)?,
    };
    if !db.insert(KIND, &call.region, name, &group)? {
        return Err(AwsError::new(
            400,
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
        ));
    }
    Reply::json(&json!({}))
}

pub fn delete(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let group = existing(db, call)?;
    if group.protected {
        return Err(AwsError::new(
            400,
            "ValidationException",
            "Deletion protection is enabled for the specified log group.",
        ));
    }
    db.delete(KIND, &call.region, &group.name)?;
    let of_group = [&call.region, &group.name];
    db.conn().execute(
        "DELETE FROM log_event WHERE stream IN
         (SELECT id FROM log_stream WHERE region = ? AND log_group = ?)",
        of_group,
    )?;
    db.conn().execute("DELETE FROM log_stream WHERE region = ? AND log_group = ?", of_group)?;
    Reply::json(&json!({}))
}

pub fn describe(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let prefix = call.text("logGroupNamePrefix").unwrap_or_default();
    let pattern = call.text("logGroupNamePattern").unwrap_or_default().to_lowercase();
    if !prefix.is_empty() && !pattern.is_empty() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive.",
        ));
    }
    let named: Option<Vec<&str>> = call.params["logGroupIdentifiers"].as_array().map(|list| {
        list.iter()
            .filter_map(Value::as_str)
            .map(|id| id.split_once(":log-group:").map_or(id, |(_, name)| name))
            .collect()
    });
    let mut groups: Vec<Group> = db
        .list_under::<Group>(KIND, &call.region, prefix)?
        .into_iter()
        .map(|(_, group)| group)
        .collect();
    groups.retain(|group| {
        group.name.to_lowercase().contains(&pattern)
            && named.as_ref().is_none_or(|named| named.contains(&group.name.as_str()))
            && call.text("logGroupClass").is_none_or(|class| class == group.class)
    });
    let (groups, next) = page(call, groups)?;
    let list: Vec<_> = groups
        .into_iter()
        .map(|group| {
            let arn = call.arn("logs", &format!("log-group:{}", group.name));
            let mut shown = json!({
                "logGroupName": group.name, "creationTime": group.created,
                "metricFilterCount": 0, "storedBytes": 0,
                "arn": format!("{arn}:*"), "logGroupArn": arn, "logGroupClass": group.class,
                "deletionProtectionEnabled": group.protected,
            });
            if let Some(days) = group.retention_days {
                shown["retentionInDays"] = json!(days);
            }
            shown
        })
        .collect();
    let mut answer = json!({"logGroups": list});
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Reply::json(&answer)
}

pub fn put_retention(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let mut group = existing(db, call)?;
    let days = call.params["retentionInDays"].as_i64();
    let Some(days) = days.filter(|days| RETENTION.contains(days)) else {
        let legal: Vec<_> = RETENTION.iter().map(ToString::to_string).collect();
        return Err(invalid(format!(
            "1 validation error detected: Value at 'retentionInDays' failed to satisfy constraint: \
             Member must satisfy enum value set: [{}]",
            legal.join(", ")
        )));
    };
    group.retention_days = Some(days);
    save(db, call, &group)
}

pub fn delete_retention(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let mut group = existing(db, call)?;
    group.retention_days = None;
    save(db, call, &group)
}

pub fn tag(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let mut group = existing(db, call)?;
    group.tags.extend(tags(call)?);
    if group.tags.len() > MAX_TAGS {
        return Err(AwsError::new(
            400,
            "TooManyTagsException",
            format!("The number of tags exceeds the limit of {MAX_TAGS}"),
        )
        .with("resourceName", call.need("resourceArn")?));
    }
    save(db, call, &group)
}

pub fn untag(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let mut group = existing(db, call)?;
    for key in call.params["tagKeys"].as_array().into_iter().flatten() {
        group.tags.remove(key.as_str().unwrap_or_default());
    }
    save(db, call, &group)
}

pub fn list_tags(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    Reply::json(&json!({"tags": existing(db, call)?.tags}))
}

fn save(db: &Db<'_>, call: &ApiCall, group: &Group) -> Result<Reply, AwsError> {
    db.put(KIND, &call.region, &group.name, group)?;
    Reply::json(&json!({}))
}

fn tags(call: &ApiCall) -> Result<Tags, AwsError> {
    let tags: Tags = match &call.params["tags"] {
        Value::Null => Tags::new(),
        value => serde_json::from_value(value.clone())
            .map_err(|error| AwsError::new(400, "SerializationException", error.to_string()))?,
    };
    for (key, value) in &tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid(format!("The tag {key:?} is empty or too long.")));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid(format!("aws: prefixed tag key names are not allowed: {key}")));
        }
    }
    Ok(tags)
}
