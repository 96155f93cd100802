//! How AWS differs from an emulator just after something was created, deleted or made again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use serde_json::Value;

use super::answer::Answer;
use super::imitation::Imitation;
use super::operation::Operation;

/// The calls that create what others write to.
const CREATES: [&str; 6] =
    ["CreateApi", "CreateTable", "CreateRole", "CreateFunction", "CreateLogGroup", "CreateTopic"];

#[derive(Default)]
pub(super) struct Newness {
    /// Deleted topics, and when somebody first created one of their names after that.
    deleted: HashMap<String, Option<Instant>>,
    /// Topics of deleted ones' names, and when somebody was first subscribed to them.
    again: HashMap<String, Option<Instant>>,
    /// How many times each role was created.
    roles: HashMap<String, usize>,
    /// Role, and which of its name, that each function's environment may be read by.
    grants: HashMap<String, (String, usize)>,
}

/// Whether it changes what was created before, and takes nothing away.
pub fn writes_to_existing(operation: &Operation) -> bool {
    let name = operation.name.as_str();
    let removes =
        ["Delete", "Remove", "Unsubscribe", "Detach"].iter().any(|verb| name.starts_with(verb));
    operation.mutating && !removes && name != "Invoke" && !CREATES.contains(&name)
}

/// The answer that what it is about does not exist.
pub fn unknown(operation: &Operation) -> Answer {
    let Operation { service, name, subject, .. } = operation;
    let (status, code, message) = match (service.as_str(), name.as_str()) {
        ("sns", "ListTagsForResource") => (404, "ResourceNotFound", "Resource does not exist"),
        ("sns", _) => (404, "NotFound", "Topic does not exist"),
        ("iam", _) => (404, "NoSuchEntity", "The role cannot be found"),
        ("apigateway", _) => (404, "NotFoundException", "Invalid API identifier specified"),
        ("lambda", _) => (404, "ResourceNotFoundException", "Function not found"),
        _ => (400, "ResourceNotFoundException", "Requested resource not found"),
    };
    Answer::error(operation, status, code, &format!("{message}: {subject}"))
}

/// The answer that something else is being done to the same.
pub fn busy(operation: &Operation) -> Answer {
    let (status, code, message) = match operation.service.as_str() {
        "sns" => (400, "ConcurrentAccess", "Can't perform multiple operations on a tag"),
        "iam" => (409, "ConcurrentModification", "Another request modifies the same entity"),
        "lambda" => (
            409,
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource",
        ),
        "apigateway" => (
            409,
            "ConflictException",
            "Unable to complete operation due to concurrent modification. Please try again later.",
        ),
        "dynamodb" => (
            400,
            "LimitExceededException",
            "Subscriber limit exceeded: Only 500 tables can be created, updated, or deleted \
             simultaneously",
        ),
        _ => (400, "OperationAbortedException", "A conflicting operation is in progress"),
    };
    Answer::error(operation, status, code, message)
}

/// A function without its tags, as Lambda tells it to who may not list them.
pub fn without_tags(_: &Operation, mut answer: Answer) -> Answer {
    super::imitation::edit(&mut answer, |body| {
        let Some(function) = body.as_object_mut().filter(|b| b.contains_key("Configuration"))
        else {
            return;
        };
        function.remove("Tags");
        function.insert(
            "TagsError".to_owned(),
            serde_json::json!({
                "ErrorCode": "AccessDeniedException",
                "Message": "User: tester is not authorized to perform: lambda:ListTags",
            }),
        );
    });
    answer
}

impl Newness {
    /// The answer, if the server is not to see the request. `age` is that of what it is about.
    pub(super) fn before(
        &mut self,
        operation: &Operation,
        age: Option<Duration>,
        settings: &Imitation,
    ) -> Option<Answer> {
        let younger = |most: Duration| age.is_some_and(|age| age < most);
        if writes_to_existing(operation) && younger(settings.young) {
            return Some(unknown(operation));
        }
        if writes_to_existing(operation) && younger(settings.untagged) {
            return Some(Answer::denied(operation));
        }
        if operation.is("sns", "CreateTopic") {
            let first = self.deleted.get_mut(&operation.subject)?.get_or_insert_with(Instant::now);
            if first.elapsed() >= settings.stale_tag {
                return None;
            }
            if first.elapsed() > settings.stale_tag / 2 {
                return Some(busy(operation));
            }
            let message =
                "A tag has been added to a resource with the same ARN as a deleted resource.";
            return Some(Answer::error(operation, 400, "StaleTag", message));
        }
        if operation.is("sns", "Subscribe") {
            let first = self.again.get_mut(&operation.subject)?.get_or_insert_with(Instant::now);
            return (first.elapsed() < settings.vanishing).then(|| subscribed(&operation.subject));
        }
        None
    }

    pub(super) fn after(&mut self, operation: &Operation, request: &Request<Bytes>) {
        let subject = operation.subject.clone();
        match (operation.service.as_str(), operation.name.as_str()) {
            ("sns", "DeleteTopic") => drop(self.deleted.insert(subject, None)),
            ("sns", "CreateTopic") if self.deleted.contains_key(&subject) => {
                self.again.insert(subject, None);
            }
            ("iam", "CreateRole") => *self.roles.entry(subject).or_default() += 1,
            ("lambda", "CreateFunction" | "UpdateFunctionConfiguration") => {
                let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
                let Some(role) = body["Role"].as_str().and_then(|arn| arn.rsplit('/').next())
                else {
                    return;
                };
                let which = self.roles.get(role).copied().unwrap_or_default();
                // The role that it has already is no change.
                let known = self.grants.get(&subject).is_some_and(|(known, _)| known == role);
                if !known {
                    self.grants.insert(subject, (role.to_owned(), which));
                }
            }
            ("lambda", "DeleteFunction") => drop(self.grants.remove(&subject)),
            _ => {}
        }
    }

    /// Functions whose invocations fail: their role is another than it was when it was set.
    pub(super) fn ungranted(&self) -> Vec<String> {
        let stale = |(_, (role, which)): &(&String, &(String, usize))| {
            self.roles.get(role).copied().unwrap_or_default() != *which
        };
        let mut functions: Vec<_> =
            self.grants.iter().filter(stale).map(|(function, _)| function.clone()).collect();
        functions.sort();
        functions
    }
}

/// As if it were the subscription that went with the deleted topic.
fn subscribed(topic: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    let body = format!(
        "<SubscribeResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><SubscribeResult>\
         <SubscriptionArn>arn:aws:sns:us-east-1:000000000000:{topic}:00000000-0000-0000-0000-\
         000000000000</SubscriptionArn></SubscribeResult></SubscribeResponse>"
    );
    Answer { status: StatusCode::OK, headers, body: body.into() }
}
