//! Plain HTTP requests, one connection each.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }
}

pub fn get(url: &str) -> Result<Answer, String> {
    send("GET", url, &[], b"")
}

pub fn post(url: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
    send("POST", url, &[("content-type", content_type)], body)
}

/// Gives up after 30 s.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .map_err(|error| format!("{url}: {error}"))?;
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let exchange = async {
            let response = client.request(request).await.map_err(|error| format!("{error:?}"))?;
            let status = response.status().as_u16();
            let body =
                response.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
            Ok(Answer { status, body: body.to_bytes().to_vec() })
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, exchange).await.map_err(|_| format!("{url}: no answer"))?
    })
}
