//! Counts the words that somebody says in Slack, tells the counts, and publishes what was said.

use std::time::{Duration, Instant, SystemTime};

use aws_lambda_events::{
    apigw::ApiGatewayV2httpResponse,
    http::{HeaderName, HeaderValue, Method},
};
use common::{
    Error,
    aws::{Aws, variable},
    counter::{Counter, Earlier, Marker},
    http::{Answer, Request},
    lambda::in_time,
    log,
    slack::{self, Accepted, Bot, Message, Place, Secrets},
    sns::Topic,
    words::{MOST, Words},
};
use futures::future::join;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// Slack tries again for minutes.
const KEEP: Duration = Duration::from_hours(24);

/// How often a delivery looks whether another one has come to its end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

const NO_RETRY: HeaderName = HeaderName::from_static("x-slack-no-retry");

/// The function and what it works with.
pub struct Function {
    pub secrets: Secrets,
    pub counter: Option<Counter>,
    pub topic: Option<Topic>,
    /// Answers events, which otherwise are counted in silence.
    pub bot: Option<Bot>,
}

impl Function {
    /// From `DYNAMO_TABLE`, `SNS_TOPIC_ARN`, `SLACK_SIGNING_SECRET`, `SLACK_TOKEN` and
    /// `SLACK_BOT_TOKEN`. What is wrong with the last is logged, and the function counts all the same.
    pub fn from_env(aws: &mut Aws) -> Self {
        let counter = variable("DYNAMO_TABLE").map(|table| {
            Counter::new(aws.client("dynamodb", aws_sdk_dynamodb::Client::new), table)
        });
        let topic = variable("SNS_TOPIC_ARN")
            .map(|arn| Topic::new(aws.client("sns", aws_sdk_sns::Client::new), arn));
        let secrets = Secrets::from_env();
        let bot = Bot::from_env(aws).unwrap_or_else(|error| {
            log::line(
                &json!({"level": "error", "error": format!("cannot answer events: {error}")}),
            );
            None
        });
        if bot.is_some() && secrets.signing_secret.is_none() && secrets.token.is_none() {
            let warning = "whoever knows the URL can make the bot speak: set SLACK_SIGNING_SECRET";
            log::line(&json!({"level": "warn", "error": warning}));
        }
        Self { secrets, counter, topic, bot }
    }

    /// Always answers: what went wrong is in the status, and 503 makes Slack try again.
    pub async fn handle(
        &self,
        event: LambdaEvent<Value>,
    ) -> Result<ApiGatewayV2httpResponse, Error> {
        let started = Instant::now();
        let request_id = &event.context.request_id;
        let deadline = event.context.deadline();
        let work = Box::pin(self.answer(event.payload, request_id, deadline));
        let (answer, error) = match in_time(&event.context, work).await {
            Ok(answer) => (answer, None),
            Err(error) => (
                Answer::refuse(503, "This did not work out; see the function's log."),
                Some(error.to_string()),
            ),
        };
        log::line(&json!({
            "level": if error.is_some() { "error" } else { "info" },
            "request_id": request_id,
            "status": answer.status,
            "ms": started.elapsed().as_millis(),
            "error": error,
        }));
        let wrong = matches!(answer.status, 400..500) && answer.status != 401;
        let mut response = ApiGatewayV2httpResponse::from(answer);
        if wrong {
            // The same request will be no better.
            response.headers.insert(NO_RETRY, HeaderValue::from_static("1"));
        }
        Ok(response)
    }

    async fn answer(
        &self,
        event: Value,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<Answer, Error> {
        let call = Request::receive(event, &[Method::POST])
            .and_then(|request| self.secrets.accept(&request, SystemTime::now()));
        match call {
            Ok(Accepted::Message(message)) => self.count(&message, request_id, deadline).await,
            Ok(Accepted::Answer(answer)) | Err(answer) => Ok(answer),
        }
    }

    /// First the counts, then the publication, which is noted last: whatever fails, Slack's next attempt finds out
    /// from the marker what is missing. The counts are read before the publication, whose consumers change them.
    /// The bot's answer is noted before it is said, and what becomes of it changes nothing else.
    ///
    /// Of several deliveries of a message one at a time does what follows the counting, until it has answered, failed,
    /// or come to its deadline. Another attempt of Slack's waits for it; a copy of a request is refused.
    async fn count(
        &self,
        message: &Message,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<Answer, Error> {
        let Some(counter) = &self.counter else {
            let text = "Set DYNAMO_TABLE to the name of a DynamoDB table with the key `word`, and I will count.";
            return Ok(Answer::new(200, json!({ "text": text })));
        };
        let words = Words::of(&message.text);
        if words.counted.len() > MOST {
            let reason = format!("More than {MOST} different words in one message.");
            return Ok(Answer::refuse(413, &reason));
        }
        if words.counted.is_empty() {
            return Ok(Answer::new(200, slack::reply(message, &words, &[].into())));
        }

        let marker = message.id.as_ref().map(|id| {
            let signature = message.signature.as_deref();
            let marker = Marker::new("aws_advent", id, KEEP).signed(signature);
            let more = self.topic.is_some() || self.bot.is_some() && message.place.is_some();
            if more { marker.claimed(deadline) } else { marker }
        });
        let marker = marker.as_ref();
        let work = async {
            let earlier = counter.add(&words.counted, 1, marker).await?;
            let Some(left) = self.turn(counter, marker, message, earlier).await? else {
                return Ok(slack::unauthorized());
            };
            let counts = counter.read(&words.counted).await?;
            let reply = slack::reply(message, &words, &counts);
            self.finish(counter, marker, &left, (message, &reply), request_id).await?;
            Ok(Answer::new(200, reply))
        };
        let done: Result<_, Error> = work.await;
        if let (Err(_), Some(marker)) = (&done, marker) {
            // Otherwise the next attempt waits for the end of this invocation.
            drop(counter.release(marker).await);
        }
        done
    }

    /// Waits until no other delivery is at work on the message, and returns what this one is to do; `None` if the
    /// request is a copy of one that was seen to, or is being seen to.
    async fn turn(
        &self,
        counter: &Counter,
        marker: Option<&Marker>,
        message: &Message,
        mut earlier: Option<Earlier>,
    ) -> Result<Option<Left<'_>>, Error> {
        let signature = message.signature.as_ref();
        let seen = |own| earlier.as_ref().is_some_and(|earlier| earlier.signatures.contains(own));
        let copy = signature.is_some_and(seen);
        let left = |earlier: Option<&Earlier>| Left {
            again: earlier.is_some(),
            topic: self.topic.as_ref().filter(|_| earlier.is_none_or(|earlier| !earlier.published)),
            bot: self
                .bot
                .as_ref()
                .filter(|_| message.place.is_some() && earlier.is_none_or(|earlier| !earlier.told)),
        };
        while let (Some(marker), Some(known)) = (marker, &earlier) {
            if left(Some(known)).is_nothing() {
                return Ok((!copy).then_some(left(Some(known))));
            }
            if known.claimed_until.is_some_and(|until| until > SystemTime::now()) {
                if copy {
                    return Ok(None);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            } else if let Some(now) = counter.take_over(marker).await? {
                return Ok(Some(left(Some(&now))));
            }
            earlier = counter.look(marker).await?;
        }
        Ok(Some(left(None)))
    }

    /// Publishes the message and says the reply, as far as that is left to do.
    async fn finish(
        &self,
        counter: &Counter,
        marker: Option<&Marker>,
        left: &Left<'_>,
        (message, reply): (&Message, &Value),
        request_id: &str,
    ) -> Result<(), Error> {
        let telling = async {
            let Some((bot, place)) = left.bot.zip(message.place.as_ref()) else { return };
            if let Err(error) = tell(bot, place, reply, counter, marker).await {
                let error = format!("the answer is not in the channel: {error}");
                log::line(&json!({"level": "error", "request_id": request_id, "error": error}));
            }
        };
        let publishing = async {
            let Some(topic) = left.topic else { return Ok(()) };
            topic.publish(&message.text, message.id.as_deref().unwrap_or(request_id)).await
        };
        let ((), published) = join(telling, publishing).await;
        published?;
        let noted = match marker {
            Some(marker) if left.again && left.is_nothing() => counter.signed(marker).await,
            Some(marker) if self.topic.is_some() => counter.published(marker).await,
            _ => Ok(()),
        };
        if let Err(error) = noted {
            // Slack's next attempt would publish again, which the consumers notice by the id.
            log::line(
                &json!({"level": "warn", "request_id": request_id, "error": error.to_string()}),
            );
        }
        Ok(())
    }
}

/// What is to be done after the counting.
struct Left<'a> {
    /// There was an earlier delivery.
    again: bool,
    topic: Option<&'a Topic>,
    bot: Option<&'a Bot>,
}

impl Left<'_> {
    fn is_nothing(&self) -> bool {
        self.topic.is_none() && self.bot.is_none()
    }
}

/// Says the reply if no other delivery of the message does.
async fn tell(
    bot: &Bot,
    place: &Place,
    reply: &Value,
    counter: &Counter,
    marker: Option<&Marker>,
) -> Result<(), Error> {
    if let Some(marker) = marker
        && !counter.may_tell(marker).await?
    {
        return Ok(());
    }
    bot.say(place, reply["text"].as_str().unwrap_or_default()).await
}
