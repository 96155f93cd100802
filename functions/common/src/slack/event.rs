//! What the Events API sends: <https://docs.slack.dev/apis/events-api>.

use serde_json::{Value, json};

use super::{Accepted, Message, Place, field, id, identity, nothing};
use crate::{http::Answer, log};

/// Subtypes of what a person says: with a file, as `/me`, and in a thread and its channel at once.
/// All others are told by Slack or by machines: <https://docs.slack.dev/reference/events/message#subtypes>.
const PEOPLES: [&str; 3] = ["file_share", "me_message", "thread_broadcast"];

/// What was said, or the answer to everything else. What an app is sent without having asked for it
/// is answered well, or Slack would send it again, and in the end nothing any more.
pub fn read(event: &Value) -> Result<Accepted, Answer> {
    match field(event, "/type") {
        Some("event_callback") if is_said(event) => Ok(Accepted::Message(message(event))),
        Some("event_callback") => Ok(nothing()),
        Some("url_verification") => {
            let challenge = field(event, "/challenge").unwrap_or_default();
            Ok(Accepted::Answer(Answer::new(200, json!({ "challenge": challenge }))))
        }
        Some("app_rate_limited") => {
            log::line(&json!({
                "level": "error",
                "error": "Slack holds events back, being more than 30,000 an hour: they are not counted",
                "minute": event["minute_rate_limited"].as_u64(),
            }));
            Ok(nothing())
        }
        Some(other) => {
            let other: String = other.chars().take(100).collect();
            log::line(&json!({
                "level": "warn",
                "error": "Slack has sent what is not understood",
                "type": other,
            }));
            Ok(nothing())
        }
        None => Err(Answer::refuse(400, "Send Slack's url_verification or event_callback.")),
    }
}

/// Whether a person says something, and says it now.
fn is_said(event: &Value) -> bool {
    let there = |path: &str| event.pointer(path).is_some_and(|value| !value.is_null());
    let user = field(event, "/event/user");
    let own = event["authorizations"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|app| app["is_bot"] == true && user.is_some() && app["user_id"].as_str() == user);
    let by_machine =
        own || user == Some("USLACKBOT") || there("/event/bot_id") || there("/event/bot_profile");
    // A message that is edited is sent again if it mentions the app.
    let again = there("/event/edited") || event["event"]["hidden"] == true;
    let of_people = match event.pointer("/event/subtype") {
        None | Some(Value::Null) => true,
        Some(subtype) => subtype.as_str().is_some_and(|subtype| PEOPLES.contains(&subtype)),
    };
    let said = matches!(field(event, "/event/type"), Some("message" | "app_mention"));
    said && of_people && !by_machine && !again
}

fn message(event: &Value) -> Message {
    let channel = field(event, "/event/channel").filter(|channel| !channel.is_empty());
    // Channel and time are what Slack knows a message by. One that mentions the app comes as two events.
    let team = field(event, "/team_id").unwrap_or_default();
    let known = channel.zip(field(event, "/event/ts").filter(|time| !time.is_empty()));
    let known = known.map(|(channel, time)| id(&["said", team, channel, time]));
    Message {
        text: field(event, "/event/text").unwrap_or_default().to_owned(),
        id: known.or_else(|| identity("event", field(event, "/event_id").map(|id| vec![id]))),
        signature: None,
        command: false,
        place: channel.map(|channel| Place {
            channel: channel.to_owned(),
            thread: field(event, "/event/thread_ts").map(str::to_owned),
        }),
    }
}
