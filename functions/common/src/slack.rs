//! What Slack sends (outgoing webhooks, slash commands, the Events API), whether it is Slack, and what it gets back.

mod bot;
mod event;
mod form;
mod signature;
mod text;

use std::{env, fmt::Write as _, time::SystemTime};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    http::{Answer, Request},
    log,
};
pub use bot::Bot;
pub(crate) use form::Form;
pub use signature::sign;
pub use text::reply;

const FORM: &str = "application/x-www-form-urlencoded";

/// What is needed to tell Slack from others. Without either, everyone is believed; by one that is blank, nobody.
#[derive(Clone, Default)]
pub struct Secrets {
    /// An app's signing secret.
    pub signing_secret: Option<String>,
    /// An outgoing webhook's or an app's verification token.
    pub token: Option<String>,
}

/// Somebody said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// As Slack encodes it: `&`, `<` and `>` are `&amp;`, `&lt;` and `&gt;`.
    pub text: String,
    /// 64 characters that are the same whenever Slack sends this message again. A request that names no message,
    /// such as one by hand, has none.
    pub id: Option<String>,
    /// Slack signs every attempt anew, so a signature seen before is somebody else's copy.
    pub signature: Option<String>,
    /// A command's answer is shown to its user alone unless it says otherwise.
    pub command: bool,
    /// Where to say the answer that otherwise nobody sees: an event's.
    pub place: Option<Place>,
}

/// Where in Slack something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub channel: String,
    /// The timestamp of the thread's first message.
    pub thread: Option<String>,
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    Message(Message),
    /// Nothing to do but to answer this.
    Answer(Answer),
}

impl Secrets {
    /// From `SLACK_SIGNING_SECRET` and `SLACK_TOKEN`.
    pub fn from_env() -> Self {
        Self { signing_secret: secret("SLACK_SIGNING_SECRET"), token: secret("SLACK_TOKEN") }
    }

    /// Verifies and reads a request, or fails with the answer it deserves.
    ///
    /// A request with a signature stands or falls with it when a signing secret is set. One without needs the token:
    /// outgoing webhooks are not signed. So both can be set, for both kinds at the same address.
    pub fn accept(&self, request: &Request, now: SystemTime) -> Result<Accepted, Answer> {
        let kind = request.content_type();
        let form = if kind == FORM { Form::parse(&request.body) } else { None };
        // Slack looks at the certificate now and then, and does not sign that.
        if form.as_ref().is_some_and(|form| form.get("ssl_check") == Some("1")) {
            return Ok(nothing());
        }
        let signature = request.header(signature::SIGNATURE);
        let signed = match &self.signing_secret {
            Some(secret) if signature.is_some() || self.token.is_none() => {
                signature::verify(secret, request, now)
                    .then_some(signature)
                    .ok_or_else(unauthorized)?
            }
            _ => None,
        };
        let token = self.token.as_deref().filter(|_| signed.is_none());
        let check = |given: Option<&str>| match token {
            Some(token)
                if is_blank(token) || !signature::same(token, given.unwrap_or_default()) =>
            {
                Err(unauthorized())
            }
            _ => Ok(()),
        };

        let mut call = match kind.as_str() {
            FORM => {
                let form = form.ok_or_else(|| Answer::refuse(400, "The form is not UTF-8."))?;
                check(form.get("token"))?;
                from_form(&form)
            }
            "application/json" => {
                let event = serde_json::from_slice(&request.body)
                    .map_err(|_| Answer::refuse(400, "The body is not JSON."))?;
                check(field(&event, "/token"))?;
                event::read(&event)
            }
            "" if request.body.is_empty() => {
                check(None)?;
                from_form(&Form::default())
            }
            _ => Err(Answer::refuse(
                415,
                "Send application/x-www-form-urlencoded or application/json.",
            )),
        }?;
        if let Accepted::Message(message) = &mut call {
            message.signature = signed.map(str::to_owned);
            if message.id.is_none() {
                message.id = signed.map(|signature| id(&["signature", signature]));
            }
        }
        Ok(call)
    }
}

/// A variable that was set to be verified by. What is there but cannot be a secret verifies nobody, for else a mistake
/// would open the endpoint.
fn secret(name: &str) -> Option<String> {
    let secret = env::var_os(name)?.into_string().unwrap_or_default();
    if is_blank(&secret) {
        log::line(&json!({
            "level": "error",
            "error": format!("{name} is set, but to no secret: whatever it is to verify is refused"),
        }));
    }
    Some(secret)
}

fn is_blank(secret: &str) -> bool {
    secret.trim().is_empty()
}

/// The answer to a request that is not Slack's. It does not say what was wrong.
pub fn unauthorized() -> Answer {
    Answer::refuse(401, "This request is not verified.")
}

fn from_form(form: &Form) -> Result<Accepted, Answer> {
    if form.get("payload").is_some() {
        return Err(Answer::refuse(400, "Interactive messages are not understood."));
    }
    if form.get("user_id") == Some("USLACKBOT") || form.get("bot_id").is_some() {
        return Ok(nothing());
    }
    let text = form.get("text").unwrap_or_default();
    let fields = |names: &[&str]| names.iter().map(|name| form.get(name)).collect();
    let id = identity("command", fields(&["team_id", "trigger_id"])).or_else(|| {
        let message = fields(&["team_id", "channel_id", "timestamp", "user_id", "text"]);
        identity("message", message)
    });
    Ok(Accepted::Message(Message {
        text: text.to_owned(),
        id,
        signature: None,
        command: form.get("command").is_some(),
        place: None,
    }))
}

/// Slack says nothing when there is no text.
fn nothing() -> Accepted {
    Accepted::Answer(Answer::new(200, json!({})))
}

fn field<'a>(event: &'a Value, path: &str) -> Option<&'a str> {
    event.pointer(path)?.as_str()
}

/// An identity if all of the fields are there.
fn identity(kind: &str, fields: Option<Vec<&str>>) -> Option<String> {
    let fields = fields.filter(|fields| fields.iter().all(|field| !field.is_empty()))?;
    Some(id(&[&[kind], fields.as_slice()].concat()))
}

fn id(fields: &[&str]) -> String {
    // JSON keeps the fields apart.
    hex(&Sha256::digest(json!(fields).to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
#[path = "slack/tests.rs"]
mod tests;
