//! The one listener: who may come in, and which service a request is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::{ApiCall, Principal, Protocol, Reply};
use super::cloud::LocalCloud;
use super::connections::{self, Unread};
use super::error::{AwsError, DAMAGED};
use super::keys::Holder;
use super::signature::{self, Claim, Refused};
use super::{
    dynamodb, executable, http_api, iam, lambda, logs, params, rest, sns, sts, tagging, xml,
};

/// Lambda takes zips of 50 MB, in base64.
const LAMBDA_BODY: usize = 70 << 20;
/// DynamoDB takes 16 MB, the others less.
const BODY: usize = 16 << 20;

/// Answers one request.
pub(super) async fn entry(cloud: &Arc<LocalCloud>, peer: SocketAddr, request: Request) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    let Some(host_name) = host.and_then(|host| loopback_name(host.to_str().ok()?)) else {
        // A page of some other site whose name was made to resolve to this machine.
        return refuse("the Host header must name this machine: use 127.0.0.1 or localhost");
    };
    let path = request.uri().path();
    let own_host = host_name.to_ascii_lowercase();
    let host_api = own_host.strip_suffix(".execute-api.localhost").map(ToOwned::to_owned);
    if host_api.is_some() || path.starts_with(http_api::PREFIX) {
        // Open to web pages too, as it is on AWS: the id in its URL is not to be guessed.
        let (parts, body) = request.into_parts();
        let (method, uri, headers) = (parts.method, parts.uri, parts.headers);
        return http_api::serve(cloud, method, host_api, uri, headers, peer, body).await;
    }
    if browser_made(request.headers()) {
        return refuse("a web page may not control the local cloud");
    }
    if let Some(file) = path.strip_prefix(lambda::PACKAGES) {
        let query = request.uri().query().unwrap_or_default();
        return match lambda::package(cloud, file, query) {
            Some(path) => tokio::fs::read(path).await.map_or_else(
                |error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
                |zip| ([(header::CONTENT_TYPE, "application/zip")], zip).into_response(),
            ),
            None => {
                (StatusCode::FORBIDDEN, "no such package, or no longer at this URL").into_response()
            }
        };
    }
    if let Some(own) = path.strip_prefix("/_advent/") {
        let own = own.to_owned();
        return control(cloud, request, &own).await;
    }
    service(cloud, request).await
}

/// The host without its port, where it is a name of the loopback interface.
fn loopback_name(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let loopback = name == "127.0.0.1"
        || name == "[::1]"
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost");
    loopback.then_some(name)
}

/// Browsers say so: with `Origin` on whatever can change something, with `Sec-Fetch-Site` on the
/// rest. No AWS client sends either. A page of the same origin is one that a function answered with.
/// `none` is a person who typed the address.
fn browser_made(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none")
}

fn refuse(why: &str) -> Response {
    (
        StatusCode::FORBIDDEN,
        axum::response::AppendHeaders([("content-type", "application/json")]),
        json!({"message": why}).to_string(),
    )
        .into_response()
}

/// The service in the credential scope of what the command line asks.
pub(super) const CONTROL: &str = "advent";
/// Says that who answers has the key too: anybody may listen where a local cloud once did.
pub(super) const PROOF: &str = "x-advent-proof";

/// What the command line asks a running local cloud.
async fn control(cloud: &Arc<LocalCloud>, request: Request, what: &str) -> Response {
    let (parts, body) = request.into_parts();
    let signed = async {
        let signed = Signed::of(cloud, Claim::of(&parts)?, &parts.headers)?;
        let body = connections::read(body, BODY).await.unwrap_or_default();
        signed.verify(cloud, &parts, &body)?;
        let owner = signed.holder.principal == Principal::Operator;
        if owner && signed.claim.service == CONTROL { Ok(signed) } else { Err(Refused::UnknownKey) }
    };
    let signed: Signed = match signed.await {
        Ok(signed) => signed,
        Err(refused) => {
            let error = Err(refused.answer(Protocol::Rest));
            return write(Protocol::Rest, CONTROL, &Uuid::new_v4().to_string(), error);
        }
    };
    let mut response = controlled(cloud, &parts.method, what).unwrap_or_else(|error| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
    });
    let proof = signature::proof(&signed.holder.secret, PROOF, &signed.claim.signature);
    if let Ok(proof) = proof.parse() {
        response.headers_mut().insert(PROOF, proof);
    }
    response
}

fn controlled(cloud: &Arc<LocalCloud>, method: &Method, what: &str) -> Result<Response, AwsError> {
    let answer = match (method.as_str(), what) {
        ("GET", "health") => json!({
            "advent": env!("CARGO_PKG_VERSION"), "pid": std::process::id(),
            // JSON cannot name what is not UTF-8.
            "dir": cloud.dir.to_string_lossy(),
            "executable": executable::started(),
        }),
        ("GET", "contents") => json!(contents(cloud)?),
        ("GET", "failed") => json!(lambda::failed_events(cloud)?),
        ("POST", "stop") => {
            cloud.stopping.send_replace(true);
            json!({})
        }
        _ => return Ok((StatusCode::NOT_FOUND, "no such page").into_response()),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response())
}

/// How many of each kind there are.
fn contents(cloud: &Arc<LocalCloud>) -> Result<serde_json::Map<String, Value>, AwsError> {
    let mut counts = cloud.store.read(|db| {
        let mut counts = serde_json::Map::new();
        for kind in ["topic", "role", "function", "log_group", "api"] {
            let count: u64 = db.conn().query_row(
                "SELECT count(*) FROM document WHERE kind = ?",
                [kind],
                |row| row.get(0),
            )?;
            counts.insert(kind.to_owned(), count.into());
        }
        Ok(counts)
    })?;
    counts.insert("table".to_owned(), cloud.dynamodb.count()?.into());
    Ok(counts)
}

async fn service(cloud: &Arc<LocalCloud>, request: Request) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let (parts, body) = request.into_parts();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let query: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let protocol = if target.is_some() {
        Protocol::Json
    } else if parts.uri.path() == "/"
        && (content_type.starts_with("application/x-www-form-urlencoded")
            || query.iter().any(|(key, _)| key == "Action"))
    {
        Protocol::Query
    } else {
        Protocol::Rest
    };
    let claim = Claim::of(&parts);
    let service = claim.as_ref().map_or("", |claim| claim.service.as_str()).to_owned();
    let result = async {
        let signed = claim.and_then(|claim| Signed::of(cloud, claim, &parts.headers));
        let signed = signed.map_err(|refused| refused.answer(protocol))?;
        let limit = if service == "lambda" { LAMBDA_BODY } else { BODY };
        let body = connections::read(body, limit).await.map_err(|why| match why {
            Unread::TooLarge => AwsError::new(
                413,
                "RequestEntityTooLargeException",
                format!("Request must be smaller than {limit} bytes for the operation"),
            ),
            Unread::Late => AwsError::new(
                400,
                "RequestTimeout",
                "The request's body did not come within the timeout period.",
            ),
        })?;
        signed.verify(cloud, &parts, &body).map_err(|refused| refused.answer(protocol))?;
        let (operation, params) = match protocol {
            Protocol::Json => (
                target.and_then(|t| t.split_once('.')).map_or("", |(_, name)| name).to_owned(),
                json_body(&service, &body)?,
            ),
            Protocol::Query => {
                let form: Vec<_> = form_urlencoded::parse(&body).into_owned().collect();
                let pairs = query.iter().chain(&form);
                let params = params::nest(pairs.map(|(k, v)| (k.as_str(), v.as_str())));
                (params["Action"].as_str().unwrap_or_default().to_owned(), params)
            }
            Protocol::Rest => (
                format!("{} {}", parts.method, parts.uri.path()),
                // Invoke's payload may be anything: its service looks at the bytes.
                serde_json::from_slice(&body).unwrap_or(Value::Null),
            ),
        };
        let mut call = ApiCall {
            protocol,
            service: service.clone(),
            operation,
            region: signed.claim.region,
            principal: signed.holder.principal,
            request_id: request_id.clone(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            labels: Vec::new(),
            query,
            headers: parts.headers.clone(),
            body,
            params,
        };
        let mut answer = dispatch(cloud, &mut call).await;
        if let Err(error) = &mut answer
            && error.code == DAMAGED
        {
            error.message.push_str(" (in ");
            error.message.push_str(&cloud.dir.to_string_lossy());
            error.message.push(')');
        }
        answer
    }
    .await;
    write(protocol, &service, &request_id, result)
}

fn json_body(service: &str, body: &Bytes) -> Result<Value, AwsError> {
    // DynamoDB's engine reads its bodies itself.
    if service == "dynamodb" || body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body)
        .map_err(|error| AwsError::new(400, "SerializationException", error.to_string()))
}

async fn dispatch(cloud: &Arc<LocalCloud>, call: &mut ApiCall) -> Result<Reply, AwsError> {
    tracing::debug!(service = call.service, operation = call.operation, region = call.region);
    match call.service.as_str() {
        "lambda" => rest::resolve(lambda::OPERATIONS, call)?,
        "apigateway" => rest::resolve(http_api::OPERATIONS, call)?,
        _ => {}
    }
    let needs = match call.service.as_str() {
        "dynamodb" => dynamodb::needs(cloud, call),
        "iam" => iam::needs(cloud, call),
        "sts" => sts::needs(call),
        "logs" => logs::needs(call),
        "tagging" => tagging::needs(call),
        "lambda" => lambda::needs(call),
        "sns" => sns::needs(call),
        "apigateway" => http_api::needs(call),
        _ => Err(AwsError::unknown_call(call)),
    };
    for need in needs? {
        cloud.authorise(call, &need)?;
    }
    match call.service.as_str() {
        "dynamodb" => dynamodb::handle(cloud, call).await,
        "iam" => iam::handle(cloud, call),
        "sts" => sts::handle(cloud, call),
        "logs" => logs::handle(cloud, call),
        "tagging" => tagging::handle(cloud, call),
        "lambda" => lambda::handle(cloud, call).await,
        "sns" => sns::handle(cloud, call).await,
        "apigateway" => http_api::handle(cloud, call).await,
        _ => Err(AwsError::unknown_call(call)),
    }
}

fn write(
    protocol: Protocol,
    service: &str,
    request_id: &str,
    result: Result<Reply, AwsError>,
) -> Response {
    let json_type = match (protocol, service) {
        (Protocol::Query, _) => "text/xml",
        (Protocol::Rest, _) => "application/json",
        (Protocol::Json, "dynamodb") => "application/x-amz-json-1.0",
        (Protocol::Json, _) => "application/x-amz-json-1.1",
    };
    let reply = result.unwrap_or_else(|error| failed(protocol, service, request_id, &error));
    let mut response =
        Response::builder().status(reply.status).header("x-amzn-requestid", request_id);
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        response = response.header(header::CONTENT_TYPE, json_type);
    }
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|error| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
    })
}

fn failed(protocol: Protocol, service: &str, request_id: &str, error: &AwsError) -> Reply {
    let mut members = error.fields.clone();
    let mut reply = Reply::empty(error.status);
    match protocol {
        Protocol::Query => {
            reply.body = xml::error(service, request_id, error).into();
            return reply;
        }
        Protocol::Json => {
            members.insert("__type".to_owned(), error.code.clone().into());
            members.insert("message".to_owned(), error.message.clone().into());
        }
        Protocol::Rest => {
            reply.headers.push(("x-amzn-errortype", error.code.clone()));
            members.insert("message".to_owned(), error.message.clone().into());
            if service == "lambda" {
                let kind = if error.status < 500 { "User" } else { "Service" };
                members.entry("Type").or_insert(kind.into());
                members.insert("Message".to_owned(), error.message.clone().into());
            }
        }
    }
    reply.body = Value::Object(members).to_string().into();
    reply
}

/// A request's signature, and who has its key.
struct Signed {
    claim: Claim,
    holder: Holder,
}

impl Signed {
    /// As far as it can be told without the body.
    fn of(cloud: &LocalCloud, claim: Claim, headers: &HeaderMap) -> Result<Self, Refused> {
        let holder = cloud.holder(&claim.key).ok_or(Refused::UnknownKey)?;
        claim.check(&holder, headers, SystemTime::now())?;
        Ok(Self { claim, holder })
    }

    fn verify(&self, cloud: &LocalCloud, parts: &Parts, body: &[u8]) -> Result<(), Refused> {
        self.claim.verify(&self.holder, parts, body, &cloud.signing_keys)
    }
}
