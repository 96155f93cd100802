//! Requests that are Slack's, and such that are not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Call, Message, Secrets, signature};
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

fn open(content_type: &str, body: &str) -> Result<Call, Answer> {
    Secrets::default().accept(&request(content_type, body, &json!({})), at(0))
}

fn message(call: Result<Call, Answer>) -> Message {
    match call {
        Ok(Call::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

fn status(call: Result<Call, Answer>) -> u16 {
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
    let answered = Call::Answer(Answer::new(200, json!({"challenge": "3eZbrw1a"})));
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

    for ignored in [
        json!({"type": "message", "text": "a", "bot_id": "B1"}),
        json!({"type": "message", "text": "a", "subtype": "message_changed"}),
        json!({"type": "message", "text": "a", "user": "USLACKBOT"}),
        json!({"type": "reaction_added"}),
        json!(null),
    ] {
        assert_eq!(open(json, &event(ignored)), Ok(super::nothing()));
    }
}

#[test]
fn what_is_not_understood_gets_a_reason() {
    assert_eq!(status(open("text/plain", "text=a")), 415);
    assert_eq!(status(open("", "text=a")), 415);
    assert_eq!(status(open(FORM, "text=%ff")), 400);
    assert_eq!(status(open(FORM, "payload=%7B%7D")), 400);
    assert_eq!(status(open("application/json", "{")), 400);
    assert_eq!(status(open("application/json", "[]")), 400);
    assert_eq!(status(open("application/json", r#"{"type":"other"}"#)), 400);
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
