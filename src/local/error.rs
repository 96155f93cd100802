//! The error that a service of the local cloud answers with, whatever its protocol.

use serde_json::{Map, Value};

use super::call::ApiCall;

/// What SQLite, and the tables' engine, say of a damaged file, through whatever it comes.
const SQLITE_DAMAGED: [&str; 3] = [
    "database disk image is malformed",
    "file is not a database",
    "encrypted or not a valid SQLite database",
];

/// What SQLite and the system say of a disk without room.
const FULL: [&str; 2] = ["database or disk is full", "No space left on device"];

/// The code for that, which AWS does not use.
pub const DAMAGED: &str = "DamagedStateException";

/// An error as AWS reports it. The gateway writes it in the protocol of the called service.
#[derive(Debug, Clone)]
pub struct AwsError {
    /// HTTP status.
    pub status: u16,
    /// The wire code, without any namespace: `ResourceNotFoundException`, `NoSuchEntity`, ...
    pub code: String,
    pub message: String,
    /// Further members of the error, for the JSON protocols.
    pub fields: Map<String, Value>,
}

impl AwsError {
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), fields: Map::new() }
    }

    /// A fault of the local cloud itself. Where what it keeps cannot be read any more, to try again
    /// is in vain.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let cause = cause.to_string();
        if SQLITE_DAMAGED.iter().any(|text| cause.contains(text)) {
            // The engine goes on about encryption, which nobody has here.
            let cause = cause.split(" If encrypted").next().unwrap_or_default();
            return Self::new(400, DAMAGED, format!("the local cloud's state is damaged: {cause}"));
        }
        if FULL.iter().any(|text| cause.contains(text)) {
            let message = format!("the local cloud's disk is full: {cause}");
            return Self::new(400, "DiskFullException", message);
        }
        Self::new(500, "InternalFailure", format!("the local cloud failed: {cause}"))
    }

    /// An operation that the local cloud does not have. `operation` is `service:Operation`.
    pub fn unknown(operation: impl std::fmt::Display) -> Self {
        Self::new(
            501,
            "UnknownOperationException",
            format!("the local cloud does not know {operation}"),
        )
    }

    /// As [`AwsError::unknown`], for what `call` asks.
    pub fn unknown_call(call: &ApiCall) -> Self {
        Self::unknown(format_args!("{}:{}", call.service, call.operation))
    }

    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

impl std::fmt::Display for AwsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for AwsError {}

impl From<rusqlite::Error> for AwsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::internal(format_args!("its state: {error}"))
    }
}

impl From<serde_json::Error> for AwsError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(format_args!("JSON: {error}"))
    }
}

impl From<std::io::Error> for AwsError {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error)
    }
}
