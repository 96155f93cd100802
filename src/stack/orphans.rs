//! What a stage still has although the manifest no longer has it.
//!
//! Candidates come from the tagging API (and for roles, which it does not know, from the IAM
//! path). Its index lags, so each is read for deletion: its own tags are checked.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_smithy_types::DateTime;

use super::Deployment;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Pages};
use crate::engine::{Goal, Stack};
use crate::resources::function::FunctionId;
use crate::resources::http_api::HttpApiId;
use crate::resources::log_group::LogGroupId;
use crate::resources::permission::{self, PermissionId, SID_PREFIX};
use crate::resources::role::RoleId;
use crate::resources::subscription::{self, SubscriptionId};
use crate::resources::table::TableId;
use crate::resources::topic::TopicId;

/// How long a run may need a function's other role: three changes of the function, each of which
/// may take five minutes.
pub const LONGEST_USE: Duration = Duration::from_mins(15);

/// What is left over, kind by kind.
#[derive(Default)]
pub struct Orphans {
    tables: Vec<TableId>,
    topics: Vec<TopicId>,
    roles: Vec<RoleId>,
    log_groups: Vec<LogGroupId>,
    functions: Vec<FunctionId>,
    http_api: Option<HttpApiId>,
    /// Topic and function.
    subscriptions: Vec<(String, String)>,
    permissions: Vec<PermissionId>,
    /// Empty roles that functions may have at the moment: made so recently that a run may be at it.
    pub in_use: Vec<String>,
    /// Why the search may have missed something.
    pub incomplete: Option<String>,
}

impl Orphans {
    /// Looks for them. A search that is not allowed finds nothing and says so in
    /// [`incomplete`](Self::incomplete).
    pub(super) async fn find(wanted: &Deployment, cloud: &Cloud, goal: Goal) -> Result<Self> {
        let stack = &wanted.stack;
        let cx = Stack::context(cloud);
        let arns = cloud.index.arns(&cx);
        let roles = roles(cloud, &wanted.names);
        // Towards `down` the triggers die with what they hang on.
        let triggers = async {
            match goal {
                Goal::Up => stray_triggers(wanted, &cx).await,
                Goal::Down => Ok((Vec::new(), Vec::new())),
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
                    goal == Goal::Up && others.contains(name) && is_recent(created)
                };
                for (name, created) in roles {
                    if in_use(&name, created) {
                        this.in_use.push(name);
                    } else if !stack.has::<RoleId>(&name) {
                        this.roles.push(RoleId { name, names: wanted.names.clone() });
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
            let orphan = |it: &FunctionId| it.name == *function;
            wanted.functions.contains(function) || functions.iter().any(orphan)
        });
        Ok(this)
    }

    fn classify(&mut self, arn: &str, wanted: &Deployment) {
        let stack = &wanted.stack;
        let mut parts = arn.splitn(6, ':');
        let (service, resource) = (parts.nth(2).unwrap_or_default(), parts.nth(2));
        let Some(resource) = resource else { return };
        let names = || wanted.names.clone();
        let name = |prefix| resource.strip_prefix(prefix).map(str::to_owned);
        match service {
            "dynamodb" => {
                let name = name("table/").filter(|name| !stack.has::<TableId>(name));
                self.tables.extend(name.map(|name| TableId { name, names: names() }));
            }
            "sns" if !stack.has::<TopicId>(resource) => {
                self.topics.push(TopicId { name: resource.to_owned(), names: names() });
            }
            "lambda" => {
                let name = name("function:").filter(|name| !stack.has::<FunctionId>(name));
                self.functions.extend(name.map(|name| FunctionId { name, names: names() }));
            }
            "logs" => {
                let name = name("log-group:").filter(|name| !stack.has::<LogGroupId>(name));
                let id = |name: String| LogGroupId { lookup: name.clone(), name, names: names() };
                self.log_groups.extend(name.map(id));
            }
            "apigateway" if wanted.http_api.is_none() => {
                self.http_api = Some(HttpApiId { name: names().api(None), names: names() });
            }
            _ => {}
        }
    }

    /// Adds what was found: triggers first to go, then functions, then the rest.
    pub(super) fn prune(&mut self, stack: &mut Stack<Cloud>, names: &Names) {
        let mut last = Vec::new();
        for table in self.tables.drain(..) {
            stack.prune(&format!("orphan.table.{}", table.name), table);
        }
        for topic in self.topics.drain(..) {
            stack.prune(&format!("orphan.topic.{}", topic.name), topic);
        }
        for role in self.roles.drain(..) {
            last.push(stack.prune(&format!("orphan.role.{}", role.name), role));
        }
        for group in self.log_groups.drain(..) {
            last.push(stack.prune(&format!("orphan.log_group.{}", group.name), group));
        }
        let mut functions = Vec::new();
        for function in self.functions.drain(..) {
            let function = stack.prune(&format!("orphan.function.{}", function.name), function);
            for &earlier in &last {
                stack.after(function, earlier);
            }
            functions.push(function);
        }
        if let Some(api) = self.http_api.take() {
            let api = stack.prune("orphan.http_api", api);
            for &earlier in &functions {
                stack.after(api, earlier);
            }
        }
        for (topic, function) in self.subscriptions.drain(..) {
            let id = format!("orphan.subscription.{topic}.{function}");
            let subscription =
                stack.prune(&id, SubscriptionId::new(topic, function, names.clone()));
            for &earlier in &functions {
                stack.after(subscription, earlier);
            }
        }
        for permission in self.permissions.drain(..) {
            let PermissionId { function, sid, .. } = &permission;
            stack.prune(&format!("orphan.permission.{function}.{sid}"), permission);
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

/// Subscriptions of functions to wanted topics, and permissions on wanted functions, that are not
/// wanted themselves.
async fn stray_triggers(
    wanted: &Deployment,
    cx: &Context<'_>,
) -> Result<(Vec<(String, String)>, Vec<PermissionId>), ApiError> {
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
        Ok::<_, ApiError>(all.into_iter().filter_map(pair).filter(orphan).collect::<Vec<_>>())
    });
    let permissions = wanted.functions.iter().map(async |function| {
        let policy = permission::policy(cx, function).await?;
        let sids = policy.into_iter().map(|statement| statement.sid);
        let stray = |sid: &String| {
            let known = wanted.permissions.get(function).is_some_and(|all| all.sids.contains(sid));
            sid.starts_with(SID_PREFIX) && !known
        };
        let id = |sid: String| PermissionId {
            label: format!("{sid} -> {function}"),
            function: function.clone(),
            sid,
            names: names.clone(),
        };
        Ok::<_, ApiError>(sids.filter(stray).map(id).collect::<Vec<_>>())
    });
    let (subscriptions, permissions) = tokio::try_join!(
        futures::future::try_join_all(subscriptions),
        futures::future::try_join_all(permissions)
    )?;
    Ok((subscriptions.concat(), permissions.into_iter().flatten().collect()))
}
