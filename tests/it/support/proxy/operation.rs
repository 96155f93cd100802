//! Which AWS operation an HTTP request is: service, name, object, and whether it changes anything.

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request as AWS would log it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Service as the `SigV4` credential scope names it (`apigateway`, `dynamodb`, `iam`, `lambda`,
    /// `logs`, `sns`, `sts`, `tagging`), or `http` for what is not signed.
    pub service: String,
    /// `CreateTable`; for unsigned requests `METHOD /path`.
    pub name: String,
    /// Name of the object it is about, without the ARN around it; empty if it names none.
    pub subject: String,
    /// Access key id of who signed it.
    pub access_key: String,
    pub mutating: bool,
}

impl Operation {
    pub fn decode(parts: &Parts, body: &[u8]) -> Self {
        let scope = parts
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split("Credential=").nth(1))
            .map(|value| {
                value.split(',').next().unwrap_or_default().split('/').collect::<Vec<_>>()
            });
        let Some([access_key, _, _, service, ..]) = scope.as_deref() else {
            let name = format!("{} {}", parts.method, parts.uri.path());
            return Self {
                service: "http".into(),
                mutating: parts.method != "GET" && parts.method != "HEAD",
                name,
                subject: String::new(),
                access_key: String::new(),
            };
        };
        let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let (name, subject) = if let Some(target) = target {
            let name = target.rsplit('.').next().unwrap_or_default().to_owned();
            (name, subject_of_json(&json))
        } else if let Some(name) = parts.uri.path().split("/operation/").nth(1) {
            // RPC v2: /service/NAME/operation/OPERATION with a CBOR body.
            (name.to_owned(), String::new())
        } else if matches!(*service, "iam" | "sns" | "sts") {
            subject_of_query(body)
        } else {
            rest(service, parts, &json)
        };
        let dry_run = json.get("DryRun") == Some(&Value::Bool(true));
        Self {
            service: (*service).to_owned(),
            mutating: !(is_read(&name) || dry_run),
            name,
            subject,
            access_key: (*access_key).to_owned(),
        }
    }

    pub fn is(&self, service: &str, name: &str) -> bool {
        self.service == service && self.name == name
    }
}

fn is_read(name: &str) -> bool {
    ["Get", "List", "Describe", "BatchGet", "Filter", "Query", "Scan", "TransactGet", "Simulate"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// `arn:aws:dynamodb:R:A:table/NAME`, `…:function:NAME`, `…:log-group:NAME:*`, `…:sns:R:A:NAME`
/// and `…::/apis/ID` to the name.
pub fn name_of_arn(arn: &str) -> &str {
    if !arn.starts_with("arn:") {
        return arn;
    }
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let resource = ["table/", "function:", "log-group:", "role/", "/apis/"]
        .iter()
        .find_map(|prefix| resource.strip_prefix(prefix))
        .unwrap_or(resource);
    let end = resource.find([':', '*']).unwrap_or(resource.len());
    resource[..end].rsplit_once("/stages").map_or(&resource[..end], |(api, _)| api)
}

fn subject_of_json(body: &Value) -> String {
    let keys = [
        "TableName",
        "ResourceArn",
        "logGroupName",
        "logGroupNamePrefix",
        "logGroupIdentifier",
        "resourceArn",
    ];
    let found = keys.iter().find_map(|key| body.get(key).and_then(Value::as_str));
    name_of_arn(found.unwrap_or_default()).to_owned()
}

fn subject_of_query(body: &[u8]) -> (String, String) {
    let mut name = String::new();
    let mut subject = String::new();
    for (key, value) in form_urlencoded::parse(body) {
        match key.as_ref() {
            "Action" => name = value.into_owned(),
            "RoleName" | "TopicArn" | "ResourceArn" | "Name" | "SubscriptionArn" => {
                name_of_arn(&value).clone_into(&mut subject);
            }
            _ => {}
        }
    }
    (name, subject)
}

fn rest(service: &str, parts: &Parts, body: &Value) -> (String, String) {
    let path = parts.uri.path();
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .skip(1)
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = parts.method.as_str();
    let name = match service {
        "lambda" => lambda(method, &segments),
        "apigateway" => api_gateway(method, &segments),
        _ => None,
    };
    // A tag request's ARN may have come with its slashes unescaped.
    let subject = match segments.as_slice() {
        ["tags", arn @ ..] => name_of_arn(&arn.join("/")).to_owned(),
        [_, subject, ..] => name_of_arn(subject).to_owned(),
        _ => {
            let name = body.get("FunctionName").or_else(|| body.get("name"));
            name.and_then(Value::as_str).unwrap_or_default().to_owned()
        }
    };
    (name.unwrap_or_else(|| format!("{method} {path}")), subject)
}

fn lambda(method: &str, segments: &[&str]) -> Option<String> {
    let name = match (method, segments) {
        ("GET", ["functions"]) => "ListFunctions",
        ("POST", ["functions"]) => "CreateFunction",
        ("GET", ["functions", _]) => "GetFunction",
        ("DELETE", ["functions", _]) => "DeleteFunction",
        ("PUT", ["functions", _, "code"]) => "UpdateFunctionCode",
        ("GET", ["functions", _, "configuration"]) => "GetFunctionConfiguration",
        ("PUT", ["functions", _, "configuration"]) => "UpdateFunctionConfiguration",
        ("GET", ["functions", _, "policy"]) => "GetPolicy",
        ("GET", ["functions", _, "urls"]) => "ListFunctionUrlConfigs",
        ("POST", ["functions", _, "policy"]) => "AddPermission",
        ("DELETE", ["functions", _, "policy", _]) => "RemovePermission",
        ("POST", ["functions", _, "invocations"]) => "Invoke",
        ("GET", ["functions", _, "event-invoke-config"]) => "GetFunctionEventInvokeConfig",
        ("PUT", ["functions", _, "event-invoke-config"]) => "PutFunctionEventInvokeConfig",
        ("DELETE", ["functions", _, "event-invoke-config"]) => "DeleteFunctionEventInvokeConfig",
        ("GET", ["functions", _, "concurrency"]) => "GetFunctionConcurrency",
        ("PUT", ["functions", _, "concurrency"]) => "PutFunctionConcurrency",
        ("GET", ["tags", ..]) => "ListTags",
        ("POST", ["tags", ..]) => "TagResource",
        ("DELETE", ["tags", ..]) => "UntagResource",
        _ => return None,
    };
    Some(name.to_owned())
}

fn api_gateway(method: &str, segments: &[&str]) -> Option<String> {
    let (collection, one) = match segments {
        ["tags", ..] => {
            return match method {
                "GET" => Some("GetTags".into()),
                "POST" | "PUT" => Some("TagResource".into()),
                "DELETE" => Some("UntagResource".into()),
                _ => None,
            };
        }
        ["apis"] => ("apis", false),
        ["apis", _] => ("apis", true),
        ["apis", _, collection] => (*collection, false),
        ["apis", _, collection, _] => (*collection, true),
        _ => return None,
    };
    let plural = match collection {
        "apis" => "Apis",
        "integrations" => "Integrations",
        "routes" => "Routes",
        "stages" => "Stages",
        "deployments" => "Deployments",
        _ => return None,
    };
    let singular = plural.trim_end_matches('s');
    match (method, one) {
        ("GET", false) => Some(format!("Get{plural}")),
        ("GET", true) => Some(format!("Get{singular}")),
        ("POST", false) => Some(format!("Create{singular}")),
        ("PATCH", true) => Some(format!("Update{singular}")),
        ("DELETE", true) => Some(format!("Delete{singular}")),
        _ => None,
    }
}
