//! With a bot token events are answered in the channel: each once, whatever is sent again and whatever Slack does.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{
    connections::Connections,
    slack::Bot,
    testing::{Mood, Post, Slack, nowhere, scripted},
};

use futures::FutureExt;

use super::*;

/// What somebody says in a channel, in a thread or not.
fn said(time: &str, text: &str, thread: Option<&str>) -> Value {
    let mut event = json!({
        "type": "event_callback", "token": "t", "team_id": "T1", "api_app_id": "A1",
        "event_id": format!("Ev{time}"), "event_time": 1_355_517_523, "event_context": "4-e",
        "authorizations": [{"team_id": "T1", "user_id": "UBOT", "is_bot": true}],
        "event": {
            "type": "message", "channel": "C1", "channel_type": "channel", "user": "U1", "ts": time,
            "event_ts": time, "client_msg_id": "80c9b8a7", "text": text, "blocks": [],
        },
    });
    if let Some(thread) = thread {
        event["event"]["thread_ts"] = json!(thread);
    }
    event
}

fn sent(event: &Value) -> Value {
    post_event("application/json", &event.to_string())
}

/// The same message, as the event that a mention of the app is as well.
fn mention(event: &Value) -> Value {
    let mut mention = event.clone();
    mention["event"]["type"] = json!("app_mention");
    mention["event_id"] = json!("EvOther");
    mention["event_context"] = json!("4-f");
    mention
}

async fn world() -> (World, Slack) {
    let (mut world, slack) = (World::new().await, Slack::new().await);
    world.function.bot = Some(slack.bot());
    (world, slack)
}

fn texts(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| post.message["text"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn an_event_is_answered_where_it_was_said() {
    let (world, slack) = world().await;
    let text = "a *b* &lt;!channel&gt; <!here> <http://x|y> @ada a";
    assert_eq!(world.send(sent(&said("1.2", text, None))).await.0, 200);
    let told =
        "a: 2\n*b*: 1\n&lt;!channel&gt;: 1\n&lt;!here&gt;: 1\n&lt;http://x|y&gt;: 1\n@ada: 1";
    let posts = slack.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].authorization, "Bearer xoxb-test");
    assert_eq!(posts[0].content_type, "application/json; charset=utf-8");
    assert_eq!(
        posts[0].message,
        json!({
            "channel": "C1", "text": told, "mrkdwn": false, "parse": "none", "link_names": false,
            "unfurl_links": false, "unfurl_media": false,
        })
    );

    let mut direct = said("1.3", "a", Some("1.1"));
    direct["event"]["channel"] = json!("D1");
    direct["event"]["channel_type"] = json!("im");
    assert_eq!(world.send(sent(&direct)).await.0, 200);
    let posts = slack.posts();
    assert_eq!(texts(&posts), ["a: 3"]);
    assert_eq!(
        (&posts[0].message["channel"], &posts[0].message["thread_ts"]),
        (&json!("D1"), &json!("1.1"))
    );
}

#[tokio::test]
async fn whatever_is_sent_again_is_answered_once() {
    let (world, slack) = world().await;
    let event = said("1.2", "<@UBOT> some", None);
    let together = (0..12).map(|n| if n % 2 == 0 { event.clone() } else { mention(&event) });
    let together = together.map(|event| world.send(sent(&event)).boxed_local());
    for (status, _) in futures::future::join_all(together.collect::<Vec<_>>()).await {
        assert_eq!(status, 200);
    }
    for _ in 0..3 {
        assert_eq!(world.send(sent(&event)).await.0, 200);
    }
    assert_eq!(texts(&slack.posts()), ["&lt;@UBOT&gt;: 1\nsome: 1"]);
    assert_eq!(world.table.count("some").await, 1);
}

#[tokio::test]
async fn an_answer_that_slack_does_not_take_is_no_reason_for_anything() {
    let (mut world, slack) = world().await;
    let moods = [
        Mood::Refuses("not_in_channel"),
        Mood::Refuses("ratelimited"),
        Mood::Throttles(30),
        Mood::Fails,
        Mood::TakesAfter(Duration::from_secs(20)),
    ];
    for (n, mood) in (1..).zip(moods) {
        slack.is(mood);
        let event = sent(&said(&format!("1.{n}"), "some", None));
        let begun = Instant::now();
        assert_eq!(world.send(event.clone()).await.0, 200, "{mood:?}");
        assert!(begun.elapsed() < Duration::from_millis(2500), "{mood:?}: {:?}", begun.elapsed());
        slack.is(Mood::Takes);
        // Counted, published and answered, as far as anybody knows.
        assert_eq!(world.send(event).await.0, 200);
        assert_eq!(slack.posts().len(), 1, "{mood:?}");
        assert_eq!(world.table.count("some").await, n);
        assert_eq!(world.sns.published().len() as u64, n);
    }
    let gone = nowhere().await.endpoint_url().expect("an address").to_owned();
    let plain = |_: &_| Ok(Connections::without_tls());
    world.function.bot = Some(Bot::new("xoxb-test", &gone, plain).expect("a bot"));
    assert_eq!(world.send(sent(&said("2.1", "else", None))).await.0, 200);
    assert_eq!(world.table.count("else").await, 1);
}

#[tokio::test]
async fn a_publication_that_fails_does_not_answer_twice() {
    let (world, slack) = world().await;
    let event = sent(&said("1.2", "some", None));
    world.sns.fail(2);
    for expected in [503, 503, 200, 200] {
        assert_eq!(world.send(event.clone()).await.0, expected);
    }
    assert_eq!(texts(&slack.posts()), ["some: 1"]);
    assert_eq!((world.table.count("some").await, world.sns.published().len()), (1, 1));
}

#[tokio::test]
async fn what_was_counted_but_not_answered_is_answered_by_the_next_attempt() {
    let (mut world, slack) = world().await;
    for topic in [world.function.topic.clone(), None] {
        world.function.topic = topic;
        let time = if world.function.topic.is_some() { "1.2" } else { "1.3" };
        let event = sent(&said(time, "some", None));
        let bot = world.function.bot.take();
        assert_eq!(world.send(event.clone()).await.0, 200);
        world.function.bot = bot;
        assert!(slack.posts().is_empty());
        for _ in 0..2 {
            assert_eq!(world.send(event.clone()).await.0, 200);
        }
        assert_eq!(slack.posts().len(), 1);
    }
    assert_eq!(world.table.count("some").await, 2);
    assert_eq!(world.sns.published().len(), 1);
}

#[tokio::test]
async fn a_crash_at_any_time_answers_once_or_loses_what_was_about_to_be_said() {
    let (world, slack) = world().await;
    let mut lost = 0;
    for micros in (0..30_000).step_by(1_500) {
        let event = sent(&said(&format!("1.{micros}"), &format!("w{micros}"), None));
        world.crash(event.clone(), micros).await;
        for _ in 0..2 {
            assert_eq!(world.send(event.clone()).await.0, 200);
        }
        assert_eq!(world.table.count(&format!("w{micros}")).await, 1);
        let posts = slack.posts().len();
        assert!(posts <= 1, "{micros}: {posts}");
        lost += 1 - posts;
    }
    assert!(lost < 10, "{lost} of 20 are lost");
}

#[tokio::test]
async fn nothing_else_is_answered_in_a_channel() {
    let (world, slack) = world().await;
    let command = "team_id=T1&channel_id=C1&user_id=U1&command=%2Fcount&text=a+b&trigger_id=1.2.3";
    for form in [WEBHOOK, command, "text=a"] {
        assert_eq!(world.send(post_event(FORM, form)).await.0, 200);
    }
    let counted = world.table.keys().await;
    let with = |name: &str, value: Value| {
        let mut event = said("1.2", "a", None);
        event["event"][name] = value;
        event
    };
    for event in [
        // Its own answer comes back, as from whatever field it can be told.
        with("bot_id", json!("B1")),
        with("bot_profile", json!({"id": "B1", "app_id": "A1"})),
        with("user", json!("UBOT")),
        with("subtype", json!("bot_message")),
        with("subtype", json!("message_changed")),
        with("edited", json!({"user": "U1", "ts": "1.3"})),
        with("text", json!("")),
        with("text", json!(" \n")),
        with("text", json!(null)),
        json!({"type": "app_rate_limited", "token": "t", "team_id": "T1", "minute_rate_limited": 1_518_467_820}),
        json!({"type": "of_tomorrow"}),
    ] {
        assert_eq!(world.send(sent(&event)).await.0, 200, "{event}");
    }
    assert_eq!(slack.posts(), []);
    assert_eq!(world.table.keys().await, counted);
}

#[tokio::test]
async fn an_answer_in_a_channel_costs_one_call_to_the_table() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let table = scripted(move |body| {
        let kinds = ["TransactItems", "RequestItems", "told", "published"];
        let kind =
            kinds.into_iter().find(|kind| body.contains(kind)).expect("a call that is known");
        seen.lock().expect("a lock").push(kind);
        (200, json!({"Responses": {}, "UnprocessedKeys": {}}))
    })
    .await;
    let (mut world, slack) = world().await;
    let client = aws_sdk_dynamodb::Client::new(&table);
    world.function.counter = Some(Counter::new(client, "table"));
    let called = |of: &Mutex<Vec<&'static str>>| std::mem::take(&mut *of.lock().expect("a lock"));

    assert_eq!(world.send(post_event(FORM, WEBHOOK)).await.0, 200);
    assert_eq!(called(&calls), ["TransactItems", "RequestItems", "published"]);
    assert_eq!(world.send(sent(&said("1.2", "some", None))).await.0, 200);
    assert_eq!(called(&calls), ["TransactItems", "RequestItems", "told", "published"]);
    assert_eq!(slack.posts().len(), 1);
    world.function.bot = None;
    assert_eq!(world.send(sent(&said("1.3", "some", None))).await.0, 200);
    assert_eq!(called(&calls), ["TransactItems", "RequestItems", "published"]);
}
