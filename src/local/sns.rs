//! SNS: standard topics that deliver to functions.

pub(super) mod filter;
mod publish;
mod subscription;
mod topic;

use std::sync::Arc;

use serde_json::Value;

use super::ACCOUNT;
use super::call::{ApiCall, Reply};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::store::Db;
use super::tagging::Tagged;

/// How many topics or subscriptions a page lists (AWS: SNS API reference).
const PAGE: usize = 100;

/// The member that names what a call is about; `None` where it is about no topic in particular.
fn named_by(call: &ApiCall) -> Result<Option<&'static str>, AwsError> {
    Ok(Some(match call.operation.as_str() {
        "ListTopics" | "ListSubscriptions" => return Ok(None),
        "CreateTopic" => "Name",
        "Publish" if call.text("TopicArn").is_none() => "TargetArn",
        "GetTopicAttributes"
        | "SetTopicAttributes"
        | "DeleteTopic"
        | "Subscribe"
        | "ListSubscriptionsByTopic"
        | "Publish"
        | "PublishBatch" => "TopicArn",
        "TagResource" | "UntagResource" | "ListTagsForResource" => "ResourceArn",
        "Unsubscribe" | "GetSubscriptionAttributes" | "SetSubscriptionAttributes" => {
            "SubscriptionArn"
        }
        _ => return Err(AwsError::unknown_call(call)),
    }))
}

/// What a call needs.
pub fn needs(call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    let named = named_by(call)?.and_then(|member| call.text(member));
    let resource = match (call.operation.as_str(), named) {
        ("CreateTopic", Some(name)) => call.arn("sns", name),
        (_, Some(arn)) => arn.to_owned(),
        // About none, or refused for it later on.
        (_, None) => "*".to_owned(),
    };
    let action = match call.operation.as_str() {
        "PublishBatch" => "Publish",
        operation => operation,
    };
    Ok(vec![Need::new(format!("sns:{action}"), resource)])
}

#[expect(clippy::unused_async, reason = "all services are called alike")]
pub async fn handle(cloud: &Arc<LocalCloud>, call: &mut ApiCall) -> Result<Reply, AwsError> {
    match call.operation.as_str() {
        "CreateTopic" => topic::create(cloud, call),
        "GetTopicAttributes" => topic::attributes(cloud, call),
        "SetTopicAttributes" => topic::set_attribute(cloud, call),
        "ListTopics" => topic::list(cloud, call),
        "DeleteTopic" => topic::delete(cloud, call),
        "TagResource" | "UntagResource" | "ListTagsForResource" => topic::tags(cloud, call),
        "Subscribe" => subscription::subscribe(cloud, call),
        "Unsubscribe" => subscription::unsubscribe(cloud, call),
        "ListSubscriptionsByTopic" | "ListSubscriptions" => subscription::list(cloud, call),
        "GetSubscriptionAttributes" => subscription::attributes(cloud, call),
        "SetSubscriptionAttributes" => subscription::set_attribute(cloud, call),
        "Publish" => publish::one(cloud, call),
        "PublishBatch" => publish::batch(cloud, call),
        _ => Err(AwsError::unknown_call(call)),
    }
}

/// ARNs and tags of all topics of a Region.
pub fn tagged(db: &Db<'_>, region: &str) -> Result<Tagged, AwsError> {
    let topics = db.list::<topic::Topic>(topic::KIND, region)?;
    Ok(topics.into_iter().map(|(_, topic)| (topic.arn(), topic.tags)).collect())
}

fn invalid(what: impl std::fmt::Display) -> AwsError {
    AwsError::new(400, "InvalidParameter", format!("Invalid parameter: {what}"))
}

/// The part after Region and account of the ARN that a call is about, which must be the call's; and
/// the member that it is in.
fn named(call: &ApiCall) -> Result<(&str, &'static str), AwsError> {
    let member = named_by(call)?.unwrap_or_default();
    let arn = call.need(member)?;
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, rest] = parts.as_slice() else {
        let count = parts.len();
        return Err(invalid(format_args!(
            "{member} Reason: An ARN must have at least 6 elements, not {count}"
        )));
    };
    let ours = (*prefix, *partition, *service, *region, *account)
        == ("arn", "aws", "sns", call.region.as_str(), ACCOUNT);
    if ours { Ok((rest, member)) } else { Err(invalid(member)) }
}

/// One page of `items` and the token of the next.
fn page(call: &ApiCall, items: Vec<Value>) -> Result<(Vec<Value>, Option<String>), AwsError> {
    let start = match call.text("NextToken").filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token.parse::<usize>().map_err(|_| invalid("NextToken"))?,
    };
    let end = start.saturating_add(PAGE);
    let more = (items.len() > end).then(|| end.to_string());
    Ok((items.into_iter().skip(start).take(PAGE).collect(), more))
}
