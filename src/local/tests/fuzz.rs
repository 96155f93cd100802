//! Whatever is asked: no panic, no fault of the cloud's own, and an answer in the protocol's form.

pub(super) mod seeds;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::Here;
use crate::fuzz::{Change, changed, changes, config, odd, with_odd};
use crate::local::fuzzing::check;
use crate::local::gateway;
use seeds::{Names, Seed, seeds};

/// How long the answer to one request may take; functions that are invoked included.
const PATIENCE: Duration = Duration::from_secs(20);

const PIECES: &[&[u8]] = &[
    b"/",
    b"//",
    b"%",
    b"%00",
    b"%ff",
    b"%2F",
    b"?",
    b"&",
    b"=",
    b"+",
    b".",
    b",",
    b":",
    b"*",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"18446744073709551615",
    b"-1",
    b"NaN",
    b"1e999",
    b".member.1.",
    b".entry.1.key=",
    b"Action=",
    b"us-east-1",
    b"NextToken=18446744073709551615&",
    b"Marker=99999999999999999999&",
    b"AND (",
    b"NOT ",
    b"#c",
    b":n",
    b"\xff\xfe",
    b"\r\n",
    b"\0",
    "🎉".as_bytes(),
];

/// A request, whatever its parts.
#[derive(Debug, Clone)]
struct Asked {
    service: &'static str,
    method: String,
    path: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        write!(f, "{} {}", self.method, text(&self.path))?;
        for (name, value) in &self.headers {
            write!(f, "\n{name}: {}", text(value))?;
        }
        let body: String = text(&self.body).chars().take(2000).collect();
        write!(f, "\n\n{body}")
    }
}

impl Asked {
    fn of(seed: &Seed) -> Self {
        let mut headers = vec![
            ("host".to_owned(), b"127.0.0.1:1".to_vec()),
            ("content-type".to_owned(), seed.content_type().into()),
        ];
        if !seed.target.is_empty() {
            headers.push(("x-amz-target".to_owned(), seed.target.into()));
        }
        let (method, path) = seed.line.split_once(' ').unwrap();
        let body = seed.body.clone().into_bytes();
        let service = seed.service;
        Self { service, method: method.into(), path: path.into(), headers, body }
    }

    /// None: HTTP itself does not allow it.
    fn request(&self) -> Option<Request<Body>> {
        let mut request = Request::builder()
            .method(Method::from_bytes(self.method.as_bytes()).ok()?)
            .uri(axum::http::Uri::try_from(self.path.as_slice()).ok()?);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request = request.header(name, HeaderValue::from_bytes(value).ok()?);
        }
        request.body(Body::from(self.body.clone())).ok()
    }
}

struct World {
    here: Here,
    runtime: tokio::runtime::Runtime,
    /// What the cloud has named.
    names: Names,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            names: Names::default(),
            here: Here::start(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
        };
        world.restore(true);
        world
    }

    /// Makes everything that the seeds speak of; what is there stays.
    fn restore(&mut self, first: bool) {
        let get = Seed::get("apigateway", &format!("/v2/apis/{}", self.names.api));
        let has_api = self.ask(&Asked::of(&get)).unwrap().status == 200;
        for index in 0..seeds(&self.names).len() {
            // Names become known on the way.
            let seed = &seeds(&self.names)[index];
            let deletes = seed.line.starts_with("DELETE")
                || seed.body.contains("Action=Delete")
                || seed.target.contains(".Delete");
            if deletes || (has_api && seed.line == "POST /v2/apis") {
                continue;
            }
            let answer = self.ask(&Asked::of(seed)).unwrap();
            if let Err(why) = answer.check() {
                panic!("{} {}: {why}", seed.line, seed.target);
            }
            // What is refused at once tests little.
            let text = String::from_utf8_lossy(&answer.body);
            let refused = answer.status >= 400 && !seed.line.contains("/_aws/execute-api/");
            assert!(!first || !refused, "{} {} {}: {text}", seed.line, seed.target, seed.body);
            self.names.learn(&answer.body);
        }
    }

    fn ask(&self, asked: &Asked) -> Option<Answer> {
        let (mut parts, body) = asked.request()?.into_parts();
        // Whatever was done to it, it is signed, unless that was done to its signature.
        if !parts.headers.contains_key("authorization") {
            self.here.sign(&mut parts, &asked.body, asked.service);
        }
        let request = Request::from_parts(parts, body);
        let cloud = self.here.server.cloud().clone();
        let peer = "127.0.0.1:5".parse().unwrap();
        let answer = async {
            let response = gateway::entry(&cloud, peer, request).await;
            let (parts, body) = response.into_parts();
            let kind = parts.headers.get("content-type");
            Answer {
                status: parts.status.as_u16(),
                kind: kind.map_or_else(String::new, |kind| kind.to_str().unwrap().to_owned()),
                body: to_bytes(body, usize::MAX).await.unwrap(),
            }
        };
        let answer = async { tokio::time::timeout(PATIENCE, answer).await };
        Some(self.runtime.block_on(answer).expect("an answer in time"))
    }
}

struct Answer {
    status: u16,
    kind: String,
    body: Bytes,
}

impl Answer {
    /// Why it is none that AWS could give.
    fn check(&self) -> Result<(), String> {
        check(self.status, &self.kind, &self.body)
    }
}

/// What is done to a valid request.
#[derive(Debug, Clone)]
enum Twist {
    Body(Vec<Change>),
    Path(Vec<Change>),
    Header(Index, Vec<Change>),
    MoreHeaders(Vec<(String, Vec<u8>)>),
    Method(&'static str),
    /// In JSON, or in one field of a form.
    Value(Index, Value, bool),
    Noise(Vec<u8>),
}

fn twist() -> impl Strategy<Value = Twist> {
    let methods = vec!["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "X"];
    let names = vec![
        "x-amz-target",
        "authorization",
        "x-amz-invocation-type",
        "x-amz-date",
        "x-amz-log-type",
        "x-amz-client-context",
        "content-type",
        "origin",
        "x-odd",
    ];
    let header = (select(names), vec(any::<u8>(), 0..40));
    let header = header.prop_map(|(name, value)| (name.to_owned(), value));
    prop_oneof![
        4 => changes(PIECES).prop_map(Twist::Body),
        2 => changes(PIECES).prop_map(Twist::Path),
        1 => (any::<Index>(), changes(PIECES)).prop_map(|(at, changes)| Twist::Header(at, changes)),
        1 => vec(header, 1..4).prop_map(Twist::MoreHeaders),
        1 => select(methods).prop_map(Twist::Method),
        6 => (any::<Index>(), odd(), prop::bool::weighted(0.2))
            .prop_map(|(at, value, double)| Twist::Value(at, value, double)),
        1 => vec(any::<u8>(), 0..200).prop_map(Twist::Noise),
    ]
}

impl Twist {
    fn apply(&self, asked: &mut Asked) {
        match self {
            Self::Body(changes) => asked.body = changed(&asked.body, changes),
            Self::Path(changes) => asked.path = changed(&asked.path, changes),
            Self::Header(at, changes) => {
                let header = at.index(asked.headers.len());
                let (_, value) = &mut asked.headers[header];
                *value = changed(value, changes);
            }
            Self::MoreHeaders(more) => asked.headers.extend(more.iter().cloned()),
            Self::Method(method) => (*method).clone_into(&mut asked.method),
            Self::Value(at, odd, double) => {
                if let Ok(body) = serde_json::from_slice::<Value>(&asked.body) {
                    let body = with_odd(&body, *at, odd.clone(), *double);
                    asked.body = body.to_string().into_bytes();
                    return;
                }
                let mut fields: Vec<(String, String)> =
                    form_urlencoded::parse(&asked.body).into_owned().collect();
                if fields.is_empty() {
                    return;
                }
                let at = at.index(fields.len());
                let odd = odd.as_str().map_or_else(|| odd.to_string(), ToOwned::to_owned);
                if *double {
                    fields.push((fields[at].0.clone(), odd));
                } else {
                    fields[at].1 = odd;
                }
                asked.body = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(fields)
                    .finish()
                    .into_bytes();
            }
            Self::Noise(noise) => asked.body.clone_from(noise),
        }
    }
}

#[test]
fn every_service_answers_whatever_it_is_asked() {
    let world = RefCell::new(World::new());
    let tried = Cell::new(0);
    let input = (any::<Index>(), vec(twist(), 1..4));
    let outcome = TestRunner::new(config(400)).run(&input, |(which, twists)| {
        let mut world = world.borrow_mut();
        let seeds = seeds(&world.names);
        let mut asked = Asked::of(which.get(&seeds));
        for twist in &twists {
            twist.apply(&mut asked);
        }
        let Some(answer) = world.ask(&asked) else { return Ok(()) };
        answer.check().map_err(|why| TestCaseError::fail(format!("{asked}: {why}")))?;
        tried.set(tried.get() + 1);
        if tried.get() % 100 == 0 {
            world.restore(false);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
