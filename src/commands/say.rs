//! `advent say`: what Slack would send, to the deployed URL.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::session::Session;
use super::url;
use crate::aws::http::Http;
use crate::cli::{Global, Say};
use crate::failure::Failure;
use crate::report::Report;

/// An HTTP API waits 30 s for its function at most.
const PATIENCE: Duration = Duration::from_secs(35);
/// A new API's address and routes are not known everywhere at once.
const NEW_API: Duration = Duration::from_secs(20);

pub async fn run(global: &Global, args: &Say, report: &Report) -> Result<u8> {
    let session = Session::open(global, report).await?;
    let endpoint = url::endpoint(&session).await?;
    let path = url::path(&session.app.manifest, args.path.as_deref()).unwrap_or("/");
    let url = format!("{endpoint}{path}");
    let begun = Instant::now();
    let (status, body, ms) = loop {
        let message = Message::new(args, &url, session.cloud.endpoint.as_deref());
        let sent = Instant::now();
        let answer = message.send(&session.cloud.http).await;
        let young = begun.elapsed() < NEW_API;
        match answer {
            Ok((404, body)) if young && body.contains("\"Not Found\"") => {}
            Ok((status, body)) => break (status, body, sent.elapsed().as_millis()),
            Err(_) if young && session.local.is_none() && session.cloud.endpoint.is_none() => {}
            Err(error) => {
                let what = format!("{url} does not answer");
                let hint = "check with `advent status` that the stack is up";
                return Err(Failure::new(what).hint(hint).source(error).into());
            }
        }
        report.begin("waiting for the new API's address to be known");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    report.end();
    let text = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|answer| Some(answer.get("text")?.as_str()?.to_owned()))
        .unwrap_or(body);
    if global.json {
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        report.document(&json!({ "status": status, "text": text, "ms": ms }));
    } else if status == 200 {
        report.data(&text);
        report.note(&format!("{status} in {ms} ms"));
    } else {
        let what = format!("{url} answered {status}: {text}");
        let hint = match status {
            401 => "set SLACK_SIGNING_SECRET or SLACK_TOKEN as it was set for `advent up`",
            429 => "the stage's throttle let it not through: wait a second",
            _ => "`advent logs` shows what the function says",
        };
        return Err(Failure::new(what).hint(hint).into());
    }
    Ok(u8::from(status != 200))
}

/// One message of an outgoing webhook, as Slack documents it.
struct Message<'a> {
    url: &'a str,
    /// Where to connect to, if not to the URL's own host.
    via: Option<&'a str>,
    body: String,
    timestamp: u64,
}

impl<'a> Message<'a> {
    fn new(args: &Say, url: &'a str, endpoint: Option<&'a str>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut form = form_urlencoded::Serializer::new(String::new());
        if let Ok(token) = std::env::var("SLACK_TOKEN") {
            form.append_pair("token", &token);
        }
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        form.append_pair("team_id", "T0ADVENT0")
            .append_pair("team_domain", "advent")
            .append_pair("channel_id", "C0ADVENT0")
            .append_pair("channel_name", "advent")
            .append_pair("timestamp", &format!("{seconds}.{micros:06}"))
            .append_pair("user_id", "U0ADVENT0")
            .append_pair("user_name", &args.user)
            .append_pair("text", &args.text);
        if let Some(trigger) = args.text.split_whitespace().next() {
            form.append_pair("trigger_word", trigger);
        }
        // Emulators other than ours answer for their APIs at their own address only.
        let via = endpoint.filter(|endpoint| host(url) != host(endpoint));
        Self { url, via, body: form.finish(), timestamp: seconds }
    }

    async fn send(self, http: &Http) -> Result<(u16, String)> {
        let target = match self.via {
            Some(via) => {
                let path = self.url.splitn(4, '/').nth(3).unwrap_or_default();
                format!("{}/{path}", via.trim_end_matches('/'))
            }
            None => self.url.to_owned(),
        };
        let mut request = HttpRequest::new(SdkBody::from(self.body.as_str()));
        request.set_method("POST")?;
        request.set_uri(target)?;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/x-www-form-urlencoded");
        headers.insert("user-agent", concat!("advent/", env!("CARGO_PKG_VERSION")));
        if self.via.is_some() {
            headers.insert("host", host(self.url).to_owned());
        }
        if let Ok(secret) = std::env::var("SLACK_SIGNING_SECRET") {
            headers.insert("x-slack-request-timestamp", self.timestamp.to_string());
            headers.insert("x-slack-signature", self.signature(&secret)?);
        }
        let response = tokio::time::timeout(PATIENCE, http.send(request)).await??;
        let status = response.status().as_u16();
        let body = aws_smithy_types::byte_stream::ByteStream::new(response.into_body());
        let body = tokio::time::timeout(PATIENCE, body.collect()).await??.into_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Slack's signature v0.
    fn signature(&self, secret: &str) -> Result<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        mac.update(format!("v0:{}:{}", self.timestamp, self.body).as_bytes());
        let digest = mac.finalize().into_bytes();
        Ok(digest.iter().fold("v0=".to_owned(), |hex, byte| format!("{hex}{byte:02x}")))
    }
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}
