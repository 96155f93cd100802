//! Connections are there before the first call, which takes them, and are only relied on as long as they last.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use aws_sdk_dynamodb::{Client, config::Builder, error::DisplayErrorContext};
use aws_smithy_types::retry::RetryConfig;
use common::{
    connections::Connections,
    testing::{self, Accepted},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, crypto::ring};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A `DynamoDB` without tables that answers up to so many requests on a connection.
struct Endpoint {
    url: String,
    accepted: Accepted,
}

impl Endpoint {
    /// Answers `requests` on a connection, but on the first one `of_first`.
    async fn start(tls: Option<TlsAcceptor>, of_first: usize, requests: usize) -> Self {
        Self::answering(tls, of_first, requests, "200 OK").await
    }

    /// The same, where the first connection has this status for everything.
    async fn answering(
        tls: Option<TlsAcceptor>,
        of_first: usize,
        requests: usize,
        status: &'static str,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepted = Accepted::default();
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_first = count.add() == 0;
                let (limit, status) =
                    if is_first { (of_first, status) } else { (requests, "200 OK") };
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, limit, status).await;
                            }
                        }
                        None => answer(stream, limit, status).await,
                    }
                });
            }
        });
        Self { url: format!("{scheme}://localhost:{port}"), accepted }
    }

    fn client(&self, connections: &Connections) -> Client {
        let config = Builder::from(&testing::config(&self.url))
            .http_client(connections.clone())
            .retry_config(RetryConfig::standard());
        Client::from_conf(config.build())
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, requests: usize, status: &str) {
    let mut request = Vec::new();
    for _ in 0..requests {
        request.clear();
        // The body of ListTables, which is all that is asked here.
        while !request.ends_with(b"{}") {
            if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
                return;
            }
        }
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: 17\r\n\r\n{{\"TableNames\":[]}}");
        stream.write_all(answer.as_bytes()).await.expect("a client that waits");
    }
    stream.shutdown().await.expect("an end");
}

async fn list(client: &Client) -> Result<(), String> {
    let listed = client.list_tables().send().await;
    listed.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
}

/// Of a server called localhost: for the server, and for its clients.
fn certificate() -> (TlsAcceptor, RootCertStore) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let CertifiedKey { cert, signing_key } = made;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.into())
        .expect("a server's certificate");
    (TlsAcceptor::from(Arc::new(config)), roots)
}

async fn open(connections: &Connections, endpoint: &Endpoint) {
    let url = endpoint.url.parse().expect("a URL");
    connections.open([url]).await;
}

#[tokio::test]
async fn the_first_call_takes_the_connection_that_was_opened() {
    let (tls, roots) = certificate();
    for (tls, connections) in [
        (None, Connections::without_tls()),
        (Some(tls), Connections::trusting(roots).expect("an HTTP client")),
    ] {
        let endpoint = Endpoint::start(tls, 100, 100).await;
        open(&connections, &endpoint).await;
        endpoint.accepted.are(1).await;
        let client = endpoint.client(&connections);
        for _ in 0..3 {
            list(&client).await.expect("an answer");
        }
        endpoint.accepted.are(1).await;
        // Two at the same time need one more.
        let (one, other) = tokio::join!(list(&client), list(&client));
        assert_eq!((one, other), (Ok(()), Ok(())));
        endpoint.accepted.are(2).await;
    }
}

#[tokio::test]
async fn one_connection_is_opened_to_a_host_of_several_services() {
    let endpoint = Endpoint::start(None, 100, 100).await;
    let connections = Connections::without_tls();
    let url = || endpoint.url.parse().expect("a URL");
    connections.open([url(), url()]).await;
    list(&endpoint.client(&connections)).await.expect("an answer");
    endpoint.accepted.are(1).await;
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_no_error() {
    let endpoint = Endpoint::start(None, 0, 100).await;
    let connections = Connections::without_tls();
    open(&connections, &endpoint).await;
    endpoint.accepted.are(1).await;
    list(&endpoint.client(&connections)).await.expect("an answer");
}

#[tokio::test]
async fn a_connection_that_the_server_closes_after_each_answer_is_no_error() {
    let endpoint = Endpoint::start(None, 1, 1).await;
    let client = endpoint.client(&Connections::without_tls());
    for _ in 0..3 {
        list(&client).await.expect("an answer");
    }
}

#[tokio::test]
async fn after_a_server_error_another_connection_is_tried() {
    let broken = "500 Internal Server Error";
    let endpoint = Endpoint::answering(None, 100, 100, broken).await;
    let connections = Connections::without_tls();
    open(&connections, &endpoint).await;
    list(&endpoint.client(&connections)).await.expect("an answer of the second");
    endpoint.accepted.are(2).await;
}

#[tokio::test]
async fn what_is_not_http_is_not_asked_for_again() {
    let endpoint = Endpoint::answering(None, 100, 100, "is this a status?").await;
    let connections = Connections::without_tls();
    let error = list(&endpoint.client(&connections)).await.expect_err("no HTTP");
    assert!(error.contains("invalid HTTP status-code parsed"), "{error}");
    endpoint.accepted.are(1).await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let (tls, _) = certificate();
    let (_, others) = certificate();
    let endpoint = Endpoint::start(Some(tls), 100, 100).await;
    let connections = Connections::trusting(others).expect("an HTTP client");
    open(&connections, &endpoint).await;
    let error = list(&endpoint.client(&connections)).await.expect_err("no trust");
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn where_nobody_listens_the_call_says_so() {
    let nowhere = Endpoint { url: "http://127.0.0.1:1".to_owned(), accepted: Accepted::default() };
    let connections = Connections::without_tls();
    open(&connections, &nowhere).await;
    let error = list(&nowhere.client(&connections)).await.expect_err("nobody");
    assert!(error.contains("refused"), "{error}");
}
