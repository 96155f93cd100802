//! An SNS topic.

use anyhow::Result;
use aws_sdk_sns::types::Tag;

use super::subscription::subscriptions;
use crate::aws::naming::Tags;
use crate::aws::retry::gone;
use crate::aws::{ApiError, Call, Cloud, Context, Names};
use crate::engine::{AlreadyExists, Diff, Found, Purpose, Resource};

pub struct Topic {
    pub name: String,
    /// ARNs of the functions that are to be subscribed to it.
    pub subscribers: Vec<String>,
    pub names: Names,
}

impl Topic {
    fn arn(&self) -> String {
        self.names.topic_arn(&self.name)
    }
}

impl Resource for Topic {
    const KIND: &'static str = "topic";
    const OUTLIVES_ITSELF: bool = true;
    type Cloud = Cloud;
    type Inputs = ();
    type State = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, (): &()) -> Option<String> {
        Some(self.arn())
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<()>> {
        let arn = self.arn();
        if cx.purpose == Purpose::Compare {
            let (subscribed, indexed) =
                tokio::join!(subscriptions(cx, &arn), cx.cloud.index.knows(cx, &arn));
            let Some(subscribed) = subscribed? else { return Ok(Found::Missing) };
            // To subscribe somebody is to write to the topic.
            let complete =
                self.subscribers.iter().all(|arn| subscribed.iter().any(|s| s.is_function(arn)));
            if indexed && complete {
                return Ok(Found::Ours(()));
            }
        }
        Ok(match tags(cx, &arn).await? {
            None => Found::Missing,
            Some(tags) => self.names.stranger(&tags).map_or(Found::Ours(()), Found::Foreign),
        })
    }

    fn diff(&self, (): &(), (): &()) -> Diff {
        Diff::Same
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<()> {
        let own = self.names.tags().into_iter();
        let own: Result<Vec<_>, _> =
            own.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let request = cx.cloud.sns.create_topic().name(&self.name).set_tags(Some(own?));
        let created = Call::new("sns:CreateTopic", &self.name)
            .wait(cx, &[])
            .send(|| request.clone().send())
            .await;
        match created {
            Ok(_) => Ok(()),
            // CreateTopic adopts what exists, but not if its tags are others: somebody else's.
            Err(error) if error.message.contains("already exists with different tags") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, (): &(), (): &(), _: &Context<'_>) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, (): &(), cx: &Context<'_>) -> Result<()> {
        let arn = self.arn();
        let deleted = Call::new("sns:DeleteTopic", &arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.delete_topic().topic_arn(&arn).send())
            .await;
        Ok(gone(deleted)?)
    }
}

/// A topic's tags, asked for once a run; `None` if there is no such topic.
pub async fn tags(cx: &Context<'_>, arn: &str) -> Result<Option<Tags>, ApiError> {
    let ask = || async {
        let answer = Call::new("sns:ListTagsForResource", arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.list_tags_for_resource().resource_arn(arn).send())
            .await;
        match answer {
            Ok(answer) => {
                let tags = answer.tags().iter();
                Ok(Some(tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect()))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    };
    cx.cloud.topic_tags.get(cx, arn, ask).await
}
