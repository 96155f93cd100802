//! Whole events in, whole answers out, on a real `DynamoDB` engine.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_advent::Function;
use common::{
    aws::Aws,
    counter::Counter,
    slack::{Secrets, sign},
    sns::Topic,
    testing::{Published, Sns, TOPIC, Table, context, counted, in_base64, post_event},
};

use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

#[path = "handler/again.rs"]
mod again;
#[path = "handler/any.rs"]
mod any;
#[path = "handler/bot.rs"]
mod bot;
#[path = "../../../src/fuzz.rs"]
mod fuzz;

const FORM: &str = "application/x-www-form-urlencoded";

/// Slack's documented example of an outgoing webhook.
const WEBHOOK: &str = "token=XXXXXXXXXXXXXXXXXX&team_id=T0001&team_domain=example&channel_id=C2147483705\
    &channel_name=test&timestamp=1355517523.000005&user_id=U2147483697&user_name=Steve\
    &text=awsadvent+some+words&trigger_word=awsadvent";

struct World {
    table: Table,
    sns: Sns,
    function: Function,
}

impl World {
    async fn new() -> Self {
        let table = Table::new("word").await;
        let sns = Sns::new().await;
        let function = Function {
            secrets: Secrets::default(),
            counter: Some(Counter::new(table.client.clone(), table.name)),
            topic: Some(Topic::new(sns.client(), TOPIC)),
            bot: None,
        };
        Self { table, sns, function }
    }

    async fn send(&self, event: Value) -> (u64, Value) {
        send(&self.function, event).await
    }

    /// The function dies so many microseconds after the event came. Until its deadline nobody knows.
    async fn crash(&self, event: Value, micros: u64) {
        let mut context = context();
        context.deadline = now_ms() + 250;
        let first = self.function.handle(LambdaEvent::new(event, context));
        let _ = tokio::time::timeout(Duration::from_micros(micros), first).await;
    }

    async fn say(&self, text: &str) -> (u64, String) {
        let (status, body) = self.send(form(text)).await;
        (status, body["text"].as_str().or(body["error"].as_str()).expect("text").to_owned())
    }
}

async fn send(function: &Function, event: Value) -> (u64, Value) {
    let response = function.handle(LambdaEvent::new(event, context())).await.expect("an answer");
    let response = serde_json::to_value(response).expect("JSON");
    assert_eq!(response["headers"]["content-type"], "application/json");
    assert_eq!(response["isBase64Encoded"], false);
    let body = response["body"].as_str().expect("a body");
    (response["statusCode"].as_u64().expect("a status"), serde_json::from_str(body).expect("JSON"))
}

fn form(text: &str) -> Value {
    let mut body = "text=".to_owned();
    for byte in text.bytes() {
        write!(body, "%{byte:02x}").expect("a string");
    }
    post_event(FORM, &body)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    u64::try_from(now.as_millis()).expect("a time")
}

fn signed(secret: &str, timestamp: u64, body: &str) -> Value {
    let mut event = in_base64(post_event(FORM, body));
    event["headers"]["x-slack-request-timestamp"] = json!(timestamp.to_string());
    event["headers"]["x-slack-signature"] =
        json!(sign(secret, &timestamp.to_string(), body.as_bytes()));
    event
}

#[tokio::test]
async fn counts_answers_and_publishes() {
    let world = World::new().await;
    let (status, body) = world.send(in_base64(post_event(FORM, WEBHOOK))).await;
    assert_eq!(status, 200);
    assert_eq!(body, json!({"text": "awsadvent: 1\nsome: 1\nwords: 1"}));
    assert_eq!(world.sns.published().len(), 1);
    assert_eq!(world.sns.published()[0].text, "awsadvent some words");

    // What sns_multiplier would do in between.
    let counter = world.function.counter.as_ref().expect("a counter");
    let words = ["awsadvent", "some", "words"].map(|word| (word.to_owned(), 1));
    counter.add(&words, 10, None).await.expect("added");
    assert_eq!(world.table.count("some").await, 11);

    let next = WEBHOOK.replace("000005", "000006");
    let (_, body) = world.send(post_event(FORM, &next)).await;
    assert_eq!(body, json!({"text": "awsadvent: 12\nsome: 12\nwords: 12"}));
    assert_eq!(world.sns.published().len(), 2);
}

#[tokio::test]
async fn words_are_counted_exactly_as_typed() {
    let world = World::new().await;
    let (status, text) =
        world.say("b a &+%#= b\tAwsadvent awsadvent 🎉 \u{5e9}\u{5dc} x\0y b").await;
    assert_eq!(status, 200);
    assert_eq!(
        text,
        "b: 3\na: 1\n&amp;+%#=: 1\nAwsadvent: 1\nawsadvent: 1\n🎉: 1\n\u{5e9}\u{5dc}: 1\nx\0y: 1"
    );
    for word in ["a", "&+%#=", "Awsadvent", "awsadvent", "🎉", "\u{5e9}\u{5dc}", "x\0y"] {
        assert_eq!(world.table.count(word).await, 1, "{word:?}");
    }
    assert_eq!(world.table.count("b").await, 3);
    let (_, text) = world.say("<!channel> &lt;!here&gt; <http://x|y>").await;
    assert_eq!(text, "&lt;!channel&gt;: 1\n&lt;!here&gt;: 1\n&lt;http://x|y&gt;: 1");
    assert_eq!(world.table.count("&lt;!here&gt;").await, 1);
}

#[tokio::test]
async fn many_and_long_words() {
    let world = World::new().await;
    let many: Vec<_> = (0..250).map(|n| format!("word{n}")).collect();
    let (status, text) = world.say(&many.join(" ")).await;
    assert_eq!(status, 200);
    assert_eq!(text, many.iter().map(|word| format!("{word}: 1")).collect::<Vec<_>>().join("\n"));
    assert_eq!(world.table.keys().await.len(), 250);

    let most: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
    assert_eq!(world.say(&most.join(" ")).await.0, 200);
    assert_eq!(world.say(&(most.join(" ") + " more")).await.0, 413);
    assert_eq!(world.table.count("more").await, 0);

    let (fits, long) = ("é".repeat(1024), "é".repeat(1025));
    let (status, text) = world.say(&format!("{fits} {long} é")).await;
    assert_eq!(status, 200);
    assert_eq!(text, format!("{fits}: 1\né: 1\nNot counted, longer than 2048 bytes: 1."));
    assert_eq!(world.table.count(&fits).await, 1);
}

#[tokio::test]
async fn whatever_is_sent_gets_an_answer() {
    let world = World::new().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut event = post_event(FORM, "text=a");
        change(&mut event);
        event
    };
    let remove = |name: &'static str| {
        with(&|event| {
            event.as_object_mut().expect("an object").remove(name);
        })
    };
    let mut bare = remove("body");
    bare["headers"] = json!({});
    for (event, expected) in [
        (with(&|event| event["requestContext"]["http"]["method"] = json!("GET")), 405),
        (with(&|event| event["requestContext"]["http"]["method"] = json!("DELETE")), 405),
        (remove("body"), 200),
        (bare, 200),
        (remove("headers"), 415),
        (with(&|event| event["body"] = json!(null)), 200),
        (with(&|event| event["body"] = json!("text=%20%0a")), 200),
        (with(&|event| event["body"] = json!("text=%ff")), 400),
        (with(&|event| event["isBase64Encoded"] = json!(true)), 400),
        (with(&|event| event["headers"]["content-type"] = json!("text/plain")), 415),
        (with(&|event| event["headers"]["content-type"] = json!("multipart/form-data")), 415),
        (with(&|event| event["headers"]["content-type"] = json!("application/json")), 400),
        (with(&|event| event["body"] = json!("x".repeat(64 * 1024 + 1))), 413),
        (in_base64(with(&|event| event["body"] = json!("x".repeat(64 * 1024 + 1)))), 413),
        (in_base64(with(&|event| event["body"] = json!("x".repeat(64 * 1024)))), 200),
        (remove("requestContext"), 400),
        (json!({}), 400),
        (json!(null), 400),
        (json!([1]), 400),
    ] {
        let (status, body) = world.send(event.clone()).await;
        assert_eq!(status, expected, "{event} {body}");
        assert!(body["text"].is_string() || body["error"].is_string(), "{body}");
    }
    assert!(world.table.keys().await.is_empty());
    assert!(world.sns.published().is_empty());

    let soup = json!({
        "content-type": "Application/X-WWW-Form-URLencoded ; charset=UTF-8",
        "x-é": "1", "": "2", "x-lines": "a\r\nb", "x-emoji": "🎉", "x-number": 5, "x-null": null,
    });
    let (status, _) = world.send(with(&|event| event["headers"] = soup.clone())).await;
    assert_eq!(status, 200);
    assert_eq!(world.table.count("a").await, 1);
}

#[tokio::test]
async fn get_names_what_is_allowed() {
    let world = World::new().await;
    let mut event = post_event(FORM, "");
    event["requestContext"]["http"]["method"] = json!("GET");
    let response = world.function.handle(LambdaEvent::new(event, context())).await;
    let headers = response.expect("an answer").headers;
    assert_eq!(headers["allow"], "POST");
    assert_eq!(headers["x-slack-no-retry"], "1");
}

#[tokio::test]
async fn by_hand_every_request_counts() {
    let world = World::new().await;
    for count in 1..=3 {
        assert_eq!(world.say("a").await.1, format!("a: {count}"));
    }
    assert_eq!(world.table.keys().await, ["a"], "no marker");
    let id = context().request_id;
    assert_eq!(world.sns.published(), vec![Published { text: "a".into(), id }; 3]);
}

#[tokio::test]
async fn without_a_table_it_says_what_to_set() {
    let function = Function { secrets: Secrets::default(), counter: None, topic: None, bot: None };
    let (status, body) = send(&function, form("a")).await;
    assert_eq!(status, 200);
    assert!(body["text"].as_str().expect("text").contains("DYNAMO_TABLE"));
}

#[tokio::test]
async fn without_a_topic_it_counts() {
    let mut world = World::new().await;
    world.function.topic = None;
    for _ in 0..2 {
        let (status, body) = world.send(post_event(FORM, WEBHOOK)).await;
        assert_eq!((status, body["text"].as_str()), (200, Some("awsadvent: 1\nsome: 1\nwords: 1")));
    }
}

#[tokio::test]
async fn with_a_signing_secret_only_slack_is_heard() {
    let mut world = World::new().await;
    world.function.secrets.signing_secret = Some("secret".into());
    let stale = now() - 301;
    for event in [
        post_event(FORM, WEBHOOK),
        signed("other", now(), WEBHOOK),
        signed("secret", stale, WEBHOOK),
        signed("secret", now() + 400, WEBHOOK),
    ] {
        assert_eq!(world.send(event).await.0, 401);
    }
    let mut changed = signed("secret", now(), WEBHOOK);
    changed["body"] = in_base64(post_event(FORM, &WEBHOOK.replace("some", "more")))["body"].clone();
    assert_eq!(world.send(changed).await.0, 401);
    assert!(world.table.keys().await.is_empty());
    assert!(world.sns.published().is_empty());

    let request = signed("secret", now() - 5, WEBHOOK);
    assert_eq!(world.send(request.clone()).await.0, 200);
    assert_eq!(world.send(request).await.0, 401, "a replay");
    assert_eq!(world.send(signed("secret", now(), WEBHOOK)).await.0, 200, "Slack's retry");
    assert_eq!(world.table.count("some").await, 1);
    assert_eq!(world.sns.published().len(), 1);
}

#[tokio::test]
async fn with_a_token_only_its_webhook_is_heard() {
    let mut world = World::new().await;
    world.function.secrets.token = Some("XXXXXXXXXXXXXXXXXX".into());
    assert_eq!(world.send(post_event(FORM, &WEBHOOK.replace("XXX&", "XXY&"))).await.0, 401);
    assert_eq!(world.send(form("a")).await.0, 401);
    assert!(world.table.keys().await.is_empty());
    assert_eq!(world.send(post_event(FORM, WEBHOOK)).await.0, 200);
}

#[tokio::test]
async fn slash_commands_and_events_count() {
    let world = World::new().await;
    let command = "team_id=T1&channel_id=C1&user_id=U1&command=%2Fcount&text=a+b&trigger_id=13345224609.738474920.8088930838d88f008e0";
    let (status, body) = world.send(post_event(FORM, command)).await;
    assert_eq!((status, body), (200, json!({"response_type": "in_channel", "text": "a: 1\nb: 1"})));
    let event = json!({
        "type": "event_callback", "team_id": "T1", "event_id": "Ev1",
        "event": {"type": "app_mention", "channel": "C1", "user": "U1", "ts": "1.2", "text": "a"},
    });
    for _ in 0..2 {
        let (status, body) = world.send(post_event("application/json", &event.to_string())).await;
        assert_eq!((status, body), (200, json!({"text": "a: 2"})));
    }
    let challenge = json!({"type": "url_verification", "challenge": "c"});
    let (_, body) = world.send(post_event("application/json", &challenge.to_string())).await;
    assert_eq!(body, json!({"challenge": "c"}));
}

#[tokio::test]
async fn the_marker_expires_and_is_no_word() {
    let world = World::new().await;
    world.send(post_event(FORM, WEBHOOK)).await;
    let keys = world.table.keys().await;
    let marker = keys.iter().find(|key| key.starts_with("seen aws_advent ")).expect("a marker");
    let expires: u64 =
        world.table.get(marker, "expires").await.expect("a time").parse().expect("a number");
    assert!((now() + 86_390..=now() + 86_410).contains(&expires));
    assert_eq!(world.say(marker).await.0, 200);
    assert_eq!(world.table.count(marker).await, 0);
}

#[tokio::test]
async fn the_first_message_finds_its_connections_open() {
    let World { table, sns, .. } = World::new().await;
    let (to_table, table_connections) = counted(&table.url).await;
    let (to_sns, sns_connections) = counted(&sns.url).await;
    let aws = |url| Aws::new(Some("us-east-1".to_owned()), Some(url)).expect("clients");
    let (mut to_table, mut to_sns) = (aws(to_table), aws(to_sns));
    let function = Function {
        secrets: Secrets::default(),
        counter: Some(Counter::new(
            to_table.client("dynamodb", aws_sdk_dynamodb::Client::new),
            table.name,
        )),
        topic: Some(Topic::new(to_sns.client("sns", aws_sdk_sns::Client::new), TOPIC)),
        bot: None,
    };
    futures::future::join(to_table.connect(), to_sns.connect()).await;
    table_connections.are(1).await;
    sns_connections.are(1).await;
    assert_eq!(send(&function, form("some words")).await.0, 200);
    table_connections.are(1).await;
    sns_connections.are(1).await;
    assert_eq!(table.count("words").await, 1);
    assert_eq!(table.keys().await, ["some", "words"]);
}
