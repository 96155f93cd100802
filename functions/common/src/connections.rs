//! The HTTP client, of the AWS clients too: its first connections are opened before there is anything to send.
//!
//! A TLS handshake takes most of a second at 128 MB, but not while Lambda initialises a function, which then has a whole
//! processor (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>). The SDK's own client
//! opens a connection for a request only, and a request for its own sake costs as much as the whole rest of a start.

use std::{
    collections::HashMap,
    error::Error as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connection::{CaptureSmithyConnection, ConnectionMetadata},
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::body::SdkBody;
use futures::future::join_all;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{CaptureConnection, HttpConnector as TcpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use crate::Error;

/// For TCP to connect. A handshake within a call is part of that call's attempt, which the SDK bounds.
const PATIENCE: Duration = Duration::from_secs(1);
/// For everything that is opened ahead: Lambda gives an initialisation up after 10 s.
const PATIENCE_AHEAD: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read by [`Connections::send`].
const LONGEST: usize = 64 * 1024;
/// What was opened ahead is not trusted for longer: a server need not keep a connection on which nothing comes. A first
/// event that takes longer, as with provisioned concurrency, opens its own.
const FRESH: Duration = Duration::from_secs(5);

/// HTTP/1.1. Clones share their connections. Of a client's timeouts those of operations and attempts count; what the SDK
/// calls connect and read timeouts do not.
#[derive(Clone, Debug)]
pub struct Connections {
    client: Client<Connector, SdkBody>,
    connector: Connector,
}

impl Connections {
    /// Over TLS, with the certificates of the system. Fails where there are none.
    pub fn with_tls() -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(
                format!("no certificates to verify servers with: {:?}", found.errors).into()
            );
        }
        Self::trusting(roots)
    }

    /// Over TLS, with servers that these vouch for.
    pub fn trusting(roots: RootCertStore) -> Result<Self, Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = tcp();
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1();
        Ok(Self::over(Transport::Tls(tls.wrap_connector(tcp))))
    }

    /// Over plain TCP: no certificates are read, which are hundreds.
    pub fn without_tls() -> Self {
        Self::over(Transport::Plain(tcp()))
    }

    fn over(transport: Transport) -> Self {
        let connector = Connector { transport, ahead: Arc::default() };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector.clone());
        Self { client, connector }
    }

    /// Sends a request once and reads the answer, whatever its status. After an error the request may have arrived, unless
    /// there was no connection.
    pub async fn send(&self, request: Request<SdkBody>) -> Result<Response<Vec<u8>>, Error> {
        let (parts, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await?;
        Ok(Response::from_parts(parts, body.to_bytes().into()))
    }

    /// Opens a connection to each host within 3 s, for the first request that goes there. Where that fails, the request
    /// will try again and tell.
    pub async fn open(&self, urls: impl IntoIterator<Item = Uri>) {
        let hosts: HashMap<_, _> =
            urls.into_iter().filter_map(|url| Some((url.authority()?.to_string(), url))).collect();
        let opening = hosts.into_iter().map(|(host, url)| self.connector.open_ahead(host, url));
        let _ = timeout(PATIENCE_AHEAD, join_all(opening)).await;
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || Some(poisonable(&captured)));
        }
        let answer = self.client.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(failed)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Lets the SDK drop a connection over which a server answered that it is broken: the next attempt goes elsewhere.
fn poisonable(captured: &CaptureConnection) -> ConnectionMetadata {
    let captured = captured.clone();
    let poison = move || {
        if let Some(connection) = captured.connection_metadata().as_ref() {
            connection.poison();
        }
    };
    ConnectionMetadata::builder().proxied(false).poison_fn(poison).build()
}

/// What happens on the way is worth another attempt, which the SDK makes; what is not HTTP stays so.
fn failed(error: legacy::Error) -> ConnectorError {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    if cause.is_some_and(|cause| cause.is_parse() || cause.is_user()) {
        return ConnectorError::other(error.into(), None);
    }
    ConnectorError::io(error.into())
}

fn tcp() -> TcpConnector {
    let mut tcp = TcpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(PATIENCE));
    tcp
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Gives out what was opened ahead, and then opens.
#[derive(Clone, Debug)]
struct Connector {
    transport: Transport,
    /// By host and port.
    ahead: Arc<Mutex<HashMap<String, (Instant, Stream)>>>,
}

#[derive(Clone, Debug)]
enum Transport {
    Plain(TcpConnector),
    Tls(HttpsConnector<TcpConnector>),
}

impl Connector {
    async fn open_ahead(&self, host: String, url: Uri) {
        if let Ok(stream) = open(self.transport.clone(), url).await {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            ahead.insert(host, (Instant::now(), stream));
        }
    }

    fn opened(&self, url: &Uri) -> Option<Stream> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, stream) = ahead.remove(url.authority()?.as_str())?;
        (since.elapsed() < FRESH).then_some(stream)
    }
}

async fn open(transport: Transport, url: Uri) -> Result<Stream, BoxError> {
    match transport {
        Transport::Plain(mut tcp) => Ok(MaybeHttpsStream::Http(tcp.call(url).await?)),
        Transport::Tls(mut tls) => tls.call(url).await,
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        match self.opened(&url) {
            Some(stream) => Box::pin(std::future::ready(Ok(stream))),
            None => Box::pin(open(self.transport.clone(), url)),
        }
    }
}
