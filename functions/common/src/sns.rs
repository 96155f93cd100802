//! Publishing to a topic, and the messages that come out of it.

use aws_lambda_events::sns::{SnsEvent, SnsMessage};
use aws_sdk_sns::{Client, types::MessageAttributeValue};
use serde_json::Value;

use crate::{Error, aws::Lazy, reason};

/// The message attribute that tells a message published twice from two messages: SNS gives each its own `MessageId`.
const ID: &str = "id";

/// A topic to publish to.
#[derive(Clone, Debug)]
pub struct Topic {
    client: Lazy<Client>,
    arn: String,
}

impl Topic {
    pub fn new(client: impl Into<Lazy<Client>>, arn: impl Into<String>) -> Self {
        Self { client: client.into(), arn: arn.into() }
    }

    /// Publishes `text` as it is. Consumers know two messages with one `id` as the same.
    pub async fn publish(&self, text: &str, id: &str) -> Result<(), Error> {
        let id = MessageAttributeValue::builder().data_type("String").string_value(id).build()?;
        let call =
            self.client.publish().topic_arn(&self.arn).message(text).message_attributes(ID, id);
        Box::pin(call.send()).await.map_err(|error| {
            Error::from(format!("could not publish to {}: {}", self.arn, reason(&error)))
        })?;
        Ok(())
    }
}

/// The messages of an event; in practice one.
pub fn messages(event: Value) -> Result<Vec<SnsMessage>, Error> {
    let event: SnsEvent =
        serde_json::from_value(event).map_err(|error| format!("not an event of SNS: {error}"))?;
    Ok(event.records.into_iter().map(|record| record.sns).collect())
}

/// The publisher's `id`, or else the `MessageId`: the same in every delivery, in every function.
pub fn id(message: &SnsMessage) -> &str {
    message
        .message_attributes
        .get(ID)
        .map(|id| id.value.as_str())
        .filter(|id| (1..=128).contains(&id.len()))
        .unwrap_or(&message.message_id)
}
