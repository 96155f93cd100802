//! A DynamoDB table: on demand, one string key, perhaps items that expire.

mod looks;

use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus, Tag, TimeToLiveSpecification, TimeToLiveStatus,
};
pub use looks::LOOKS;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::aws::naming::{Lacking, Tags};
use crate::aws::raw::Raw;
use crate::aws::retry::poll_pause;
use crate::aws::{ApiError, Call, Cloud, Context, Names, Pages, Wait, told};
use crate::engine::{
    AlreadyExists, Changes, Conflict, Diff, Found, Identity, Loss, Notices, Resource,
};
use crate::failure::Failure;
use crate::ownership::{Ours, found, indexed, own_tags};

/// Measured 2 to 7 s to become ACTIVE and 4 to 6 s to vanish; the rest is for a bad day.
const LONGEST_TRANSITION: Duration = Duration::from_mins(5);

const IN_TRANSITION: Wait = Wait {
    code: "ResourceInUse",
    message: "",
    note: "waiting for an earlier change of the table to end",
    at_most: LONGEST_TRANSITION,
};
/// What a read does not find for so long is gone.
const UNKNOWN: Duration = Duration::from_secs(20);
/// How DynamoDB refuses a second change of the expiry within an hour or so.
const TOO_SOON: &str = "multiple times within a fixed interval";
/// The tag API answers 404 for most of the time that a table is being created.
const TAGS_LAG: Wait = Wait {
    code: "ResourceNotFound",
    message: "",
    note: "waiting for the table's tags",
    at_most: Duration::from_secs(20),
};

pub struct TableId {
    pub name: String,
    pub names: Names,
}

pub struct Table {
    pub id: TableId,
    pub key: String,
    /// Attribute that holds an item's time of expiry.
    pub ttl: Option<String>,
}

#[derive(Debug, Clone)]
pub struct State {
    arn: String,
    key: String,
    on_demand: bool,
    ttl: Ttl,
    items: i64,
    deletion_protected: bool,
    notices: Notices,
    lacking: Lacking,
}

/// Whether items expire.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ttl {
    Off,
    /// By this attribute; no other can be set then.
    On(String),
    /// No longer by this attribute, and for up to an hour by no other.
    Ending(String),
}

impl Identity for TableId {
    const KIND: &'static str = "table";
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, state: &State) -> Option<String> {
        Some(state.arn.clone())
    }

    fn loss(&self, state: &State) -> Loss {
        // DescribeTable's count is up to six hours old, so none is no promise.
        Loss::Data(match state.items {
            0 => "all its items".to_owned(),
            items => format!("all its items (about {items})"),
        })
    }

    fn protection(&self, state: &State) -> Vec<String> {
        let name = &self.name;
        let lift =
            format!("dynamodb update-table --table-name {name} --no-deletion-protection-enabled");
        state.deletion_protected.then_some(lift).into_iter().collect()
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let arn = self.names.table_arn(&self.name);
        // What is to be deleted is there, most likely: its tags can be asked for at once.
        let (table, tags) = tokio::join!(self.describe(cx), tags_of(cx, &arn, &[]));
        let Some((table, _)) = table? else { return Ok(Found::Missing) };
        let tags = match tags {
            Ok(tags) => tags,
            // Somebody else may be deleting it at the same time.
            Err(_) if self.describe(cx).await?.is_none() => return Ok(Found::Missing),
            Err(_) => match tags_of(cx, &arn, &[TAGS_LAG]).await {
                Err(error)
                    if ApiError::is_not_found_in(&error) && self.describe(cx).await?.is_none() =>
                {
                    return Ok(Found::Missing);
                }
                tags => tags?,
            },
        };
        Ok(self.judged(&tags, &table, Ttl::Off))
    }

    async fn delete(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        // Refused before anything is deleted, and so not to be met here.
        if state.deletion_protected {
            bail!("table {} is protected from being deleted", self.name);
        }
        let deleted = Call::new("dynamodb:DeleteTable", &self.name)
            .wait(cx, &[IN_TRANSITION])
            .send(|| cx.cloud.dynamodb.delete_table().table_name(&self.name).send())
            .await;
        match deleted {
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.poll(cx, "waiting for the table to be gone", |status| status.is_none()).await
    }
}

impl Resource for Table {
    type Id = TableId;
    type Inputs = ();

    fn id(&self) -> &TableId {
        &self.id
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let arn = self.id.names.table_arn(&self.id.name);
        let (table, indexed) = tokio::join!(self.id.describe(cx), indexed(cx, &arn));
        let Some((table, seen)) = table? else { return Ok(Found::Missing) };
        let judged = self.judge(cx, &arn, &table, indexed);
        let (found, notices) = tokio::join!(judged, self.read_notices(&seen, cx));
        found?.try_map(|state| Ok(State { notices: notices?, ..state }))
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        changes.compare("key", &state.key, &self.key);
        if !changes.0.is_empty() {
            return Diff::Replace(changes.0);
        }
        if !state.on_demand {
            changes.push("billing", "provisioned", "on demand");
        }
        state.lacking.compare(&mut changes);
        if let Some(wanted) = &self.ttl {
            let (from, to) = match &state.ttl {
                Ttl::Off => ("off".to_owned(), wanted.clone()),
                Ttl::On(attribute) if attribute == wanted => (wanted.clone(), wanted.clone()),
                Ttl::On(attribute) => (
                    attribute.clone(),
                    format!("off; {wanted} up to an hour later, by another `advent up`"),
                ),
                Ttl::Ending(attribute) => {
                    (format!("{attribute}, which ends within an hour"), wanted.clone())
                }
            };
            changes.compare("ttl", &from, &to);
        }
        changes.update()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let key =
            |kind| KeySchemaElement::builder().attribute_name(&self.key).key_type(kind).build();
        let attribute = AttributeDefinition::builder()
            .attribute_name(&self.key)
            .attribute_type(ScalarAttributeType::S)
            .build()?;
        let request = cx
            .cloud
            .dynamodb
            .create_table()
            .table_name(&self.id.name)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key(KeyType::Hash)?)
            .attribute_definitions(attribute)
            .set_tags(Some(sdk_tags(&self.id.names.all_tags())?));
        let created =
            Call::new("dynamodb:CreateTable", &self.id.name).send(|| request.clone().send()).await;
        match created {
            Ok(answer) => Ok(State {
                arn: answer
                    .table_description
                    .and_then(|table| table.table_arn)
                    .unwrap_or_else(|| self.id.names.table_arn(&self.id.name)),
                key: self.key.clone(),
                on_demand: true,
                ttl: Ttl::Off,
                items: 0,
                deletion_protected: false,
                notices: Notices::default(),
                lacking: Lacking::default(),
            }),
            Err(error) if error.is("ResourceInUse") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, (): &(), state: &State, cx: &Context<'_>) -> Result<State> {
        if !state.on_demand {
            let request = cx
                .cloud
                .dynamodb
                .update_table()
                .table_name(&self.id.name)
                .billing_mode(BillingMode::PayPerRequest);
            Call::new("dynamodb:UpdateTable", &self.id.name)
                .wait(cx, &[IN_TRANSITION])
                .send(|| request.clone().send())
                .await?;
        }
        if !state.lacking.is_empty() {
            let request = cx
                .cloud
                .dynamodb
                .tag_resource()
                .resource_arn(&state.arn)
                .set_tags(Some(sdk_tags(&state.lacking.tags())?));
            Call::new("dynamodb:TagResource", &self.id.name)
                .wait(cx, &[IN_TRANSITION])
                .send(|| request.clone().send())
                .await?;
        }
        Ok(State { on_demand: true, lacking: Lacking::default(), ..state.clone() })
    }

    async fn wait_until_ready(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        self.id.wait_active(cx).await?;
        let Some(wanted) = &self.ttl else { return Ok(()) };
        match &state.ttl {
            Ttl::On(attribute) if attribute == wanted => Ok(()),
            Ttl::Off => self.set_ttl(wanted, true, cx).await,
            Ttl::On(attribute) => {
                self.set_ttl(attribute, false, cx).await?;
                Err(self.not_yet(&format!("items no longer expire by {attribute}")).into())
            }
            Ttl::Ending(attribute) => {
                Err(self.not_yet(&format!("{attribute} is still being switched off")).into())
            }
        }
    }
}

impl TableId {
    fn judged(&self, tags: &Tags, table: &TableDescription, ttl: Ttl) -> Found<State> {
        found(&self.names, tags, |lacking| State { lacking, ..self.state(table, ttl) })
    }

    fn state(&self, table: &TableDescription, ttl: Ttl) -> State {
        // Strings are not named: a key of another type is another key.
        let attribute = |name: &str| {
            let defined = table.attribute_definitions().iter().find(|it| it.attribute_name == name);
            let kind = defined.map(|it| &it.attribute_type);
            let other = kind.filter(|kind| **kind != ScalarAttributeType::S);
            other.map_or_else(|| name.to_owned(), |kind| format!("{name} ({kind})"))
        };
        let key = table.key_schema().iter().map(|part| attribute(part.attribute_name()));
        let key: Vec<_> = key.collect();
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        State {
            key: key.join(", "),
            on_demand: billing == Some(&BillingMode::PayPerRequest),
            ttl,
            items: table.item_count().unwrap_or_default(),
            deletion_protected: table.deletion_protection_enabled().unwrap_or_default(),
            notices: Notices::default(),
            lacking: Lacking::default(),
            arn: table.table_arn().map_or_else(|| self.names.table_arn(&self.name), str::to_owned),
        }
    }

    /// The table, unless there is none; one that is being deleted is waited for.
    /// With it comes the answer as it was.
    async fn describe(&self, cx: &Context<'_>) -> Result<Option<(TableDescription, Value)>> {
        let begun = Instant::now();
        let raw = Raw::default();
        loop {
            let request = || {
                let request = cx.cloud.dynamodb.describe_table().table_name(&self.name);
                request.customize().interceptor(raw.clone()).send()
            };
            let described = Call::new("dynamodb:DescribeTable", &self.name).send(request).await;
            let table = match described {
                Ok(answer) => told(answer.table, "Table", ("dynamodb:DescribeTable", &self.name))?,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            // While it is being deleted its tags are gone already: wait to see what is left.
            if table.table_status() != Some(&TableStatus::Deleting) {
                return Ok(Some((table, raw.take()["Table"].take())));
            }
            if begun.elapsed() > LONGEST_TRANSITION {
                bail!("table {} is still being deleted after 5 minutes", self.name);
            }
            cx.note("waiting for the table to be deleted");
            sleep(poll_pause(begun.elapsed())).await;
        }
    }

    async fn wait_active(&self, cx: &Context<'_>) -> Result<()> {
        self.poll(cx, "waiting for the table to be active", |status| {
            status == Some(&TableStatus::Active)
        })
        .await
    }

    async fn poll(
        &self,
        cx: &Context<'_>,
        note: &str,
        done: impl Fn(Option<&TableStatus>) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut seen = begun;
        loop {
            let described = Call::new("dynamodb:DescribeTable", &self.name)
                .wait(cx, &[])
                .send(|| cx.cloud.dynamodb.describe_table().table_name(&self.name).send())
                .await;
            let status = match &described {
                Ok(answer) => {
                    told(answer.table(), "Table", ("dynamodb:DescribeTable", &self.name))?
                        .table_status()
                }
                Err(error) if error.is_not_found() => None,
                Err(_) => {
                    described?;
                    None
                }
            };
            if done(status) {
                return Ok(());
            }
            if status.is_some() {
                seen = Instant::now();
            } else if seen.elapsed() > UNKNOWN {
                return Err(anyhow::Error::new(Conflict)
                    .context(format!("table {} is gone again", self.name)));
            }
            if begun.elapsed() > LONGEST_TRANSITION {
                bail!("gave up {note} {} after 5 minutes", self.name);
            }
            cx.note(note);
            sleep(poll_pause(begun.elapsed())).await;
        }
    }
}

impl Table {
    /// Whose a table is, and what its parts are.
    async fn judge(
        &self,
        cx: &Context<'_>,
        arn: &str,
        table: &TableDescription,
        indexed: Option<Ours>,
    ) -> Result<Found<State>> {
        let ttl_at_once = if indexed.is_some() { self.ttl_of(cx).await.ok() } else { None };
        if let (Some(ours), Some(ttl)) = (indexed, &ttl_at_once) {
            let state = self.id.state(table, ttl.clone());
            if self.diff(&(), &state) == Diff::Same {
                return Ok(ours.found(state));
            }
        }
        let ttl = async {
            match ttl_at_once {
                Some(ttl) => Ok(ttl),
                None => self.ttl_of(cx).await,
            }
        };
        let is_gone = async || anyhow::Ok(self.id.describe(cx).await?.is_none());
        match tokio::try_join!(tags_of(cx, arn, &[TAGS_LAG]), ttl) {
            // Somebody else deletes it at the same time.
            Err(error) if ApiError::is_not_found_in(&error) && is_gone().await? => {
                Ok(Found::Missing)
            }
            read => {
                let (tags, ttl) = read?;
                Ok(self.id.judged(&tags, table, ttl))
            }
        }
    }

    /// Whether items expire, if anybody cares.
    async fn ttl_of(&self, cx: &Context<'_>) -> Result<Ttl> {
        if self.ttl.is_none() {
            return Ok(Ttl::Off);
        }
        let answer = Call::new("dynamodb:DescribeTimeToLive", &self.id.name)
            .send(|| cx.cloud.dynamodb.describe_time_to_live().table_name(&self.id.name).send())
            .await?;
        let asked = ("dynamodb:DescribeTimeToLive", self.id.name.as_str());
        let found = told(answer.time_to_live_description, "TimeToLiveDescription", asked)?;
        let attribute = found.attribute_name.unwrap_or_default();
        Ok(match found.time_to_live_status {
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => Ttl::On(attribute),
            Some(TimeToLiveStatus::Disabling) => Ttl::Ending(attribute),
            _ => Ttl::Off,
        })
    }

    async fn set_ttl(&self, attribute: &str, on: bool, cx: &Context<'_>) -> Result<()> {
        let spec =
            TimeToLiveSpecification::builder().enabled(on).attribute_name(attribute).build()?;
        let request = cx
            .cloud
            .dynamodb
            .update_time_to_live()
            .table_name(&self.id.name)
            .time_to_live_specification(spec);
        let set = Call::new("dynamodb:UpdateTimeToLive", &self.id.name)
            .wait(cx, &[IN_TRANSITION])
            .send(|| request.clone().send())
            .await;
        match set {
            // Not: with a different attribute.
            Err(error) if error.message.ends_with("already enabled") && on => Ok(()),
            Err(error) if error.message.ends_with("already disabled") && !on => Ok(()),
            Err(error) if error.message.contains(TOO_SOON) => {
                Err(self.not_yet("it was changed within the last hour").source(error).into())
            }
            set => Ok(set.map(drop)?),
        }
    }

    /// What is left to be done when DynamoDB allows it.
    fn not_yet(&self, why: &str) -> Failure {
        let wanted = self.ttl.as_deref().unwrap_or("off");
        let what = format!(
            "the expiry of table {} could not be set to {wanted} yet: {why}, and DynamoDB takes \
             another change only after up to an hour",
            self.id.name
        );
        Failure::new(what).hint("run `advent up` again in an hour")
    }
}

async fn tags_of(cx: &Context<'_>, arn: &str, waits: &[Wait]) -> Result<Tags> {
    own_tags(cx, arn, || list_tags(cx, arn, waits)).await
}

async fn list_tags(cx: &Context<'_>, arn: &str, waits: &[Wait]) -> Result<Tags> {
    const CALL: &str = "dynamodb:ListTagsOfResource";
    let tags = Pages::of(CALL, arn).all(|token| async move {
        let request =
            cx.cloud.dynamodb.list_tags_of_resource().resource_arn(arn).set_next_token(token);
        let page = Call::new(CALL, arn).wait(cx, waits).send(|| request.clone().send()).await?;
        Ok((told(page.tags, "Tags", (CALL, arn))?, page.next_token))
    });
    Ok(tags.await?.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    Ok(tags.collect::<Result<_, _>>()?)
}
