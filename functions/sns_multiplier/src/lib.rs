//! Adds ten to the count of each word that was published, per occurrence.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use common::{
    Error,
    aws::{Aws, variable},
    counter::{Counter, Marker},
    lambda::in_time,
    log,
    sns::{id, messages},
    words::Words,
};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

const EACH: u64 = 10;

/// SNS and Lambda deliver a message again for up to 23 days.
const KEEP: Duration = Duration::from_hours(30 * 24);

/// The function and what it works with.
pub struct Function {
    pub counter: Option<Counter>,
}

impl Function {
    /// From `DYNAMO_TABLE`.
    pub fn from_env(aws: &mut Aws) -> Self {
        let counter = variable("DYNAMO_TABLE")
            .map(|table| Counter::new(aws.client("dynamodb", Client::new), table));
        Self { counter }
    }

    /// An error makes Lambda deliver the event again, which adds what is missing and nothing else.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<(), Error> {
        let request_id = &event.context.request_id;
        let done = in_time(&event.context, self.multiply(event.payload, request_id)).await;
        if let Err(error) = &done {
            log::line(
                &json!({"level": "error", "request_id": request_id, "error": error.to_string()}),
            );
        }
        done
    }

    async fn multiply(&self, event: Value, request_id: &str) -> Result<(), Error> {
        let counter = self.counter.as_ref().ok_or("DYNAMO_TABLE is not set")?;
        for message in messages(event)? {
            let words = Words::of(&message.message);
            let marker = Marker::new("sns_multiplier", id(&message), KEEP);
            let earlier = counter.add(&words.counted, EACH, Some(&marker)).await?;
            log::line(&json!({
                "level": "info",
                "request_id": request_id,
                "message_id": message.message_id,
                "words": words.counted.len(),
                "repeated": earlier.is_some_and(|earlier| earlier.counted),
            }));
        }
        Ok(())
    }
}
