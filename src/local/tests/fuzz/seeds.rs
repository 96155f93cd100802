//! Requests that are answered with success, in the order in which they build upon one another.

use serde_json::Value;

use crate::local::clock::now_ms;
use crate::local::fuzzing::is_form;

/// A line each: service, target of a JSON protocol or else method and path, and the body as JSON, between tabs.
const SEEDS: &str = include_str!("seeds.txt");

pub struct Seed {
    pub service: &'static str,
    /// Method and path.
    pub line: String,
    /// `X-Amz-Target` of the JSON protocols.
    pub target: &'static str,
    pub body: String,
}

impl Seed {
    pub fn content_type(&self) -> &'static str {
        match (self.service, self.target) {
            (service, _) if is_form(service) => "application/x-www-form-urlencoded",
            (_, "") => "application/json",
            ("dynamodb", _) => "application/x-amz-json-1.0",
            _ => "application/x-amz-json-1.1",
        }
    }

    pub fn get(service: &'static str, path: &str) -> Self {
        Self { service, line: format!("GET {path}"), target: "", body: String::new() }
    }
}

/// What the cloud named, not whoever asked.
#[derive(Debug)]
pub struct Names {
    pub api: String,
    integration: String,
    route: String,
    pub subscription: String,
    pub stream: String,
    shard: String,
    pub iterator: String,
}

impl Default for Names {
    fn default() -> Self {
        let subscription = "arn:aws:sns:us-east-1:000000000000:t:0".to_owned();
        let none = || "none".to_owned();
        let (api, integration, route) = (none(), none(), none());
        let (stream, shard, iterator) = (none(), none(), none());
        Self { api, integration, route, subscription, stream, shard, iterator }
    }
}

impl Names {
    /// Takes the names from the answer to a seed.
    pub fn learn(&mut self, answer: &[u8]) {
        let text = String::from_utf8_lossy(answer);
        let arn = text.split_once("<SubscribeResult><SubscriptionArn>");
        if let Some((arn, _)) = arn.and_then(|(_, rest)| rest.split_once('<')) {
            arn.clone_into(&mut self.subscription);
        }
        let Ok(value) = serde_json::from_slice::<Value>(answer) else { return };
        for (pointer, name) in [
            ("/apiId", &mut self.api),
            ("/integrationId", &mut self.integration),
            ("/routeId", &mut self.route),
            ("/TableDescription/LatestStreamArn", &mut self.stream),
            ("/StreamDescription/Shards/0/ShardId", &mut self.shard),
            ("/ShardIterator", &mut self.iterator),
        ] {
            if let Some(id) = value.pointer(pointer).and_then(Value::as_str) {
                id.clone_into(name);
            }
        }
    }

    pub fn fill_in(&self, text: &str) -> String {
        text.replace("$API", &self.api)
            .replace("$INTEGRATION", &self.integration)
            .replace("$ROUTE", &self.route)
            .replace("$SUBSCRIPTION", &self.subscription)
            .replace("$STREAM", &self.stream)
            .replace("$SHARD", &self.shard)
            .replace("$ITERATOR", &self.iterator)
            .replace("$NOW", &now_ms().to_string())
    }
}

pub fn seeds(names: &Names) -> Vec<Seed> {
    let seed = |line: &'static str| {
        let mut columns = line.split('\t');
        let (service, what, body) = (columns.next()?, columns.next()?, columns.next()?);
        let (line, target) = if what.contains(' ') { (what, "") } else { ("POST /", what) };
        let (line, mut body) = (names.fill_in(line), names.fill_in(body));
        if matches!(service, "iam" | "sts" | "sns") {
            let fields: Value = serde_json::from_str(&body).ok()?;
            let fields = fields.as_object()?.iter().map(|(name, value)| (name, value.as_str()));
            let fields = fields.map(|(name, value)| (name, value.unwrap_or_default()));
            body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        }
        Some(Seed { service, line, target, body })
    };
    SEEDS.lines().map(|line| seed(line).unwrap()).collect()
}
