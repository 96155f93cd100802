//! What is authorised is what is carried out, whatever else a request names.

mod items;
mod world;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Map, Value, json};

use super::Here;
use super::fuzz::seeds::{Names, Seed, seeds};
use crate::local::fuzzing::is_form;
use crate::local::keys::Key;
use crate::local::{REGION, gateway, http_api, lambda, rest, signature};
use world::{World, restore};

const SECRET: &str = "never to be told";

/// A request before it is signed.
#[derive(Debug, Clone)]
struct Asked {
    service: &'static str,
    /// Method and path.
    line: String,
    target: String,
    fields: Map<String, Value>,
}

impl Asked {
    fn new(service: &'static str, what: &str, fields: &Value) -> Self {
        let (line, target) = if what.contains(' ') { (what, "") } else { ("POST /", what) };
        let fields = fields.as_object().cloned().unwrap_or_default();
        Self { service, line: line.to_owned(), target: target.to_owned(), fields }
    }

    fn of(seed: &Seed) -> Self {
        let fields = if is_form(seed.service) {
            let pairs = form_urlencoded::parse(seed.body.as_bytes()).into_owned();
            pairs.map(|(name, value)| (name, Value::String(value))).collect()
        } else {
            serde_json::from_str(&seed.body).unwrap_or_default()
        };
        let (line, target) = (seed.line.clone(), seed.target.to_owned());
        Self { service: seed.service, line, target, fields }
    }

    /// The operation; of REST services, method and path.
    fn what(&self) -> String {
        match self.fields.get("Action").filter(|_| is_form(self.service)) {
            Some(action) => action.as_str().unwrap().to_owned(),
            None if self.target.is_empty() => self.line.clone(),
            None => self.target.split('.').nth(1).unwrap().to_owned(),
        }
    }

    fn is_rest(&self) -> bool {
        matches!(self.service, "lambda" | "apigateway")
    }

    fn body(&self) -> String {
        if !is_form(self.service) {
            return Value::Object(self.fields.clone()).to_string();
        }
        let pairs = self.fields.iter().map(|(name, value)| (name, value.as_str().unwrap()));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// The answer to a request by a function with this role, or else by the cloud's owner.
async fn ask(here: &Here, role: Option<&str>, asked: &Asked) -> (u16, String) {
    ask_raw(here, role, asked, asked.body()).await
}

/// The same with another body.
async fn ask_raw(here: &Here, role: Option<&str>, asked: &Asked, body: String) -> (u16, String) {
    let cloud = here.server.cloud().clone();
    let (method, path) = asked.line.split_once(' ').unwrap();
    let kind = if is_form(asked.service) {
        "application/x-www-form-urlencoded"
    } else {
        "application/x-amz-json-1.1"
    };
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "127.0.0.1:1").header("content-type", kind);
    if !asked.target.is_empty() {
        request = request.header("x-amz-target", &asked.target);
    }
    let mut key = cloud.key.clone();
    if let Some(role) = role {
        let session = cloud.sessions.issue(role, "f");
        request = request.header("x-amz-security-token", session.session_token);
        let (access_key_id, secret_access_key) = (session.access_key_id, session.secret_access_key);
        key = Key { access_key_id, secret_access_key };
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    signature::sign(&mut parts, body.as_bytes(), &key, (REGION, asked.service)).unwrap();
    let request = Request::from_parts(parts, Body::from(body));
    let answer = gateway::entry(&cloud, "127.0.0.1:5".parse().unwrap(), request).await;
    let status = answer.status().as_u16();
    let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8_lossy(&text).into_owned())
}

/// Words in quotes that may be an operation's name.
fn words(source: &str) -> impl Iterator<Item = &str> {
    let parts = source.split('"').skip(1).step_by(2);
    parts.filter(|word| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    })
}

/// Whatever a service carries out is among the seeds, and so is tried below: a new operation, too.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_tried() {
    let here = Here::start();
    let tried: Vec<Asked> = seeds(&Names::default()).iter().map(Asked::of).collect();
    let is_tried = |service: &str, name: &str| {
        tried.iter().any(|asked| asked.service == service && asked.what() == name)
    };
    let mut found = 0;
    for (service, source) in [
        ("logs", include_str!("../logs.rs")),
        ("sns", include_str!("../sns.rs")),
        ("iam", include_str!("../iam.rs")),
        ("iam", include_str!("../iam/managed.rs")),
        ("sts", include_str!("../sts.rs")),
        ("tagging", include_str!("../tagging.rs")),
        ("dynamodb", include_str!("../dynamodb.rs")),
        ("dynamodb", include_str!("../dynamodb/engine.rs")),
    ] {
        for word in words(source) {
            let what = if is_form(service) { "POST /" } else { &format!("Any.{word}") };
            let asked = Asked::new(service, what, &json!({"Action": word}));
            // It is never found.
            if ask(&here, None, &asked).await.0 == 501 || word == "GetResourcePolicy" {
                continue;
            }
            assert!(is_tried(service, word), "no seed asks {service} for {word}");
            found += 1;
        }
    }
    for (service, operations) in
        [("lambda", lambda::OPERATIONS), ("apigateway", http_api::OPERATIONS)]
    {
        let name_of = |line: &str| {
            let (method, path) = line.split_once(' ').unwrap();
            let path = path.split('?').next().unwrap();
            rest::operation(operations, method, path).map(|(name, _)| name)
        };
        let of_service = tried.iter().filter(|asked| asked.service == service);
        let names: Vec<_> = of_service.filter_map(|asked| name_of(&asked.line)).collect();
        for operation in operations.lines() {
            let (line, name) = operation.rsplit_once(' ').unwrap();
            let asked = Asked::new(service, &line.replace("{}", "none"), &json!({}));
            if ask(&here, None, &asked).await.0 != 501 {
                assert!(names.contains(&name), "no seed asks {service} for {name}");
                found += 1;
            }
        }
    }
    assert!(found > 90, "only {found} operations");
}

fn denied(text: &str) -> bool {
    text.contains("not authorized to perform")
}

/// Whether an answer tells of what is another's, be it that it exists.
fn tells(text: &str) -> bool {
    text.contains(SECRET) || (text.contains("foreign") && !denied(text))
}

/// Whether it differs; from then on that is what is compared with.
fn replaced(before: &mut Vec<String>, now: Vec<String>) -> bool {
    std::mem::replace(before, now) != *before
}

/// Each operation, with each member that may name anything naming what the function may touch while
/// all others name what it may not, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn no_operation_acts_on_what_was_not_authorised() {
    let mut world = World::new().await;
    let mut before = world.foreign().await;
    let mut wrong = Vec::new();
    for index in 0..seeds(&world.names).len() {
        let seed = Asked::of(&seeds(&world.names)[index]);
        if matches!(seed.service, "advent" | "sts") || seed.line.starts_with("GET /_") {
            continue;
        }
        let what = seed.what();
        let naming = world.naming(&seed);
        let about_one = naming.iter().any(|(member, ..)| seed.fields.contains_key(*member))
            || ["functions/f", "%3Af", &world.names.api].iter().any(|own| seed.line.contains(own));
        let mut let_in = Vec::new();
        for asked in world.variants(&seed, true) {
            let (_, text) = ask(&world.here, Some("mine"), &asked).await;
            let told = tells(&text);
            let changed = replaced(&mut before, world.foreign().await);
            if told || changed {
                wrong.push(format!("mine, told {told}, changed {changed}: {asked:?}: {text}"));
            }
            if !denied(&text) {
                let_in.push((asked, text));
            }
        }
        if about_one == let_in.is_empty() {
            wrong.push(format!("mine, {what} is about one {about_one}, and yet: {let_in:?}"));
        }
        for asked in world.variants(&seed, false).into_iter().filter(|_| about_one) {
            let (_, text) = ask(&world.here, Some("but"), &asked).await;
            let told = tells(&text);
            let changed = replaced(&mut before, world.foreign().await);
            if told || changed {
                wrong.push(format!("but, told {told}, changed {changed}: {asked:?}: {text}"));
            }
        }
        if ["DELETE", "Delete", "Unsubscribe"].iter().any(|start| what.starts_with(start)) {
            let World { here, names, .. } = &mut world;
            restore(here, names).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
