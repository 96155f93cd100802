//! Slack as the declared caller of a function: all that advent knows of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::manifest::keys::{Key, Takes, key};

/// What a person calls it.
pub const NAME: &str = "Slack";
/// The table below a function that declares it: `[function.ID.slack]`.
pub const SECTION: &str = "slack";

/// A secret that may be declared: its key, the function's variable that gets it.
pub type Secret = (&'static str, &'static str);

const SIGNING_SECRET: Secret = ("signing_secret", "SLACK_SIGNING_SECRET");
const TOKEN: Secret = ("token", "SLACK_TOKEN");
const BOT_TOKEN: Secret = ("bot_token", "SLACK_BOT_TOKEN");
pub const SECRETS: [Secret; 3] = [SIGNING_SECRET, TOKEN, BOT_TOKEN];

/// The keys of [`SECTION`].
pub(crate) const KEYS: [Key; 3] = [
    key(SIGNING_SECRET.0, Takes::Text(None), "none", "with which Slack signs each request"),
    key(TOKEN.0, Takes::Text(None), "none", "which an outgoing webhook sends along"),
    key(
        BOT_TOKEN.0,
        Takes::Text(None),
        "none",
        "with which the function answers where Slack shows nobody its response",
    ),
];

/// Slack, as a manifest declares it: the operator's environment variables that hold the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// With which Slack signs each request (its v0 signature).
    signing_secret: Option<String>,
    /// Which an outgoing webhook sends along.
    token: Option<String>,
    /// With which the function answers where Slack shows nobody its response.
    bot_token: Option<String>,
}

/// A request as Slack would send it.
pub struct Message {
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Caller {
    /// `declared` tells the operator's variable of one of [`SECRETS`].
    pub fn new(declared: impl Fn(Secret) -> Option<String>) -> Self {
        Self {
            signing_secret: declared(SIGNING_SECRET),
            token: declared(TOKEN),
            bot_token: declared(BOT_TOKEN),
        }
    }

    /// Whether the operator's variable of this name holds one of the secrets.
    pub fn names(&self, variable: &str) -> bool {
        let all = [&self.signing_secret, &self.token, &self.bot_token];
        all.into_iter().any(|name| name.as_deref() == Some(variable))
    }

    /// Whether a function that has these variables tells Slack from others.
    pub fn is_verified(&self, has: impl Fn(&str) -> bool) -> bool {
        let told = [(&self.signing_secret, SIGNING_SECRET), (&self.token, TOKEN)];
        told.iter().any(|(declared, (_, variable))| declared.is_some() && has(variable))
    }

    /// What makes the function tell Slack from others.
    pub fn how_to_verify(&self) -> String {
        match self.verifying().as_slice() {
            [] => {
                let (key, variable) = SIGNING_SECRET;
                format!(
                    "declare `{key} = \"{variable}\"` in [function.ID.{SECTION}] and set \
                     {variable} before `advent up`"
                )
            }
            variables => format!("set {} before `advent up`", variables.join(" or ")),
        }
    }

    /// What may be wrong where the function takes `say` for somebody else.
    pub fn how_to_be_believed(&self) -> String {
        match self.verifying().as_slice() {
            [] => "the function verifies its callers by what advent does not know".to_owned(),
            variables => format!("set {} as it was set for `advent up`", variables.join(" or ")),
        }
    }

    fn verifying(&self) -> Vec<&str> {
        [&self.signing_secret, &self.token].into_iter().filter_map(|name| name.as_deref()).collect()
    }

    /// What is to be pasted where.
    pub fn instructions(&self, url: &str) -> Vec<String> {
        vec![format!(
            "paste {url} into Slack: an outgoing webhook's URL(s), a slash command's request URL, \
             or the request URL of event subscriptions"
        )]
    }

    /// What Slack shows nobody, for want of a token.
    pub fn silence(&self, has: impl Fn(&str) -> bool) -> Option<String> {
        let (key, variable) = BOT_TOKEN;
        let how = match &self.bot_token {
            Some(_) if has(variable) => return None,
            Some(own) => format!("set {own}"),
            None => format!(
                "declare `{key} = \"{variable}\"` in [function.ID.{SECTION}] and set {variable}"
            ),
        };
        Some(format!(
            "Events API messages are counted silently: Slack shows nobody the response; {how} to \
             a bot token (scope chat:write) before `advent up`, and the function can answer them"
        ))
    }

    /// A message of an outgoing webhook, as Slack documents it. `environment` is the operator's.
    ///
    /// # Errors
    /// A secret that cannot be used.
    pub fn message(
        &self,
        text: &str,
        user: &str,
        environment: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Message> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let value = |name: &Option<String>| name.as_deref().map_or(Ok(None), &environment);
        let mut form = form_urlencoded::Serializer::new(String::new());
        if let Some(token) = value(&self.token)? {
            form.append_pair("token", &token);
        }
        form.append_pair("team_id", "T0ADVENT0")
            .append_pair("team_domain", "advent")
            .append_pair("channel_id", "C0ADVENT0")
            .append_pair("channel_name", "advent")
            .append_pair("timestamp", &format!("{}.{:06}", now.as_secs(), now.subsec_micros()))
            .append_pair("user_id", "U0ADVENT0")
            .append_pair("user_name", user)
            .append_pair("text", text);
        if let Some(trigger) = text.split_whitespace().next() {
            form.append_pair("trigger_word", trigger);
        }
        let body = form.finish();
        let mut headers = Vec::new();
        if let Some(secret) = value(&self.signing_secret)? {
            headers.push(("x-slack-signature", signature(&secret, now, &body)?));
            headers.push(("x-slack-request-timestamp", now.as_secs().to_string()));
        }
        Ok(Message { content_type: "application/x-www-form-urlencoded", headers, body })
    }
}

/// Slack's signature v0.
fn signature(secret: &str, time: Duration, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(format!("v0:{}:{body}", time.as_secs()).as_bytes());
    let digest = mac.finalize().into_bytes();
    Ok(digest.iter().fold("v0=".to_owned(), |hex, byte| format!("{hex}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(declared: &[Secret]) -> Caller {
        Caller::new(|secret| declared.contains(&secret).then(|| format!("MY_{}", secret.1)))
    }

    /// The example of "Verifying requests from Slack".
    #[test]
    fn a_signature_is_slacks() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
            &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
            &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F\
            commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let time = Duration::from_secs(1_531_420_618);
        assert_eq!(
            signature("8f742231b10e8888abcd99yyyzzz85a5", time, body).unwrap(),
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }

    #[test]
    fn only_what_verifies_counts_as_verified() {
        let both = caller(&[SIGNING_SECRET, BOT_TOKEN]);
        assert!(both.is_verified(|variable| variable == "SLACK_SIGNING_SECRET"));
        assert!(!both.is_verified(|variable| variable == "SLACK_BOT_TOKEN"));
        // The function has one, but not because it was declared.
        assert!(!both.is_verified(|variable| variable == "SLACK_TOKEN"));
        assert!(!caller(&[]).is_verified(|_| true));
    }

    #[test]
    fn silence_is_said_until_there_is_a_token() {
        let declared = caller(&[BOT_TOKEN]);
        assert!(declared.silence(|_| false).unwrap().contains("set MY_SLACK_BOT_TOKEN"));
        assert_eq!(declared.silence(|variable| variable == "SLACK_BOT_TOKEN"), None);
        assert!(caller(&[]).silence(|_| true).unwrap().contains("[function.ID.slack]"));
    }

    #[test]
    fn a_message_carries_what_is_set() {
        let caller = caller(&[SIGNING_SECRET, TOKEN]);
        let message = caller.message("count me", "ada", |_| Ok(None)).unwrap();
        assert!(message.headers.is_empty() && !message.body.contains("token="), "{}", message.body);
        assert!(message.body.contains("user_name=ada&text=count+me&trigger_word=count"));
        let own = |name: &str| Ok((name == "MY_SLACK_TOKEN").then(|| "t".to_owned()));
        assert!(caller.message("", "ada", own).unwrap().body.starts_with("token=t&"));
        let signed = caller.message("", "ada", |_| Ok(Some("s".to_owned()))).unwrap();
        assert_eq!(signed.headers.len(), 2);
    }
}
