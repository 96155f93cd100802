//! Requests from and answers to an HTTP API (payload 2.0).

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Bytes of a body, decoded.
pub const LARGEST: usize = 64 * 1024;

/// A request with its body decoded.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    event: ApiGatewayV2httpRequest,
}

impl Request {
    /// Fails with the answer to what no function takes: a method that is not in `methods`, a body that is too large
    /// or not base64 though the event says so, an event that is no HTTP request.
    pub fn receive(mut event: Value, methods: &[Method]) -> Result<Self, Answer> {
        // The event's type refuses a header that HTTP would not allow; nobody here needs such a header.
        if let Some(Value::Object(headers)) = event.get_mut("headers") {
            headers.retain(|name, value| {
                HeaderName::from_bytes(name.as_bytes()).is_ok()
                    && value.as_str().is_some_and(|value| HeaderValue::from_str(value).is_ok())
            });
        }
        let mut event: ApiGatewayV2httpRequest = serde_json::from_value(event)
            .map_err(|_| Answer::refuse(400, "This is not a request of an HTTP API."))?;
        let method = event.request_context.http.method.clone();
        if !methods.contains(&method) {
            return Err(Answer::not_allowed(methods));
        }
        let too_large = || Answer::refuse(413, "The body is larger than 64 KB.");
        let body = event.body.take().unwrap_or_default();
        let body = if event.is_base64_encoded {
            if body.len() > LARGEST.div_ceil(3) * 4 {
                return Err(too_large());
            }
            STANDARD.decode(body).map_err(|_| Answer::refuse(400, "The body is not base64."))?
        } else {
            body.into_bytes()
        };
        if body.len() > LARGEST {
            return Err(too_large());
        }
        Ok(Self { method, headers: std::mem::take(&mut event.headers), body, event })
    }

    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type without parameters, in lower case; empty if there is none.
    pub fn content_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        let media_type = value.split(';').next().unwrap_or_default();
        media_type.trim().to_ascii_lowercase()
    }

    /// A parameter of the query string.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.event.query_string_parameters.first(name)
    }
}

/// A status and a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    allow: Option<String>,
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body, allow: None }
    }

    /// `{"error": reason}`
    pub fn refuse(status: u16, reason: &str) -> Self {
        Self::new(status, json!({ "error": reason }))
    }

    fn not_allowed(methods: &[Method]) -> Self {
        let allow: Vec<_> = methods.iter().map(Method::as_str).collect();
        let allow = allow.join(", ");
        Self { allow: Some(allow.clone()), ..Self::refuse(405, &format!("Send this as {allow}.")) }
    }
}

impl From<Answer> for ApiGatewayV2httpResponse {
    fn from(answer: Answer) -> Self {
        let mut response = Self::default();
        response.status_code = answer.status.into();
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(allow) = answer.allow.and_then(|allow| allow.parse().ok()) {
            response.headers.insert(header::ALLOW, allow);
        }
        response.body = Some(Body::Text(answer.body.to_string()));
        response
    }
}
