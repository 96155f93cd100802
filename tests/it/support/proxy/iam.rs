//! An endpoint's IAM: which actions AWS checks for a request, and whether a policy allows them.

use std::collections::BTreeSet;

use hyper::Request;
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::answer::Answer;
use super::operation::Operation;

/// An operator who may do what a policy allows, and nothing else.
#[derive(Debug, Clone)]
pub struct Operator {
    policy: Value,
    /// `us-east-1:000000000000`
    place: String,
    /// Path of the roles that are asked for by name.
    path: String,
    /// Actions that were checked so far.
    pub checked: BTreeSet<String>,
    /// Those of them that were refused.
    pub refused: BTreeSet<String>,
}

struct Check {
    action: String,
    resource: String,
    /// `iam:PassedToService`
    passed_to: Option<&'static str>,
}

fn check(action: impl Into<String>, resource: impl Into<String>) -> Check {
    Check { action: action.into(), resource: resource.into(), passed_to: None }
}

impl Operator {
    /// Who has `policy` in the local cloud, where the stack's roles have this `path`.
    pub fn new(policy: Value, path: &str) -> Self {
        let (checked, refused) = (BTreeSet::new(), BTreeSet::new());
        let place = "us-east-1:000000000000".to_owned();
        Self { policy, place, path: path.to_owned(), checked, refused }
    }

    /// AWS's refusal, unless the policy allows all that the request needs.
    pub fn refuses(&mut self, operation: &Operation, request: &Request<Bytes>) -> Option<Answer> {
        let mut refusal = None;
        for check in self.checks(operation, request) {
            self.checked.insert(check.action.clone());
            if !self.allows(&check) {
                self.refused.insert(check.action.clone());
                refusal.get_or_insert(denied(operation, &check));
            }
        }
        refusal
    }

    /// Lambda answers those who may not list tags, but without any.
    pub fn reads_tags(&mut self, operation: &Operation) -> bool {
        if !operation.is("lambda", "GetFunction") {
            return true;
        }
        let check = check("lambda:ListTags", self.function(&operation.subject));
        self.checked.insert(check.action.clone());
        self.allows(&check)
    }

    /// What AWS checks: the operation, and what it does besides.
    fn checks(&self, operation: &Operation, request: &Request<Bytes>) -> Vec<Check> {
        let Operation { service, name, subject, .. } = operation;
        let json: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let form = |wanted: &str| {
            let found = form_urlencoded::parse(request.body()).find(|(key, _)| key == wanted);
            found.map(|(_, value)| value.into_owned())
        };
        let has = |list: &Value| match list {
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => false,
        };
        let mut checks = Vec::new();
        match service.as_str() {
            "tagging" => checks.push(check("tag:GetResources", "*")),
            "dynamodb" => {
                let table = format!("arn:aws:dynamodb:{}:table/{subject}", self.place);
                checks.push(check(format!("dynamodb:{name}"), &table));
                if name == "CreateTable" && has(&json["Tags"]) {
                    checks.push(check("dynamodb:TagResource", table));
                }
            }
            "sns" => {
                let topic = format!("arn:aws:sns:{}:{subject}", self.place);
                let about = if name == "Unsubscribe" { "*" } else { topic.as_str() };
                checks.push(check(format!("sns:{name}"), about));
                if name == "CreateTopic" && form("Tags.member.1.Key").is_some() {
                    checks.push(check("sns:TagResource", topic));
                }
            }
            "iam" => {
                let account = self.place.rsplit(':').next().unwrap_or_default();
                let path = form("Path").unwrap_or_else(|| self.path.clone());
                let role = format!("arn:aws:iam::{account}:role{path}{subject}");
                let about = if name == "ListRoles" { "*" } else { role.as_str() };
                checks.push(check(format!("iam:{name}"), about));
                if name == "CreateRole" && form("Tags.member.1.Key").is_some() {
                    checks.push(check("iam:TagRole", role));
                }
            }
            "lambda" => {
                let function = self.function(subject);
                checks.push(check(format!("lambda:{name}"), &function));
                if name == "CreateFunction" && has(&json["Tags"]) {
                    checks.push(check("lambda:TagResource", function));
                }
                if let Some(role) = json["Role"].as_str() {
                    let pass = check("iam:PassRole", role);
                    checks.push(Check { passed_to: Some("lambda.amazonaws.com"), ..pass });
                }
            }
            "apigateway" => {
                let path = request.uri().path().trim_start_matches("/v2");
                let path = percent_decode_str(path).decode_utf8_lossy();
                let region = self.place.split(':').next().unwrap_or_default();
                let arn = |path: &str| format!("arn:aws:apigateway:{region}::{path}");
                let tags = arn("/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapis%2Fid");
                if path.starts_with("/tags") && operation.name == "GetTags" {
                    checks.push(check("apigateway:GET", &tags));
                } else if path.starts_with("/tags") {
                    checks.push(check("apigateway:PUT", &tags));
                    checks.push(check("apigateway:POST", &tags));
                    checks.push(check("apigateway:TagResource", arn(&format!("/apis/{subject}"))));
                } else {
                    checks.push(check(format!("apigateway:{}", request.method()), arn(&path)));
                    if has(&json["tags"]) {
                        checks.push(check("apigateway:PUT", &tags));
                        // As it was seen: an ARN in an ARN.
                        checks.push(check("apigateway:POST", arn(&arn("/tags/"))));
                        checks.push(check("apigateway:TagResource", arn(&path)));
                    }
                }
            }
            "logs" => {
                let group = format!("arn:aws:logs:{}:log-group:{subject}", self.place);
                let about = match name.as_str() {
                    "DescribeLogGroups" => "*".to_owned(),
                    "ListTagsForResource" | "TagResource" => group.clone(),
                    "FilterLogEvents" => format!("{group}:log-stream:"),
                    _ => format!("{group}:*"),
                };
                checks.push(check(format!("logs:{name}"), about));
                if name == "CreateLogGroup" && has(&json["tags"]) {
                    checks.push(check("logs:TagResource", group));
                }
            }
            // `sts:GetCallerIdentity` is everybody's, and what is not signed is nobody's.
            _ => {}
        }
        checks
    }

    fn function(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:function:{name}", self.place)
    }

    fn allows(&self, check: &Check) -> bool {
        let statements = self.policy["Statement"].as_array().expect("statements");
        statements.iter().any(|statement| {
            assert_eq!(statement["Effect"], "Allow", "{statement}");
            let any = |field: &str, text: &str| {
                let patterns = statement[field].as_array().expect("a list");
                patterns.iter().any(|pattern| matches(pattern.as_str().expect("a text"), text))
            };
            let wanted = &statement["Condition"]["StringEquals"]["iam:PassedToService"];
            let holds = match statement.get("Condition") {
                None => true,
                Some(_) => wanted.as_str().is_some_and(|wanted| check.passed_to == Some(wanted)),
            };
            holds && any("Action", &check.action) && any("Resource", &check.resource)
        })
    }
}

/// `*` in the pattern is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len())
                .filter(|&at| text.is_char_boundary(at))
                .any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// In AWS's words, with the action and the resource that are lacking, which may be another's than
/// the call's.
fn denied(operation: &Operation, check: &Check) -> Answer {
    let Check { action, resource, .. } = check;
    let message = format!(
        "User: arn:aws:iam::000000000000:user/tester is not authorized to perform: {action} on \
         resource: {resource} because no identity-based policy allows the {action} action"
    );
    let denied = Answer::denied(operation);
    let code = match operation.service.as_str() {
        "sns" => "AuthorizationError",
        "iam" => "AccessDenied",
        _ => "AccessDeniedException",
    };
    Answer::error(operation, denied.status.as_u16(), code, &message)
}
