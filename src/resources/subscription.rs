//! A function's subscription to a topic.

use anyhow::Result;

use crate::aws::retry::gone;
use crate::aws::{ApiError, Call, Cloud, Context, Names};
use crate::engine::{Diff, Found, Resource};

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
        let (tags, all) =
            tokio::try_join!(super::topic::tags(cx, &topic), subscriptions(cx, &topic))?;
        // What hangs on a stranger's topic is not ours to change.
        if tags.is_none_or(|tags| self.names.stranger(&tags).is_some()) {
            return Ok(Found::Missing);
        }
        Ok(all
            .into_iter()
            .find(|known| known.protocol == "lambda" && known.endpoint == function)
            .map_or(Found::Missing, Found::Ours))
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
        cx.cloud.subscriptions.forget(&topic);
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
        cx.cloud.subscriptions.forget(&self.names.topic_arn(&self.topic));
        Ok(gone(deleted)?)
    }
}

/// A topic's subscriptions, asked for once a run; none if there is no such topic.
pub async fn subscriptions(cx: &Context<'_>, topic: &str) -> Result<Vec<Subscribed>, ApiError> {
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
                Err(error) if error.is_not_found() => return Ok(all),
                Err(error) => return Err(error),
            };
            all.extend(answer.subscriptions().iter().map(|subscription| Subscribed {
                arn: subscription.subscription_arn().unwrap_or_default().to_owned(),
                protocol: subscription.protocol().unwrap_or_default().to_owned(),
                endpoint: subscription.endpoint().unwrap_or_default().to_owned(),
            }));
            token = answer.next_token;
            if token.is_none() {
                return Ok(all);
            }
        }
    };
    cx.cloud.subscriptions.get(topic, ask).await
}
