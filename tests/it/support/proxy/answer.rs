//! Errors in each service's own protocol.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::operation::Operation;

/// A whole answer, as it is held between the server and the client.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// An error as the operation's service words it: JSON 1.x, query XML or REST-JSON.
    pub fn error(operation: &Operation, status: u16, code: &str, message: &str) -> Self {
        let mut headers = HeaderMap::new();
        let (content_type, body) = match operation.service.as_str() {
            "iam" | "sns" | "sts" => {
                let kind = if status < 500 { "Sender" } else { "Receiver" };
                let message = message.replace('&', "&amp;").replace('<', "&lt;");
                let body = format!(
                    "<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error>\
                     <RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
                );
                ("text/xml", body)
            }
            "lambda" | "apigateway" => {
                if let Ok(code) = HeaderValue::from_str(code) {
                    headers.insert("x-amzn-errortype", code);
                }
                let body = serde_json::json!({ "Type": "User", "message": message });
                ("application/json", body.to_string())
            }
            _ => {
                let body = serde_json::json!({ "__type": code, "message": message });
                ("application/x-amz-json-1.0", body.to_string())
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers, body: body.into() }
    }

    /// The service's own "slow down".
    pub fn throttled(operation: &Operation) -> Self {
        let (status, code, message) = match operation.service.as_str() {
            "lambda" => (429, "TooManyRequestsException", "Rate exceeded"),
            "apigateway" => (429, "TooManyRequestsException", "Too Many Requests"),
            "iam" | "sns" | "sts" => (400, "Throttling", "Rate exceeded"),
            "dynamodb" => (
                400,
                "ThrottlingException",
                "The rate of control plane requests made by this account is too high",
            ),
            "tagging" => (400, "ThrottledException", "Rate exceeded"),
            _ => (400, "ThrottlingException", "Rate exceeded"),
        };
        Self::error(operation, status, code, message)
    }

    /// The service's own internal error, status 500.
    pub fn internal(operation: &Operation) -> Self {
        let code = match operation.service.as_str() {
            "dynamodb" => "InternalServerError",
            "sns" => "InternalError",
            "iam" | "sts" => "ServiceFailure",
            "lambda" => "ServiceException",
            _ => "InternalFailure",
        };
        Self::error(operation, 500, code, "An internal error occurred.")
    }

    pub fn unavailable(operation: &Operation) -> Self {
        Self::error(operation, 503, "ServiceUnavailableException", "Service is unavailable.")
    }

    /// A function as Lambda shows it to who may not list its tags.
    pub fn without_tags(self) -> Self {
        let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&self.body) else {
            return self;
        };
        if body["Configuration"].is_null() {
            return self;
        }
        body["Tags"] = serde_json::Value::Null;
        body["TagsError"] = serde_json::json!({
            "ErrorCode": "AccessDeniedException",
            "Message": "User is not authorized to perform: lambda:ListTags",
        });
        Self { body: body.to_string().into(), ..self }
    }

    /// What IAM answers to who lacks the permission, naming action and object.
    pub fn denied(operation: &Operation) -> Self {
        let (status, code) = match operation.service.as_str() {
            "sns" => (403, "AuthorizationError"),
            "iam" | "sts" => (403, "AccessDenied"),
            "lambda" | "apigateway" => (403, "AccessDeniedException"),
            _ => (400, "AccessDeniedException"),
        };
        let Operation { service, name, subject, .. } = operation;
        let message = format!(
            "User: arn:aws:iam::123456789012:user/tester is not authorized to perform: \
             {service}:{name} on resource: {subject} because no identity-based policy allows the \
             {service}:{name} action"
        );
        Self::error(operation, status, code, &message)
    }
}
