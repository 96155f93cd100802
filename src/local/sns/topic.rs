//! Topics and their tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{invalid, named, page, subscription};
use crate::local::ACCOUNT;
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::store::Db;
use crate::local::xml;

/// The store's kind of topics; their name there is the topic's.
pub const KIND: &str = "topic";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    pub region: String,
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

impl Topic {
    pub fn arn(&self) -> String {
        format!("arn:aws:sns:{}:{ACCOUNT}:{}", self.region, self.name)
    }
}

/// What may be set, apart from what only FIFO topics and other receivers have.
const ATTRIBUTES: &[&str] = &[
    "DisplayName",
    "Policy",
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "SignatureVersion",
    "TracingConfig",
    "LambdaSuccessFeedbackRoleArn",
    "LambdaSuccessFeedbackSampleRate",
    "LambdaFailureFeedbackRoleArn",
];

fn check_attribute(name: &str) -> Result<(), AwsError> {
    if ATTRIBUTES.contains(&name) { Ok(()) } else { Err(invalid("AttributeName")) }
}

/// The map under `name` of a query call, whose leaves are texts.
pub(super) fn texts(call: &ApiCall, name: &str) -> BTreeMap<String, String> {
    let Some(Value::Object(members)) = call.params.get(name) else { return BTreeMap::new() };
    members
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn tag_list(call: &ApiCall) -> Option<BTreeMap<String, String>> {
    let tags = call.params.get("Tags")?.as_array()?;
    let text = |tag: &Value, name: &str| tag[name].as_str().unwrap_or_default().to_owned();
    Some(tags.iter().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect())
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), AwsError> {
    if tags.len() > 50 {
        return Err(AwsError::new(
            400,
            "TagLimitExceeded",
            "Could not complete request: tag quota of per resource exceeded",
        ));
    }
    let legal = |(key, value): (&String, &String)| {
        !key.is_empty()
            && key.chars().count() <= 128
            && value.chars().count() <= 256
            && !key.starts_with("aws:")
    };
    if tags.iter().all(legal) { Ok(()) } else { Err(invalid("Tags")) }
}

/// The topic that a call is about, if it exists.
fn get(db: &Db<'_>, call: &ApiCall) -> Result<Option<Topic>, AwsError> {
    let (name, member) = named(call)?;
    if name.contains(':') {
        return Err(invalid(member));
    }
    db.get(KIND, &call.region, name)
}

pub(super) fn find(db: &Db<'_>, call: &ApiCall) -> Result<Topic, AwsError> {
    get(db, call)?.ok_or_else(|| AwsError::new(404, "NotFound", "Topic does not exist"))
}

fn put(db: &Db<'_>, topic: &Topic) -> Result<(), AwsError> {
    db.put(KIND, &topic.region, &topic.name, topic)
}

pub(super) fn create(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let name = call.need("Name")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let attributes = texts(call, "Attributes");
    if name.to_ascii_lowercase().ends_with(".fifo") || attributes.contains_key("FifoTopic") {
        return Err(invalid("Topic Name Reason: the local cloud has no FIFO topics"));
    }
    if !(1..=256).contains(&name.len()) || !name.bytes().all(legal) {
        return Err(invalid("Topic Name"));
    }
    for attribute in attributes.keys() {
        check_attribute(attribute).map_err(|_| {
            invalid(format_args!("Attributes Reason: Unknown attribute {attribute}"))
        })?;
    }
    let tags = tag_list(call);
    check_tags(tags.as_ref().unwrap_or(&BTreeMap::new()))?;
    let topic = cloud.store.write(|db| {
        if let Some(topic) = db.get::<Topic>(KIND, &call.region, name)? {
            let differs =
                |(key, value): (&String, &String)| topic.attributes.get(key) != Some(value);
            if attributes.iter().any(differs) {
                return Err(invalid(
                    "Attributes Reason: Topic already exists with different attributes",
                ));
            }
            // Without tags in the call an existing topic is adopted silently.
            if tags.is_some_and(|tags| tags != topic.tags) {
                return Err(invalid("Tags Reason: Topic already exists with different tags"));
            }
            return Ok(topic);
        }
        let topic = Topic {
            name: name.to_owned(),
            region: call.region.clone(),
            attributes,
            tags: tags.unwrap_or_default(),
        };
        put(db, &topic)?;
        Ok(topic)
    })?;
    Ok(Reply::query(call, &json!({"TopicArn": topic.arn()})))
}

pub(super) fn attributes(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let (topic, subscriptions) = cloud.store.read(|db| {
        let topic = find(db, call)?;
        let subscriptions = subscription::of_topic(db, &topic.region, &topic.name)?.len();
        Ok((topic, subscriptions))
    })?;
    let arn = topic.arn();
    let policy = json!({
        "Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [{
            "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": {"AWS": "*"},
            "Action": [
                "SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission",
                "SNS:RemovePermission", "SNS:DeleteTopic", "SNS:Subscribe",
                "SNS:ListSubscriptionsByTopic", "SNS:Publish",
            ],
            "Resource": arn,
            "Condition": {"StringEquals": {"AWS:SourceOwner": ACCOUNT}},
        }],
    });
    let delivery = json!({"http": {"defaultHealthyRetryPolicy": {
        "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0,
        "numNoDelayRetries": 0, "numMinDelayRetries": 0, "backoffFunction": "linear",
    }, "disableSubscriptionOverrides": false}});
    let mut all: BTreeMap<String, String> = [
        ("DisplayName", String::new()),
        ("EffectiveDeliveryPolicy", delivery.to_string()),
        ("Owner", ACCOUNT.to_owned()),
        ("Policy", policy.to_string()),
        ("SubscriptionsConfirmed", subscriptions.to_string()),
        ("SubscriptionsDeleted", "0".to_owned()),
        ("SubscriptionsPending", "0".to_owned()),
        ("TopicArn", arn.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    all.extend(topic.attributes);
    Ok(Reply::query(call, &json!({"Attributes": xml::map(all)})))
}

pub(super) fn set_attribute(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let name = call.need("AttributeName")?;
    check_attribute(name)?;
    cloud.store.write(|db| {
        let mut topic = find(db, call)?;
        match call.text("AttributeValue") {
            Some(value) => topic.attributes.insert(name.to_owned(), value.to_owned()),
            None => topic.attributes.remove(name),
        };
        put(db, &topic)
    })?;
    Ok(Reply::query(call, &Value::Null))
}

pub(super) fn list(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let topics = cloud.store.read(|db| db.list::<Topic>(KIND, &call.region))?;
    let topics = topics.into_iter().map(|(_, topic)| json!({"TopicArn": topic.arn()})).collect();
    let (topics, next) = page(call, topics)?;
    Ok(Reply::query(call, &json!({"Topics": topics, "NextToken": next})))
}

pub(super) fn delete(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    cloud.store.write(|db| {
        if let Some(topic) = get(db, call)? {
            subscription::delete_of_topic(db, &topic.region, &topic.name)?;
            db.delete(KIND, &topic.region, &topic.name)?;
        }
        Ok(())
    })?;
    Ok(Reply::query(call, &Value::Null))
}

pub(super) fn tags(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let missing = || AwsError::new(404, "ResourceNotFound", "Resource does not exist");
    cloud.store.write(|db| {
        let mut topic = get(db, call)?.ok_or_else(missing)?;
        match call.operation.as_str() {
            "TagResource" => {
                topic.tags.extend(tag_list(call).unwrap_or_default());
                check_tags(&topic.tags)?;
            }
            "UntagResource" => {
                for key in call.params["TagKeys"].as_array().into_iter().flatten() {
                    topic.tags.remove(key.as_str().unwrap_or_default());
                }
            }
            _ => {
                let tags: Vec<Value> = topic
                    .tags
                    .iter()
                    .map(|(key, value)| json!({"Key": key, "Value": value}))
                    .collect();
                return Ok(Reply::query(call, &json!({"Tags": tags})));
            }
        }
        put(db, &topic)?;
        Ok(Reply::query(call, &json!({})))
    })
}
