//! Subscriptions of functions to topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{filter, invalid, named, page, topic};
use crate::local::ACCOUNT;
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::lambda;
use crate::local::store::Db;
use crate::local::xml;

/// The store's kind of subscriptions; their name there is `TOPIC/ID`.
const KIND: &str = "subscription";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub region: String,
    pub topic: String,
    /// ARN of the function.
    pub endpoint: String,
    pub attributes: BTreeMap<String, String>,
}

impl Subscription {
    pub fn topic_arn(&self) -> String {
        format!("arn:aws:sns:{}:{ACCOUNT}:{}", self.region, self.topic)
    }

    pub fn arn(&self) -> String {
        format!("{}:{}", self.topic_arn(), self.id)
    }

    fn key(&self) -> String {
        format!("{}/{}", self.topic, self.id)
    }

    fn put(&self, db: &Db<'_>) -> Result<(), AwsError> {
        db.put(KIND, &self.region, &self.key(), self)
    }

    fn json(&self) -> Value {
        json!({
            "SubscriptionArn": self.arn(), "Owner": ACCOUNT, "Protocol": "lambda",
            "Endpoint": self.endpoint, "TopicArn": self.topic_arn(),
        })
    }
}

pub(super) fn of_topic(
    db: &Db<'_>,
    region: &str,
    topic: &str,
) -> Result<Vec<Subscription>, AwsError> {
    let found = db.list_under::<Subscription>(KIND, region, &format!("{topic}/"))?;
    Ok(found.into_iter().map(|(_, subscription)| subscription).collect())
}

pub(super) fn delete_of_topic(db: &Db<'_>, region: &str, topic: &str) -> Result<(), AwsError> {
    for subscription in of_topic(db, region, topic)? {
        db.delete(KIND, region, &subscription.key())?;
    }
    Ok(())
}

fn check_attribute(name: &str, value: &str) -> Result<(), AwsError> {
    match name {
        "FilterPolicy" => {
            if value.is_empty() {
                return Ok(());
            }
            filter::check(value).map_err(|why| invalid(format_args!("FilterPolicy: {why}")))
        }
        "FilterPolicyScope" if matches!(value, "MessageAttributes" | "MessageBody") => Ok(()),
        "FilterPolicyScope" => Err(invalid("FilterPolicyScope: Invalid value")),
        "RawMessageDelivery" if value == "false" => Ok(()),
        "RawMessageDelivery" => Err(invalid(
            "Attributes Reason: RawMessageDelivery: raw message delivery is not supported for \
             protocol lambda",
        )),
        "RedrivePolicy" if value.is_empty() => Ok(()),
        "RedrivePolicy" => {
            Err(invalid("RedrivePolicy: the local cloud has no queues for undelivered messages"))
        }
        "DeliveryPolicy" => Ok(()),
        _ => Err(invalid("AttributeName")),
    }
}

/// `{}` and an empty text remove a filter policy.
fn tidy(attributes: &mut BTreeMap<String, String>) {
    attributes.retain(|_, value| !matches!(value.trim(), "" | "{}"));
}

pub(super) fn subscribe(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let protocol = call.need("Protocol")?;
    if protocol != "lambda" {
        return Err(invalid(format_args!(
            "Protocol Reason: the local cloud delivers to lambda, not to {protocol}"
        )));
    }
    let endpoint = call.text("Endpoint").unwrap_or_default();
    if lambda::parse_arn(endpoint).is_none() {
        return Err(invalid("Lambda endpoint ARN"));
    }
    let mut attributes = topic::texts(call, "Attributes");
    for (name, value) in &attributes {
        check_attribute(name, value)?;
    }
    tidy(&mut attributes);
    let arn = cloud.store.write(|db| {
        let topic = topic::find(db, call)?;
        let existing = of_topic(db, &topic.region, &topic.name)?
            .into_iter()
            .find(|subscription| subscription.endpoint == endpoint);
        if let Some(existing) = existing {
            if existing.attributes != attributes {
                return Err(invalid(
                    "Attributes Reason: Subscription already exists with different attributes",
                ));
            }
            return Ok(existing.arn());
        }
        let subscription = Subscription {
            id: Uuid::new_v4().to_string(),
            region: topic.region,
            topic: topic.name,
            endpoint: endpoint.to_owned(),
            attributes,
        };
        subscription.put(db)?;
        Ok(subscription.arn())
    })?;
    Ok(Reply::query(call, &json!({"SubscriptionArn": arn})))
}

/// The store's name of the subscription that a call is about.
fn key(call: &ApiCall) -> Result<String, AwsError> {
    let (rest, _) = named(call)?;
    let (topic, id) = rest.split_once(':').ok_or_else(|| {
        invalid("SubscriptionArn Reason: An ARN must have at least 7 elements, not 6")
    })?;
    Ok(format!("{topic}/{id}"))
}

fn find(db: &Db<'_>, call: &ApiCall) -> Result<Subscription, AwsError> {
    db.get(KIND, &call.region, &key(call)?)?
        .ok_or_else(|| AwsError::new(404, "NotFound", "Subscription does not exist"))
}

pub(super) fn unsubscribe(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let key = key(call)?;
    cloud.store.write(|db| db.delete(KIND, &call.region, &key))?;
    Ok(Reply::query(call, &Value::Null))
}

pub(super) fn list(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let all = cloud.store.read(|db| {
        if call.operation == "ListSubscriptionsByTopic" {
            let topic = topic::find(db, call)?;
            return of_topic(db, &topic.region, &topic.name);
        }
        let all = db.list::<Subscription>(KIND, &call.region)?;
        Ok(all.into_iter().map(|(_, subscription)| subscription).collect())
    })?;
    let (page, next) = page(call, all.iter().map(Subscription::json).collect())?;
    Ok(Reply::query(call, &json!({"Subscriptions": page, "NextToken": next})))
}

pub(super) fn attributes(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let subscription = cloud.store.read(|db| find(db, call))?;
    let mut all: BTreeMap<String, String> = [
        ("ConfirmationWasAuthenticated", "true".to_owned()),
        ("Endpoint", subscription.endpoint.clone()),
        ("Owner", ACCOUNT.to_owned()),
        ("PendingConfirmation", "false".to_owned()),
        ("Protocol", "lambda".to_owned()),
        ("RawMessageDelivery", "false".to_owned()),
        ("SubscriptionArn", subscription.arn()),
        ("SubscriptionPrincipal", format!("arn:aws:iam::{ACCOUNT}:root")),
        ("TopicArn", subscription.topic_arn()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if subscription.attributes.contains_key("FilterPolicy") {
        all.insert("FilterPolicyScope".to_owned(), "MessageAttributes".to_owned());
    }
    all.extend(subscription.attributes);
    Ok(Reply::query(call, &json!({"Attributes": xml::map(all)})))
}

pub(super) fn set_attribute(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let name = call.need("AttributeName")?;
    let value = call.text("AttributeValue").unwrap_or_default();
    check_attribute(name, value)?;
    cloud.store.write(|db| {
        let mut subscription = find(db, call)?;
        subscription.attributes.insert(name.to_owned(), value.to_owned());
        tidy(&mut subscription.attributes);
        subscription.put(db)
    })?;
    Ok(Reply::query(call, &Value::Null))
}
