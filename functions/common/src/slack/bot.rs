//! Saying something in a channel, which takes a bot token: what answers an event is shown to nobody.

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use aws_smithy_types::body::SdkBody;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    uri::Scheme,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Place;
use crate::{
    Error,
    aws::{Aws, variable},
    connections::Connections,
    reason,
};

const API: &str = "https://slack.com/api/";

/// Slack waits 3 s until its event is answered, and what is counted and published takes its part of them.
const PATIENCE: Duration = Duration::from_millis(1500);

/// May say something wherever it was invited.
#[derive(Clone, Debug)]
pub struct Bot {
    connections: Connections,
    url: Uri,
    authorization: HeaderValue,
}

impl Bot {
    /// From `SLACK_BOT_TOKEN`, of scope `chat:write`; `None` without one. `SLACK_API_URL` says where Slack's API is, if
    /// not at Slack.
    pub fn from_env(aws: &mut Aws) -> Result<Option<Self>, Error> {
        let Some(token) = variable("SLACK_BOT_TOKEN") else { return Ok(None) };
        let api = variable("SLACK_API_URL").unwrap_or_else(|| API.to_owned());
        Self::new(&token, &api, |url| aws.connections_to(url)).map(Some)
    }

    /// Fails where the token cannot be one, and where anybody on the way could read it.
    pub fn new(
        token: &str,
        api: &str,
        connections: impl FnOnce(&Uri) -> Result<Connections, Error>,
    ) -> Result<Self, Error> {
        let url: Uri = format!("{}/chat.postMessage", api.trim_end_matches('/'))
            .parse()
            .map_err(|error| format!("SLACK_API_URL is no URL: {error}"))?;
        let plain = url.scheme() == Some(&Scheme::HTTP) && is_here(&url);
        if !plain && url.scheme() != Some(&Scheme::HTTPS) {
            return Err("SLACK_API_URL does not begin with https://".into());
        }
        // The error would not say what is wrong, and must not say what the token is.
        let authorization = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut authorization = authorization
            .ok()
            .filter(|_| !token.contains(char::is_whitespace))
            .ok_or("SLACK_BOT_TOKEN has characters that no token has, such as a line break")?;
        authorization.set_sensitive(true);
        Ok(Self { connections: connections(&url)?, url, authorization })
    }

    /// Says this once, in the thread if it is one. `text` is escaped for Slack. After an error it may
    /// have been said all the same, unless the error is Slack's. No error has the token in it.
    pub async fn say(&self, place: &Place, text: &str) -> Result<(), Error> {
        let mut message = json!({
            "channel": place.channel,
            "text": text,
            // Nothing that somebody typed becomes formatting, a mention, a link or a preview.
            "mrkdwn": false,
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
        });
        if let Some(thread) = &place.thread {
            message["thread_ts"] = json!(thread);
        }
        let request = Request::post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(SdkBody::from(message.to_string()))?;
        let answer = timeout(PATIENCE, self.connections.send(request))
            .await
            .map_err(|_| format!("no answer within {} ms", PATIENCE.as_millis()))?
            .map_err(|error| reason(&*error))?;
        judge(answer.status(), answer.headers(), answer.body()).map_err(Error::from)
    }
}

/// Slack answers 200 to what it refuses, with a code:
/// <https://docs.slack.dev/reference/methods/chat.postmessage#errors>.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if status.is_success() && body["ok"] == true {
        return Ok(());
    }
    let mut what = match code(&body["error"]) {
        Some(error) => format!("{error}, status {}", status.as_u16()),
        None => format!("no code, status {}", status.as_u16()),
    };
    if let Some(scope) = code(&body["needed"]) {
        let _ = write!(what, ", needs {scope}");
    }
    let after = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok());
    if let Some(after) = after.and_then(|after| after.parse::<u32>().ok()) {
        let _ = write!(what, ", may be asked again after {after} s");
    }
    Err(what)
}

/// A word of Slack's, and nothing that somebody else put there.
fn code(value: &Value) -> Option<&str> {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:.,".contains(&byte);
    value.as_str().filter(|code| (1..=100).contains(&code.len()) && code.bytes().all(is_part))
}

/// Whether a server is on this machine.
fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
