//! Integrations, routes and stages of an API.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::api::{self, Api, Child};
use super::{bad, conflict, missing, page, route};
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::lambda;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integration,
    Route,
    Stage,
}

impl Kind {
    /// `CreateRoute` is `("Create", Route)`, `GetRoutes` is `("List", Route)`.
    pub fn of(operation: &str) -> Option<(&'static str, Self)> {
        let verb = ["Create", "Get", "Update", "Delete"]
            .into_iter()
            .find(|verb| operation.starts_with(verb))?;
        let (kind, many) = match operation.strip_prefix(verb)? {
            "Integration" => (Self::Integration, false),
            "Integrations" => (Self::Integration, true),
            "Route" => (Self::Route, false),
            "Routes" => (Self::Route, true),
            "Stage" => (Self::Stage, false),
            "Stages" => (Self::Stage, true),
            _ => return None,
        };
        Some((if many { "List" } else { verb }, kind))
    }

    fn of_api(self, api: &mut Api) -> &mut BTreeMap<String, Child> {
        match self {
            Self::Integration => &mut api.integrations,
            Self::Route => &mut api.routes,
            Self::Stage => &mut api.stages,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Integration => "Integration",
            Self::Route => "Route",
            Self::Stage => "stage",
        }
    }

    /// What may be set. Anything else that is not empty is refused: it would have no effect.
    fn members(self) -> &'static [&'static str] {
        match self {
            Self::Integration => &[
                "connectionType",
                "description",
                "integrationMethod",
                "integrationType",
                "integrationUri",
                "payloadFormatVersion",
                "timeoutInMillis",
            ],
            Self::Route => {
                &["apiKeyRequired", "authorizationType", "operationName", "routeKey", "target"]
            }
            Self::Stage => &[
                "autoDeploy",
                "defaultRouteSettings",
                "description",
                "routeSettings",
                "stageName",
                "stageVariables",
                "tags",
            ],
        }
    }
}

pub(super) fn handle(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    verb: &str,
    kind: Kind,
    id: &str,
    child: &str,
) -> Result<Reply, AwsError> {
    match verb {
        "Get" => {
            let mut api = cloud.store.read(|db| api::find(db, &call.region, id))?;
            let found = kind
                .of_api(&mut api)
                .get(child)
                .cloned()
                .ok_or_else(|| missing(kind.name(), child))?;
            Reply::json(&shown(&api, kind, child, found))
        }
        "List" => {
            let mut api = cloud.store.read(|db| api::find(db, &call.region, id))?;
            let children = kind.of_api(&mut api).clone();
            let items = children.into_iter().map(|(key, child)| {
                let item = shown(&api, kind, &key, child);
                (key, Value::Object(item))
            });
            page(call, items.collect())
        }
        "Delete" => cloud.store.write(|db| {
            let mut api = api::find(db, &call.region, id)?;
            if kind == Kind::Integration {
                refuse_if_in_use(&api, child)?;
            }
            if kind.of_api(&mut api).remove(child).is_none() {
                return Err(missing(kind.name(), child));
            }
            api.put(db)?;
            Ok(Reply::empty(204))
        }),
        _ => cloud.store.write(|db| {
            let mut api = api::find(db, &call.region, id)?;
            let create = verb == "Create";
            let key = if create { new_key(&api, call, kind)? } else { child.to_owned() };
            let mut changed = match kind.of_api(&mut api).get(&key) {
                Some(child) => child.clone(),
                None if create => defaults(kind),
                None => return Err(missing(kind.name(), &key)),
            };
            merge(&mut changed, kind, &call.params)?;
            check(&api, kind, &key, &changed)?;
            if kind == Kind::Stage {
                changed.insert("lastUpdatedDate".to_owned(), api::now().into());
            }
            kind.of_api(&mut api).insert(key.clone(), changed.clone());
            api.put(db)?;
            let status = if create { 201 } else { 200 };
            Reply::json_status(status, &shown(&api, kind, &key, changed))
        }),
    }
}

fn refuse_if_in_use(api: &Api, integration: &str) -> Result<(), AwsError> {
    let target = format!("integrations/{integration}");
    let users: Vec<&str> = api
        .routes
        .values()
        .filter(|route| route.get("target").and_then(Value::as_str) == Some(&target))
        .filter_map(|route| route.get("routeKey")?.as_str())
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(conflict(format!(
        "Cannot delete Integration with id '{integration}': it is the target of {}",
        users.join(", ")
    )))
}

fn new_key(api: &Api, call: &ApiCall, kind: Kind) -> Result<String, AwsError> {
    if kind != Kind::Stage {
        return Ok(api::new_id());
    }
    let name = call.text("stageName").unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let named = (1..=128).contains(&name.len()) && name.bytes().all(legal);
    if name != "$default" && !named {
        return Err(bad(
            "Stage name only allows a-z, A-Z, 0-9, hyphen and underscore, or must be $default",
        ));
    }
    if api.stages.contains_key(name) {
        return Err(conflict("Stage already exists"));
    }
    Ok(name.to_owned())
}

fn defaults(kind: Kind) -> Child {
    let value = match kind {
        Kind::Integration => json!({
            "connectionType": "INTERNET", "integrationMethod": "POST", "timeoutInMillis": 30_000,
        }),
        Kind::Route => json!({"apiKeyRequired": false, "authorizationType": "NONE"}),
        Kind::Stage => json!({
            "autoDeploy": false, "createdDate": api::now(),
            "defaultRouteSettings": {"detailedMetricsEnabled": false},
            "routeSettings": {}, "stageVariables": {}, "tags": {},
        }),
    };
    value.as_object().cloned().unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn merge(child: &mut Child, kind: Kind, params: &Value) -> Result<(), AwsError> {
    for (name, value) in params.as_object().into_iter().flatten() {
        if !kind.members().contains(&name.as_str()) {
            if is_empty(value) {
                continue;
            }
            let kind = kind.name();
            return Err(bad(format!("the local cloud does not know {name} of a {kind}")));
        }
        match (name.as_str(), value, child.get_mut(name)) {
            (_, Value::Null, _) => {}
            // These are merged: what is not named stays.
            (
                "defaultRouteSettings" | "routeSettings",
                Value::Object(new),
                Some(Value::Object(old)),
            ) => {
                for (key, value) in new {
                    old.insert(key.clone(), value.clone());
                }
            }
            _ => {
                child.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(())
}

fn check(api: &Api, kind: Kind, key: &str, child: &Child) -> Result<(), AwsError> {
    let text = |name: &str| child.get(name).and_then(Value::as_str);
    match kind {
        Kind::Integration => {
            if text("integrationType") != Some("AWS_PROXY") {
                return Err(bad("the local cloud knows integrations of type AWS_PROXY only"));
            }
            let uri = text("integrationUri").unwrap_or_default();
            if function_of(uri).and_then(lambda::parse_arn).is_none() {
                return Err(bad(format!("Invalid function ARN or invalid uri: {uri}")));
            }
            match text("payloadFormatVersion") {
                Some("2.0") => {}
                None => {
                    return Err(bad(
                        "PayloadFormatVersion is a required parameter for integration",
                    ));
                }
                Some(_) => {
                    return Err(bad("the local cloud knows payload format version 2.0 only"));
                }
            }
            let timeout = child.get("timeoutInMillis").and_then(Value::as_u64).unwrap_or(0);
            if !(50..=30_000).contains(&timeout) {
                return Err(bad("Timeout should be between 50 ms and 30000 ms"));
            }
        }
        Kind::Route => {
            let route_key = text("routeKey").unwrap_or_default();
            if route::Pattern::parse(route_key).is_none() {
                return Err(bad(
                    "The provided route key is not formatted properly for HTTP protocol. Format \
                     should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"",
                ));
            }
            let same = |(id, other): (&String, &Child)| {
                id != key && other.get("routeKey").and_then(Value::as_str) == Some(route_key)
            };
            if api.routes.iter().any(same) {
                return Err(conflict(format!(
                    "Route with key {route_key} already exists for this API"
                )));
            }
            if text("authorizationType").is_some_and(|kind| kind != "NONE") {
                return Err(bad("the local cloud has no authorizers for routes"));
            }
            if let Some(target) = text("target") {
                let integration = target.strip_prefix("integrations/").unwrap_or_default();
                if !api.integrations.contains_key(integration) {
                    return Err(missing("Integration", integration));
                }
            }
        }
        Kind::Stage => {
            if child.get("autoDeploy") != Some(&Value::Bool(true)) {
                return Err(bad("the local cloud has no deployments: set autoDeploy"));
            }
            api::check_tags(&api::tags_of(child))?;
        }
    }
    Ok(())
}

/// The function's ARN in an integration's URI, which may be that ARN or an invocation path.
pub(super) fn function_of(uri: &str) -> Option<&str> {
    if uri.starts_with("arn:aws:lambda:") {
        return Some(uri);
    }
    uri.split_once("/functions/")?.1.strip_suffix("/invocations")
}

/// With what follows from the rest of the API.
fn shown(api: &Api, kind: Kind, key: &str, mut child: Child) -> Child {
    match kind {
        Kind::Integration => {
            child.insert("integrationId".to_owned(), key.into());
        }
        Kind::Route => {
            child.insert("routeId".to_owned(), key.into());
        }
        Kind::Stage => {
            let message = if api.routes.is_empty() {
                "Deployment attempt failed: At least one route is required before deploying the Api."
                    .to_owned()
            } else {
                let deployment = &api.id[..6];
                child.insert("deploymentId".to_owned(), deployment.into());
                format!("Successfully deployed stage with deployment ID '{deployment}'")
            };
            child.insert("lastDeploymentStatusMessage".to_owned(), message.into());
        }
    }
    child
}
