//! The data plane: requests to the APIs' own URLs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::api::{self, Api, Child};
use super::throttle::Limit;
use super::{children, event, route};
use crate::local::ACCOUNT;
use crate::local::cloud::LocalCloud;
use crate::local::connections::{self, Unread};
use crate::local::lambda::{self, Denied};

/// Where the APIs are, besides hosts of their own.
pub const PREFIX: &str = "/_aws/execute-api/";

/// Bytes of a request (AWS: quotas for HTTP APIs). What a function takes binds earlier.
const BODY_LIMIT: usize = 10 * 1024 * 1024;
const HEADER_LIMIT: usize = 10_240;
const EVENT_LIMIT: usize = 6 * 1024 * 1024;

/// Answers a request to an API: to that of the host, or else to the one that the path names.
pub async fn serve(
    cloud: &Arc<LocalCloud>,
    method: Method,
    host_api: Option<String>,
    uri: Uri,
    headers: HeaderMap,
    peer: SocketAddr,
    body: Body,
) -> Response<Body> {
    let id = Uuid::new_v4().to_string();
    let path = uri.path();
    let (api, path) = if let Some(api) = &host_api {
        (api.as_str(), path)
    } else {
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        rest.split_at(rest.find('/').unwrap_or(rest.len()))
    };
    let query = uri.query().unwrap_or_default();
    let incoming = Incoming { api, path, query, method: &method, headers: &headers, peer, id: &id };
    let mut response = match incoming.answer(cloud, body).await {
        Ok(response) => response,
        Err((status, message)) => {
            let mut response = Response::new(Body::from(json!({"message": message}).to_string()));
            *response.status_mut() = status.try_into().unwrap_or_default();
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert("content-type", json);
            response
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

type Refusal = (u16, &'static str);

const NOT_FOUND: Refusal = (404, "Not Found");
const INTERNAL: Refusal = (500, "Internal Server Error");
const UNAVAILABLE: Refusal = (503, "Service Unavailable");
const LATE: Refusal = (408, "Request Timeout");
const TOO_LARGE: Refusal = (413, "Request Entity Too Large");

struct Incoming<'a> {
    api: &'a str,
    path: &'a str,
    query: &'a str,
    method: &'a Method,
    headers: &'a HeaderMap,
    peer: SocketAddr,
    id: &'a str,
}

impl Incoming<'_> {
    async fn answer(&self, cloud: &Arc<LocalCloud>, body: Body) -> Result<Response<Body>, Refusal> {
        let api = cloud
            .store
            .read(|db| api::anywhere(db, self.api))
            .map_err(|_| INTERNAL)?
            .ok_or(NOT_FOUND)?;
        let (stage_name, stage, path) = stage_of(&api, self.path).ok_or(NOT_FOUND)?;
        let path = percent_decode_str(path).decode_utf8_lossy();
        let keys = api.routes.values().filter_map(|route| route.get("routeKey")?.as_str());
        let (key, parameters) =
            route::select(keys, self.method.as_str(), &path).ok_or(NOT_FOUND)?;
        if let Some(limit) = limit(stage, key)
            && !cloud.throttles.pass(&api.id, stage_name, key, limit, Instant::now())
        {
            return Err((429, "Too Many Requests"));
        }
        let size: usize = self.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
        if size + self.path.len() + self.query.len() > HEADER_LIMIT {
            return Err((431, "Request Header Fields Too Large"));
        }
        let body = connections::read(body, BODY_LIMIT).await.map_err(|why| match why {
            Unread::TooLarge => TOO_LARGE,
            Unread::Late => LATE,
        })?;
        let integration = integration_of(&api, key).ok_or(INTERNAL)?;
        let uri = integration.get("integrationUri").and_then(Value::as_str).unwrap_or_default();
        let function = children::function_of(uri).ok_or(INTERNAL)?;
        let prefixed = match stage_name {
            "$default" => path.into_owned(),
            name => format!("/{name}{path}"),
        };
        let event = event::Request {
            api: &api.id,
            stage: stage_name,
            route: key,
            parameters,
            variables: stage.get("stageVariables"),
            method: self.method,
            path: &prefixed,
            query: self.query,
            headers: self.headers,
            body: &body,
            peer: self.peer,
            id: self.id,
            now: OffsetDateTime::now_utc(),
        }
        .event()
        .to_string();
        drop(body);
        if event.len() > EVENT_LIMIT {
            return Err(TOO_LARGE);
        }
        let source = format!(
            "arn:aws:execute-api:{}:{ACCOUNT}:{}/{stage_name}/{}",
            api.region,
            api.id,
            route::Pattern::source(key)
        );
        let patience = integration.get("timeoutInMillis").and_then(Value::as_u64).unwrap_or(30_000);
        let invocation =
            lambda::invoke_for(cloud, "apigateway.amazonaws.com", &source, function, event.into());
        let outcome = tokio::time::timeout(Duration::from_millis(patience), invocation)
            .await
            .map_err(|_| UNAVAILABLE)?
            .map_err(|denied| {
                tracing::warn!(?denied, function, source, "an API could not invoke its function");
                match denied {
                    Denied::Missing | Denied::Policy => INTERNAL,
                    Denied::Throttled | Denied::Stopping => UNAVAILABLE,
                }
            })?;
        if outcome.failed {
            return Err(INTERNAL);
        }
        event::response(&outcome.payload).ok_or(INTERNAL)
    }
}

/// The stage that a path belongs to, and the path within it. A stage that is named comes first;
/// `$default` has the whole path.
fn stage_of<'a>(api: &'a Api, path: &'a str) -> Option<(&'a str, &'a Child, &'a str)> {
    let first = path.strip_prefix('/').unwrap_or_default();
    let end = first.find('/').unwrap_or(first.len());
    let name = percent_decode_str(&first[..end]).decode_utf8_lossy();
    if let Some((name, stage)) = api.stages.get_key_value(name.as_ref()) {
        let rest = &first[end..];
        return Some((name, stage, if rest.is_empty() { "/" } else { rest }));
    }
    let (name, stage) = api.stages.get_key_value("$default")?;
    Some((name, stage, if path.is_empty() { "/" } else { path }))
}

/// The limit that a stage sets for a route, if any.
fn limit(stage: &Child, route: &str) -> Option<Limit> {
    let own = stage.get("routeSettings").and_then(|routes| routes.get(route));
    let general = stage.get("defaultRouteSettings");
    let value = |name: &str| {
        let number = |settings: Option<&Value>| settings?.get(name)?.as_f64();
        number(own).or_else(|| number(general))
    };
    let (rate, burst) = (value("throttlingRateLimit"), value("throttlingBurstLimit"));
    // What is left out is the account's: 10,000 and 5,000 (AWS: quotas for HTTP APIs).
    (rate.is_some() || burst.is_some())
        .then(|| Limit { rate: rate.unwrap_or(10_000.0), burst: burst.unwrap_or(5_000.0) })
}

fn integration_of<'a>(api: &'a Api, key: &str) -> Option<&'a Child> {
    let route =
        api.routes.values().find(|route| route.get("routeKey").is_some_and(|k| k == key))?;
    let target = route.get("target")?.as_str()?.strip_prefix("integrations/")?;
    api.integrations.get(target)
}
