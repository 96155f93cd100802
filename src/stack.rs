//! What is deployed: the manifest as resources, and what each needs of the others.

mod limits;
mod operator;
mod orphans;
mod permissions;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use aws_smithy_types::DateTime;
use serde_json::{Value as Json, json};

pub use limits::{ROLE_POLICIES_MAX, check as check_limits, check_names, policy_size};
pub use operator::scope;
pub use orphans::Orphans;

use crate::aws::{Cloud, Names};
use crate::bundle::{Arch, Artifact};
use crate::engine::{Goal, Handle, Observed, Reporter, Stack};
use crate::failure::Failure;
use crate::manifest::{self, Manifest, Value};
use crate::resources::function::{Code, Function, FunctionId, Inputs};
use crate::resources::http_api::{self, HttpApi, HttpApiId};
use crate::resources::log_group::{LogGroup, LogGroupId};
use crate::resources::permission::{Permission, PermissionId, Wanted};
use crate::resources::role::{self, Role, RoleId};
use crate::resources::subscription::{Subscription, SubscriptionId};
use crate::resources::table::{Table, TableId};
use crate::resources::topic::{Topic, TopicId};
use crate::slack::Caller;
use crate::trace;
use permissions::{Source, Statement};

/// As many log groups are looked up one by one, which the rate limit lets through at once.
const FEW_LOG_GROUPS: usize = 4;

/// One stage of an application as a stack.
pub struct Deployment {
    pub stack: Stack<Cloud>,
    pub http_api: Option<Handle<HttpApi>>,
    /// The functions behind routes.
    pub routed: Vec<Routed>,
    names: Names,
    /// Physical names of the manifest's functions.
    functions: Vec<String>,
    /// How the names of the log groups begin, if there are so many that all are listed.
    log_groups: Option<String>,
    /// ARNs of the manifest's topics.
    topics: Vec<String>,
    /// Physical names of topic and function, for each that is to be subscribed.
    subscriptions: BTreeSet<(String, String)>,
    /// What the resource policy of each function is to have, by the function's name.
    permissions: BTreeMap<String, Arc<Wanted>>,
}

/// A function with routes.
pub struct Routed {
    /// Its id in the manifest.
    pub id: String,
    pub function: Handle<Function>,
    /// Who calls it, if that is declared.
    pub caller: Option<Caller>,
}

/// What a deployment is made of besides its manifest.
pub struct Parts<'a> {
    pub arch: Arch,
    /// Not needed to delete.
    pub artifacts: &'a [Artifact],
    /// The operator's environment, where secrets come from.
    pub secrets: &'a dyn Fn(&str) -> Option<String>,
}

impl Deployment {
    pub fn new(manifest: &Manifest, names: &Names, parts: &Parts<'_>) -> Self {
        let mut this = Self {
            stack: Stack::default(),
            http_api: None,
            routed: Vec::new(),
            names: names.clone(),
            functions: Vec::new(),
            log_groups: log_groups(manifest, names),
            topics: Vec::new(),
            subscriptions: BTreeSet::new(),
            permissions: BTreeMap::new(),
        };
        let stack = &mut this.stack;
        for (id, table) in &manifest.tables {
            let name = names.physical(table.name.as_deref(), id);
            let table = Table {
                id: TableId { name, names: names.clone() },
                key: table.key.clone(),
                ttl: table.ttl.clone(),
            };
            stack.add(&format!("table.{id}"), table);
        }
        let mut topics = BTreeMap::new();
        for (id, topic) in &manifest.topics {
            let name = names.physical(topic.name.as_deref(), id);
            this.topics.push(names.topic_arn(&name));
            let subscribers = manifest.functions.iter().filter(|(_, f)| f.topics.contains(id));
            let function = |(id, function): (&String, &manifest::Function)| {
                names.function_arn(&names.function(function.name.as_deref(), id))
            };
            let subscribers = subscribers.map(function).collect();
            let topic = Topic { id: TopicId { name, names: names.clone() }, subscribers };
            topics.insert(id, stack.add(&format!("topic.{id}"), topic));
        }
        this.http_api = manifest.http_api.as_ref().map(|api| {
            let routes = manifest.functions.iter().flat_map(|(id, function)| {
                let name = names.function(function.name.as_deref(), id);
                function.routes.iter().map(move |key| (key.clone(), name.clone()))
            });
            let api = HttpApi {
                id: HttpApiId { name: names.api(api.name.as_deref()), names: names.clone() },
                routes: routes.collect(),
                rate: http_api::rate(api.throttle_rate),
                burst: api.throttle_burst,
            };
            stack.add("http_api", api)
        });
        for (id, function) in &manifest.functions {
            let handle = this.add_function(manifest, id, function, parts);
            let of_topics = function.topics.iter().map(|topic| permissions::topic(topic));
            let of_routes = permissions::routes(manifest, id, function, names);
            let wanted = Wanted {
                sids: of_topics.clone().chain(of_routes.iter().cloned()).map(|s| s.sid).collect(),
                served: permissions::served(function),
            };
            this.permissions.insert(function_name(manifest, names, id), Arc::new(wanted));
            for topic in of_topics {
                this.add_subscription(manifest, id, handle, &topic, &topics);
            }
            for route in of_routes {
                this.add_route_permission(manifest, id, handle, &route);
            }
        }
        this
    }

    /// Looks the whole stack up, and what exists of it that the manifest no longer has.
    pub async fn read(
        &mut self,
        cloud: &Cloud,
        reporter: &dyn Reporter,
        goal: Goal,
    ) -> Result<(Observed, Orphans)> {
        let orphans = trace::step("orphans", "read", Orphans::find(self, cloud, goal));
        let wanted = self.stack.read(cloud, reporter, goal, 0);
        let (mut observed, mut orphans) = tokio::try_join!(wanted, orphans)?;
        let wanted = self.stack.len();
        orphans.prune(&mut self.stack, &self.names);
        observed.extend(self.stack.read(cloud, reporter, goal, wanted).await?);
        Ok((observed, orphans))
    }

    fn add_function(
        &mut self,
        manifest: &Manifest,
        id: &str,
        function: &manifest::Function,
        parts: &Parts<'_>,
    ) -> Handle<Function> {
        let names = &self.names;
        let name = names.function(function.name.as_deref(), id);
        let given = function.role_arn.as_deref().map(|arn| names.in_account(arn));
        let role_name = names.role(function.role.as_deref(), id);
        let role_arn = given.clone().unwrap_or_else(|| names.role_arn(&role_name));
        let boundary = manifest.permissions_boundary.as_deref().map(|arn| names.in_account(arn));
        let role = given.is_none().then(|| {
            let role = Role {
                id: RoleId { name: role_name, names: names.clone() },
                policies: policies::inline(manifest, id, function, names),
                boundary: boundary.clone(),
            };
            self.stack.add(&format!("role.{id}"), role)
        });
        let log_group = LogGroup {
            id: LogGroupId {
                name: Names::log_group(&name),
                lookup: self.log_groups.clone().unwrap_or_else(|| Names::log_group(&name)),
                names: names.clone(),
            },
            retention: manifest.log_retention_days,
        };
        let log_group = self.stack.add(&format!("log_group.{id}"), log_group);
        let (secrets, plain): (Vec<_>, Vec<_>) =
            function.environment.iter().partition(|(_, value)| matches!(value, Value::Secret(_)));
        let secret = |(key, value): (&String, &Value)| match value {
            Value::Secret(variable) => Some((key.clone(), (parts.secrets)(variable))),
            _ => None,
        };
        let artifact = parts.artifacts.iter().find(|artifact| artifact.function == id);
        let resource = Function {
            id: FunctionId { name: name.clone(), names: names.clone() },
            role_arn,
            role_given: given.is_some(),
            role_boundary: boundary,
            memory: function.memory,
            timeout: function.timeout,
            environment: plain
                .into_iter()
                .map(|(key, value)| (key.clone(), resolve(manifest, names, value)))
                .collect(),
            secrets: secrets.into_iter().filter_map(secret).collect(),
            architecture: parts.arch.to_string(),
            code: artifact.map(|artifact| Code::new(artifact.zip.clone(), artifact.sha256.clone())),
        };
        self.functions.push(name);
        let place = format!("function.{id}");
        let handle = match role {
            Some(role) => {
                let inputs = |role: &role::State| Inputs { role_created: role.created };
                self.stack.add_with(&place, resource, role, inputs)
            }
            // Of a role that somebody else looks after it is not known when it was made.
            None => self.stack.add_with(&place, resource, (), |()| Inputs {
                role_created: DateTime::from_secs(0),
            }),
        };
        // Before Lambda would make it.
        self.stack.after(handle.node(), log_group.node());
        if !function.routes.is_empty() {
            let (id, caller) = (id.to_owned(), function.caller.clone());
            self.routed.push(Routed { id, caller, function: handle });
        }
        handle
    }

    fn add_subscription(
        &mut self,
        manifest: &Manifest,
        id: &str,
        function: Handle<Function>,
        statement: &Statement,
        topics: &BTreeMap<&String, Handle<Topic>>,
    ) {
        let topic_id = &statement.id;
        let names = &self.names;
        let name = function_name(manifest, names, id);
        let topic_name = names.physical(manifest.topics[topic_id].name.as_deref(), topic_id);
        let source = names.topic_arn(&topic_name);
        self.subscriptions.insert((topic_name.clone(), name.clone()));
        let label = format!("{topic_name} -> {name}");
        let permission = self.permission(&label, &name, statement);
        let permission_id = format!("permission.{id}.{topic_id}");
        let source = move |()| source.clone();
        let permission = self.stack.add_with(&permission_id, permission, (), source);
        self.stack.after(permission.node(), function.node());
        self.stack.deleted_with_parent(permission, function);
        let subscription =
            Subscription { id: SubscriptionId::new(topic_name, name, self.names.clone()) };
        let subscription = self.stack.add(&format!("subscription.{id}.{topic_id}"), subscription);
        // What SNS may not deliver it drops.
        self.stack.after(subscription.node(), permission.node());
        self.stack.after(subscription.node(), topics[topic_id].node());
    }

    fn add_route_permission(
        &mut self,
        manifest: &Manifest,
        id: &str,
        function: Handle<Function>,
        statement: &Statement,
    ) {
        let Some(api) = self.http_api else { return };
        let name = function_name(manifest, &self.names, id);
        let label = format!("{} -> {name}", statement.trigger);
        let permission = self.permission(&label, &name, statement);
        let (names, source) = (self.names.clone(), statement.source.clone());
        let id = format!("permission.{id}.{}", statement.id);
        let source = move |api: &http_api::State| match &source {
            Source::Route(route) => names.route_arn(&api.id, route),
            _ => names.routes_arn(&api.id),
        };
        let permission = self.stack.add_with(&id, permission, api, source);
        self.stack.after(permission.node(), function.node());
        self.stack.deleted_with_parent(permission, function);
    }

    fn permission(&self, label: &str, function: &str, statement: &Statement) -> Permission {
        Permission {
            id: PermissionId {
                label: label.to_owned(),
                function: function.to_owned(),
                sid: statement.sid.clone(),
                names: self.names.clone(),
            },
            principal: statement.source.principal().to_owned(),
            wanted: self.permissions.get(function).cloned().unwrap_or_default(),
        }
    }
}

/// Physical name of the function of this id.
fn function_name(manifest: &Manifest, names: &Names, id: &str) -> String {
    names.function(manifest.functions[id].name.as_deref(), id)
}

/// What a function's role must allow, as one policy: for one that is not made here.
pub fn role_policy(manifest: &Manifest, names: &Names, id: &str) -> Option<Json> {
    let function = manifest.functions.get(id)?;
    let policies = policies::inline(manifest, id, function, names).into_values();
    let statements = policies.flat_map(|policy| match policy["Statement"].as_array() {
        Some(statements) => statements.clone(),
        None => Vec::new(),
    });
    Some(json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() }))
}

/// The beginning of the log groups' names, if so many have it that looking each up would take
/// longer than listing all that begin so, whoever's they are.
fn log_groups(manifest: &Manifest, names: &Names) -> Option<String> {
    let prefix = format!("{}-", names.stack);
    let unnamed = manifest.functions.values().filter(|function| function.name.is_none()).count();
    let all = unnamed == manifest.functions.len();
    (all && unnamed > FEW_LOG_GROUPS).then(|| Names::log_group(&prefix))
}

/// The text that a reference stands for. Secrets are none of its business.
fn resolve(manifest: &Manifest, names: &Names, value: &Value) -> String {
    let table = |id: &String| names.physical(manifest.tables[id].name.as_deref(), id);
    let topic = |id: &String| names.physical(manifest.topics[id].name.as_deref(), id);
    match value {
        Value::Literal(text) => text.clone(),
        Value::Secret(_) => String::new(),
        Value::TableName(id) => table(id),
        Value::TableArn(id) => names.table_arn(&table(id)),
        Value::TopicName(id) => topic(id),
        Value::TopicArn(id) => names.topic_arn(&topic(id)),
        Value::FunctionName(id) => function_name(manifest, names, id),
    }
}

/// Checks the name of a stage, which becomes part of every physical name.
///
/// # Errors
/// A refusal that says what is legal.
pub fn check_stage(stage: &str) -> Result<(), Failure> {
    let legal = stage.len() <= 16
        && stage.starts_with(|c: char| c.is_ascii_lowercase())
        && !stage.ends_with('-')
        && stage.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if legal {
        return Ok(());
    }
    Err(Failure::refused(format!("`{stage}` is no name for a stage"))
        .hint("take 1 to 16 small letters, digits and hyphens, beginning with a letter: `dev`"))
}
