//! Payload format 2.0: requests as events, and what functions answer as responses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::local::ACCOUNT;

/// A request that has found its route.
pub(super) struct Request<'a> {
    pub api: &'a str,
    pub stage: &'a str,
    pub route: &'a str,
    pub parameters: BTreeMap<String, String>,
    pub variables: Option<&'a Value>,
    pub method: &'a Method,
    /// Decoded, with the stage's name before it unless that is `$default`.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    pub peer: SocketAddr,
    pub id: &'a str,
    pub now: OffsetDateTime,
}

impl Request<'_> {
    pub fn event(&self) -> Value {
        let host = text(self.headers, header::HOST.as_str());
        let source = self.peer.ip().to_string();
        let mut context = json!({
            "accountId": ACCOUNT,
            "apiId": self.api,
            "domainName": host,
            "domainPrefix": self.api,
            "http": {
                "method": self.method.as_str(),
                "path": self.path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": text(self.headers, header::USER_AGENT.as_str()),
            },
            "requestId": self.id,
            "routeKey": self.route,
            "stage": self.stage,
            "time": log_time(self.now),
        });
        context["timeEpoch"] =
            json!(i64::try_from(self.now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default());
        let (headers, cookies) = self.headers(&source);
        let mut event = json!({
            "version": "2.0",
            "routeKey": self.route,
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": context,
            "isBase64Encoded": false,
        });
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        if !self.query.is_empty() {
            event["queryStringParameters"] = json!(query_parameters(self.query));
        }
        if !self.parameters.is_empty() {
            event["pathParameters"] = json!(self.parameters);
        }
        if let Some(variables) =
            self.variables.filter(|v| v.as_object().is_some_and(|v| !v.is_empty()))
        {
            event["stageVariables"] = variables.clone();
        }
        if !self.body.is_empty() {
            let readable = is_text(&text(self.headers, header::CONTENT_TYPE.as_str()))
                .then(|| std::str::from_utf8(self.body).ok())
                .flatten();
            if let Some(body) = readable {
                event["body"] = body.into();
            } else {
                event["body"] = BASE64.encode(self.body).into();
                event["isBase64Encoded"] = true.into();
            }
        }
        event
    }

    /// Names in lower case, repeated ones joined by commas, cookies apart.
    fn headers(&self, source: &str) -> (BTreeMap<String, String>, Vec<String>) {
        let mut headers = BTreeMap::<String, String>::new();
        let mut cookies = Vec::new();
        for (name, value) in self.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            if name == header::COOKIE {
                cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
                continue;
            }
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|present| {
                    present.push(',');
                    present.push_str(&value);
                })
                .or_insert_with(|| value.into_owned());
        }
        headers
            .entry("x-forwarded-for".to_owned())
            .and_modify(|present| {
                present.push_str(", ");
                present.push_str(source);
            })
            .or_insert_with(|| source.to_owned());
        let port = headers
            .get("host")
            .and_then(|host| host.rsplit_once(':'))
            .map_or_else(|| "80".to_owned(), |(_, port)| port.to_owned());
        headers.insert("x-forwarded-port".to_owned(), port);
        headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
        let digits: String = self.id.chars().filter(char::is_ascii_hexdigit).take(24).collect();
        headers.insert(
            "x-amzn-trace-id".to_owned(),
            format!("Root=1-{:08x}-{digits}", self.now.unix_timestamp()),
        );
        headers.entry("content-length".to_owned()).or_insert_with(|| self.body.len().to_string());
        (headers, cookies)
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

/// What is handed on as text; everything else is encoded, forms too.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(
            kind.as_str(),
            "application/json" | "application/javascript" | "application/xml"
        )
}

/// Decoded, the values of repeated ones joined by commas.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::<String, String>::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|present| {
                present.push(',');
                present.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    parameters
}

/// `12/Mar/2020:19:03:58 +0000`.
fn log_time(now: OffsetDateTime) -> String {
    let month = now.month().to_string();
    format!(
        "{:02}/{}/{}:{:02}:{:02}:{:02} +0000",
        now.day(),
        &month[..3],
        now.year(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// The response out of a function's answer. None: the answer has no form that API Gateway takes.
pub fn response(payload: &[u8]) -> Option<Response<Body>> {
    let answer: Value = serde_json::from_slice(payload).ok()?;
    let envelope = answer.as_object().filter(|answer| answer.contains_key("statusCode"));
    let Some(envelope) = envelope else {
        // Anything else is the body of a success.
        let body = match answer {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let mut response = Response::new(Body::from(body));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        return Some(response);
    };
    let body = match envelope.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(body)) => match envelope.get("isBase64Encoded") {
            Some(Value::Bool(true)) => BASE64.decode(body).ok()?,
            None | Some(Value::Null | Value::Bool(false)) => body.clone().into_bytes(),
            Some(_) => return None,
        },
        Some(_) => return None,
    };
    let empty = body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status(envelope.get("statusCode")?)?;
    let headers = response.headers_mut();
    copy_headers(headers, envelope)?;
    if !empty && !headers.contains_key(header::CONTENT_TYPE) {
        let plain = HeaderValue::from_static("text/plain;charset=UTF-8");
        headers.insert(header::CONTENT_TYPE, plain);
    }
    Some(response)
}

fn status(value: &Value) -> Option<StatusCode> {
    let code = match value {
        Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok())?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    // An informational one would not end the exchange.
    StatusCode::from_u16(code).ok().filter(|status| status.as_u16() >= 200)
}

fn copy_headers(headers: &mut HeaderMap, envelope: &Map<String, Value>) -> Option<()> {
    match envelope.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(given)) => {
            for (name, value) in given {
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => return None,
                };
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                // The connection is ours.
                let ours = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
                if !ours.contains(&name) {
                    headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
                }
            }
        }
        Some(_) => return None,
    }
    match envelope.get("cookies") {
        None | Some(Value::Null) => {}
        Some(Value::Array(cookies)) => {
            for cookie in cookies {
                let cookie = HeaderValue::from_bytes(cookie.as_str()?.as_bytes()).ok()?;
                headers.append(header::SET_COOKIE, cookie);
            }
        }
        Some(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(headers: &[(&str, &str)], query: &str, body: &'static [u8]) -> Value {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Request {
            api: "abc",
            stage: "$default",
            route: "ANY /aws_advent",
            parameters: BTreeMap::new(),
            variables: None,
            method: &Method::POST,
            path: "/aws_advent",
            query,
            headers: &map,
            body: &Bytes::from_static(body),
            peer: "127.0.0.1:5".parse().unwrap(),
            id: "0123456789abcdef0123456789abcdef",
            now: OffsetDateTime::from_unix_timestamp(1_583_348_638).unwrap(),
        }
        .event()
    }

    #[test]
    fn a_form_arrives_encoded_with_everything_around_it() {
        let headers = [
            ("Host", "127.0.0.1:4000"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("User-Agent", "Slackbot 1.0"),
            ("X-Twice", "a"),
            ("X-Twice", "b"),
            ("Cookie", "c=1; d=2"),
        ];
        let event = event(&headers, "a=1&b=x%20y&a=2", b"token=t&text=a+b");
        let expected = json!({
            "version": "2.0", "routeKey": "ANY /aws_advent", "rawPath": "/aws_advent",
            "rawQueryString": "a=1&b=x%20y&a=2", "cookies": ["c=1", "d=2"],
            "headers": {
                "host": "127.0.0.1:4000", "content-type": "application/x-www-form-urlencoded",
                "user-agent": "Slackbot 1.0", "x-twice": "a,b", "content-length": "16",
                "x-forwarded-for": "127.0.0.1", "x-forwarded-port": "4000",
                "x-forwarded-proto": "http",
                "x-amzn-trace-id": "Root=1-5e5ffb9e-0123456789abcdef01234567",
            },
            "queryStringParameters": {"a": "1,2", "b": "x y"},
            "requestContext": {
                "accountId": ACCOUNT, "apiId": "abc", "domainName": "127.0.0.1:4000",
                "domainPrefix": "abc",
                "http": {
                    "method": "POST", "path": "/aws_advent", "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1", "userAgent": "Slackbot 1.0",
                },
                "requestId": "0123456789abcdef0123456789abcdef",
                "routeKey": "ANY /aws_advent", "stage": "$default",
                "time": "04/Mar/2020:19:03:58 +0000", "timeEpoch": 1_583_348_638_000_i64,
            },
            "body": "dG9rZW49dCZ0ZXh0PWErYg==", "isBase64Encoded": true,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn the_content_type_decides_what_is_text() {
        for kind in ["application/json; charset=utf-8", "text/plain", "Application/XML"] {
            let event = event(&[("content-type", kind)], "", b"{}");
            assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{}"), &json!(false)));
        }
        for kind in ["application/octet-stream", "application/x-www-form-urlencoded", ""] {
            assert_eq!(event(&[("content-type", kind)], "", b"a")["isBase64Encoded"], true);
        }
        assert_eq!(event(&[("content-type", "text/plain")], "", b"\xff")["isBase64Encoded"], true);
        let empty = event(&[], "", b"");
        assert!(empty.get("body").is_none() && empty.get("queryStringParameters").is_none());
        assert_eq!(empty["isBase64Encoded"], false);
    }

    #[test]
    fn answers_become_responses() {
        let of = |answer: Value| response(answer.to_string().as_bytes());
        let plain = of(json!({"text": "hi"})).unwrap();
        assert_eq!(
            (plain.status().as_u16(), plain.headers()["content-type"].to_str().unwrap()),
            (200, "application/json")
        );
        let full = of(json!({
            "statusCode": 201, "headers": {"X-A": "b", "X-N": 1, "Content-Length": "99"},
            "cookies": ["c=1", "d=2"], "body": "aGk=", "isBase64Encoded": true,
        }))
        .unwrap();
        assert_eq!(full.status().as_u16(), 201);
        assert_eq!(full.headers()["x-n"], "1");
        assert_eq!(full.headers().get_all("set-cookie").iter().count(), 2);
        assert!(!full.headers().contains_key("content-length"));
        assert_eq!(of(json!({"statusCode": "204"})).unwrap().status().as_u16(), 204);
        assert!(of(json!(null)).is_some() && of(json!("text")).is_some());
        for wrong in [
            json!({"statusCode": 99}),
            json!({"statusCode": "x"}),
            json!({"statusCode": 200, "body": {}}),
            json!({"statusCode": 200, "headers": []}),
            json!({"statusCode": 200, "headers": {"a b": "c"}}),
            json!({"statusCode": 200, "body": "%", "isBase64Encoded": true}),
        ] {
            assert!(of(wrong.clone()).is_none(), "{wrong}");
        }
        assert!(response(b"not json").is_none());
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_function_answers_is_a_response_or_none(
            at in proptest::prelude::any::<proptest::sample::Index>(),
            odd in crate::fuzz::odd(),
            by in crate::fuzz::changes(&[b"statusCode", b"\"", b"\\r\\n", b"1e9", b"-1", b"null", b"\xff"]),
        ) {
            let seed = json!({
                "statusCode": 201, "headers": {"X-A": "b", "X-N": 1}, "cookies": ["c=1"],
                "multiValueHeaders": {"a": ["b"]}, "body": "aGk=", "isBase64Encoded": true,
            });
            let _ = response(crate::fuzz::with_odd(&seed, at, odd, false).to_string().as_bytes());
            let _ = response(&crate::fuzz::changed(seed.to_string().as_bytes(), &by));
        }
    }
}
