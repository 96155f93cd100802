//! The Lambda Runtime API, each worker's under a prefix of its own.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::lambda::pool::{Outcome, Pool};
use super::lambda::worker::{RESPONSE_LIMIT, Worker};

/// Where the gateway finds it.
pub const PREFIX: &str = "/_runtime/";
const VERSION: &str = "2018-06-01/runtime/";

/// What a runtime may post as an error, in bytes.
const ERROR_LIMIT: usize = 1024 * 1024;

/// As [`serve_pool`], with the cloud's own pool.
pub async fn serve(cloud: &Arc<Cloud>, request: Request) -> Response {
    match cloud.lambda.get() {
        Ok(runtime) => serve_pool(&runtime.pool, request).await,
        Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "Runtime.Starting", "not yet"),
    }
}

/// Answers `/_runtime/{worker}/2018-06-01/runtime/...`. The worker's id is a random number that
/// only its process knows: it is the authorisation.
pub async fn serve_pool(pool: &Arc<Pool>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let Some((id, path)) = path.split_once('/') else { return not_found() };
    let Some(worker) = pool.worker(id) else {
        return answer(StatusCode::GONE, "Runtime.Gone", "this worker has ended");
    };
    let Some(path) = path.strip_prefix(VERSION) else { return not_found() };
    let parts: Vec<&str> = path.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(pool, &worker).await,
        (&Method::POST, ["invocation", id, "response"]) => {
            let id = (*id).to_owned();
            respond(&worker, &id, request).await
        }
        (&Method::POST, ["invocation", id, "error"]) => {
            let id = (*id).to_owned();
            let payload = error_payload(request).await;
            finish(&worker, &id, Outcome { payload, failed: true, tail: None }).await
        }
        (&Method::POST, ["init", "error"]) => {
            worker.init_failed(error_payload(request).await);
            accepted()
        }
        _ => not_found(),
    }
}

async fn next(pool: &Arc<Pool>, worker: &Arc<Worker>) -> Response {
    let event = pool.next(worker).await.and_then(|()| worker.event());
    let Some(event) = event else {
        return answer(StatusCode::GONE, "Runtime.Gone", "this worker is to end");
    };
    let mut response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &event.id)
        .header("lambda-runtime-deadline-ms", event.deadline_ms.to_string())
        .header("lambda-runtime-invoked-function-arn", &worker.spec.arn)
        .header("lambda-runtime-trace-id", trace_id(&event.id));
    if let Some(context) = event.client_context {
        response = response.header("lambda-runtime-client-context", context);
    }
    response.body(Body::from(event.payload)).unwrap_or_else(|_| not_found())
}

/// Formed as X-Ray forms it, and never sampled.
fn trace_id(request: &str) -> String {
    let seconds = super::lambda::output::now_ms() / 1000;
    let digits: String = request.chars().filter(char::is_ascii_hexdigit).take(24).collect();
    let parent = &digits[..digits.len().min(16)];
    format!("Root=1-{seconds:08x}-{digits};Parent={parent};Sampled=0")
}

async fn respond(worker: &Worker, id: &str, request: Request) -> Response {
    // A streaming runtime says with a trailer how it ended; the body is the answer all the same.
    match to_bytes(request.into_body(), RESPONSE_LIMIT).await {
        Ok(payload) => finish(worker, id, Outcome { payload, failed: false, tail: None }).await,
        Err(error) => {
            let cause = std::error::Error::source(&error);
            if !cause.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) {
                // The process went away while it was sending: its exit says the rest.
                return answer(StatusCode::BAD_REQUEST, "Runtime.TruncatedResponse", "truncated");
            }
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
            );
            let outcome = Outcome::error("Function.ResponseSizeTooLarge", &message);
            finish(worker, id, outcome).await;
            answer(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
    }
}

async fn finish(worker: &Worker, id: &str, outcome: Outcome) -> Response {
    if worker.finish(id, outcome).await {
        accepted()
    } else {
        answer(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
    }
}

/// The runtime's own error object, or one made from its header.
async fn error_payload(request: Request) -> Bytes {
    let kind = header(request.headers(), "lambda-runtime-function-error-type").to_owned();
    let body = to_bytes(request.into_body(), ERROR_LIMIT).await.unwrap_or_default();
    if serde_json::from_slice::<Value>(&body).is_ok() {
        return body;
    }
    let kind = if kind.is_empty() { "Runtime.Unknown" } else { &kind };
    let message = String::from_utf8_lossy(&body);
    json!({"errorType": kind, "errorMessage": message}).to_string().into()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn accepted() -> Response {
    let mut response = Response::new(Body::from("{\"status\":\"OK\"}"));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, "NotFound", "the Runtime API has no such path")
}

fn answer(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"errorType": kind, "errorMessage": message}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}
