//! APIs themselves, and the tags of APIs and stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{KIND, bad, missing, page};
use crate::local::ACCOUNT;
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::lambda::output::timestamp;
use crate::local::store::Db;

/// An integration, a route or a stage: as the service's model has it.
pub type Child = Map<String, Value>;

/// An API with all that dies with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Api {
    pub id: String,
    pub region: String,
    pub created: String,
    /// The members that may be changed.
    pub settings: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    pub integrations: BTreeMap<String, Child>,
    pub routes: BTreeMap<String, Child>,
    pub stages: BTreeMap<String, Child>,
}

/// What `CreateApi` and `UpdateApi` take besides tags.
const SETTINGS: &[&str] =
    &["name", "description", "version", "disableExecuteApiEndpoint", "disableSchemaValidation"];

impl Api {
    /// API Gateway's ARNs carry no account.
    pub fn arn(&self) -> String {
        format!("arn:aws:apigateway:{}::/apis/{}", self.region, self.id)
    }

    fn json(&self, cloud: &LocalCloud) -> Value {
        let mut value = json!({
            "apiId": self.id,
            "apiEndpoint": format!("{}{}{}", cloud.url, super::PREFIX, self.id),
            "protocolType": "HTTP",
            "routeSelectionExpression": "$request.method $request.path",
            "apiKeySelectionExpression": "$request.header.x-api-key",
            "disableExecuteApiEndpoint": false,
            "ipAddressType": "ipv4",
            "createdDate": self.created,
            "tags": self.tags,
        });
        if let Some(members) = value.as_object_mut() {
            members.extend(self.settings.clone());
        }
        value
    }

    pub fn put(&self, db: &Db<'_>) -> Result<(), AwsError> {
        db.put(KIND, &self.region, &self.id, self)
    }

    fn set(&mut self, params: &Value) -> Result<(), AwsError> {
        for refused in ["corsConfiguration", "target", "routeKey", "credentialsArn"] {
            let given = params.get(refused);
            let empty = given.is_none_or(|given| {
                given.is_null() || given.as_object().is_some_and(Map::is_empty)
            });
            if !empty {
                return Err(bad(format!("the local cloud does not know {refused} of an API")));
            }
        }
        for name in SETTINGS {
            match params.get(name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    self.settings.insert((*name).to_owned(), value.clone());
                }
            }
        }
        let name = self.settings.get("name").and_then(Value::as_str).unwrap_or_default();
        if !(1..=128).contains(&name.chars().count()) {
            return Err(bad("Name must be between 1 and 128 characters"));
        }
        Ok(())
    }
}

pub(super) fn find(db: &Db<'_>, region: &str, id: &str) -> Result<Api, AwsError> {
    db.get(KIND, region, id)?.ok_or_else(|| missing("API", &format!("{ACCOUNT}:{id}")))
}

/// The API with this id, whatever its Region.
pub(super) fn anywhere(db: &Db<'_>, id: &str) -> Result<Option<Arc<Api>>, AwsError> {
    for region in db.regions(KIND)? {
        if let Some(api) = db.shared(KIND, &region, id)? {
            return Ok(Some(api));
        }
    }
    Ok(None)
}

/// Ten characters, as API Gateway's.
pub(super) fn new_id() -> String {
    const DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let bytes = Uuid::new_v4().into_bytes();
    // Not those that carry version and variant; and a letter first, for use as a host name.
    let letter = |(index, byte): (usize, &u8)| {
        let many = if index == 0 { 26 } else { DIGITS.len() };
        char::from(DIGITS[usize::from(*byte) % many])
    };
    bytes[..6].iter().chain(&bytes[10..14]).enumerate().map(letter).collect()
}

/// Now, to the second, as API Gateway gives times.
pub(super) fn now() -> String {
    let now = timestamp();
    format!("{}Z", now.split('.').next().unwrap_or_default())
}

pub(super) fn create(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    match call.text("protocolType") {
        Some("HTTP") => {}
        Some(other) => return Err(bad(format!("the local cloud has no {other} APIs"))),
        None => return Err(bad("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]")),
    }
    let mut api = Api {
        id: new_id(),
        region: call.region.clone(),
        created: now(),
        settings: Map::new(),
        tags: tag_map(&call.params["tags"])?,
        integrations: BTreeMap::new(),
        routes: BTreeMap::new(),
        stages: BTreeMap::new(),
    };
    api.set(&call.params)?;
    check_tags(&api.tags)?;
    cloud.store.write(|db| api.put(db))?;
    Reply::json_status(201, &api.json(cloud))
}

pub(super) fn get(cloud: &Arc<LocalCloud>, call: &ApiCall, id: &str) -> Result<Reply, AwsError> {
    let api = cloud.store.read(|db| find(db, &call.region, id))?;
    Reply::json(&api.json(cloud))
}

pub(super) fn list(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let apis = cloud.store.read(|db| db.list::<Api>(KIND, &call.region))?;
    page(call, apis.into_iter().map(|(id, api)| (id, api.json(cloud))).collect())
}

pub(super) fn update(cloud: &Arc<LocalCloud>, call: &ApiCall, id: &str) -> Result<Reply, AwsError> {
    cloud.store.write(|db| {
        let mut api = find(db, &call.region, id)?;
        api.set(&call.params)?;
        api.put(db)?;
        Reply::json(&api.json(cloud))
    })
}

pub(super) fn delete(cloud: &Arc<LocalCloud>, call: &ApiCall, id: &str) -> Result<Reply, AwsError> {
    cloud.store.write(|db| {
        find(db, &call.region, id)?;
        db.delete(KIND, &call.region, id)
    })?;
    cloud.throttles.forget(id);
    Ok(Reply::empty(204))
}

pub(super) fn tag_map(tags: &Value) -> Result<BTreeMap<String, String>, AwsError> {
    if tags.is_null() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_value(tags.clone()).map_err(|_| bad("tags must be a map of texts"))
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), AwsError> {
    let legal = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.starts_with("aws:")
    };
    if tags.len() <= 50 && tags.iter().all(legal) { Ok(()) } else { Err(bad("Invalid tags")) }
}

pub(super) fn tags_of(stage: &Child) -> BTreeMap<String, String> {
    stage.get("tags").and_then(|tags| tag_map(tags).ok()).unwrap_or_default()
}

pub(super) fn tags(cloud: &Arc<LocalCloud>, call: &ApiCall, arn: &str) -> Result<Reply, AwsError> {
    let prefix = format!("arn:aws:apigateway:{}::/apis/", call.region);
    let Some(resource) = arn.strip_prefix(&prefix) else {
        return Err(bad(format!("Invalid resource ARN {arn}")));
    };
    let (id, stage) = match resource.split_once("/stages/") {
        Some((id, stage)) => (id, Some(stage)),
        None => (resource, None),
    };
    cloud.store.write(|db| {
        let mut api = find(db, &call.region, id)?;
        let mut tags = match stage {
            None => api.tags.clone(),
            Some(stage) => tags_of(api.stages.get(stage).ok_or_else(|| missing("stage", stage))?),
        };
        let reply = match call.operation.as_str() {
            "TagResource" => {
                tags.extend(tag_map(&call.params["tags"])?);
                check_tags(&tags)?;
                Reply::json_status(201, &json!({}))?
            }
            "UntagResource" => {
                for (name, key) in &call.query {
                    if name == "tagKeys" {
                        tags.remove(key);
                    }
                }
                Reply::empty(204)
            }
            _ => return Reply::json(&json!({"tags": tags})),
        };
        match stage.and_then(|stage| api.stages.get_mut(stage)) {
            Some(stage) => {
                stage.insert("tags".to_owned(), json!(tags));
            }
            None => api.tags = tags,
        }
        api.put(db)?;
        Ok(reply)
    })
}
