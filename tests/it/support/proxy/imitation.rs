//! How AWS differs from an emulator in time: things not ready yet, stale reads, conflicts, rates.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Bytes;
use serde_json::Value;

use super::answer::Answer;
use super::newness::{self, Newness};
use super::operation::{Operation, name_of_arn};

/// What to imitate; nothing by default.
#[derive(Clone, Default)]
pub struct Imitation {
    /// From `CreateRole` until Lambda can assume the role.
    pub role_assumable: Duration,
    /// How long a table is `CREATING`, and `DELETING`.
    pub table_creating: Duration,
    pub table_deleting: Duration,
    /// How long a new function is `Pending`, and a changed one `InProgress`.
    pub function_pending: Duration,
    pub function_updating: Duration,
    /// How long a created thing is missing from reads.
    pub hidden: Duration,
    /// For how long after a change a service answers a read as it did before.
    pub stale: Duration,
    /// How many times each role answers `DeleteRole` with `DeleteConflict`.
    pub delete_conflicts: usize,
    /// How long a change to a part of an API, or to a function's policy, takes. Another one to the
    /// same API or function meanwhile is refused.
    pub exclusive: Duration,
    /// How long writes to a created thing are answered as if it did not exist, and as if its tags
    /// gave no rights yet.
    pub young: Duration,
    pub untagged: Duration,
    /// For how long after the first attempt a topic of a deleted one's name cannot be created, and
    /// nothing comes of subscribing to it.
    pub stale_tag: Duration,
    pub vanishing: Duration,
    pub rates: Vec<Rate>,
}

/// Requests a second that are let through, by a token bucket.
#[derive(Clone)]
pub struct Rate {
    pub applies: fn(&Operation) -> bool,
    pub per_second: f64,
    pub burst: f64,
}

impl Rate {
    /// The rates that AWS publishes for accounts without raised quotas. IAM publishes none.
    pub fn published() -> Vec<Self> {
        let rate = |applies, per_second, burst| Self { applies, per_second, burst };
        vec![
            rate(|o| o.is("lambda", "GetFunction"), 100.0, 100.0),
            rate(|o| o.is("lambda", "GetPolicy"), 15.0, 15.0),
            rate(
                |o| {
                    o.service == "lambda"
                        && !matches!(o.name.as_str(), "GetFunction" | "GetPolicy" | "Invoke")
                },
                15.0,
                15.0,
            ),
            rate(|o| o.service == "apigateway", 10.0, 40.0),
            rate(|o| o.is("logs", "CreateLogGroup"), 5.0, 5.0),
            rate(|o| o.is("logs", "DeleteLogGroup"), 5.0, 5.0),
            rate(|o| o.is("logs", "DescribeLogGroups"), 5.0, 5.0),
            rate(|o| o.service == "sns" && o.name.contains("Tag"), 10.0, 10.0),
            rate(|o| o.is("sns", "Subscribe") || o.is("sns", "Unsubscribe"), 100.0, 100.0),
            rate(|o| o.is("sns", "ListSubscriptionsByTopic"), 30.0, 30.0),
            rate(|o| o.is("sns", "ListTopics"), 30.0, 30.0),
            rate(|o| o.is("dynamodb", "TagResource"), 5.0, 5.0),
            rate(|o| o.is("dynamodb", "ListTagsOfResource"), 10.0, 10.0),
        ]
    }
}

/// `(service, name)` of an object.
type Object = (String, String);

#[derive(Default)]
pub(super) struct Imitator {
    settings: Imitation,
    buckets: Vec<(f64, Instant)>,
    pub(super) throttled: usize,
    created: HashMap<Object, Instant>,
    updated: HashMap<Object, Instant>,
    /// Tables being deleted, with their last description.
    deleting: HashMap<String, (Instant, Value)>,
    tables: HashMap<String, Value>,
    delete_conflicts: HashMap<String, usize>,
    /// Objects whose parts are being changed.
    busy: HashMap<Object, usize>,
    changes: HashMap<String, Vec<Instant>>,
    reads: HashMap<String, (Instant, Answer)>,
    pub(super) newness: Newness,
}

impl Imitator {
    pub(super) fn new(settings: Imitation) -> Self {
        let now = Instant::now();
        let buckets = settings.rates.iter().map(|rate| (rate.burst, now)).collect();
        Self { settings, buckets, ..Self::default() }
    }

    /// The answer, if the server is not to see the request.
    pub(super) fn before(
        &mut self,
        operation: &Operation,
        request: &Request<Bytes>,
    ) -> Option<Answer> {
        if let Some(answer) = self.over_rate(operation) {
            return Some(answer);
        }
        if !operation.mutating
            && let Some(answer) = self.stale(operation, request)
        {
            return Some(answer);
        }
        let object = (operation.service.clone(), operation.subject.clone());
        let age = self.created.get(&object).map(Instant::elapsed);
        if let Some(answer) = self.newness.before(operation, age, &self.settings) {
            return Some(answer);
        }
        let refused = match operation.service.as_str() {
            "dynamodb" => self.table(operation),
            "lambda" => self.function(operation, request),
            "iam" => self.role(operation),
            _ => None,
        };
        refused.or_else(|| self.hidden(operation)).or_else(|| self.conflict(operation))
    }

    /// How much longer than in the emulator the operation takes.
    pub(super) fn takes(&self, operation: &Operation) -> Duration {
        part_of(operation).map_or(Duration::ZERO, |_| self.settings.exclusive)
    }

    /// What the client gets of the server's answer.
    pub(super) fn after(
        &mut self,
        operation: &Operation,
        request: &Request<Bytes>,
        mut answer: Answer,
    ) -> Answer {
        if let Some(object) = part_of(operation)
            && let Some(count) = self.busy.get_mut(&object)
        {
            *count = count.saturating_sub(1);
        }
        if answer.status.is_success() {
            self.remember(operation, &mut answer);
            self.newness.after(operation, request);
        }
        let now = Instant::now();
        if operation.mutating {
            self.changes.entry(operation.service.clone()).or_default().push(now);
        } else if !self.settings.stale.is_zero() {
            self.reads.insert(key(request), (now, answer.clone()));
        }
        answer
    }

    fn over_rate(&mut self, operation: &Operation) -> Option<Answer> {
        let now = Instant::now();
        for (rate, (tokens, at)) in self.settings.rates.iter().zip(&mut self.buckets) {
            if !(rate.applies)(operation) {
                continue;
            }
            *tokens =
                (*tokens + now.duration_since(*at).as_secs_f64() * rate.per_second).min(rate.burst);
            *at = now;
            if *tokens < 1.0 {
                self.throttled += 1;
                return Some(Answer::throttled(operation));
            }
            *tokens -= 1.0;
        }
        None
    }

    fn stale(&self, operation: &Operation, request: &Request<Bytes>) -> Option<Answer> {
        let (read, answer) = self.reads.get(&key(request))?;
        let changes = self.changes.get(&operation.service)?;
        let change = changes.iter().find(|change| *change > read)?;
        (change.elapsed() < self.settings.stale).then(|| answer.clone())
    }

    fn younger(&self, service: &str, name: &str, age: Duration) -> bool {
        let object = (service.to_owned(), name.to_owned());
        self.created.get(&object).is_some_and(|created| created.elapsed() < age)
    }

    fn table(&mut self, operation: &Operation) -> Option<Answer> {
        let name = &operation.subject;
        let creating = self.younger("dynamodb", name, self.settings.table_creating);
        let deleting = self
            .deleting
            .get(name)
            .filter(|(since, _)| since.elapsed() < self.settings.table_deleting)
            .map(|(_, description)| description.clone());
        if !creating && deleting.is_none() {
            return None;
        }
        let doing = if creating { "created" } else { "deleted" };
        match (operation.name.as_str(), deleting) {
            ("DescribeTable", Some(description)) => {
                let mut answer = Answer::error(operation, 200, "", "");
                answer.body = serde_json::json!({ "Table": description }).to_string().into();
                Some(answer)
            }
            ("TagResource" | "UntagResource" | "ListTagsOfResource", _) => Some(Answer::error(
                operation,
                400,
                "ResourceNotFoundException",
                &format!("Requested resource not found: ResourceArn: {name} not found"),
            )),
            (
                "CreateTable"
                | "DeleteTable"
                | "UpdateTable"
                | "UpdateTimeToLive"
                | "UpdateContinuousBackups",
                _,
            ) => Some(Answer::error(
                operation,
                400,
                "ResourceInUseException",
                &format!(
                    "Attempt to change a resource which is still in use: Table is being {doing}: \
                     {name}"
                ),
            )),
            _ => None,
        }
    }

    fn function(&mut self, operation: &Operation, request: &Request<Bytes>) -> Option<Answer> {
        let name = operation.name.as_str();
        if matches!(name, "CreateFunction" | "UpdateFunctionConfiguration") {
            let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let role = body["Role"].as_str().unwrap_or_default();
            let role = role.rsplit('/').next().unwrap_or_default();
            if self.younger("iam", role, self.settings.role_assumable) {
                return Some(Answer::error(
                    operation,
                    400,
                    "InvalidParameterValueException",
                    "The role defined for the function cannot be assumed by Lambda.",
                ));
            }
        }
        let subject = &operation.subject;
        let message = if self.younger("lambda", subject, self.settings.function_pending) {
            "The operation cannot be performed at this time. The function is currently in the \
             following state: Pending"
                .to_owned()
        } else if self.updating(subject) {
            format!(
                "The operation cannot be performed at this time. An update is in progress for \
                 resource: arn:aws:lambda:us-east-1:123456789012:function:{subject}"
            )
        } else {
            return None;
        };
        matches!(
            name,
            "UpdateFunctionCode" | "UpdateFunctionConfiguration" | "DeleteFunction" | "Invoke"
        )
        .then(|| Answer::error(operation, 409, "ResourceConflictException", &message))
    }

    fn updating(&self, function: &str) -> bool {
        let object = ("lambda".to_owned(), function.to_owned());
        let age = self.settings.function_updating;
        self.updated.get(&object).is_some_and(|updated| updated.elapsed() < age)
    }

    fn role(&mut self, operation: &Operation) -> Option<Answer> {
        if operation.name != "DeleteRole" || self.settings.delete_conflicts == 0 {
            return None;
        }
        let count = self.delete_conflicts.entry(operation.subject.clone()).or_default();
        *count += 1;
        (*count <= self.settings.delete_conflicts).then(|| {
            Answer::error(
                operation,
                409,
                "DeleteConflict",
                "Cannot delete entity, must delete policies first.",
            )
        })
    }

    fn hidden(&self, operation: &Operation) -> Option<Answer> {
        let Operation { service, subject, name, .. } = operation;
        let one = !matches!(name.as_str(), "GetApis" | "DescribeLogGroups" | "GetResources");
        if operation.mutating || !one || !self.younger(service, subject, self.settings.hidden) {
            return None;
        }
        Some(newness::unknown(operation))
    }

    fn conflict(&mut self, operation: &Operation) -> Option<Answer> {
        if self.settings.exclusive.is_zero() {
            return None;
        }
        let object = part_of(operation)?;
        let count = self.busy.entry(object).or_default();
        if *count > 0 {
            let (code, message) = if operation.service == "lambda" {
                (
                    "ResourceConflictException",
                    "The function could not be updated due to a concurrent update operation.",
                )
            } else {
                (
                    "ConflictException",
                    "Unable to complete operation due to concurrent modification. Please try \
                     again later.",
                )
            };
            return Some(Answer::error(operation, 409, code, message));
        }
        *count += 1;
        None
    }

    fn remember(&mut self, operation: &Operation, answer: &mut Answer) {
        let Operation { service, name, subject, .. } = operation;
        let object = (service.clone(), subject.clone());
        let now = Instant::now();
        match (service.as_str(), name.as_str()) {
            ("dynamodb", "CreateTable") => {
                self.created.insert(object, now);
                self.describe_table(subject, "/TableDescription", answer);
            }
            ("dynamodb", "DescribeTable") => self.describe_table(subject, "/Table", answer),
            ("dynamodb", "DeleteTable") => {
                let mut table = self.tables.remove(subject).unwrap_or_default();
                table["TableStatus"] = "DELETING".into();
                self.deleting.insert(subject.clone(), (now, table));
            }
            ("lambda", "CreateFunction") => {
                self.created.insert(object, now);
                self.describe_function(subject, "", answer);
            }
            ("lambda", "UpdateFunctionCode" | "UpdateFunctionConfiguration") => {
                self.updated.insert(object, now);
                self.describe_function(subject, "", answer);
            }
            ("lambda", "GetFunction") => self.describe_function(subject, "/Configuration", answer),
            ("lambda", "GetFunctionConfiguration") => self.describe_function(subject, "", answer),
            ("iam", "CreateRole") | ("sns", "CreateTopic") | ("logs", "CreateLogGroup") => {
                self.created.insert(object, now);
            }
            ("apigateway", "CreateApi") => {
                let api: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let id = api["apiId"].as_str().unwrap_or_default().to_owned();
                self.created.insert((service.clone(), id), now);
            }
            ("apigateway", "GetApis") => self.filter(service, "items", "apiId", answer),
            ("logs", "DescribeLogGroups") => {
                self.filter(service, "logGroups", "logGroupName", answer);
            }
            ("tagging", "GetResources") => {
                self.filter("", "ResourceTagMappingList", "ResourceARN", answer);
            }
            _ => {}
        }
    }

    fn describe_table(&mut self, name: &str, pointer: &str, answer: &mut Answer) {
        let creating = self.younger("dynamodb", name, self.settings.table_creating);
        edit(answer, |body| {
            let Some(table) = body.pointer_mut(pointer) else { return };
            if creating {
                table["TableStatus"] = "CREATING".into();
            }
            self.tables.insert(name.to_owned(), table.clone());
        });
    }

    fn describe_function(&self, name: &str, pointer: &str, answer: &mut Answer) {
        let pending = self.younger("lambda", name, self.settings.function_pending);
        let updating = self.updating(name);
        edit(answer, |body| {
            let Some(configuration) = body.pointer_mut(pointer) else { return };
            if pending {
                configuration["State"] = "Pending".into();
                configuration["StateReasonCode"] = "Creating".into();
            }
            if pending || updating {
                configuration["LastUpdateStatus"] = "InProgress".into();
            }
        });
    }

    /// Takes what is hidden out of a list. An empty `service` means: of any.
    fn filter(&self, service: &str, list: &str, id: &str, answer: &mut Answer) {
        let hidden = |name: &str| {
            self.created.iter().any(|((of, created), at)| {
                (service.is_empty() || service == of)
                    && created == name
                    && at.elapsed() < self.settings.hidden
            })
        };
        edit(answer, |body| {
            if let Some(items) = body.get_mut(list).and_then(Value::as_array_mut) {
                items.retain(|item| !hidden(name_of_arn(item[id].as_str().unwrap_or_default())));
            }
        });
    }
}

/// What else must not change at the same time: an API with its parts, a function's policy.
fn part_of(operation: &Operation) -> Option<Object> {
    let one = match (operation.service.as_str(), operation.name.as_str()) {
        ("lambda", "AddPermission" | "RemovePermission") => true,
        ("apigateway", name) => operation.mutating && name != "CreateApi",
        _ => false,
    };
    one.then(|| (operation.service.clone(), operation.subject.clone()))
}

fn key(request: &Request<Bytes>) -> String {
    let body = String::from_utf8_lossy(request.body());
    let target = request.headers().get("x-amz-target").map_or("", |v| v.to_str().unwrap_or(""));
    format!("{} {} {target} {body}", request.method(), request.uri())
}

pub(super) fn edit(answer: &mut Answer, change: impl FnOnce(&mut Value)) {
    let Ok(mut body) = serde_json::from_slice(&answer.body) else { return };
    change(&mut body);
    answer.body = body.to_string().into();
    // DynamoDB's answers carry a checksum that the SDKs verify.
    answer.headers.remove("x-amz-crc32");
}
