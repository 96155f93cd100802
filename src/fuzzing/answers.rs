//! What an endpoint answers, whatever that is, to all that `status` and `down` read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;

use super::must;
use crate::aws::http::Http;
use crate::aws::{Cloud, Names};
use crate::bundle::Arch;
use crate::engine::{Action, Goal};
use crate::manifest::Manifest;
use crate::stack::{Deployment, Parts};

/// One of each kind, with routes, triggers, rights and a role's name of its own.
const MANIFEST: &str = r#"
name = "fuzzed"
[table.t]
key = "k"
ttl = "e"
[topic.n]
[http_api]
[function.f]
route = "GET /"
topic = "n"
read = { TABLE = "t" }
"#;
/// More requests than any finite list of answers can be worth.
const MOST: usize = 2000;
/// Longest time, in virtual seconds, that one look may take: what a service is asked again for
/// by one call after another.
const PATIENCE: Duration = Duration::from_hours(1);

/// Answers in lines: what is asked (an operation, or method and path), the status, the body, between
/// tabs. Each is given once, in turn; then there is no answer any more.
///
/// The look ends, and finds nothing of ours where no answer names the stack.
pub fn any(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut answers = Answers::new();
    for line in text.lines() {
        let Some((asked, rest)) = line.split_once('\t') else { continue };
        let Some((status, body)) = rest.split_once('\t') else { continue };
        let Ok(status) = status.parse() else { continue };
        answers.entry(asked.to_owned()).or_default().push_back((status, body.to_owned()));
    }
    // Names can be written in other ways in JSON and XML.
    let named = text.contains("fuzzed") || text.contains("\\u") || text.contains('&');
    for goal in [Goal::Up, Goal::Down] {
        let endpoint =
            Endpoint { answers: Arc::new(Mutex::new(answers.clone())), asked: Arc::default() };
        let found = look(&endpoint, goal);
        let asked = endpoint.asked.load(Ordering::Relaxed);
        assert!(asked < MOST, "{asked} requests");
        assert!(!found || named, "something is ours that says nowhere so");
    }
}

/// Whether something was found that is ours.
fn look(endpoint: &Endpoint, goal: Goal) -> bool {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = must(runtime.enable_all().start_paused(true).build());
    runtime.block_on(async {
        let look = async {
            let cloud = cloud(endpoint);
            let manifest = must(Manifest::parse(MANIFEST, "advent.toml"));
            let parts = Parts { arch: Arch::X86_64, artifacts: &[], secrets: &|_| None };
            let mut deployment = Deployment::new(&manifest, &cloud.names, &parts);
            let Ok((known, _)) = deployment.read(&cloud, &(), goal).await else { return false };
            let plan = match goal {
                Goal::Up => deployment.stack.plan_up(known),
                Goal::Down => deployment.stack.plan_down(known),
            };
            plan.steps.iter().any(|step| {
                matches!(step.action, Action::Delete | Action::Update(_) | Action::Replace(_))
            })
        };
        must(tokio::time::timeout(PATIENCE, look).await)
    })
}

fn cloud(endpoint: &Endpoint) -> Cloud {
    let connector = SharedHttpConnector::new(endpoint.clone());
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .endpoint_url("http://127.0.0.1:1")
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "a", "b", None, None, "fuzzing",
        )))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .retry_config(RetryConfig::disabled())
        .build();
    let names = Names {
        stack: "fuzzed".into(),
        stage: "default".into(),
        region: "us-east-1".into(),
        account: "000000000000".into(),
        partition: "aws".into(),
        own_tags: BTreeMap::new(),
    };
    Cloud::new(&config, Http::direct(), names, None, Duration::from_secs(10))
}

/// Status and body of each, by what is asked.
type Answers = BTreeMap<String, VecDeque<(u16, String)>>;

#[derive(Debug, Clone)]
struct Endpoint {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<AtomicUsize>,
}

impl Endpoint {
    fn answer(&self, request: &HttpRequest) -> Option<HttpResponse> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = name(request);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body) = answers.get_mut(&asked)?.pop_front()?;
        let status = StatusCode::try_from(status).ok()?;
        Some(HttpResponse::new(status, SdkBody::from(body)))
    }
}

impl HttpConnector for Endpoint {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let none = || ConnectorError::io("no answer".into());
        HttpConnectorFuture::ready(self.answer(&request).ok_or_else(none))
    }
}

/// What a request asks: an operation, or method and path.
fn name(request: &HttpRequest) -> String {
    let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
    let body = request.body().bytes().unwrap_or_default();
    let action = form_urlencoded::parse(body).find(|(name, _)| name == "Action");
    match (target, action) {
        (Some(target), _) => target.to_owned(),
        (None, Some((_, action))) => action.into_owned(),
        (None, None) => {
            let path = request.uri().split_once("://").map_or("", |(_, rest)| rest);
            let path = path.find('/').map_or("/", |at| &path[at..]);
            format!("{} {}", request.method(), path.split('?').next().unwrap_or_default())
        }
    }
}
