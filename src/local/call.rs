//! One control-plane request as the services see it, and what they answer.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ACCOUNT;
use super::error::AwsError;
use super::xml;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Whoever works with the local cloud from outside: may do everything.
    Operator,
    /// A function, by the session credentials that it was started with.
    Function { role: String, function: String },
}

impl Principal {
    /// The caller as `sts:GetCallerIdentity` and error messages name it.
    pub fn arn(&self) -> String {
        match self {
            Self::Operator => format!("arn:aws:iam::{ACCOUNT}:root"),
            Self::Function { role, function } => {
                format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{function}")
            }
        }
    }
}

/// How a service talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Json,
    Query,
    Rest,
}

/// An authenticated control-plane request.
#[derive(Debug)]
pub struct ApiCall {
    pub protocol: Protocol,
    /// The service of the credential scope: `lambda`, `sns`, `apigateway`, `tagging`, ...
    pub service: String,
    /// From `X-Amz-Target` or `Action`; for REST services `METHOD /path` until the service knows better.
    pub operation: String,
    /// The Region of the credential scope.
    pub region: String,
    pub principal: Principal,
    pub request_id: String,
    pub method: Method,
    /// As received: still percent-encoded.
    pub path: String,
    /// Of REST services: what stands in the path for the operation's labels, decoded.
    pub labels: Vec<String>,
    /// Decoded, in order, with repetitions.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The form of a query request as nested JSON (see `params.rs`), else the JSON body, else null.
    pub params: Value,
}

impl ApiCall {
    /// The parameters as a type.
    ///
    /// # Errors
    /// `SerializationException` where they do not fit.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, AwsError> {
        let params = if self.params.is_null() {
            Cow::Owned(Value::Object(serde_json::Map::new()))
        } else {
            Cow::Borrowed(&self.params)
        };
        T::deserialize(params.as_ref()).map_err(|error| match self.protocol {
            Protocol::Query => AwsError::new(400, "ValidationError", error.to_string()),
            _ => AwsError::new(400, "SerializationException", error.to_string()),
        })
    }

    /// What the path names in this place; empty if nothing.
    pub fn label(&self, index: usize) -> &str {
        self.labels.get(index).map_or("", String::as_str)
    }

    /// A parameter that is a text, if it was sent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }

    /// A parameter that is a text and must be there.
    pub fn need(&self, name: &str) -> Result<&str, AwsError> {
        self.text(name).ok_or_else(|| {
            let code = match self.protocol {
                Protocol::Query => "ValidationError",
                Protocol::Json => "InvalidParameterException",
                Protocol::Rest => "ValidationException",
            };
            AwsError::new(
                400,
                code,
                format!(
                    "1 validation error detected: Value null at '{name}' failed to satisfy \
                     constraint: Member must not be null"
                ),
            )
        })
    }

    /// The first value of a parameter of the query string.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// An ARN in this call's Region and account.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{ACCOUNT}:{resource}", self.region)
    }
}

/// A successful answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Reply {
    /// JSON with status 200; the gateway sets the content type that the protocol wants.
    pub fn json(value: &impl Serialize) -> Result<Self, AwsError> {
        Self::json_status(200, value)
    }

    pub fn json_status(status: u16, value: &impl Serialize) -> Result<Self, AwsError> {
        Ok(Self { status, headers: Vec::new(), body: serde_json::to_vec(value)?.into() })
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// The result of a query operation: an object whose arrays become `<member>`s and whose
    /// [`xml::map`]s become `<entry>`s. Null for an operation without a result.
    pub fn query(call: &ApiCall, result: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: xml::response(call, result).into() }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
