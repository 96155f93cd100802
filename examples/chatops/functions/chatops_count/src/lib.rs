//! Counts the words that somebody says in Slack and tells the counts.

use std::time::{Duration, SystemTime};

use aws_lambda_events::{apigw::ApiGatewayV2httpResponse, http::Method};
use aws_sdk_dynamodb::Client;
use common::{
    Error,
    aws::{Aws, variable},
    counter::{Counter, Marker},
    http::{Answer, Request},
    lambda::in_time,
    log,
    slack::{self, Accepted, Message, Secrets},
    words::{MOST, Words},
};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// Slack tries again for minutes.
const KEEP: Duration = Duration::from_hours(24);

/// The function and what it works with.
pub struct Function {
    pub secrets: Secrets,
    pub counter: Counter,
}

impl Function {
    /// From `TABLE`, `SLACK_SIGNING_SECRET` and `SLACK_TOKEN`.
    pub fn from_env(aws: &mut Aws) -> Result<Self, Error> {
        let table = variable("TABLE").ok_or("TABLE is not set")?;
        let counter = Counter::new(aws.client("dynamodb", Client::new), table);
        Ok(Self { secrets: Secrets::from_env(), counter })
    }

    /// Always answers: what went wrong is in the status, and 503 makes Slack try again.
    pub async fn handle(
        &self,
        event: LambdaEvent<Value>,
    ) -> Result<ApiGatewayV2httpResponse, Error> {
        let answer = in_time(&event.context, self.answer(event.payload)).await;
        let answer = answer.unwrap_or_else(|error| {
            log::line(&json!({"level": "error", "error": error.to_string()}));
            Answer::refuse(503, "This did not work out; see the function's log.")
        });
        Ok(answer.into())
    }

    async fn answer(&self, event: Value) -> Result<Answer, Error> {
        let call = Request::receive(event, &[Method::POST])
            .and_then(|request| self.secrets.accept(&request, SystemTime::now()));
        match call {
            Ok(Accepted::Message(message)) => self.count(&message).await,
            Ok(Accepted::Answer(answer)) | Err(answer) => Ok(answer),
        }
    }

    async fn count(&self, message: &Message) -> Result<Answer, Error> {
        let words = Words::of(&message.text);
        if words.counted.len() > MOST {
            let reason = format!("More than {MOST} different words in one message.");
            return Ok(Answer::refuse(413, &reason));
        }
        let marker = message.id.as_ref().map(|id| Marker::new("chatops_count", id, KEEP));
        self.counter.add(&words.counted, 1, marker.as_ref()).await?;
        let counts = self.counter.read(&words.counted).await?;
        Ok(Answer::new(200, slack::reply(message, &words, &counts)))
    }
}
