//! Which statements a function's resource policy gets for its triggers, and how large it becomes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::resolve;
use crate::aws::Names;
use crate::aws::naming::{route_source, short_hash, without_parameters};
use crate::manifest::{self, Manifest};
use crate::resources::permission::SID_PREFIX;

/// Bytes that a function's resource policy may have (Lambda quotas; `AddPermission` answers
/// `PolicyLengthExceeded`).
pub(super) const POLICY_MAX: usize = 20_480;

/// Routes have a statement each while those of all triggers take no more than this. So another set
/// fits beside them while it replaces them, and somebody else's too.
const EXACT_MAX: usize = POLICY_MAX / 2;

/// As long as the id of an API is.
const API_ID: &str = "a123456789";

/// A statement that a trigger needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// What is behind the function's id in the resource's: `news`, `ANY_/path`.
    pub id: String,
    /// The trigger, for people.
    pub trigger: String,
    pub sid: String,
    pub source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Id of a topic.
    Topic(String),
    /// What [`route_source`] makes of a route.
    Route(String),
    /// Every route of the API.
    Routes,
}

impl Source {
    pub fn principal(&self) -> &'static str {
        match self {
            Self::Topic(_) => "sns.amazonaws.com",
            Self::Route(_) | Self::Routes => "apigateway.amazonaws.com",
        }
    }
}

/// The statement of a topic that triggers a function.
pub(super) fn topic(topic: &str) -> Statement {
    Statement {
        id: topic.to_owned(),
        trigger: topic.to_owned(),
        sid: sid("topic", topic),
        source: Source::Topic(topic.to_owned()),
    }
}

/// The statements of a function's routes: one each, or one for all where these would be too many.
pub(super) fn routes(
    manifest: &Manifest,
    id: &str,
    function: &manifest::Function,
    names: &Names,
) -> Vec<Statement> {
    let mut exact = BTreeMap::new();
    for key in &function.routes {
        let source = route_source(key);
        exact.entry(source.clone()).or_insert_with(|| Statement {
            id: key.replace(' ', "_"),
            trigger: key.clone(),
            sid: sid("route", &without_parameters(key)),
            source: Source::Route(source),
        });
    }
    let exact: Vec<_> = exact.into_values().collect();
    if exact.is_empty() {
        return exact;
    }
    let topics = function.topics.iter().map(|id| topic(id));
    let all = topics.chain(exact.iter().cloned());
    if size(manifest, id, function, names, all) <= EXACT_MAX {
        return exact;
    }
    let all = Statement {
        // No id of a topic looks like this.
        id: "/*".to_owned(),
        trigger: "every route".to_owned(),
        sid: format!("{SID_PREFIX}routes"),
        source: Source::Routes,
    };
    vec![all]
}

/// Sources of routes, old forms included, by which a statement that is no longer wanted still lets
/// a call through.
pub(super) fn served(function: &manifest::Function) -> BTreeSet<String> {
    let verbatim = |key: &String| {
        let (method, path) = key.split_once(' ')?;
        Some(format!("{}{path}", if method == "ANY" { "*" } else { method }))
    };
    let routes = &function.routes;
    routes.iter().map(|key| route_source(key)).chain(routes.iter().filter_map(verbatim)).collect()
}

/// Bytes of a function's resource policy with these statements, as Lambda writes it.
pub(super) fn size(
    manifest: &Manifest,
    id: &str,
    function: &manifest::Function,
    names: &Names,
    statements: impl IntoIterator<Item = Statement>,
) -> usize {
    let resource = names.function_arn(&names.function(function.name.as_deref(), id));
    let statement = |statement: Statement| {
        let source = match &statement.source {
            Source::Topic(id) => resolve(manifest, names, &manifest::Value::TopicArn(id.clone())),
            Source::Route(route) => names.route_arn(API_ID, route),
            Source::Routes => names.routes_arn(API_ID),
        };
        json!({
            "Sid": statement.sid,
            "Effect": "Allow",
            "Principal": { "Service": statement.source.principal() },
            "Action": "lambda:InvokeFunction",
            "Resource": resource,
            "Condition": { "ArnLike": { "AWS:SourceArn": source } }
        })
    };
    let statements: Value = statements.into_iter().map(statement).collect();
    let policy = json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements });
    policy.to_string().len()
}

/// A statement id that is readable, legal and unique to its trigger.
fn sid(kind: &str, trigger: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let readable: String = trigger.chars().map(legal).take(60).collect();
    format!("{SID_PREFIX}{kind}-{}-{}", readable.trim_matches('-'), short_hash(trigger))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            stack: "small".into(),
            stage: "default".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
            own_tags: crate::aws::naming::Tags::new(),
        }
    }

    fn of(routes: &str, topics: usize) -> Vec<Statement> {
        use std::fmt::Write as _;
        let mut text = format!("name = \"small\"\n[function.f]\nroute = [{routes}]\ntopic = [");
        (0..topics).for_each(|topic| write!(text, "\"news{topic}\",").unwrap());
        text.push_str("]\n");
        (0..topics).for_each(|topic| writeln!(text, "[topic.news{topic}]").unwrap());
        let manifest = Manifest::parse(&text, "advent.toml").unwrap();
        super::routes(&manifest, "f", &manifest.functions["f"], &names())
    }

    #[test]
    fn ids_of_plain_routes_are_what_they_always_were() {
        let statements = of("\"ANY /aws_advent\"", 0);
        let sids: Vec<_> = statements.iter().map(|statement| statement.sid.as_str()).collect();
        assert_eq!(sids, ["advent-route-ANY--aws-advent-7eddb6ab"]);
        assert_eq!(statements[0].id, "ANY_/aws_advent");
    }

    #[test]
    fn one_source_has_one_statement() {
        let statements = of("\"GET /a/{b}\", \"GET /a/{b+}\", \"GET /a/c\"", 0);
        let sources: Vec<_> = statements.iter().map(|statement| &statement.source).collect();
        let route = |route: &str| Source::Route(route.to_owned());
        assert_eq!(sources, [&route("GET/a/*"), &route("GET/a/c")]);
    }

    #[test]
    fn many_routes_share_one_and_topics_take_room_from_them() {
        let routes = |count: usize| {
            let keys: Vec<_> = (0..count).map(|route| format!("\"GET /{route}\"")).collect();
            keys.join(", ")
        };
        let shared = |routes: &[Statement]| routes.iter().any(|s| s.source == Source::Routes);
        assert_eq!(of(&routes(20), 0).len(), 20);
        assert!(!shared(&of(&routes(20), 5)));
        assert!(shared(&of(&routes(20), 30)));
        assert_eq!(of(&routes(300), 0).len(), 1);
        assert!(of("", 3).is_empty());
    }

    #[test]
    fn what_served_a_route_is_known_by_its_old_source_too() {
        let manifest = "name = \"s\"\n[function.f]\nroute = [\"ANY /a/{b}\", \"$default\"]";
        let manifest = Manifest::parse(manifest, "advent.toml").unwrap();
        let served: Vec<_> = super::served(&manifest.functions["f"]).into_iter().collect();
        assert_eq!(served, ["$default", "*/a/*", "*/a/{b}"]);
    }
}
