//! A function's subscription to a topic.

use anyhow::Result;

use crate::aws::retry::gone;
use crate::aws::{ApiError, Call, Cloud, Context, Names};
use crate::engine::{Diff, Found, Purpose, Resource};

pub struct Subscription {
    /// `{topic} -> {function}`, for people.
    pub label: String,
    pub topic: String,
    pub function: String,
    pub names: Names,
}

/// An entry of a topic's list of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    pub arn: String,
    pub protocol: String,
    /// For Lambda the function's ARN.
    pub endpoint: String,
}

impl Resource for Subscription {
    const KIND: &'static str = "subscription";
    type Cloud = Cloud;
    type Inputs = ();
    type State = Subscribed;

    fn name(&self) -> &str {
        &self.label
    }

    fn arn(&self, state: &Subscribed) -> Option<String> {
        Some(state.arn.clone())
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<Subscribed>> {
        let function = self.names.function_arn(&self.function);
        let topic = self.names.topic_arn(&self.topic);
        let ours = async {
            let indexed = cx.cloud.index.knows(cx, &topic).await;
            // What hangs on a stranger's topic is not ours to change.
            let stranger = |tags| self.names.stranger(&tags).is_some();
            Ok(indexed || super::topic::tags(cx, &topic).await?.is_some_and(|t| !stranger(t)))
        };
        // Where none is, the topic asks whose it is before anything is subscribed to it.
        let find = async {
            let all = subscriptions(cx, &topic).await?.unwrap_or_default();
            Ok::<_, ApiError>(all.into_iter().find(|known| known.is_function(&function)))
        };
        let (found, ours) = match cx.purpose {
            Purpose::Delete => tokio::try_join!(find, ours)?,
            Purpose::Compare => match find.await? {
                Some(found) => (Some(found), ours.await?),
                None => (None, false),
            },
        };
        Ok(found.filter(|_| ours).map_or(Found::Missing, Found::Ours))
    }

    fn diff(&self, (): &(), _: &Subscribed) -> Diff {
        Diff::Same
    }

    /// Subscribing twice gives the same subscription.
    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<Subscribed> {
        let topic = self.names.topic_arn(&self.topic);
        let function = self.names.function_arn(&self.function);
        let request = cx
            .cloud
            .sns
            .subscribe()
            .topic_arn(&topic)
            .protocol("lambda")
            .endpoint(&function)
            .return_subscription_arn(true);
        let answer = Call::new("sns:Subscribe", &topic).send(|| request.clone().send()).await?;
        Ok(Subscribed {
            arn: answer.subscription_arn.unwrap_or_default(),
            protocol: "lambda".to_owned(),
            endpoint: function,
        })
    }

    async fn update(&self, (): &(), state: &Subscribed, _: &Context<'_>) -> Result<Subscribed> {
        Ok(state.clone())
    }

    async fn delete(&self, state: &Subscribed, cx: &Context<'_>) -> Result<()> {
        let deleted = Call::new("sns:Unsubscribe", &state.arn)
            .send(|| cx.cloud.sns.unsubscribe().subscription_arn(&state.arn).send())
            .await;
        Ok(gone(deleted)?)
    }
}

impl Subscribed {
    /// Whether it is that of the function with this ARN.
    pub fn is_function(&self, arn: &str) -> bool {
        self.protocol == "lambda" && self.endpoint == arn
    }
}

/// A topic's subscriptions, asked for once a run; `None` if there is no such topic.
pub async fn subscriptions(
    cx: &Context<'_>,
    topic: &str,
) -> Result<Option<Vec<Subscribed>>, ApiError> {
    let ask = || async {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let request =
                cx.cloud.sns.list_subscriptions_by_topic().topic_arn(topic).set_next_token(token);
            let answer = Call::new("sns:ListSubscriptionsByTopic", topic)
                .send(|| request.clone().send())
                .await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            all.extend(answer.subscriptions().iter().map(|subscription| Subscribed {
                arn: subscription.subscription_arn().unwrap_or_default().to_owned(),
                protocol: subscription.protocol().unwrap_or_default().to_owned(),
                endpoint: subscription.endpoint().unwrap_or_default().to_owned(),
            }));
            token = answer.next_token;
            if token.is_none() {
                return Ok(Some(all));
            }
        }
    };
    cx.cloud.subscriptions.get(cx, topic, ask).await
}
