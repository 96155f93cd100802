//! One HTTP request to a deployed address.

use std::time::Duration;

use anyhow::Result;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

/// An HTTP API waits 30 s for its function at most.
const PATIENCE: Duration = Duration::from_secs(35);

/// Posts a form; `endpoint` is where to connect to for an address that only an emulator knows.
pub async fn post_form(url: &str, endpoint: Option<&str>, form: &str) -> Result<(u16, String)> {
    let host = url.split('/').nth(2).unwrap_or_default();
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let target = endpoint.map_or_else(
        || url.to_owned(),
        |endpoint| format!("{}/{path}", endpoint.trim_end_matches('/')),
    );
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.set_uri(target)?;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded");
    headers.insert("host", host.to_owned());
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build();
    let response = tokio::time::timeout(PATIENCE, connector.call(request)).await??;
    let status = response.status().as_u16();
    let body = ByteStream::new(response.into_body());
    let body = tokio::time::timeout(PATIENCE, body.collect()).await??.into_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
