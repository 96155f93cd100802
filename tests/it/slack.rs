//! Slack, as its own SDK signs for it: what it may send to the deployed function, and what it gets to show.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::cli::Cli;
use crate::support::http;
use crate::support::local::{LocalCloud, article, eventually};
use crate::support::python::{Boto, Python, python};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TOKEN: &str = "xoxb-planted-4417";

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Slack's API, which takes messages until it is told to refuse them with a code.
struct Api {
    url: String,
    posts: Arc<Mutex<Vec<Value>>>,
    refuses: Arc<Mutex<Option<&'static str>>>,
    _runtime: Runtime,
}

impl Api {
    fn start() -> Self {
        let posts: Arc<Mutex<Vec<Value>>> = Arc::default();
        let refuses: Arc<Mutex<Option<&'static str>>> = Arc::default();
        let (taken, code) = (Arc::clone(&posts), Arc::clone(&refuses));
        let take = move |body: String| async move {
            taken.lock().expect("a lock").push(serde_json::from_str(&body).expect("JSON"));
            let code = *code.lock().expect("a lock");
            json!({ "ok": code.is_none(), "error": code }).to_string()
        };
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let url = format!("http://{}/api/", listener.local_addr().expect("an address"));
        let app = Router::new().route("/api/chat.postMessage", post(take));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url, posts, refuses, _runtime: runtime }
    }

    /// Where and what was said since this was last asked, in order of text.
    fn said(&self) -> Vec<(String, Option<String>, String)> {
        let posts = std::mem::take(&mut *self.posts.lock().expect("a lock"));
        let text = |post: &Value, name: &str| post[name].as_str().map(str::to_owned);
        let mut said: Vec<_> = posts
            .iter()
            .map(|post| {
                let (channel, said) = (text(post, "channel"), text(post, "text"));
                (channel.expect("a channel"), text(post, "thread_ts"), said.expect("text"))
            })
            .collect();
        said.sort_by(|one, other| one.2.cmp(&other.2));
        said
    }
}

/// The article's application with a bot: its URL.
fn up(advent: &Cli, boto: impl FnOnce() -> Boto<'static>, api: &Api) -> String {
    let up = advent.ok(["up", "--json"]).last_json();
    let boto = boto();
    let function = json!({ "FunctionName": "aws_advent" });
    let now = boto.call("lambda", "get_function_configuration", function);
    let mut variables = now["Environment"]["Variables"].clone();
    variables["SLACK_BOT_TOKEN"] = json!(TOKEN);
    variables["SLACK_API_URL"] = json!(api.url);
    let change = json!({ "FunctionName": "aws_advent", "Environment": { "Variables": variables } });
    boto.call("lambda", "update_function_configuration", change);
    up["url"].as_str().expect("a URL").to_owned()
}

/// Sends requests that are signed just now, and gives the statuses.
fn send(python: &Python, url: &str, requests: &[(&str, String)]) -> Vec<u16> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let timestamp = now.as_secs().to_string();
    let bodies: Vec<_> = requests.iter().map(|(_, body)| body.as_str()).collect();
    let signatures = python.slack_signatures(SECRET, &timestamp, &bodies);
    let statuses = requests.iter().zip(&signatures).map(|((kind, body), signature)| {
        let headers = [
            ("Content-Type", *kind),
            ("X-Slack-Request-Timestamp", timestamp.as_str()),
            ("X-Slack-Signature", signature.as_str()),
        ];
        let answer = http::send("POST", url, &headers, body.as_bytes()).expect("an answer");
        // The stage's throttle: a burst of 20, and then 10 a second.
        std::thread::sleep(Duration::from_millis(60));
        answer.status
    });
    statuses.collect()
}

/// A message event at a time of its own, with these fields.
fn event(time: usize, fields: &Value) -> String {
    let mut event = json!({
        "token": "t", "team_id": "T1", "api_app_id": "A1", "type": "event_callback",
        "event_id": format!("Ev{time}"), "event_time": 1_355_517_523,
        "authorizations": [{"team_id": "T1", "user_id": "UBOT", "is_bot": true}],
        "event": {
            "type": "message", "channel": "C1", "channel_type": "channel", "user": "U1",
            "ts": format!("1355517523.{time:06}"), "text": format!("w{time}"),
        },
    });
    for (name, value) in fields.as_object().expect("fields") {
        event["event"][name] = value.clone();
    }
    event.to_string()
}

#[test]
fn what_people_say_is_counted_once_and_answered_where_slack_shows_it() {
    let Some(python) = python() else { return };
    let (cloud, folder, api) = (LocalCloud::new(), article(), Api::start());
    let advent = cloud.cli(&folder).env("SLACK_SIGNING_SECRET", SECRET);
    let boto = || cloud.boto(python);
    let url = up(&advent, boto, &api);

    let webhook = "token=t&team_id=T1&team_domain=example&channel_id=C1&channel_name=test\
        &timestamp=1355517523.900000&user_id=U1&user_name=Steve&text=webhook&trigger_word=webhook";
    let command = "token=t&team_id=T1&channel_id=C1&user_id=U1&command=%2Fcount&text=command\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let counted = [
        json!({}),
        json!({"subtype": "file_share", "files": [{"id": "F1"}]}),
        json!({"subtype": "me_message"}),
        json!({"subtype": "thread_broadcast", "thread_ts": "1355517523.000001", "root": {}}),
        json!({"channel": "D1", "channel_type": "im", "thread_ts": "1355517523.000001"}),
    ];
    let not_counted = [
        json!({"subtype": "bot_message", "bot_id": "B1"}),
        json!({"subtype": "message_changed", "hidden": true}),
        json!({"subtype": "message_deleted", "hidden": true}),
        json!({"subtype": "channel_join"}),
        json!({"subtype": "of_tomorrow"}),
        json!({"bot_id": "B1"}),
        json!({"user": "UBOT"}),
        json!({"type": "app_mention", "edited": {"user": "U1", "ts": "1.3"}}),
        json!({"type": "reaction_added"}),
        json!({"text": "", "blocks": [{"type": "rich_text"}]}),
    ];
    let mut requests = vec![(FORM, webhook.to_owned()), (FORM, command.to_owned())];
    let events = counted.iter().chain(&not_counted).enumerate();
    requests.extend(events.map(|(time, fields)| (JSON, event(time, fields))));
    // The first message mentions the app, and everything comes twice.
    requests.push((JSON, event(0, &json!({"type": "app_mention"}))));
    for other in ["app_rate_limited", "of_tomorrow"] {
        requests.push((JSON, json!({"type": other, "team_id": "T1"}).to_string()));
    }
    for _ in 0..2 {
        let statuses = send(python, &url, &requests);
        // The second time it is another second, so each has another signature: Slack's own attempt.
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    let words = (0..counted.len()).map(|time| format!("w{time}"));
    let words: Vec<_> = words.chain(["webhook".to_owned(), "command".to_owned()]).collect();
    let wanted: Vec<_> = words.iter().map(|word| (word.as_str(), 11)).collect();
    cloud.wait_for_counts("table", &wanted);
    let said: Vec<_> = (0..counted.len())
        .map(|time| {
            let thread = counted[time]["thread_ts"].as_str().map(str::to_owned);
            let channel = if time == 4 { "D1" } else { "C1" };
            (channel.to_owned(), thread, format!("w{time}: 1"))
        })
        .collect();
    assert_eq!(api.said(), said);

    // What is not signed does nothing, whatever it gets.
    for (body, expected) in [("ssl_check=1&token=t", 200), (webhook, 401)] {
        let answer = http::post(&url, FORM, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, expected, "{body}");
    }
    cloud.wait_for_counts("table", &wanted);

    // Slack refuses: counted once all the same, and logged by its code.
    *api.refuses.lock().expect("a lock") = Some("not_in_channel");
    let refused = [(JSON, event(500, &json!({})))];
    assert_eq!(send(python, &url, &refused), [200]);
    let wanted: BTreeMap<_, _> = wanted.into_iter().chain([("w500", 11)]).collect();
    cloud.wait_for_counts("table", &wanted.into_iter().collect::<Vec<_>>());
    assert_eq!(api.said().len(), 1);
    let logs = eventually("the refusal is logged", || {
        let logs = advent.ok(["logs", "aws_advent"]).stdout;
        logs.contains("not_in_channel").then_some(logs)
    });
    assert!(!logs.contains(TOKEN) && !logs.contains(SECRET), "{logs}");
    drop(advent.ok(["down", "--yes"]));
}
