//! A stand-in for Lambda's Runtime API, for one process.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer than anything that is measured.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct RuntimeApi {
    address: SocketAddr,
    events: UnboundedSender<Value>,
    asked: Receiver<Instant>,
    answered: Receiver<(Instant, bool)>,
    _runtime: Runtime,
}

struct Side {
    events: tokio::sync::Mutex<UnboundedReceiver<Value>>,
    asked: Mutex<Sender<Instant>>,
    answered: Mutex<Sender<(Instant, bool)>>,
}

impl Side {
    async fn next(&self) -> impl IntoResponse + use<> {
        let _ = self.asked.lock().expect("a lock").send(Instant::now());
        let event = self.events.lock().await.recv().await.expect("an event");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let headers = [
            ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
            ("lambda-runtime-deadline-ms", (now + PATIENCE).as_millis().to_string()),
            ("lambda-runtime-invoked-function-arn", "arn".to_owned()),
        ];
        (headers, event.to_string())
    }

    fn answer(&self, good: bool) -> StatusCode {
        let _ = self.answered.lock().expect("a lock").send((Instant::now(), good));
        StatusCode::ACCEPTED
    }
}

impl RuntimeApi {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (events, of_events) = unbounded_channel();
        let (asked, of_asked) = channel();
        let (answered, of_answered) = channel();
        let side = Arc::new(Side {
            events: tokio::sync::Mutex::new(of_events),
            asked: Mutex::new(asked),
            answered: Mutex::new(answered),
        });
        let (asking, answering, failing) = (side.clone(), side.clone(), side);
        let app = Router::new()
            .route(
                "/2018-06-01/runtime/invocation/next",
                get(move || async move { asking.next().await }),
            )
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(move |body: String| async move { answering.answer(is_good(&body)) }),
            )
            .fallback(move || async move { failing.answer(false) });
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, events, asked: of_asked, answered: of_answered, _runtime: runtime }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// An event for whoever asks next.
    pub fn offer(&self, event: Value) {
        self.events.send(event).expect("the runtime runs");
    }

    /// When the process asked for an event.
    pub fn asked(&self) -> Instant {
        self.asked.recv_timeout(PATIENCE).expect("a question")
    }

    /// When it answered one, which must be a success.
    pub fn answered(&self) -> Instant {
        let (at, good) = self.answered.recv_timeout(PATIENCE).expect("an answer");
        assert!(good, "the function failed");
        at
    }
}

/// Not an answer of an HTTP API that refuses.
fn is_good(answer: &str) -> bool {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    answer["statusCode"].as_u64().is_none_or(|status| status == 200)
}
