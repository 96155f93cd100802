//! An SNS topic.

use anyhow::Result;
use aws_sdk_sns::types::Tag;

use super::subscription::subscriptions;
use crate::aws::index::own_tags;
use crate::aws::naming::{Lacking, Tags};
use crate::aws::retry::gone;
use crate::aws::{ApiError, Call, Cloud, Context, Names};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Purpose, Resource};

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
    /// What it lacks of the author's own tags.
    type State = Lacking;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _: &Lacking) -> Option<String> {
        Some(self.arn())
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<Lacking>> {
        let arn = self.arn();
        if cx.purpose == Purpose::Compare {
            let (subscribed, indexed) =
                tokio::join!(subscriptions(cx, &arn), cx.cloud.index.knows(cx, &arn));
            let Some(subscribed) = subscribed? else { return Ok(Found::Missing) };
            // To subscribe somebody is to write to the topic.
            let complete =
                self.subscribers.iter().all(|arn| subscribed.iter().any(|s| s.is_function(arn)));
            if indexed && complete {
                return Ok(Found::Ours(Lacking::default()));
            }
        }
        Ok(match tags(cx, &arn).await? {
            None => Found::Missing,
            Some(tags) => match self.names.stranger(&tags) {
                Some(whose) => Found::Foreign(whose),
                None => Found::Ours(self.names.lacking(&tags)),
            },
        })
    }

    fn diff(&self, (): &(), lacking: &Lacking) -> Diff {
        let mut changes = Changes::default();
        lacking.compare(&mut changes);
        changes.update()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<Lacking> {
        let tags = sdk_tags(self.names.all_tags())?;
        let request = cx.cloud.sns.create_topic().name(&self.name).set_tags(Some(tags));
        let created = Call::new("sns:CreateTopic", &self.name)
            .wait(cx, &[])
            .send(|| request.clone().send())
            .await;
        match created {
            Ok(_) => Ok(Lacking::default()),
            // CreateTopic adopts what exists, but not if its tags are others: somebody else's.
            Err(error) if error.message.contains("already exists with different tags") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, (): &(), lacking: &Lacking, cx: &Context<'_>) -> Result<Lacking> {
        if !lacking.is_empty() {
            let tags = sdk_tags(lacking.tags())?;
            let request = cx.cloud.sns.tag_resource().resource_arn(self.arn()).set_tags(Some(tags));
            Call::new("sns:TagResource", &self.name).send(|| request.clone().send()).await?;
        }
        Ok(Lacking::default())
    }

    async fn delete(&self, _: &Lacking, cx: &Context<'_>) -> Result<()> {
        let arn = self.arn();
        let deleted = Call::new("sns:DeleteTopic", &arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.delete_topic().topic_arn(&arn).send())
            .await;
        Ok(gone(deleted)?)
    }
}

fn sdk_tags(tags: Tags) -> Result<Vec<Tag>> {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    Ok(tags.collect::<Result<_, _>>()?)
}

/// A topic's tags, asked for once a run; `None` if there is no such topic.
pub async fn tags(cx: &Context<'_>, arn: &str) -> Result<Option<Tags>, ApiError> {
    let list = async || -> Result<Tags, ApiError> {
        let answer = Call::new("sns:ListTagsForResource", arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.list_tags_for_resource().resource_arn(arn).send())
            .await?;
        Ok(answer.tags().iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
    };
    let ask = || async {
        match own_tags(cx, arn, list).await {
            Ok(tags) => Ok(Some(tags)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    };
    cx.cloud.topic_tags.get(cx, arn, ask).await
}
