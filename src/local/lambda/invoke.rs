//! The Invoke operation.

use std::sync::Arc;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;

use super::{function, pool, queue};
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;

/// Payload limits in bytes (AWS: Lambda quotas).
const SYNCHRONOUS_LIMIT: usize = 6 * 1024 * 1024;
const ASYNCHRONOUS_LIMIT: usize = 1024 * 1024;

pub(super) async fn handle(
    cloud: &Arc<LocalCloud>,
    call: &ApiCall,
    name: &str,
) -> Result<Reply, AwsError> {
    let function = function::require(cloud, call, name)?;
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let kind = header("x-amz-invocation-type").unwrap_or("RequestResponse");
    let limit = match kind {
        "RequestResponse" => SYNCHRONOUS_LIMIT,
        "Event" => ASYNCHRONOUS_LIMIT,
        "DryRun" => return Ok(Reply::empty(204)),
        _ => {
            return Err(function::constraint(
                kind,
                "invocationType",
                "[RequestResponse, DryRun, Event]",
            ));
        }
    };
    let payload = if call.body.is_empty() { Bytes::from_static(b"{}") } else { call.body.clone() };
    if payload.len() > limit {
        return Err(AwsError::new(
            413,
            "RequestTooLargeException",
            format!(
                "{} byte payload is too large for the {kind} invocation type (limit {limit} bytes)",
                payload.len()
            ),
        ));
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
        return Err(AwsError::new(
            400,
            "InvalidRequestContentException",
            format!("Could not parse request body into json: {error}"),
        ));
    }
    if kind == "Event" {
        cloud
            .store
            .write(|db| queue::enqueue(db, &function.region, name, &call.request_id, &payload))?;
        super::events_queued(cloud);
        return Ok(Reply::empty(202));
    }
    let options = pool::Options {
        request_id: Some(call.request_id.clone()),
        tail: header("x-amz-log-type") == Some("Tail"),
        client_context: header("x-amz-client-context").map(decode_context).transpose()?,
        asynchronous: false,
    };
    let spec = Arc::new(function.spec());
    let outcome = cloud.lambda.get()?.pool.invoke(&spec, payload, options).await.map_err(
        |error| match error {
            pool::Refused::Throttled => {
                AwsError::new(429, "TooManyRequestsException", "Rate Exceeded.")
                    .with("Reason", "ConcurrentInvocationLimitExceeded")
            }
            pool::Refused::Gone => AwsError::new(
                500,
                "ServiceException",
                "The function was deleted or the local cloud ended during the invocation.",
            ),
        },
    )?;
    let mut reply = Reply { status: 200, headers: Vec::new(), body: outcome.payload }
        .header("x-amz-executed-version", "$LATEST");
    if outcome.failed {
        reply = reply.header("x-amz-function-error", "Unhandled");
    }
    if let Some(tail) = outcome.tail {
        reply = reply.header("x-amz-log-result", BASE64.encode(tail));
    }
    Ok(reply)
}

/// The Runtime API hands it on as the JSON that it is.
fn decode_context(text: &str) -> Result<String, AwsError> {
    BASE64
        .decode(text)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
        .filter(|text| text.bytes().all(|byte| (32..127).contains(&byte)))
        .ok_or_else(|| {
            AwsError::new(
                400,
                "InvalidRequestContentException",
                "Client context must be a valid Base64-encoded JSON object.",
            )
        })
}
