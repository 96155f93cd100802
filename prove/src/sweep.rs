//! What there is of a run in every service, found by name and without advent, and its removal.

use std::fmt;
use std::time::Duration;

use advent::aws::{ApiError, Call, Cloud};
use serde::Serialize;

use crate::lab::{Lab, short};

/// How often a listing is looked at again before it counts as empty: lists lag behind.
const LOOKS: u32 = 3;
/// Rounds of deleting; some things can go only after others.
const ROUNDS: u32 = 20;

/// The stages of a run: what `advent` makes has one of them in its name or path.
pub fn stages(id: &str) -> [String; 2] {
    [format!("prove-{id}"), format!("prov2-{id}")]
}

/// What the names of everything begin with that probes make. No end of a stage's name.
pub fn prefix(id: &str) -> String {
    format!("advprobe-{id}")
}

/// All that a run makes.
pub fn marks(id: &str) -> Vec<String> {
    stages(id).into_iter().chain([prefix(id)]).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Api,
    Subscription,
    Function,
    Topic,
    Role,
    Table,
    LogGroup,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Thing {
    pub kind: Kind,
    /// What it is deleted by.
    pub name: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// What was found, and which services could not be asked.
#[derive(Debug, Default, Serialize)]
pub struct Inventory {
    pub things: Vec<Thing>,
    /// What is not known, and why.
    pub blind: Vec<String>,
}

impl Inventory {
    pub fn is_clean(&self) -> bool {
        self.things.is_empty() && self.blind.is_empty()
    }

    pub fn told(&self) -> String {
        if self.is_clean() {
            return "nothing".to_owned();
        }
        let things = self.things.iter().map(ToString::to_string);
        let blind = self.blind.iter().map(|why| format!("unknown: {why}"));
        things.chain(blind).collect::<Vec<_>>().join(", ")
    }
}

/// Everything whose name has one of these marks in it.
pub async fn inventory(cloud: &Cloud, marks: &[String]) -> Inventory {
    let ours = |text: &str| marks.iter().any(|mark| text.contains(mark.as_str()));
    let mut inventory = Inventory::default();
    let lists = [
        (Kind::Api, list_apis(cloud).await),
        (Kind::Subscription, list_subscriptions(cloud).await),
        (Kind::Function, list_functions(cloud).await),
        (Kind::Topic, list_topics(cloud).await),
        (Kind::Role, list_roles(cloud).await),
        (Kind::Table, list_tables(cloud).await),
        (Kind::LogGroup, list_log_groups(cloud).await),
    ];
    for (kind, list) in lists {
        match list {
            Ok(found) => {
                let found = found.into_iter().filter(|(says, _)| ours(says));
                inventory.things.extend(found.map(|(_, name)| Thing { kind, name }));
            }
            Err(error) => inventory.blind.push(format!("{}: {}", error.operation, short(&error))),
        }
    }
    inventory.things.sort();
    inventory.things.dedup();
    inventory
}

/// Deletes all of it, until several looks in a row find nothing; what is left then.
pub async fn sweep(cloud: &Cloud, marks: &[String], pause: Duration) -> (Vec<Thing>, Inventory) {
    let (mut deleted, mut empty) = (Vec::new(), 0);
    let mut left = Inventory::default();
    for _ in 0..ROUNDS {
        left = inventory(cloud, marks).await;
        if left.things.is_empty() {
            empty += 1;
            if empty == LOOKS {
                break;
            }
        } else {
            empty = 0;
            for thing in &left.things {
                // What could not be deleted is in the next round's list.
                if delete(cloud, thing).await.is_ok() && !deleted.contains(thing) {
                    deleted.push(thing.clone());
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
    (deleted, left)
}

/// Pairs of what says whose a thing is, and what it is deleted by.
type Listed = Result<Vec<(String, String)>, ApiError>;

macro_rules! pages {
    ($operation:literal, $request:expr, $set:ident, $answer:ident => $items:expr, $next:expr) => {{
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let request = $request.$set(token);
            let $answer =
                Call::plain($operation, "the account").send(|| request.clone().send()).await?;
            all.extend($items);
            token = $next;
            if token.as_ref().is_none_or(|token| token.is_empty()) {
                return Ok(all);
            }
        }
    }};
}

async fn list_apis(cloud: &Cloud) -> Listed {
    pages!("apigateway:GetApis", cloud.apigateway.get_apis(), set_next_token,
        answer => answer.items().iter().map(|api| {
            (api.name().unwrap_or_default().to_owned(), api.api_id().unwrap_or_default().to_owned())
        }), answer.next_token.clone())
}

async fn list_subscriptions(cloud: &Cloud) -> Listed {
    pages!("sns:ListSubscriptions", cloud.sns.list_subscriptions(), set_next_token,
        answer => answer.subscriptions().iter().map(|subscription| {
            let arn = subscription.subscription_arn().unwrap_or_default();
            let says = [Some(arn), subscription.topic_arn(), subscription.endpoint()];
            (says.into_iter().flatten().collect::<Vec<_>>().join(" "), arn.to_owned())
        }), answer.next_token.clone())
}

async fn list_functions(cloud: &Cloud) -> Listed {
    pages!("lambda:ListFunctions", cloud.lambda.list_functions(), set_marker,
        answer => answer.functions().iter().filter_map(|function| {
            let name = function.function_name()?.to_owned();
            Some((name.clone(), name))
        }), answer.next_marker.clone())
}

async fn list_topics(cloud: &Cloud) -> Listed {
    pages!("sns:ListTopics", cloud.sns.list_topics(), set_next_token,
        answer => answer.topics().iter().filter_map(|topic| {
            let arn = topic.topic_arn()?.to_owned();
            Some((arn.clone(), arn))
        }), answer.next_token.clone())
}

async fn list_roles(cloud: &Cloud) -> Listed {
    pages!("iam:ListRoles", cloud.iam.list_roles(), set_marker,
        answer => answer.roles().iter().map(|role| {
            (format!("{}{}", role.path, role.role_name), role.role_name.clone())
        }), answer.marker.clone())
}

async fn list_tables(cloud: &Cloud) -> Listed {
    pages!("dynamodb:ListTables", cloud.dynamodb.list_tables(), set_exclusive_start_table_name,
        answer => answer.table_names().iter().map(|name| (name.clone(), name.clone())),
        answer.last_evaluated_table_name.clone())
}

async fn list_log_groups(cloud: &Cloud) -> Listed {
    pages!("logs:DescribeLogGroups", cloud.logs.describe_log_groups(), set_next_token,
        answer => answer.log_groups().iter().filter_map(|group| {
            let name = group.log_group_name()?.to_owned();
            Some((name.clone(), name))
        }), answer.next_token.clone())
}

async fn delete(cloud: &Cloud, thing: &Thing) -> Result<(), ApiError> {
    let name = thing.name.as_str();
    match thing.kind {
        Kind::Api => {
            let request = cloud.apigateway.delete_api().api_id(name);
            Call::plain("apigateway:DeleteApi", name)
                .send(|| request.clone().send())
                .await
                .map(drop)
        }
        // "PendingConfirmation" and "Deleted" are no ARNs; they go by themselves.
        Kind::Subscription if !name.starts_with("arn:") => Ok(()),
        Kind::Subscription => {
            let request = cloud.sns.unsubscribe().subscription_arn(name);
            Call::plain("sns:Unsubscribe", name).send(|| request.clone().send()).await.map(drop)
        }
        Kind::Function => {
            let request = cloud.lambda.delete_function().function_name(name);
            Call::plain("lambda:DeleteFunction", name)
                .send(|| request.clone().send())
                .await
                .map(drop)
        }
        Kind::Topic => {
            let request = cloud.sns.delete_topic().topic_arn(name);
            Call::plain("sns:DeleteTopic", name).send(|| request.clone().send()).await.map(drop)
        }
        Kind::Role => delete_role(cloud, name).await,
        Kind::Table => {
            let request = cloud.dynamodb.delete_table().table_name(name);
            Call::plain("dynamodb:DeleteTable", name)
                .send(|| request.clone().send())
                .await
                .map(drop)
        }
        Kind::LogGroup => {
            let request = cloud.logs.delete_log_group().log_group_name(name);
            Call::plain("logs:DeleteLogGroup", name).send(|| request.clone().send()).await.map(drop)
        }
    }
}

/// A role and its inline policies.
pub async fn delete_role(cloud: &Cloud, name: &str) -> Result<(), ApiError> {
    let list = cloud.iam.list_role_policies().role_name(name);
    let policies = Call::plain("iam:ListRolePolicies", name).send(|| list.clone().send()).await?;
    for policy in policies.policy_names() {
        let request = cloud.iam.delete_role_policy().role_name(name).policy_name(policy);
        Call::plain("iam:DeleteRolePolicy", name).send(|| request.clone().send()).await?;
    }
    let request = cloud.iam.delete_role().role_name(name);
    let delete = || Call::plain("iam:DeleteRole", name).send(|| request.clone().send());
    crate::lab::until(crate::lab::SECONDS, delete, |error| error.is("DeleteConflict"))
        .await
        .ok()?;
    Ok(())
}

/// Whether an API is in the list of all.
pub async fn apis(lab: &Lab, id: &str) -> Result<bool, ApiError> {
    Ok(list_apis(&lab.cloud).await?.iter().any(|(_, api)| api == id))
}

/// The ARNs that the tagging API knows to have a tag.
pub async fn indexed(cloud: &Cloud, key: &str, value: &str) -> Result<Vec<String>, ApiError> {
    let filter =
        aws_sdk_resourcegroupstagging::types::TagFilter::builder().key(key).values(value).build();
    pages!("tag:GetResources", cloud.tagging.get_resources().tag_filters(filter.clone()), set_pagination_token,
        answer => answer.resource_tag_mapping_list().iter().filter_map(|found| {
            Some(found.resource_arn()?.to_owned())
        }), answer.pagination_token.clone())
}
