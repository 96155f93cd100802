//! An SNS topic.

mod looks;

use anyhow::Result;
use aws_sdk_sns::types::Tag;

pub use looks::LOOKS;
use serde_json::{Value, json};

use super::subscription::{Subscribed, subscriptions};
use super::watch::optional;
use crate::aws::cache::Cache;
use crate::aws::naming::{Lacking, Tags};
use crate::aws::retry::ignore_not_found;
use crate::aws::{ApiError, Call, Cloud, Context, Names, told};
use crate::engine::{
    AlreadyExists, Changes, Diff, Found, Identity, Notices, Part, Resource, Watched,
};
use crate::ownership::{indexed, judge, own_tags};

pub struct TopicId {
    pub name: String,
    pub names: Names,
}

pub struct Topic {
    pub id: TopicId,
    /// ARNs of the functions that are to be subscribed to it.
    pub subscribers: Vec<String>,
}

impl TopicId {
    fn arn(&self) -> String {
        self.names.topic_arn(&self.name)
    }
}

#[derive(Debug, Clone, Default)]
pub struct State {
    /// What it lacks of the author's own tags.
    lacking: Lacking,
    notices: Notices,
    /// All of them, which are deleted with it.
    subscriptions: Vec<Subscribed>,
}

impl Identity for TopicId {
    const KIND: &'static str = "topic";
    const STALE_READS_AFTER_DELETE: bool = true;
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _: &State) -> Option<String> {
        Some(self.arn())
    }

    fn deleted_with(&self, state: &State) -> Vec<Part> {
        state.subscriptions.iter().map(Subscribed::part).collect()
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let arn = self.arn();
        let (tags, subscribed) = tokio::join!(tags(cx, &arn), subscriptions(cx, &arn));
        let Some(tags) = tags? else { return Ok(Found::Missing) };
        match judge(&self.names, &tags) {
            Ok(ours) => {
                let subscribed = subscribed?.unwrap_or_default();
                Ok(ours.found(State { subscriptions: subscribed, ..State::default() }))
            }
            Err(foreign) => Ok(foreign.found()),
        }
    }

    async fn delete(&self, _: &State, cx: &Context<'_>) -> Result<()> {
        let arn = self.arn();
        let deleted = Call::new("sns:DeleteTopic", &arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.delete_topic().topic_arn(&arn).send())
            .await;
        Ok(ignore_not_found(deleted)?)
    }
}

impl Resource for Topic {
    type Id = TopicId;
    type Inputs = ();

    fn id(&self) -> &TopicId {
        &self.id
    }

    /// Subscriptions of others: those of the stack are things of its own.
    fn deleted_with(&self, state: &State) -> Vec<Part> {
        self.others(&state.subscriptions).map(Subscribed::part).collect()
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let arn = self.id.arn();
        let (subscribed, indexed) = tokio::join!(subscriptions(cx, &arn), indexed(cx, &arn));
        let Some(subscribed) = subscribed? else { return Ok(Found::Missing) };
        // To subscribe somebody is to write to the topic.
        let complete =
            self.subscribers.iter().all(|arn| subscribed.iter().any(|s| s.is_function(arn)));
        if let Some(ours) = indexed
            && complete
        {
            let notices = self.read_notices(cx).await?;
            return Ok(ours.found(self.state(subscribed, notices, Lacking::default())));
        }
        let (tags, notices) = tokio::join!(tags(cx, &arn), self.read_notices(cx));
        let Some(tags) = tags? else { return Ok(Found::Missing) };
        match judge(&self.id.names, &tags) {
            Ok(ours) => {
                let state = self.state(subscribed, notices?, ours.lacking().clone());
                Ok(ours.found(state))
            }
            Err(foreign) => Ok(foreign.found()),
        }
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        state.lacking.compare(&mut changes);
        changes.update()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let tags = sdk_tags(self.id.names.all_tags())?;
        let request = cx.cloud.sns.create_topic().name(&self.id.name).set_tags(Some(tags));
        let created = Call::new("sns:CreateTopic", &self.id.name)
            .wait(cx, &[])
            .send(|| request.clone().send())
            .await;
        match created {
            Ok(_) => Ok(State::default()),
            // CreateTopic adopts what exists, but not if its tags are others: somebody else's.
            Err(error) if error.message.contains("already exists with different tags") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, (): &(), state: &State, cx: &Context<'_>) -> Result<State> {
        if !state.lacking.is_empty() {
            let tags = sdk_tags(state.lacking.tags())?;
            let request =
                cx.cloud.sns.tag_resource().resource_arn(self.id.arn()).set_tags(Some(tags));
            Call::new("sns:TagResource", &self.id.name).send(|| request.clone().send()).await?;
        }
        Ok(State { lacking: Lacking::default(), ..state.clone() })
    }
}

impl Topic {
    fn others<'a>(&self, all: &'a [Subscribed]) -> impl Iterator<Item = &'a Subscribed> {
        let wanted = |it: &Subscribed| self.subscribers.iter().any(|arn| it.is_function(arn));
        all.iter().filter(move |it| !wanted(it))
    }

    fn state(&self, all: Vec<Subscribed>, mut notices: Notices, lacking: Lacking) -> State {
        // Those of functions that advent.toml no longer has are deleted.
        let earlier = self.id.names.function_arn(&self.id.names.physical(None, ""));
        let foreign = self.others(&all).filter(|it| !it.endpoint.starts_with(&earlier));
        notices.watched.extend(foreign.map(|it| Watched {
            property: "Subscriptions".to_owned(),
            found: format!("{} {}", it.protocol, it.endpoint),
            usual: None,
            alarm: Some("whoever that is gets a copy of every message".to_owned()),
        }));
        State { subscriptions: all, notices, lacking }
    }

    /// What somebody has set that advent.toml does not speak of.
    async fn read_notices(&self, cx: &Context<'_>) -> Result<Notices, ApiError> {
        let mut notices = Notices::default();
        let arn = self.id.arn();
        let answer = Call::new("sns:GetTopicAttributes", &arn)
            .send(|| cx.cloud.sns.get_topic_attributes().topic_arn(&arn).send())
            .await;
        let answer = optional("the topic's attributes", answer, &mut notices.unread)?;
        let Some(answer) = answer else { return Ok(notices) };
        let attributes = told(answer.attributes, "Attributes", ("sns:GetTopicAttributes", &arn))?;
        let mut seen = json!(attributes);
        let policy: Value = attributes
            .get("Policy")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        if looks::is_default(&policy, &arn, &self.id.names.account) {
            seen["Policy"] = Value::Null;
        }
        notices.watched = LOOKS[0].notices("", &seen, &self.id.name);
        if looks::is_public(&policy) {
            let policy = notices.watched.iter_mut().filter(|it| it.property == "Policy");
            policy.for_each(|it| it.alarm = Some("everybody may use the topic".to_owned()));
        }
        Ok(notices)
    }
}

fn sdk_tags(tags: Tags) -> Result<Vec<Tag>> {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    Ok(tags.collect::<Result<_, _>>()?)
}

/// `None` if there is no such topic.
#[derive(Default)]
struct TagsByArn(Cache<Option<Tags>>);

/// A topic's tags, asked for once a run; `None` if there is no such topic.
pub async fn tags(cx: &Context<'_>, arn: &str) -> Result<Option<Tags>, ApiError> {
    let list = async || -> Result<Tags, ApiError> {
        let answer = Call::new("sns:ListTagsForResource", arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.list_tags_for_resource().resource_arn(arn).send())
            .await?;
        let tags = told(answer.tags, "Tags", ("sns:ListTagsForResource", arn))?;
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    };
    let ask = || async {
        match own_tags(cx, arn, list).await {
            Ok(tags) => Ok(Some(tags)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    };
    cx.cloud.answers.of::<TagsByArn>().0.get(cx, arn, ask).await
}
