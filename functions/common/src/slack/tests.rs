//! Requests that are Slack's, and such that are not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Accepted, Message, Secrets, signature};
use crate::http::{Answer, Request};

/// Slack's published example; see `aws_advent`'s tests for whole events.
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const SIGNED_AT: u64 = 1_531_420_618;
const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

const FORM: &str = "application/x-www-form-urlencoded";

fn request(content_type: &str, body: &str, headers: &Value) -> Request {
    let mut headers = headers.clone();
    headers["content-type"] = json!(content_type);
    let event = json!({
        "requestContext": {"http": {"method": "POST"}},
        "headers": headers,
        "body": body,
        "isBase64Encoded": false,
    });
    Request::receive(event, &[Method::POST]).expect("a request")
}

fn signed(timestamp: &str, signature: &str) -> Request {
    let headers = json!({"x-slack-request-timestamp": timestamp, "x-slack-signature": signature});
    request(FORM, BODY, &headers)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn signing() -> Secrets {
    Secrets { signing_secret: Some(SECRET.into()), token: None }
}

fn token(token: &str) -> Secrets {
    Secrets { signing_secret: None, token: Some(token.into()) }
}

fn open(content_type: &str, body: &str) -> Result<Accepted, Answer> {
    Secrets::default().accept(&request(content_type, body, &json!({})), at(0))
}

fn message(call: Result<Accepted, Answer>) -> Message {
    match call {
        Ok(Accepted::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

fn status(call: Result<Accepted, Answer>) -> u16 {
    call.expect_err("refused").status
}

#[test]
fn slacks_own_example_is_accepted() {
    assert_eq!(signature::sign(SECRET, &SIGNED_AT.to_string(), BODY.as_bytes()), SIGNATURE);
    let request = signed(&SIGNED_AT.to_string(), SIGNATURE);
    for now in [SIGNED_AT, SIGNED_AT + 300, SIGNED_AT - 300] {
        let message = message(signing().accept(&request, at(now)));
        assert!(message.command);
        assert_eq!(message.text, "");
        assert_eq!(message.signature.as_deref(), Some(SIGNATURE));
    }
}

#[test]
fn every_other_request_is_refused_without_saying_why() {
    let now = SIGNED_AT.to_string();
    let wrong = SIGNATURE.replace("a2", "a3");
    let refused = vec![
        (signed(&now, SIGNATURE), SIGNED_AT + 301),
        (signed(&now, SIGNATURE), SIGNED_AT - 301),
        (signed(&(SIGNED_AT + 1).to_string(), SIGNATURE), SIGNED_AT),
        (signed(&now, &wrong), SIGNED_AT),
        (signed(&now, &SIGNATURE.to_uppercase()), SIGNED_AT),
        (signed(&now, &SIGNATURE[..20]), SIGNED_AT),
        (signed(&now, ""), SIGNED_AT),
        (signed("", SIGNATURE), SIGNED_AT),
        (signed("-1", SIGNATURE), SIGNED_AT),
        (signed("18446744073709551616", SIGNATURE), SIGNED_AT),
        (request(FORM, BODY, &json!({})), SIGNED_AT),
        (request("text/plain", BODY, &json!({})), SIGNED_AT),
        (request("", "", &json!({})), SIGNED_AT),
    ];
    for (request, now) in refused {
        let answer = signing().accept(&request, at(now)).expect_err("refused");
        assert_eq!(answer, super::unauthorized(), "{request:?}");
    }
}

#[test]
fn a_token_is_compared_whole() {
    let form = |token: &str| request(FORM, &format!("token={token}&text=a"), &json!({}));
    assert_eq!(message(token("right").accept(&form("right"), at(0))).text, "a");
    for wrong in ["", "wrong", "righ", "rightt", "RIGHT"] {
        assert_eq!(status(token("right").accept(&form(wrong), at(0))), 401, "{wrong}");
    }
    assert_eq!(status(token("right").accept(&request("", "", &json!({})), at(0))), 401);
    let event = json!({"type": "url_verification", "challenge": "x", "token": "wrong"});
    let event = request("application/json", &event.to_string(), &json!({}));
    assert_eq!(status(token("right").accept(&event, at(0))), 401);
}

#[test]
fn with_both_secrets_a_signature_decides_and_a_webhook_needs_the_token() {
    let both = Secrets { signing_secret: Some(SECRET.into()), token: Some("right".into()) };
    let now = SIGNED_AT.to_string();
    assert!(both.accept(&signed(&now, SIGNATURE), at(SIGNED_AT)).is_ok());
    let webhook = request(FORM, "token=right&text=a", &json!({}));
    assert!(both.accept(&webhook, at(0)).is_ok());
    let forged = json!({"x-slack-request-timestamp": now, "x-slack-signature": SIGNATURE});
    let forged = request(FORM, "token=right&text=a", &forged);
    assert_eq!(status(both.accept(&forged, at(SIGNED_AT))), 401);
    let unsigned = request(FORM, "text=a", &json!({}));
    assert_eq!(status(both.accept(&unsigned, at(0))), 401);
}

#[test]
fn a_webhook_is_known_again() {
    let webhook = |text: &str, timestamp: &str| {
        let body = format!(
            "token=t&team_id=T0001&team_domain=example&channel_id=C2147483705&channel_name=test\
             &timestamp={timestamp}&user_id=U2147483697&user_name=Steve&text={text}&trigger_word=awsadvent"
        );
        message(open(&format!("{FORM}; charset=utf-8"), &body))
    };
    let first = webhook("awsadvent+some%26+words%2B", "1355517523.000005");
    assert_eq!(first.text, "awsadvent some& words+");
    assert_eq!(first.id.as_ref().map(String::len), Some(64));
    assert_eq!(webhook("awsadvent+some%26+words%2B", "1355517523.000005"), first);
    assert_ne!(webhook("awsadvent+some%26+words%2B", "1355517523.000006").id, first.id);
    assert_ne!(webhook("other", "1355517523.000005").id, first.id);
    // By hand: every request is another one.
    assert_eq!(message(open(FORM, "text=awsadvent+some+words")).id, None);
    assert_eq!(message(open(FORM, "text=a&team_id=T&channel_id=C&user_id=U")).id, None);
}

#[test]
fn a_signed_request_that_names_no_message_is_known_by_its_signature() {
    let body = "text=a";
    let signature = signature::sign(SECRET, "5", body.as_bytes());
    let headers = json!({"x-slack-request-timestamp": "5", "x-slack-signature": signature});
    assert!(message(signing().accept(&request(FORM, body, &headers), at(5))).id.is_some());
}

#[test]
fn events_are_read() {
    let json = "application/json";
    let challenge = json!({"type": "url_verification", "token": "t", "challenge": "3eZbrw1a"});
    let answered = Accepted::Answer(Answer::new(200, json!({"challenge": "3eZbrw1a"})));
    assert_eq!(open(json, &challenge.to_string()), Ok(answered));

    let event = |event: Value| {
        json!({"type": "event_callback", "token": "t", "team_id": "T1", "event_id": "Ev1",
               "event_time": 1_355_517_523, "event": event})
        .to_string()
    };
    let said = json!({"type": "message", "channel": "C1", "user": "U1", "ts": "1355517523.000005", "text": "a &lt;b"});
    let mut mention = said.clone();
    mention["type"] = json!("app_mention");
    let said = message(open(json, &event(said)));
    assert_eq!(said.text, "a &lt;b");
    assert_eq!(message(open(json, &event(mention))).id, said.id, "one message, two events");
    assert!(message(open(json, &event(json!({"type": "message", "text": "a"})))).id.is_some());

    for ignored in [json!({"type": "reaction_added"}), json!(null)] {
        assert_eq!(open(json, &event(ignored)), Ok(super::nothing()));
    }
}

/// An event with one message, some of whose fields are others.
fn said(fields: &Value) -> String {
    let mut event = json!({
        "type": "event_callback", "team_id": "T1", "event_id": "Ev1",
        "authorizations": [{"team_id": "T1", "user_id": "UBOT", "is_bot": true}, {"user_id": "U1", "is_bot": false}],
        "event": {"type": "message", "channel": "C1", "user": "U1", "ts": "1.2", "text": "some words"},
    });
    for (name, value) in fields.as_object().expect("fields") {
        event["event"][name] = value.clone();
    }
    event.to_string()
}

#[test]
fn people_are_told_from_machines() {
    let plain = message(open("application/json", &said(&json!({}))));
    for of_people in [
        json!({"subtype": "file_share", "files": [{"id": "F1"}], "upload": true}),
        json!({"subtype": "me_message"}),
        json!({"subtype": "thread_broadcast", "thread_ts": "1.1", "root": {"text": "other", "ts": "1.1"}}),
        json!({"subtype": null, "bot_id": null, "edited": null, "hidden": false}),
        json!({"channel_type": "im"}),
        json!({"type": "app_mention"}),
        json!({"blocks": [{"type": "rich_text"}], "attachments": [{"fallback": "x"}], "app_id": "A2"}),
    ] {
        let read = message(open("application/json", &said(&of_people)));
        assert_eq!((&read.text, &read.id), (&plain.text, &plain.id), "{of_people}");
        let place = read.place.expect("a place");
        assert_eq!(
            (place.channel.as_str(), place.thread.as_deref()),
            ("C1", of_people["thread_ts"].as_str())
        );
    }
    // Subtypes of Slack's documentation and of its SDKs.
    for subtype in [
        "assistant_app_thread",
        "bot_add",
        "bot_disable",
        "bot_enable",
        "bot_message",
        "bot_remove",
        "channel_archive",
        "channel_convert_to_private",
        "channel_join",
        "channel_leave",
        "channel_name",
        "channel_posting_permissions",
        "channel_purpose",
        "channel_topic",
        "channel_unarchive",
        "document_mention",
        "ekm_access_denied",
        "file_comment",
        "file_mention",
        "group_archive",
        "group_join",
        "group_leave",
        "group_name",
        "group_purpose",
        "group_topic",
        "group_unarchive",
        "huddle_thread",
        "joiner_notification",
        "message_changed",
        "message_deleted",
        "message_replied",
        "pinned_item",
        "reminder_add",
        "reply_broadcast",
        "sh_room_created",
        "slackbot_response",
        "tombstone",
        "unpinned_item",
        "of_tomorrow",
        "",
    ] {
        let call = open("application/json", &said(&json!({ "subtype": subtype })));
        assert_eq!(call, Ok(super::nothing()), "{subtype}");
    }
    for of_machines in [
        json!({"bot_id": "B1"}),
        json!({"bot_id": "B1", "subtype": "file_share"}),
        json!({"bot_profile": {"id": "B1"}}),
        json!({"user": "USLACKBOT"}),
        json!({"user": "UBOT"}),
        json!({"type": "app_mention", "edited": {"user": "U1", "ts": "1.3"}, "text": "some other words"}),
        json!({"hidden": true}),
        json!({"subtype": 5}),
        json!({"type": "message.channels"}),
    ] {
        let call = open("application/json", &said(&of_machines));
        assert_eq!(call, Ok(super::nothing()), "{of_machines}");
    }
}

#[test]
fn a_message_is_known_by_its_channel_and_time() {
    let id = |fields: Value| message(open("application/json", &said(&fields))).id;
    let first = id(json!({}));
    assert_eq!(id(json!({"type": "app_mention", "text": "otherwise"})), first);
    assert_ne!(id(json!({"ts": "1.3"})), first);
    assert_ne!(id(json!({"channel": "C2"})), first);
    // One without them is known by the event's own id.
    assert!(id(json!({"ts": null})).is_some_and(|id| Some(id) != first));
}

#[test]
fn a_look_at_the_certificate_is_answered_whoever_looks() {
    let both = Secrets { signing_secret: Some(SECRET.into()), token: Some("right".into()) };
    for secrets in [signing(), token("right"), both.clone(), Secrets::default()] {
        for body in
            ["ssl_check=1&token=other", "ssl_check=1", "token=right&ssl_check=1&text=some+words"]
        {
            let call = secrets.accept(&request(FORM, body, &json!({})), at(0));
            assert_eq!(call, Ok(super::nothing()));
        }
    }
    for body in
        ["ssl_check=&text=a", "ssl_check=0&text=a", "text=ssl_check%3D1", "xssl_check=1&text=a"]
    {
        assert_eq!(status(both.accept(&request(FORM, body, &json!({})), at(0))), 401);
    }
    let as_json = request("application/json", r#"{"ssl_check":"1"}"#, &json!({}));
    assert_eq!(status(signing().accept(&as_json, at(0))), 401);
}

#[test]
fn what_slack_tells_of_itself_is_no_mistake() {
    let challenge = request("application/json", r#"{"type":"url_verification"}"#, &json!({}));
    assert_eq!(status(signing().accept(&challenge, at(0))), 401);
    for kind in ["app_rate_limited", "app_requested", "\u{1b}[31m of tomorrow"] {
        let told = json!({"type": kind, "minute_rate_limited": 1_518_467_820}).to_string();
        assert_eq!(open("application/json", &told), Ok(super::nothing()));
        assert_eq!(
            status(signing().accept(&request("application/json", &told, &json!({})), at(0))),
            401
        );
    }
}

#[test]
fn a_blank_secret_lets_nobody_in() {
    for blank in ["", " ", "\n", "\t\r\n", "\u{a0}"] {
        let set = |signing: bool, token: bool| Secrets {
            signing_secret: signing.then(|| blank.to_owned()),
            token: token.then(|| blank.to_owned()),
        };
        for secrets in [set(true, false), set(false, true), set(true, true)] {
            let signature = signature::sign(blank, "5", b"text=a");
            let signed = json!({"x-slack-request-timestamp": "5", "x-slack-signature": signature});
            for headers in [signed, json!({})] {
                assert_eq!(status(secrets.accept(&request(FORM, "text=a", &headers), at(5))), 401);
                assert_eq!(status(secrets.accept(&request("", "", &headers), at(5))), 401);
            }
            let mut body = b"text=a&token=".to_vec();
            body.extend(blank.bytes().flat_map(|byte| format!("%{byte:02x}").into_bytes()));
            let body = String::from_utf8(body).expect("ASCII");
            assert_eq!(status(secrets.accept(&request(FORM, &body, &json!({})), at(5))), 401);
            let event = json!({"type": "event_callback", "token": blank}).to_string();
            let event = request("application/json", &event, &json!({}));
            assert_eq!(status(secrets.accept(&event, at(5))), 401);
        }
    }
    // The one that is a secret goes on doing its work.
    let one = Secrets { signing_secret: Some("\n".into()), token: Some("right".into()) };
    assert!(one.accept(&request(FORM, "token=right&text=a", &json!({})), at(0)).is_ok());
}

#[test]
fn a_signature_is_read_strictly() {
    let now = SIGNED_AT.to_string();
    let accept = |headers: Value| signing().accept(&request(FORM, BODY, &headers), at(SIGNED_AT));
    let cased = json!({"X-Slack-Request-Timestamp": now, "X-SLACK-Signature": SIGNATURE});
    assert!(accept(cased).is_ok());
    for (timestamp, signature) in [
        // What an HTTP API makes of a header that comes twice.
        (now.clone(), format!("{SIGNATURE},{SIGNATURE}")),
        (format!("{now},{now}"), SIGNATURE.to_owned()),
        (now.clone(), SIGNATURE.replace("v0=", "v1=")),
        (now.clone(), SIGNATURE.replace("v0=", "")),
        (now.clone(), format!("{SIGNATURE}0")),
        (format!("{now}.0"), signature::sign(SECRET, &format!("{now}.0"), BODY.as_bytes())),
        (format!("+{now}"), signature::sign(SECRET, &format!("+{now}"), BODY.as_bytes())),
        ("now".to_owned(), signature::sign(SECRET, "now", BODY.as_bytes())),
        (String::new(), signature::sign(SECRET, "", BODY.as_bytes())),
    ] {
        let headers =
            json!({"x-slack-request-timestamp": timestamp, "x-slack-signature": signature});
        assert_eq!(status(accept(headers)), 401, "{timestamp} {signature}");
    }
}

#[test]
fn the_very_bytes_are_signed() {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let body = b"text=\xff\xfe+a\0";
    let signature = signature::sign(SECRET, "5", body);
    let request = |body: &[u8]| {
        let event = json!({
            "requestContext": {"http": {"method": "POST"}},
            "headers": {"content-type": FORM, "x-slack-request-timestamp": "5", "x-slack-signature": signature},
            "body": STANDARD.encode(body),
            "isBase64Encoded": true,
        });
        Request::receive(event, &[Method::POST]).expect("a request")
    };
    // It is Slack's, but no form.
    assert_eq!(status(signing().accept(&request(body), at(5))), 400);
    assert_eq!(
        status(signing().accept(&request("text=\u{fffd}\u{fffd}+a\0".as_bytes()), at(5))),
        401
    );
}

#[test]
fn what_is_not_understood_gets_a_reason() {
    assert_eq!(status(open("text/plain", "text=a")), 415);
    assert_eq!(status(open("", "text=a")), 415);
    assert_eq!(status(open(FORM, "text=%ff")), 400);
    assert_eq!(status(open(FORM, "payload=%7B%7D")), 400);
    assert_eq!(status(open("application/json", "{")), 400);
    assert_eq!(status(open("application/json", "[]")), 400);
    assert_eq!(status(open("application/json", r#"{"type":5}"#)), 400);
    assert_eq!(open(FORM, "ssl_check=1&token=t"), Ok(super::nothing()));
    assert_eq!(open(FORM, "text=a&user_id=USLACKBOT"), Ok(super::nothing()));
    assert_eq!(open(FORM, "text=a&bot_id=B1"), Ok(super::nothing()));
    assert_eq!(message(open("", "")).text, "");
}

proptest! {
    #[test]
    fn nothing_unsigned_gets_in(
        body in any::<String>(),
        kind in prop_oneof![Just(FORM), Just("application/json"), Just("text/plain")],
        timestamp in "[0-9]{0,12}",
        given in "(v0=)?[0-9a-f]{0,64}",
    ) {
        let headers = json!({"x-slack-request-timestamp": timestamp, "x-slack-signature": given});
        let call = signing().accept(&request(kind, &body, &headers), at(SIGNED_AT));
        prop_assert_eq!(call, Err(super::unauthorized()));
    }

    #[test]
    fn any_body_is_read_or_refused(
        body in any::<String>(),
        kind in prop_oneof![Just(FORM), Just("application/json")],
    ) {
        if let Err(answer) = open(kind, &body) {
            prop_assert!((400..500).contains(&answer.status));
        }
    }
}
