//! API Gateway's HTTP APIs: control plane and data plane.

mod api;
mod children;
pub(super) mod event;
mod route;
mod serve;
mod throttle;

use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::call::{ApiCall, Reply};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::rest;
use super::store::Db;
use super::tagging::Tagged;
pub use api::Api;
pub use serve::{PREFIX, serve};
pub use throttle::Throttles;

/// The store's kind of APIs; their name there is the id.
pub const KIND: &str = "api";

pub const OPERATIONS: rest::Operations = include_str!("http_api/operations.txt");

/// What may stand unencoded in a part of a path that rights are named after.
const PART: &AsciiSet = &CONTROLS.add(b'/').add(b'%').add(b' ');
/// In one that is itself an ARN, as AWS documents those of tags.
const ARN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a call needs. API Gateway's rights are named after methods and paths: those that the call
/// means, in one form, however they are written.
pub fn needs(call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    let unknown = || AwsError::unknown_call(call);
    let pattern = rest::pattern(OPERATIONS, call.method.as_str(), &call.operation);
    let mut parts = pattern.ok_or_else(unknown)?.split("{}");
    let mut path = parts.next().unwrap_or_default().to_owned();
    let form = if path.starts_with("/v2/tags") { ARN } else { PART };
    for (index, literal) in parts.enumerate() {
        path.extend(utf8_percent_encode(call.label(index), form));
        path.push_str(literal);
    }
    let path = path.strip_prefix("/v2").unwrap_or(&path);
    let resource = format!("arn:aws:apigateway:{}::{path}", call.region);
    Ok(vec![Need::new(format!("apigateway:{}", call.method), resource)])
}

#[expect(clippy::unused_async, reason = "all services are called alike")]
pub async fn handle(cloud: &Arc<LocalCloud>, call: &mut ApiCall) -> Result<Reply, AwsError> {
    let (id, child) = (call.label(0), call.label(1));
    let operation = call.operation.as_str();
    match operation {
        "CreateApi" => api::create(cloud, call),
        "GetApi" => api::get(cloud, call, id),
        "GetApis" => api::list(cloud, call),
        "UpdateApi" => api::update(cloud, call, id),
        "DeleteApi" => api::delete(cloud, call, id),
        "TagResource" | "UntagResource" | "GetTags" => api::tags(cloud, call, id),
        _ => match children::Kind::of(operation) {
            Some((verb, kind)) => children::handle(cloud, call, verb, kind, id, child),
            None => Err(AwsError::unknown_call(call)),
        },
    }
}

/// ARNs and tags of all APIs and stages of a Region.
pub fn tagged(db: &Db<'_>, region: &str) -> Result<Tagged, AwsError> {
    let mut found = Vec::new();
    for (_, api) in db.list::<Api>(KIND, region)? {
        let arn = api.arn();
        for (name, stage) in &api.stages {
            let tags = api::tags_of(stage);
            found.push((format!("{arn}/stages/{name}"), tags));
        }
        found.push((arn, api.tags));
    }
    Ok(found)
}

fn bad(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "BadRequestException", message)
}

fn conflict(message: impl Into<String>) -> AwsError {
    AwsError::new(409, "ConflictException", message)
}

fn missing(what: &str, id: &str) -> AwsError {
    AwsError::new(404, "NotFoundException", format!("Invalid {what} identifier specified {id}"))
}

/// Items in the order of their keys, in pages as the call wants them.
fn page(call: &ApiCall, items: Vec<(String, Value)>) -> Result<Reply, AwsError> {
    let most = match call.query("maxResults").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(most)) if most > 0 => most,
        Some(_) => return Err(bad("Invalid maxResults")),
    };
    let after = call.query("nextToken").unwrap_or_default();
    let mut rest: Vec<_> = items.into_iter().filter(|(key, _)| key.as_str() > after).collect();
    let more = rest.len() > most;
    rest.truncate(most);
    let mut value = json!({});
    if let Some((last, _)) = rest.last().filter(|_| more) {
        value["nextToken"] = json!(last);
    }
    value["items"] = rest.into_iter().map(|(_, item)| item).collect();
    Reply::json(&value)
}
