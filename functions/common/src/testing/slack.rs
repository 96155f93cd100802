//! A stand-in for Slack's API.

use std::{
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::listen;
use crate::{connections::Connections, slack::Bot};

/// Takes messages, or whatever else it is told to do with them.
#[derive(Clone, Default)]
pub struct Slack {
    pub url: String,
    state: Arc<Mutex<(Mood, Vec<Post>)>>,
}

/// What becomes of the messages that come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Takes,
    /// With this code.
    Refuses(&'static str),
    /// For so many seconds.
    Throttles(u32),
    /// Takes them, and says so after this time.
    TakesAfter(Duration),
    /// Answers with a page for people.
    Fails,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub authorization: String,
    pub content_type: String,
    pub message: Value,
}

impl Slack {
    pub async fn new() -> Self {
        let (listener, url) = listen().await;
        let slack = Self { url: format!("{url}/api/"), ..Self::default() };
        let app =
            Router::new().route("/api/chat.postMessage", post(answer)).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        slack
    }

    pub fn is(&self, mood: Mood) {
        self.state.lock().expect("a lock").0 = mood;
    }

    /// What came since this was last asked.
    pub fn posts(&self) -> Vec<Post> {
        mem::take(&mut self.state.lock().expect("a lock").1)
    }

    /// Has its connection to this.
    pub fn bot(&self) -> Bot {
        Bot::new("xoxb-test", &self.url, |_| Ok(Connections::without_tls())).expect("a bot")
    }
}

async fn answer(State(slack): State<Slack>, headers: HeaderMap, body: String) -> Response {
    let header = |name| headers.get(name).map_or("", |value| value.to_str().expect("text"));
    let post = Post {
        authorization: header("authorization").to_owned(),
        content_type: header("content-type").to_owned(),
        message: serde_json::from_str(&body).expect("JSON"),
    };
    let mood = {
        let mut state = slack.state.lock().expect("a lock");
        state.1.push(post);
        state.0
    };
    let refused =
        |code: &str| json!({"ok": false, "error": code, "needed": "chat:write"}).to_string();
    match mood {
        Mood::Takes => {}
        Mood::TakesAfter(time) => sleep(time).await,
        Mood::Refuses(code) => return refused(code).into_response(),
        Mood::Throttles(seconds) => {
            let headers = [(RETRY_AFTER, seconds.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, headers, refused("ratelimited"))
                .into_response();
        }
        Mood::Fails => {
            return (StatusCode::BAD_GATEWAY, "<html>xoxb-test</html>").into_response();
        }
    }
    json!({"ok": true, "channel": "C1", "ts": "1.3"}).to_string().into_response()
}
