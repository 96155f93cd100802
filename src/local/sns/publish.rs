//! Publishing: a message becomes one event for every function that is subscribed.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::subscription::{self, Subscription};
use super::{filter, invalid, topic};
use crate::local::call::{ApiCall, Reply};
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::lambda;
use crate::local::lambda::output::timestamp;

/// Message and attributes together, in bytes (AWS: Publish).
const LIMIT: usize = 262_144;

/// A checked message.
struct Message {
    id: String,
    text: String,
    subject: Option<String>,
    /// As in the event: name to `{"Type", "Value"}`.
    attributes: Map<String, Value>,
}

impl Message {
    fn new(params: &Value) -> Result<Self, AwsError> {
        let text = params["Message"].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err(invalid("Empty message"));
        }
        let subject = params["Subject"].as_str();
        if let Some(subject) = subject {
            let legal = subject.is_ascii()
                && (1..=100).contains(&subject.len())
                && !subject.bytes().any(|byte| byte.is_ascii_control())
                && !subject.starts_with(' ');
            if !legal {
                return Err(invalid("Subject"));
            }
        }
        let mut size = text.len();
        let mut attributes = Map::new();
        for (name, value) in params["MessageAttributes"].as_object().into_iter().flatten() {
            let kind = value["DataType"].as_str().unwrap_or_default();
            let content = match kind.split('.').next() {
                Some("String" | "Number") => value["StringValue"].as_str(),
                Some("Binary") => value["BinaryValue"].as_str(),
                _ => {
                    return Err(AwsError::new(
                        400,
                        "ParameterValueInvalid",
                        format!(
                            "The message attribute '{name}' has an invalid message attribute type, \
                             the set of supported type prefixes is Binary, Number, and String."
                        ),
                    ));
                }
            };
            let content = content.filter(|content| !content.is_empty()).ok_or_else(|| {
                AwsError::new(
                    400,
                    "ParameterValueInvalid",
                    format!(
                        "The message attribute '{name}' must contain non-empty message attribute \
                         value for message attribute type '{kind}'."
                    ),
                )
            })?;
            size += name.len() + kind.len() + content.len();
            attributes.insert(name.clone(), json!({"Type": kind, "Value": content}));
        }
        if size > LIMIT {
            return Err(invalid("Message too long"));
        }
        let text = match params["MessageStructure"].as_str() {
            None | Some("") => text.to_owned(),
            Some("json") => of_structure(text)?,
            Some(_) => return Err(invalid("MessageStructure")),
        };
        Ok(Self {
            id: Uuid::new_v4().to_string(),
            text,
            subject: subject.map(ToOwned::to_owned),
            attributes,
        })
    }

    /// The event for one subscription (AWS: Lambda's guide on SNS).
    fn event(&self, cloud: &LocalCloud, subscription: &Subscription, time: &str) -> Value {
        let arn = subscription.arn();
        json!({"Records": [{
            "EventVersion": "1.0",
            "EventSubscriptionArn": arn,
            "EventSource": "aws:sns",
            "Sns": {
                "Type": "Notification",
                "MessageId": self.id,
                "TopicArn": subscription.topic_arn(),
                "Subject": self.subject,
                "Message": self.text,
                "Timestamp": time,
                "SignatureVersion": "1",
                // Nobody has the key of Amazon's certificate: it is there because AWS sends one.
                "Signature": "bm90IHNpZ25lZDogbG9jYWwgY2xvdWQ=",
                "SigningCertUrl": format!(
                    "https://sns.{}.amazonaws.com/SimpleNotificationService-local.pem",
                    subscription.region
                ),
                "UnsubscribeUrl": format!(
                    "{}/?Action=Unsubscribe&SubscriptionArn={arn}", cloud.url
                ),
                "MessageAttributes": self.attributes,
            },
        }]})
    }
}

/// The text for functions out of one that differs by receiver.
fn of_structure(text: &str) -> Result<String, AwsError> {
    let texts: Value = serde_json::from_str(text)
        .map_err(|_| invalid("Message Structure - JSON message body failed to parse"))?;
    let default = texts["default"]
        .as_str()
        .ok_or_else(|| invalid("Message Structure - No default entry in JSON message body"))?;
    Ok(texts["lambda"].as_str().unwrap_or(default).to_owned())
}

/// Queues a message for all subscribers that may and want to get it, in one transaction.
fn deliver(cloud: &Arc<LocalCloud>, call: &ApiCall, messages: &[Message]) -> Result<(), AwsError> {
    let time = timestamp();
    cloud.store.write(|db| {
        let topic = topic::find(db, call)?;
        for subscription in subscription::of_topic(db, &topic.region, &topic.name)? {
            let Some((region, function)) = lambda::parse_arn(&subscription.endpoint) else {
                continue;
            };
            // As on AWS: a permission or a function that is missing is the receiver's fault,
            // and the message is lost for it.
            if !lambda::may_invoke(db, "sns.amazonaws.com", &topic.arn(), &subscription.endpoint) {
                tracing::warn!(
                    topic = topic.name,
                    function,
                    "a message was not delivered: the function or its permission is missing"
                );
                continue;
            }
            for message in messages {
                if filter::accepts(&subscription.attributes, &message.attributes, &message.text) {
                    let event = message.event(cloud, &subscription, &time).to_string();
                    let id = Uuid::new_v4().to_string();
                    lambda::enqueue(db, region, function, &id, event.as_bytes())?;
                }
            }
        }
        Ok(())
    })?;
    lambda::events_queued(cloud);
    Ok(())
}

pub(super) fn one(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    if call.text("PhoneNumber").is_some() {
        return Err(invalid("PhoneNumber Reason: the local cloud sends no text messages"));
    }
    if ["TopicArn", "TargetArn"].iter().all(|member| call.text(member).is_none()) {
        return Err(invalid("TopicArn or TargetArn Reason: no value for required parameter"));
    }
    let message = Message::new(&call.params)?;
    deliver(cloud, call, std::slice::from_ref(&message))?;
    Ok(Reply::query(call, &json!({"MessageId": message.id})))
}

pub(super) fn batch(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let none = Vec::new();
    let entries = call.params["PublishBatchRequestEntries"].as_array().unwrap_or(&none);
    let refuse = |code: &str, message: &str| Err(AwsError::new(400, code, message));
    if entries.is_empty() {
        return refuse("EmptyBatchRequest", "The batch request doesn't contain any entries.");
    }
    if entries.len() > 10 {
        return refuse(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        );
    }
    let mut ids: Vec<&str> =
        entries.iter().map(|entry| entry["Id"].as_str().unwrap_or_default()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < entries.len() {
        return refuse(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        );
    }
    let (mut messages, mut good, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        match Message::new(entry) {
            Ok(message) => {
                good.push(json!({"Id": entry["Id"], "MessageId": message.id}));
                messages.push(message);
            }
            Err(error) => bad.push(json!({
                "Id": entry["Id"], "Code": error.code, "Message": error.message,
                "SenderFault": true,
            })),
        }
    }
    if messages.iter().map(|message| message.text.len()).sum::<usize>() > LIMIT {
        return refuse(
            "BatchRequestTooLong",
            "The length of all the batch messages put together is more than the limit.",
        );
    }
    deliver(cloud, call, &messages)?;
    Ok(Reply::query(call, &json!({"Successful": good, "Failed": bad})))
}
