//! What a stage still has although the manifest no longer has it.
//!
//! Candidates come from the tagging API (and for roles, which it does not know, from the IAM
//! path). Its index lags, so each is read for deletion: its own tags are checked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_smithy_types::DateTime;

use super::Deployment;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Pages};
use crate::engine::{Purpose, Stack};
use crate::resources::function::Function;
use crate::resources::http_api::HttpApi;
use crate::resources::log_group::LogGroup;
use crate::resources::permission::{self, Permission, SID_PREFIX};
use crate::resources::role::Role;
use crate::resources::subscription::{self, Subscription};
use crate::resources::table::Table;
use crate::resources::topic::Topic;

/// How long a run may need a function's other role: three changes of the function, each of which
/// may take five minutes.
pub const LONGEST_USE: Duration = Duration::from_mins(15);

/// Names of what is left over, kind by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    tables: Vec<String>,
    topics: Vec<String>,
    roles: Vec<String>,
    log_groups: Vec<String>,
    functions: Vec<String>,
    http_api: bool,
    /// Topic and function.
    subscriptions: Vec<(String, String)>,
    /// Function and statement id.
    permissions: Vec<(String, String)>,
    /// Empty roles that functions may have at the moment: made so recently that a run may be at it.
    pub in_use: Vec<String>,
    /// Why the search may have missed something.
    pub incomplete: Option<String>,
}

impl Orphans {
    /// Looks for them. A search that is not allowed finds nothing and says so in
    /// [`incomplete`](Self::incomplete).
    pub(super) async fn find(wanted: &Deployment, cloud: &Cloud, purpose: Purpose) -> Result<Self> {
        let stack = &wanted.stack;
        let cx = Stack::context(cloud, purpose);
        let arns = cloud.index.arns(&cx);
        let roles = roles(cloud, &wanted.names);
        // Towards `down` the triggers die with what they hang on.
        let triggers = async {
            match purpose {
                Purpose::Compare => stray_triggers(wanted, &cx).await,
                Purpose::Delete => Ok((Vec::new(), Vec::new())),
            }
        };
        let (arns, roles, triggers) = tokio::join!(arns, roles, triggers);
        let (subscriptions, permissions) = triggers?;
        let mut this = Self { subscriptions, permissions, ..Self::default() };
        match roles {
            Ok(roles) => {
                let others: BTreeSet<_> =
                    wanted.functions.iter().map(|name| wanted.names.other_role(name)).collect();
                // Towards `down` the functions go as well.
                let in_use = |name: &String, created: DateTime| {
                    purpose == Purpose::Compare && others.contains(name) && is_recent(created)
                };
                for (name, created) in roles {
                    if in_use(&name, created) {
                        this.in_use.push(name);
                    } else if !stack.has::<Role>(&name) {
                        this.roles.push(name);
                    }
                }
            }
            Err(error) => this.incomplete = Some(error.to_string()),
        }
        match arns.as_ref() {
            Ok(arns) => arns.keys().for_each(|arn| this.classify(arn, wanted)),
            Err(error) => this.incomplete = Some(error.clone()),
        }
        // Whoever else listens to a topic of ours may do so.
        let Self { subscriptions, functions, .. } = &mut this;
        subscriptions.retain(|(_, function)| {
            wanted.functions.contains(function) || functions.contains(function)
        });
        Ok(this)
    }

    fn classify(&mut self, arn: &str, wanted: &Deployment) {
        let stack = &wanted.stack;
        let mut parts = arn.splitn(6, ':');
        let (service, resource) = (parts.nth(2).unwrap_or_default(), parts.nth(2));
        let Some(resource) = resource else { return };
        let name = |prefix| resource.strip_prefix(prefix).map(str::to_owned);
        match service {
            "dynamodb" => {
                let name = name("table/").filter(|name| !stack.has::<Table>(name));
                self.tables.extend(name);
            }
            "sns" if !stack.has::<Topic>(resource) => self.topics.push(resource.to_owned()),
            "lambda" => {
                let name = name("function:").filter(|name| !stack.has::<Function>(name));
                self.functions.extend(name);
            }
            "logs" => {
                let name = name("log-group:").filter(|name| !stack.has::<LogGroup>(name));
                self.log_groups.extend(name);
            }
            "apigateway" if wanted.http_api.is_none() => self.http_api = true,
            _ => {}
        }
    }

    /// Adds what was found as orphan: triggers first to go, then functions, then the rest.
    pub(super) fn add_to(&self, stack: &mut Stack<Cloud>, names: &Names) {
        let mut last = Vec::new();
        for name in &self.tables {
            let (name, key) = (name.clone(), String::new());
            let id = format!("orphan.table.{name}");
            let table = stack.add(&id, Table { name, key, ttl: None, names: names.clone() });
            stack.prune(table);
        }
        for name in &self.topics {
            let topic = Topic { name: name.clone(), subscribers: Vec::new(), names: names.clone() };
            let topic = stack.add(&format!("orphan.topic.{name}"), topic);
            stack.prune(topic);
        }
        for name in &self.roles {
            let policies = std::collections::BTreeMap::default();
            let names = names.clone();
            let role = Role { name: name.clone(), policies, boundary: None, names };
            let role = stack.add(&format!("orphan.role.{name}"), role);
            stack.prune(role);
            last.push(role.node());
        }
        for name in &self.log_groups {
            let group = LogGroup {
                lookup: name.clone(),
                name: name.clone(),
                retention: 1,
                names: names.clone(),
            };
            let group = stack.add(&format!("orphan.log_group.{name}"), group);
            stack.prune(group);
            last.push(group.node());
        }
        let mut functions = Vec::new();
        for name in &self.functions {
            let function = Function::named(name, names);
            let id = format!("orphan.function.{name}");
            let function = stack
                .add_with(&id, function, (), |()| unreachable!("what is orphan is never compared"));
            stack.prune(function);
            for &earlier in &last {
                stack.after(function, earlier);
            }
            functions.push(function.node());
        }
        if self.http_api {
            let api = HttpApi::named(names);
            let api = stack.add("orphan.http_api", api);
            stack.prune(api);
            for &earlier in &functions {
                stack.after(api, earlier);
            }
        }
        for (topic, function) in &self.subscriptions {
            let subscription = Subscription {
                label: format!("{topic} -> {function}"),
                topic: topic.clone(),
                function: function.clone(),
                names: names.clone(),
            };
            let id = format!("orphan.subscription.{topic}.{function}");
            let subscription = stack.add(&id, subscription);
            stack.prune(subscription);
            for &earlier in &functions {
                stack.after(subscription, earlier);
            }
        }
        for (function, sid) in &self.permissions {
            let permission = Permission {
                label: format!("{sid} -> {function}"),
                function: function.clone(),
                sid: sid.clone(),
                principal: String::new(),
                wanted: Arc::default(),
                names: names.clone(),
            };
            let id = format!("orphan.permission.{function}.{sid}");
            let permission = stack.add_with(&id, permission, (), |()| String::new());
            stack.prune(permission);
        }
    }
}

/// Whether it was created, by this machine's clock, as recently as a run may take to give a function
/// another role and then its own.
fn is_recent(created: DateTime) -> bool {
    let age = SystemTime::try_from(created).ok().and_then(|created| created.elapsed().ok());
    // No age: it is of the future, by a clock that is wrong.
    age.is_none_or(|age| age < LONGEST_USE)
}

/// The stage's roles, and when each was created.
async fn roles(cloud: &Cloud, names: &Names) -> Result<Vec<(String, DateTime)>, ApiError> {
    let path = &names.role_path();
    let roles = Pages::of("iam:ListRoles", path).all(|marker| async move {
        let request = cloud.iam.list_roles().path_prefix(path).set_marker(marker);
        let page = Call::new("iam:ListRoles", path).send(|| request.clone().send()).await?;
        Ok((page.roles, page.marker))
    });
    Ok(roles.await?.into_iter().map(|role| (role.role_name, role.create_date)).collect())
}

type Pairs = Vec<(String, String)>;

/// Subscriptions of functions to wanted topics, and permissions on wanted functions, that are not
/// wanted themselves.
async fn stray_triggers(wanted: &Deployment, cx: &Context<'_>) -> Result<(Pairs, Pairs), ApiError> {
    let names = &wanted.names;
    let subscriptions = wanted.topics.iter().map(async |topic| {
        let all = subscription::subscriptions(cx, topic).await?.unwrap_or_default();
        let topic = topic.rsplit(':').next().unwrap_or_default();
        let pair = |known: subscription::Subscribed| {
            let function = known.endpoint.rsplit(':').next().unwrap_or_default();
            let here = known.protocol == "lambda" && known.endpoint == names.function_arn(function);
            here.then(|| (topic.to_owned(), function.to_owned()))
        };
        let orphan = |pair: &_| !wanted.subscriptions.contains(pair);
        Ok::<_, ApiError>(all.into_iter().filter_map(pair).filter(orphan).collect::<Pairs>())
    });
    let permissions = wanted.functions.iter().map(async |function| {
        let policy = permission::policy(cx, function).await?;
        let sids = policy.into_iter().map(|statement| statement.sid);
        let stray = |sid: &String| {
            let known = wanted.permissions.get(function).is_some_and(|all| all.sids.contains(sid));
            sid.starts_with(SID_PREFIX) && !known
        };
        Ok::<_, ApiError>(sids.filter(stray).map(|sid| (function.clone(), sid)).collect::<Pairs>())
    });
    let (subscriptions, permissions) = tokio::try_join!(
        futures::future::try_join_all(subscriptions),
        futures::future::try_join_all(permissions)
    )?;
    Ok((subscriptions.concat(), permissions.concat()))
}
