//! `ADVENT_RECORD=FILE`: every request with its answer as a line of JSON, without what is secret.
//!
//! For `cargo xtask prove`. What reaches the file may be shown to everyone: account ids, keys,
//! values of environments, code and names of people are replaced before they are written.

mod redact;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::{Value, json};

pub use redact::{hide, text as redacted};

const VARIABLE: &str = "ADVENT_RECORD";

static SINK: OnceLock<Option<Mutex<File>>> = OnceLock::new();

/// Records into this file from here on, whatever the environment says.
///
/// # Errors
/// The file cannot be written.
pub fn begin(path: &Path) -> std::io::Result<()> {
    let file = open(path)?;
    let begun = SINK.set(Some(Mutex::new(file)));
    begun.map_err(|_| std::io::Error::other("something was recorded, or not, before"))
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn sink() -> Option<&'static Mutex<File>> {
    let find = || {
        let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty())?;
        // A record is not worth failing for; whoever wants it sees that it is missing.
        open(path.as_ref()).ok().map(Mutex::new)
    };
    SINK.get_or_init(find).as_ref()
}

/// The same configuration, with a client that records if that is wanted. What credentials are got
/// with is not recorded: it has a client of its own.
pub fn recording(config: SdkConfig) -> SdkConfig {
    match (sink(), config.http_client()) {
        (Some(sink), Some(inner)) => {
            config.into_builder().http_client(Client { inner, sink }).build()
        }
        _ => config,
    }
}

#[derive(Debug)]
struct Client {
    inner: SharedHttpClient,
    sink: &'static Mutex<File>,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, sink: self.sink })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    sink: &'static Mutex<File>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut entry = Entry::of(&request, self.sink);
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    entry.failed(&error);
                    return Err(error);
                }
            };
            entry.document["status"] = response.status().as_u16().into();
            let id = ["x-amzn-requestid", "apigw-requestid", "x-amz-request-id"];
            let headers = response.headers();
            entry.document["request_id"] = id.iter().find_map(|name| headers.get(name)).into();
            let body = ByteStream::new(response.take_body()).collect().await;
            let body = body.map_err(|error| {
                let error = ConnectorError::io(error.into());
                entry.failed(&error);
                error
            })?;
            let body = body.into_bytes();
            entry.document["answer"] = redact::body(&body);
            entry.write();
            *response.body_mut() = SdkBody::from(body);
            Ok(response)
        })
    }
}

/// One attempt of a request. Written when it is over, also if nobody waits for it any longer.
struct Entry {
    document: Value,
    begun: Instant,
    sink: &'static Mutex<File>,
    written: bool,
}

impl Entry {
    fn of(request: &HttpRequest, sink: &'static Mutex<File>) -> Self {
        let headers = request.headers();
        let parameters = request.body().bytes().map_or(Value::Null, redact::body);
        let target = headers.get("x-amz-target").and_then(|target| target.rsplit('.').next());
        // `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
        let service = headers.get("authorization").and_then(|header| header.split('/').nth(3));
        let line = redact::uri(request.uri());
        let path = line.splitn(4, '/').nth(3).unwrap_or_default();
        let operation = target
            .or_else(|| parameters["Action"].as_str())
            .map_or_else(|| format!("{} /{path}", request.method()), str::to_owned);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let document = json!({
            "at": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            "service": service,
            "operation": operation,
            "request": format!("{} {line}", request.method()),
            "parameters": parameters,
            "error": "abandoned",
        });
        Self { document, begun: Instant::now(), sink, written: false }
    }

    fn failed(&mut self, error: &ConnectorError) {
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        self.document["error"] = redacted(&innermost.to_string()).into();
    }

    fn write(&mut self) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        if !self.document["answer"].is_null() {
            self.document["error"] = Value::Null;
        }
        let took = self.begun.elapsed().as_millis();
        self.document["ms"] = u64::try_from(took).unwrap_or(u64::MAX).into();
        let line = format!("{}\n", self.document);
        let mut file = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).ok();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.write();
    }
}
