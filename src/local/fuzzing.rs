//! Targets of the fuzzer in the local cloud: what functions, callers and policies' authors send it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use dynoxide::Database;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::call::Principal;
use super::dynamodb::{engine, partiql as parser};
use super::http_api::event;
use super::keys::Holder;
use super::policy::{self, Decision};
use super::signature::{Claim, SigningKeys};
use super::sns::filter;
use super::{InProcess, gateway, runtime_api as runtime, signature};
use crate::fuzzing::must;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so many requests a new cloud is taken, so that what was found can be found again.
const FRESH: usize = 1000;

/// A policy document: a denial of everything outweighs it, and without `Allow` it allows nothing.
pub fn policies(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for trust in [false, true] {
        let _ = policy::check(&text, trust);
    }
    let Ok(document) = serde_json::from_str::<Value>(&text) else { return };
    let denial = json!({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}});
    let context = [
        ("aws:SourceArn", "arn:aws:sns:us-east-1:000000000000:t"),
        ("aws:CurrentTime", "2026-11-28T00:00:00Z"),
        ("aws:SourceIp", "127.0.0.1"),
        ("aws:SecureTransport", "false"),
        ("aws:EpochTime", "1795824000"),
        ("dynamodb:LeadingKeys", "a"),
    ];
    let context: BTreeMap<String, Vec<String>> =
        context.map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).into();
    let service = Some(("Service", "lambda.amazonaws.com"));
    let asked = [
        (None, "dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:000000000000:table/words"),
        (None, "sns:Publish", "arn:aws:sns:us-east-1:000000000000:t"),
        (service, "sts:AssumeRole", "*"),
    ];
    for (principal, action, resource) in asked {
        let context = context.clone();
        let request = policy::Request { principal, action, resource, context };
        let decision = policy::evaluate([&document], &request);
        let silent = !text.contains("Allow") && !text.contains("\\u");
        assert!(decision != Decision::Allow || !silent, "{action} without a statement: {text}");
        // Resource policies name a principal; this one does not.
        if principal.is_none() {
            for both in [[&document, &denial], [&denial, &document]] {
                assert_eq!(policy::evaluate(both, &request), Decision::ExplicitDeny, "{text}");
            }
        }
    }
    policy::trusts_service(&document, "lambda.amazonaws.com");
}

/// A `PartiQL` statement: what the engine reads or writes is what policies were asked about.
pub fn partiql(bytes: &[u8]) {
    thread_local! { static ENGINE: RefCell<Option<Database>> = const { RefCell::new(None) }; }
    const SECRET: &str = "never to be told";
    let text = String::from_utf8_lossy(bytes);
    let said = parser::read(&text);
    let item = json!({"k": {"S": "a"}, "v": {"S": SECRET}});
    let run = |engine: &Database, operation: &str, body: &Value| {
        engine::run(engine, operation, &body.to_string())
    };
    let new = || {
        let engine = must(Database::memory());
        for table in ["secret", "words"] {
            let table = json!({
                "TableName": table, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            });
            must(run(&engine, "CreateTable", &table));
        }
        must(run(&engine, "PutItem", &json!({"TableName": "secret", "Item": item})));
        engine
    };
    ENGINE.with_borrow_mut(|engine| {
        let database = engine.get_or_insert_with(new);
        let answer = run(database, "ExecuteStatement", &json!({"Statement": text}));
        // What cannot be said is refused, unless somebody may do everything.
        let about_it = said.as_ref().is_none_or(|said| said.table == "secret");
        let told = answer.is_ok_and(|answer| answer.contains(SECRET));
        assert!(about_it || !told, "{text} reads another table than {said:?}");
        let found = run(database, "Scan", &json!({"TableName": "secret"})).unwrap_or_default();
        let found: Value = serde_json::from_str(&found).unwrap_or_default();
        let same = found["Items"] == json!([item]);
        assert!(about_it || same, "{text} writes another table than {said:?}: {found}");
        if !same {
            *engine = None;
        }
    });
}

/// A filter policy, a message's attributes and its text, a line each: what is accepted can be asked.
pub fn filters(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (policy, attributes, message) = (line(), line(), line());
    if filter::check(policy).is_err() {
        return;
    }
    let attributes: Map<String, Value> = serde_json::from_str(attributes).unwrap_or_default();
    for scope in ["MessageAttributes", "MessageBody"] {
        let subscription = [("FilterPolicy", policy), ("FilterPolicyScope", scope)];
        let subscription = subscription.map(|(key, value)| (key.to_owned(), value.to_owned()));
        filter::accepts(&subscription.into(), &attributes, message);
    }
}

/// A request's head: nothing is let in that was not signed with the secret.
pub fn signatures(bytes: &[u8]) {
    let Some((parts, body)) = request(bytes) else { return };
    let holder = Holder {
        principal: Principal::Operator,
        secret: "a secret that no input has been signed with".to_owned(),
        token: None,
    };
    let Ok(claim) = Claim::of(&parts) else { return };
    for now in [SystemTime::now(), SystemTime::UNIX_EPOCH] {
        let _ = claim.check(&holder, &parts.headers, now);
    }
    let let_in = claim.verify(&holder, &parts, &body, &SigningKeys::default());
    assert!(let_in.is_err(), "{claim:?}");
}

/// A head in lines, an empty line, a body. None: HTTP does not allow it.
fn request(bytes: &[u8]) -> Option<(Parts, Vec<u8>)> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = bytes[..end].split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let mut request = Request::builder()
        .method(Method::from_bytes(words.next()?).ok()?)
        .uri(Uri::try_from(words.next()?).ok()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        request =
            request.header(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some((parts, bytes[end + 2..].to_vec()))
}

/// What a function posts as its answer, and as an error: a response that can be sent, an error in JSON.
pub fn runtime_api(bytes: &[u8]) {
    if let Some(response) = event::response(bytes) {
        assert!(response.status().as_u16() >= 200);
    }
    let error = Request::new(Body::from(bytes.to_vec()));
    let payload = with_runtime(|runtime| runtime.block_on(runtime::error_payload(error)));
    assert!(serde_json::from_slice::<Value>(&payload).is_ok());
}

fn with_runtime<T>(work: impl FnOnce(&Runtime) -> T) -> T {
    thread_local! {
        static RUNTIME: Runtime = must(Runtime::new());
    }
    RUNTIME.with(work)
}

/// Requests to the services, a line each: the service, a target or method and path, the body, between
/// tabs. All are answered, in the protocol's form, and by no fault of the cloud's own.
pub fn requests(bytes: &[u8]) {
    thread_local! {
        static HERE: RefCell<Option<(InProcess, TempDir, usize)>> = const { RefCell::new(None) };
    }
    HERE.with_borrow_mut(|here| {
        if here.as_ref().is_none_or(|(_, _, asked)| *asked > FRESH) {
            *here = None;
            let dir = must(tempfile::tempdir());
            *here = Some((must(InProcess::start(dir.path())), dir, 0));
        }
        let Some((server, _, asked)) = here else { return };
        for line in bytes.split(|byte| *byte == b'\n').take(8) {
            let mut fields = line.splitn(3, |byte| *byte == b'\t');
            let (Some(service), Some(target), Some(body)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            *asked += 1;
            ask(server, &String::from_utf8_lossy(service), target, body);
        }
    });
}

fn ask(server: &InProcess, service: &str, target: &[u8], body: &[u8]) {
    let mut words = target.split(|byte| *byte == b' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let form = is_form(service);
    // Where the body is a JSON object of fields, as in the tests' own seeds.
    let fields = serde_json::from_slice::<BTreeMap<String, String>>(body).ok().filter(|_| form);
    let body = match fields {
        Some(fields) => {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into()
        }
        None => body.to_vec(),
    };
    let kind =
        if form { "application/x-www-form-urlencoded" } else { "application/x-amz-json-1.0" };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("127.0.0.1:1"));
    headers.insert("content-type", HeaderValue::from_static(kind));
    let (method, path) = if let Some(path) = second {
        (first, path)
    } else {
        let Ok(target) = HeaderValue::from_bytes(first) else { return };
        headers.insert("x-amz-target", target);
        (&b"POST"[..], &b"/"[..])
    };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method), Uri::try_from(path)) else { return };
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.headers) = (method, uri, headers);
    let cloud = server.cloud().clone();
    if signature::sign(&mut parts, &body, &cloud.key, (super::REGION, service)).is_none() {
        return;
    }
    let request = Request::from_parts(parts, Body::from(body));
    let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 5));
    let answer = with_runtime(|runtime| {
        runtime.block_on(async {
            let answer = async {
                let response = gateway::entry(&cloud, peer, request).await;
                let (parts, body) = response.into_parts();
                (parts, to_bytes(body, usize::MAX).await.unwrap_or_default())
            };
            must(tokio::time::timeout(PATIENCE, answer).await)
        })
    });
    let (parts, body) = answer;
    let kind = parts.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap_or("?"));
    if let Err(why) = check(parts.status.as_u16(), kind, &body) {
        panic!("{why}");
    }
}

/// Whether a service's requests are forms.
pub(super) fn is_form(service: &str) -> bool {
    matches!(service, "iam" | "sns" | "sts")
}

/// Why an answer is none that AWS could give.
pub(super) fn check(status: u16, kind: &str, body: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(body);
    // What the local cloud does not have is said with a status that AWS does not use.
    let unknown = status == 501 && text.contains("the local cloud does not know");
    // As on AWS: what an API says when its function fails or may not be invoked.
    let function_failed = text == r#"{"message":"Internal Server Error"}"#;
    if status >= 500 && !unknown && !function_failed {
        return Err(format!("{status} {text}"));
    }
    if kind == "text/xml" {
        return well_formed(body).map_err(|why| format!("{why}: {text}"));
    }
    if kind.contains("json") && !body.is_empty() {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("{error}: {text}"))?;
        let said = |name: &str| value[name].as_str().is_some_and(|text| !text.is_empty());
        // DynamoDB does not say why it cannot read a request.
        let silent =
            value["__type"].as_str().is_some_and(|of| of.ends_with("SerializationException"));
        if status >= 400 && !silent && !["message", "Message"].iter().any(|name| said(name)) {
            return Err(format!("an error without a message: {text}"));
        }
    }
    Ok(())
}

fn well_formed(xml: &[u8]) -> Result<(), String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(xml);
    let mut depth = 0;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Text(text) => {
                let illegal = |c: char| c < ' ' && !"\t\r\n".contains(c);
                if text.contains(illegal) {
                    return Err("a character that XML cannot carry".to_owned());
                }
            }
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err("it is cut off".to_owned()),
            _ => {}
        }
    }
}
