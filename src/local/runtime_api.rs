//! The Lambda Runtime API: what a worker asks, on a port of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::serve::{Listener, ListenerExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::lambda::pool::{Next, Outcome, Pool};
use super::lambda::worker::{RESPONSE_LIMIT, Worker};

const VERSION: &str = "/2018-06-01/runtime/";

/// What a runtime may post as an error, in bytes.
const ERROR_LIMIT: usize = 1024 * 1024;

/// The Runtime API of one worker, as long as this lives.
///
/// A port for each, not a path: runtimes put `http://` before `AWS_LAMBDA_RUNTIME_API` or read it
/// as host and port, and only that form suits all of them.
pub struct Listening {
    pub address: SocketAddr,
    server: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub async fn listen(pool: &Arc<Pool>, worker: &Arc<Worker>) -> io::Result<Listening> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (pool, worker) = (Arc::clone(pool), Arc::clone(worker));
    let router = Router::new().fallback(move |request: Request| {
        let (pool, worker) = (Arc::clone(&pool), Arc::clone(&worker));
        async move { serve(&pool, &worker, address, request).await }
    });
    let listener = OwnUser(listener).tap_io(|connection| {
        // Questions and answers are small and wanted at once.
        let _ = connection.set_nodelay(true);
    });
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(Listening { address, server: server.abort_handle() })
}

/// Takes connections of processes of this user only, where the system tells whose they are
/// (Linux): the Runtime API knows no credentials, and another user could take a function's events.
/// Another process of the same user is not told from the function's.
struct OwnUser(TcpListener);

impl Listener for OwnUser {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (connection, peer) = Listener::accept(&mut self.0).await;
            let own = rustix::process::geteuid().as_raw();
            if self.0.local_addr().is_ok_and(|to| user_of(peer, to).is_none_or(|of| of == own)) {
                return (connection, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Whose the socket `from` is that is connected to `to`, both of IPv4. None where it is not told;
/// a socket that has been closed meanwhile is nobody's, so the system's.
fn user_of(from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let hex = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => {
            let ip = u32::from_ne_bytes(v4.ip().octets());
            Some(format!("{ip:08X}:{:04X}", v4.port()))
        }
        SocketAddr::V6(_) => None,
    };
    let (from, to) = (hex(from)?, hex(to)?);
    let row = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        (fields.next() == Some(&from) && fields.next() == Some(&to)).then(|| fields.nth(4))
    });
    row.flatten().map_or(Some(0), |user| user.parse().ok())
}

async fn serve(
    pool: &Arc<Pool>,
    worker: &Arc<Worker>,
    address: SocketAddr,
    request: Request,
) -> Response {
    // A page in a browser is no runtime, whatever name it used for this machine.
    let headers = request.headers();
    if header(headers, header::HOST.as_str()) != address.to_string()
        || headers.contains_key(header::ORIGIN)
    {
        return answer(StatusCode::FORBIDDEN, "Forbidden", "this port is for a function's runtime");
    }
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix(VERSION) else { return not_found() };
    let parts: Vec<&str> = path.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(pool, worker).await,
        (&Method::POST, ["invocation", id, "response"]) => respond(pool, worker, id, request).await,
        (&Method::POST, ["invocation", id, "error"]) => {
            let payload = error_payload(request).await;
            finish(pool, worker, id, Outcome { payload, failed: true, tail: None }).await
        }
        (&Method::POST, ["init", "error"]) => {
            worker.init_failed(error_payload(request).await);
            accepted()
        }
        _ => not_found(),
    }
}

async fn next(pool: &Arc<Pool>, worker: &Arc<Worker>) -> Response {
    let event = match pool.next(worker).await {
        Next::Invocation(event) => event,
        Next::End => return answer(StatusCode::GONE, "Runtime.Gone", "this worker is to end"),
        Next::NotNow => {
            // As AWS's runtime interface emulator has it.
            let why = "answer the invocation before asking for the next one";
            return answer(StatusCode::FORBIDDEN, "InvalidStateTransition", why);
        }
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
    let seconds = super::clock::now_ms() / 1000;
    let digits: String = request.chars().filter(char::is_ascii_hexdigit).take(24).collect();
    let parent = &digits[..digits.len().min(16)];
    format!("Root=1-{seconds:08x}-{digits};Parent={parent};Sampled=0")
}

async fn respond(pool: &Arc<Pool>, worker: &Worker, id: &str, request: Request) -> Response {
    // A streaming runtime says with a trailer how it ended; the body is the answer all the same.
    match to_bytes(request.into_body(), RESPONSE_LIMIT).await {
        Ok(payload) => {
            finish(pool, worker, id, Outcome { payload, failed: false, tail: None }).await
        }
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
            finish(pool, worker, id, outcome).await;
            answer(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
    }
}

async fn finish(pool: &Arc<Pool>, worker: &Worker, id: &str, outcome: Outcome) -> Response {
    if pool.finish(worker, id, outcome).await {
        accepted()
    } else {
        answer(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
    }
}

/// The runtime's own error object, or one made from its header.
pub(super) async fn error_payload(request: Request) -> Bytes {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn whose_a_connection_is_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let from = std::net::TcpStream::connect(to).unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(user_of(from.local_addr().unwrap(), to), Some(own));
    }
}
