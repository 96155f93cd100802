//! A CloudWatch Logs group, made before its function so that Lambda never makes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use aws_sdk_cloudwatchlogs::types::LogGroup as LogGroupDescription;
use aws_smithy_types::DateTime;

use crate::aws::cache::Cache;
use crate::aws::naming::{Lacking, Tags};
use crate::aws::raw::Raw;
use crate::aws::retry::ignore_not_found;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Pages, told};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Identity, Loss, Notices, Part, Resource};
use crate::ownership::{found, indexed, own_tags};

use super::watch::{Look, Usual, identity, ignored, ours, watched};

/// What is done about each property. `DescribeSubscriptionFilters`, which takes 5 calls a second, is
/// not asked.
pub const LOOKS: &[Look] = &[
    Look {
        call: "logs:DescribeLogGroups",
        root: "logGroups[]",
        properties: &[
            identity("logGroupName", "it is found by"),
            ignored("creationTime", "tells only whether a shorter expiry would delete something"),
            ours("retentionInDays", "expiry", "advent.toml says it"),
            watched("metricFilterCount", Usual::Nothing, "they go with the group"),
            identity("arn", "follows from the name"),
            ignored("storedBytes", "what is in it"),
            watched("kmsKeyId", Usual::Nothing, "organisations demand it"),
            watched(
                "dataProtectionStatus",
                Usual::Any(&["DISABLED", "DELETED", "ARCHIVED"]),
                "masks what is in the logs",
            ),
            ignored("inheritedProperties", "set for the whole account"),
            watched("logGroupClass", Usual::Any(&["STANDARD"]), "fixed when it is created"),
            identity("logGroupArn", "follows from the name"),
            watched(
                "deletionProtectionEnabled",
                Usual::Nothing,
                "`advent down` refuses while it is on, and says how to lift it",
            ),
            watched(
                "bearerTokenAuthenticationEnabled",
                Usual::Nothing,
                "who may write with a token",
            ),
        ],
    },
    Look {
        call: "logs:ListTagsForResource",
        root: "",
        properties: &[ours(
            "tags",
            "tag ",
            "those of advent.toml; others belong to whoever set them",
        )],
    },
];

/// In milliseconds.
const DAY: i64 = 86_400_000;

pub struct LogGroupId {
    pub name: String,
    /// Beginning of the names of all that are looked up in one go.
    pub lookup: String,
    pub names: Names,
}

pub struct LogGroup {
    pub id: LogGroupId,
    /// Days; one of the values that `PutRetentionPolicy` accepts.
    pub retention: i32,
}

#[derive(Debug, Clone, Default)]
pub struct State {
    /// `None`: for ever.
    retention: Option<i32>,
    /// Whole days since it was made, when it was read. 0 where that is not told.
    age: i64,
    protected: bool,
    notices: Notices,
    lacking: Lacking,
}

impl Identity for LogGroupId {
    const KIND: &'static str = "log group";
    const STALE_READS_AFTER_DELETE: bool = true;
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _: &State) -> Option<String> {
        Some(self.arn())
    }

    fn loss(&self, _: &State) -> Loss {
        Loss::Data("the logs in it".to_owned())
    }

    fn protection(&self, state: &State) -> Vec<String> {
        let lift = format!(
            "logs put-log-group-deletion-protection --log-group-identifier {} \
             --no-deletion-protection-enabled",
            self.name
        );
        state.protected.then_some(lift).into_iter().collect()
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        // What is to be deleted is there, most likely: both at once save a round trip.
        let (groups, tags) = tokio::join!(listed(cx, &self.lookup, &self.name), self.tags(cx));
        let Some(state) = groups?.get(&self.name).cloned() else { return Ok(Found::Missing) };
        self.judged(state, tags)
    }

    async fn delete(&self, _: &State, cx: &Context<'_>) -> Result<()> {
        let deleted = Call::new("logs:DeleteLogGroup", &self.name)
            .wait(cx, &[])
            .send(|| cx.cloud.logs.delete_log_group().log_group_name(&self.name).send())
            .await;
        Ok(ignore_not_found(deleted)?)
    }
}

impl Resource for LogGroup {
    type Id = LogGroupId;
    type Inputs = ();

    fn id(&self) -> &LogGroupId {
        &self.id
    }

    /// A shorter expiry deletes what is older (CloudWatch Logs' `PutRetentionPolicy`). What is in a
    /// group is no older than the group.
    fn removals(&self, state: &State) -> Vec<Part> {
        let shorter = state.retention.is_none_or(|days| days > self.retention);
        let loses = shorter && state.age >= i64::from(self.retention);
        let part = Part { kind: "log events", name: format!("older than {} days", self.retention) };
        loses.then_some(part).into_iter().collect()
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let LogGroupId { name, lookup, .. } = &self.id;
        let arn = self.id.arn();
        // What is to be created is not there: one after the other saves a request.
        let (groups, indexed) = tokio::join!(listed(cx, lookup, name), indexed(cx, &arn));
        let Some(state) = groups?.get(name).cloned() else { return Ok(Found::Missing) };
        if let Some(ours) = indexed
            && self.diff(&(), &state) == Diff::Same
        {
            return Ok(ours.found(state));
        }
        self.id.judged(state, self.id.tags(cx).await)
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        let days =
            |days: Option<i32>| days.map_or("never".to_owned(), |days| format!("{days} days"));
        changes.compare("expiry", &days(state.retention), &days(Some(self.retention)));
        state.lacking.compare(&mut changes);
        changes.update()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let request = cx
            .cloud
            .logs
            .create_log_group()
            .log_group_name(&self.id.name)
            .set_tags(Some(self.id.names.all_tags().into_iter().collect()));
        let created = Call::new("logs:CreateLogGroup", &self.id.name)
            .wait(cx, &[])
            .send(|| request.clone().send())
            .await;
        match created {
            Ok(_) => self.update(&(), &State::default(), cx).await,
            Err(error) if error.is("ResourceAlreadyExists") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, (): &(), state: &State, cx: &Context<'_>) -> Result<State> {
        let logs = &cx.cloud.logs;
        if !state.lacking.is_empty() {
            let request = logs
                .tag_resource()
                .resource_arn(self.id.arn())
                .set_tags(Some(state.lacking.tags().into_iter().collect()));
            Call::new("logs:TagResource", &self.id.name)
                .wait(cx, &[])
                .send(|| request.clone().send())
                .await?;
        }
        let wanted =
            State { retention: Some(self.retention), lacking: Lacking::default(), ..state.clone() };
        if state.retention == wanted.retention {
            return Ok(wanted);
        }
        let request = logs
            .put_retention_policy()
            .log_group_name(&self.id.name)
            .retention_in_days(self.retention);
        Call::new("logs:PutRetentionPolicy", &self.id.name)
            .wait(cx, &[])
            .send(|| request.clone().send())
            .await?;
        Ok(wanted)
    }
}

impl LogGroupId {
    fn arn(&self) -> String {
        self.names.log_group_arn(&self.name)
    }

    async fn tags(&self, cx: &Context<'_>) -> Result<Tags, ApiError> {
        let (logs, arn) = (&cx.cloud.logs, &self.arn());
        let asked = ("logs:ListTagsForResource", arn.as_str());
        let ask = async || -> Result<Tags, ApiError> {
            let request = || logs.list_tags_for_resource().resource_arn(arn).send();
            let answer = Call::new(asked.0, asked.1).send(request).await?;
            Ok(told(answer.tags, "tags", asked)?.into_iter().collect())
        };
        own_tags(cx, arn, ask).await
    }

    fn judged(&self, state: State, tags: Result<Tags, ApiError>) -> Result<Found<State>> {
        let tags = match tags {
            Err(error) if error.is_not_found() => return Ok(Found::Missing),
            tags => tags?,
        };
        Ok(found(&self.names, &tags, |lacking| State { lacking, ..state }))
    }
}

/// Groups by name.
type Listed = Arc<BTreeMap<String, State>>;

/// By the beginning of their names.
#[derive(Default)]
struct Lists(Cache<Listed>);

/// The groups whose names begin so, asked for once a run: all of them, or up to `name`.
async fn listed(cx: &Context<'_>, prefix: &str, name: &str) -> Result<Listed, ApiError> {
    let ask = || async {
        let (mut all, mut token) = (BTreeMap::new(), None);
        let mut pages = Pages::of("logs:DescribeLogGroups", prefix);
        let now = DateTime::from(SystemTime::now()).to_millis().unwrap_or_default();
        loop {
            let request = cx
                .cloud
                .logs
                .describe_log_groups()
                .log_group_name_prefix(prefix)
                .set_next_token(token);
            let raw = Raw::default();
            let request = || request.clone().customize().interceptor(raw.clone()).send();
            let page = Call::new("logs:DescribeLogGroups", prefix).send(request).await?;
            let raw = raw.take();
            let notices = |name: &str| {
                let groups = raw["logGroups"].as_array();
                let group = groups.into_iter().flatten().find(|it| it["logGroupName"] == name);
                let watched = group.map(|group| LOOKS[0].notices("", group, name));
                Notices { watched: watched.unwrap_or_default(), ..Notices::default() }
            };
            let asked = ("logs:DescribeLogGroups", prefix);
            let groups = told(page.log_groups, "logGroups", asked)?.into_iter();
            let state = |group: LogGroupDescription| {
                let protected = group.deletion_protection_enabled.unwrap_or_default();
                let name = group.log_group_name?;
                let made = group.creation_time.unwrap_or(now);
                let state = State {
                    retention: group.retention_in_days,
                    age: (now - made) / DAY,
                    protected,
                    notices: notices(&name),
                    lacking: Lacking::default(),
                };
                Some((name, state))
            };
            all.extend(groups.filter_map(state));
            // They come in order, the shortest name with a prefix first.
            if prefix == name {
                return Ok(Arc::new(all));
            }
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(Arc::new(all));
            }
        }
    };
    cx.cloud.answers.of::<Lists>().0.get(cx, prefix, ask).await
}
