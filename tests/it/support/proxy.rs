//! A forwarding proxy in front of an AWS endpoint: counts requests, delays them, makes them fail.

mod answer;
mod fault;
mod iam;
mod imitation;
mod newness;
mod operation;
mod record;

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

pub use answer::Answer;
pub use fault::{Fault, Rule};
pub use iam::Operator;
use imitation::Imitator;
pub use imitation::{Imitation, Rate};
pub use newness::{busy, unknown, without_tags, writes_to_existing};
pub use operation::Operation;
pub use record::{Record, Records};

type Body = BoxBody<Bytes, io::Error>;
/// A request, and what it asks for.
type Watched = (Operation, Request<Bytes>);

/// Runs on a thread of its own until dropped.
pub struct Proxy {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `127.0.0.1:PORT` of the server behind, and of the proxy.
    upstream: String,
    settings: Mutex<Settings>,
    records: Mutex<Vec<Record>>,
    /// Whole requests, once somebody watches.
    watched: Mutex<Option<Vec<Watched>>>,
    in_flight: AtomicUsize,
    imitation: Mutex<Imitator>,
    operator: Mutex<Option<Operator>>,
}

#[derive(Default, Clone)]
struct Settings {
    delay: Duration,
    rules: Vec<Rule>,
}

/// How a request ends for the client.
enum Outcome {
    Answer(Answer),
    Truncated(Answer),
    /// The connection ends without an answer.
    Cut,
    Reset,
    Stall,
}

impl Proxy {
    /// In front of `upstream`, an `http://127.0.0.1:PORT`.
    pub fn start(upstream: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the proxy");
        let listener =
            runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port for the proxy");
        let own = listener.local_addr().expect("the proxy's port").to_string();
        let client = {
            let _guard = runtime.enter();
            // A pooled connection may have been closed by the server, which would be a fault that
            // nobody injected.
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http()
        };
        let shared = Arc::new(Shared {
            client,
            upstream: upstream.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            settings: Mutex::default(),
            records: Mutex::default(),
            watched: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            imitation: Mutex::default(),
            operator: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, accepting) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { url: format!("http://{own}"), shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Every request takes so much longer.
    pub fn delay(&self, delay: Duration) {
        lock(&self.shared.settings).delay = delay;
    }

    /// Adds a fault. The first rule that strikes a request decides. The rule that comes back
    /// shares its counters with the one injected.
    pub fn inject(&self, rule: Rule) -> Rule {
        lock(&self.shared.settings).rules.push(rule.clone());
        rule
    }

    /// Makes the server behave as slowly and as inconsistently as AWS.
    pub fn imitate(&self, imitation: Imitation) {
        *lock(&self.shared.imitation) = Imitator::new(imitation);
    }

    /// Lets requests pass that this operator may make, from here on.
    pub fn enforce(&self, operator: Operator) {
        *lock(&self.shared.operator) = Some(operator);
    }

    /// Lets all pass again. Returns the operator with what was checked.
    pub fn trust(&self) -> Option<Operator> {
        self.settle();
        lock(&self.shared.operator).take()
    }

    /// How many requests the imitated rates have refused so far.
    pub fn throttled(&self) -> usize {
        lock(&self.shared.imitation).throttled
    }

    /// Functions that can no longer be invoked, since their roles were made again and not set again.
    pub fn ungranted(&self) -> Vec<String> {
        lock(&self.shared.imitation).newness.ungranted()
    }

    /// No faults, no delay, no imitation from here on.
    pub fn heal(&self) {
        *lock(&self.shared.settings) = Settings::default();
        *lock(&self.shared.imitation) = Imitator::default();
    }

    /// No faults from here on; what is imitated goes on.
    pub fn heal_faults(&self) {
        lock(&self.shared.settings).rules.clear();
    }

    /// Waits until nothing is under way to the server, then hands over what was recorded since
    /// the last time.
    pub fn take(&self) -> Records {
        self.settle();
        Records(std::mem::take(&mut *lock(&self.shared.records)))
    }

    /// The whole requests since the last time. The first time begins to keep them.
    pub fn watch(&self) -> Vec<(Operation, Request<Bytes>)> {
        self.settle();
        lock(&self.shared.watched).replace(Vec::new()).unwrap_or_default()
    }

    /// Waits until nothing is under way to the server: what a killed client had sent is applied.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.shared.in_flight.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "requests still under way after 60 s");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        drop(stream.set_nodelay(true));
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // A second handle on the socket: closing with a zero linger time sends a reset.
    let Ok(stream) = stream.into_std() else { return };
    let Ok(handle) = stream.try_clone() else { return };
    let (Ok(stream), Ok(handle)) = (TcpStream::from_std(stream), TcpStream::from_std(handle))
    else {
        return;
    };
    let handle = &handle;
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move {
            match handle_request(request, shared).await {
                Outcome::Answer(answer) => Ok(respond(answer)),
                Outcome::Truncated(answer) => Ok(truncate(answer)),
                Outcome::Cut => Err(io::Error::other("cut")),
                Outcome::Reset => {
                    drop(handle.set_zero_linger());
                    Err(io::Error::other("reset"))
                }
                Outcome::Stall => std::future::pending().await,
            }
        }
    });
    // Errors here are the faults, or a client that was killed.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn handle_request(request: Request<Incoming>, shared: Arc<Shared>) -> Outcome {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Outcome::Cut };
    let body = body.to_bytes();
    let operation = Operation::decode(&parts, &body);
    let index = {
        let mut records = lock(&shared.records);
        records.push(Record { operation: operation.clone(), start, end: None, status: None });
        records.len() - 1
    };
    if let Some(watched) = &mut *lock(&shared.watched) {
        let request = Request::from_parts(parts.clone(), body.clone());
        watched.push((operation.clone(), request));
    }
    shared.in_flight.fetch_add(1, Ordering::SeqCst);
    // Not in this task, which ends when the client does: a server does not notice that either.
    let task = tokio::spawn(async move {
        let call = Call { shared: &shared, operation, request: Request::from_parts(parts, body) };
        let outcome = call.run().await;
        let status = match &outcome {
            Outcome::Answer(answer) | Outcome::Truncated(answer) => Some(answer.status.as_u16()),
            Outcome::Cut | Outcome::Reset | Outcome::Stall => None,
        };
        // The records may have been taken while a stalled request was under way.
        if let Some(record) = lock(&shared.records).get_mut(index)
            && record.start == start
        {
            record.status = status;
            record.end = Some(Instant::now());
        }
        shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        outcome
    });
    task.await.unwrap_or(Outcome::Cut)
}

struct Call<'a> {
    shared: &'a Shared,
    operation: Operation,
    request: Request<Bytes>,
}

impl Call<'_> {
    async fn run(&self) -> Outcome {
        let Settings { delay, rules } = lock(&self.shared.settings).clone();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(operator) = &mut *lock(&self.shared.operator)
            && let Some(refusal) = operator.refuses(&self.operation, &self.request)
        {
            return Outcome::Answer(refusal);
        }
        let fault = rules.into_iter().find(|rule| rule.strikes(&self.operation));
        let Some(fault) = fault.map(|rule| rule.fault) else {
            return Outcome::Answer(self.forward().await);
        };
        match fault {
            Fault::CutBefore(callback) => {
                callback();
                Outcome::Cut
            }
            Fault::CutAfter(callback) => {
                self.forward().await;
                callback();
                Outcome::Cut
            }
            Fault::Reset { applied } => {
                if applied {
                    self.forward().await;
                }
                Outcome::Reset
            }
            Fault::Answer(answer) => Outcome::Answer(answer(&self.operation)),
            Fault::Error(status, code, message) => {
                Outcome::Answer(Answer::error(&self.operation, status, code, message))
            }
            Fault::Truncated => Outcome::Truncated(self.forward().await),
            Fault::TruncatedAnswer(answer) => Outcome::Truncated(answer(&self.operation)),
            Fault::Stall { applied } => {
                if applied {
                    self.forward().await;
                }
                Outcome::Stall
            }
            Fault::Duplicate => {
                self.forward().await;
                Outcome::Answer(self.forward().await)
            }
            Fault::Slow(duration) => {
                tokio::time::sleep(duration).await;
                Outcome::Answer(self.forward().await)
            }
            Fault::Edit(edit) => Outcome::Answer(edit(self.forward().await)),
            Fault::Rewrite(rewrite) => {
                Outcome::Answer(rewrite(&self.operation, self.forward().await))
            }
        }
    }

    async fn forward(&self) -> Answer {
        let (refused, takes) = {
            let mut imitation = lock(&self.shared.imitation);
            (imitation.before(&self.operation, &self.request), imitation.takes(&self.operation))
        };
        if let Some(answer) = refused {
            return answer;
        }
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let answer = self.send().await.unwrap_or_else(|error| {
            Answer::error(&self.operation, 502, "ProxyError", &format!("no answer: {error}"))
        });
        let answer = lock(&self.shared.imitation).after(&self.operation, &self.request, answer);
        let mut operator = lock(&self.shared.operator);
        let blind = operator.as_mut().is_some_and(|known| !known.reads_tags(&self.operation));
        if blind { answer.without_tags() } else { answer }
    }

    async fn send(&self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let Shared { upstream, client, .. } = self.shared;
        let path = self.request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(self.request.method())
            .uri(format!("http://{upstream}{path}").parse::<Uri>()?)
            .version(Version::HTTP_11)
            .body(Full::new(self.request.body().clone()))?;
        *request.headers_mut() = end_to_end(self.request.headers());
        // As it was signed; its name may say which API is meant.
        let host = self.request.headers().get(HOST).cloned();
        request
            .headers_mut()
            .insert(HOST, host.map_or_else(|| HeaderValue::from_str(upstream), Ok)?);
        let (parts, body) = client.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: end_to_end(&parts.headers), body })
    }
}

/// Without the headers that concern one connection only, and without a length: bodies are whole.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers
}

fn respond(answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn truncate(answer: Answer) -> Response<Body> {
    let length = answer.body.len().max(2);
    let half = answer.body.slice(..answer.body.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(io::Error::other("truncated"))];
    let mut response = respond(Answer { body: Bytes::new(), ..answer });
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = BodyExt::boxed(StreamBody::new(stream::iter(frames)));
    response
}
