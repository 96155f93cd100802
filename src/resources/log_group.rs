//! A CloudWatch Logs group, made before its function so that Lambda never makes it.

use std::time::Duration;

use anyhow::Result;

use crate::aws::naming::Tags;
use crate::aws::retry::gone;
use crate::aws::{Call, Cloud, Context, Names, Wait};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Purpose, Resource};

const BUSY: Wait = Wait {
    code: "OperationAborted",
    message: "",
    note: "waiting for another change of the log group to end",
    at_most: Duration::from_mins(2),
};

pub struct LogGroup {
    pub name: String,
    /// Days; one of the values that `PutRetentionPolicy` accepts.
    pub retention: i32,
    pub names: Names,
}

#[derive(Debug, Clone)]
pub struct State {
    /// `None`: for ever.
    retention: Option<i32>,
}

impl Resource for LogGroup {
    const KIND: &'static str = "log group";
    type Cloud = Cloud;
    type Inputs = ();
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _: &State) -> Option<String> {
        Some(self.names.log_group_arn(&self.name))
    }

    fn data(&self, _: &State) -> Option<String> {
        Some("the logs in it".to_owned())
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let logs = &cx.cloud.logs;
        let arn = self.names.log_group_arn(&self.name);
        let groups = Call::new("logs:DescribeLogGroups", &self.name)
            .send(|| logs.describe_log_groups().log_group_name_prefix(&self.name).send());
        let tags = || {
            Call::new("logs:ListTagsForResource", &arn)
                .send(|| logs.list_tags_for_resource().resource_arn(&arn).send())
        };
        // What is to be deleted is there, most likely: both at once save a round trip. What is to
        // be created is not: one after the other saves a request.
        let (groups, tags_at_once) = match cx.purpose {
            Purpose::Delete => {
                let (groups, tags) = tokio::join!(groups, tags());
                (groups?, Some(tags))
            }
            Purpose::Compare => (groups.await?, None),
        };
        // The shortest name with a prefix is the first of the first page.
        let own = |group: &&_| {
            let group: &aws_sdk_cloudwatchlogs::types::LogGroup = group;
            group.log_group_name() == Some(&self.name)
        };
        let Some(group) = groups.log_groups().iter().find(own) else {
            return Ok(Found::Missing);
        };
        let tags = match tags_at_once {
            Some(tags) => tags,
            None => tags().await,
        };
        let tags: Tags = match tags {
            Ok(answer) => answer.tags.unwrap_or_default().into_iter().collect(),
            Err(error) if error.is_not_found() => return Ok(Found::Missing),
            Err(error) => return Err(error.into()),
        };
        Ok(match self.names.stranger(&tags) {
            Some(whose) => Found::Foreign(whose),
            None => Found::Ours(State { retention: group.retention_in_days() }),
        })
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        let days =
            |days: Option<i32>| days.map_or("never".to_owned(), |days| format!("{days} days"));
        changes.compare("expiry", &days(state.retention), &days(Some(self.retention)));
        changes.update()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let request = cx
            .cloud
            .logs
            .create_log_group()
            .log_group_name(&self.name)
            .set_tags(Some(self.names.tags().into_iter().collect()));
        let created = Call::new("logs:CreateLogGroup", &self.name)
            .wait(cx, &[BUSY])
            .send(|| request.clone().send())
            .await;
        match created {
            Ok(_) => self.update(&(), &State { retention: None }, cx).await,
            Err(error) if error.is("ResourceAlreadyExists") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, (): &(), _: &State, cx: &Context<'_>) -> Result<State> {
        let request = cx
            .cloud
            .logs
            .put_retention_policy()
            .log_group_name(&self.name)
            .retention_in_days(self.retention);
        Call::new("logs:PutRetentionPolicy", &self.name)
            .wait(cx, &[BUSY])
            .send(|| request.clone().send())
            .await?;
        Ok(State { retention: Some(self.retention) })
    }

    async fn delete(&self, _: &State, cx: &Context<'_>) -> Result<()> {
        let deleted = Call::new("logs:DeleteLogGroup", &self.name)
            .wait(cx, &[BUSY])
            .send(|| cx.cloud.logs.delete_log_group().log_group_name(&self.name).send())
            .await;
        Ok(gone(deleted)?)
    }
}
