//! A function's subscription to a topic.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::aws::cache::Cache;
use crate::aws::retry::{ignore_not_found, poll_pause};
use crate::aws::{ApiError, Call, Cloud, Context, Names, Pages, told};
use crate::engine::{Conflict, Diff, Found, Identity, Notices, Part, Resource};
use crate::ownership::{indexed, judge, part};

use super::watch::{HAND, Look, Usual, identity, ignored, optional, watched};

/// How long SNS may take to list a subscription, or to forget the one of a deleted topic of the
/// same name, whose ARN `Subscribe` then answers although it delivers nothing.
const LISTED: Duration = Duration::from_mins(1);
/// After this long the list does not lag any more: it is subscribed again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(3);
/// A topic that is unknown for so long is gone.
const TOPIC_UNKNOWN: Duration = Duration::from_secs(15);
/// How long a listing waits for the topic's other subscriptions, to be one for all.
const GATHER: Duration = Duration::from_secs(3);

/// What is done about each property.
pub const LOOKS: &[Look] = &[
    Look {
        call: "sns:ListSubscriptionsByTopic",
        root: "Subscriptions[]",
        properties: &[
            identity("SubscriptionArn", "SNS gives it"),
            identity("Owner", "the account, of those that are wanted; others are watched"),
            identity("Protocol", "it is found by"),
            identity("Endpoint", "it is found by"),
            identity("TopicArn", "it is found by"),
        ],
    },
    Look {
        call: "sns:GetSubscriptionAttributes",
        root: "Attributes",
        properties: &[
            ignored("ConfirmationWasAuthenticated", "how it was confirmed, once"),
            watched("DeliveryPolicy", Usual::Nothing, HAND),
            ignored("EffectiveDeliveryPolicy", "follows from DeliveryPolicy"),
            watched("FilterPolicy", Usual::Any(&["{}"]), HAND)
                .alarming("the function does not get every message"),
            ignored(
                "FilterPolicyScope",
                "says nothing without a FilterPolicy, with which it is shown",
            ),
            identity("Owner", "the account"),
            identity("PendingConfirmation", "a function's needs none"),
            watched(
                "RawMessageDelivery",
                Usual::Any(&["false"]),
                "SNS knows it for other receivers than functions",
            ),
            watched("RedrivePolicy", Usual::Nothing, "a queue for what could not be delivered"),
            watched("ReplayPolicy", Usual::Nothing, "of FIFO topics only"),
            identity("SubscriptionArn", "SNS gives it"),
            identity("TopicArn", "it is found by"),
            identity("Protocol", "it is found by"),
            identity("Endpoint", "it is found by"),
            ignored("SubscriptionPrincipal", "who made it"),
            watched("SubscriptionRoleArn", Usual::Nothing, "of streams only"),
            ignored("MessageAttributes", "a value of FilterPolicyScope"),
            ignored("MessageBody", "a value of FilterPolicyScope"),
        ],
    },
];

pub struct SubscriptionId {
    /// `{topic} -> {function}`, for people.
    label: String,
    topic: String,
    function: String,
    names: Names,
}

pub struct Subscription {
    pub id: SubscriptionId,
}

/// An entry of a topic's list of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    pub arn: String,
    pub protocol: String,
    /// For Lambda the function's ARN.
    pub endpoint: String,
}

#[derive(Debug, Clone)]
pub struct State {
    arn: String,
    /// The function's ARN.
    endpoint: String,
    notices: Notices,
}

impl SubscriptionId {
    /// By the physical names of topic and function.
    pub fn new(topic: String, function: String, names: Names) -> Self {
        Self { label: format!("{topic} -> {function}"), topic, function, names }
    }

    /// The ARNs of topic and function.
    fn ends(&self) -> (String, String) {
        (self.names.topic_arn(&self.topic), self.names.function_arn(&self.function))
    }
}

impl Identity for SubscriptionId {
    const KIND: &'static str = "subscription";
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.label
    }

    fn arn(&self, state: &State) -> Option<String> {
        Some(state.arn.clone())
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let (topic, function) = self.ends();
        let (found, tags) =
            tokio::try_join!(listed(cx, &topic, &function), super::topic::tags(cx, &topic))?;
        let topic = tags.and_then(|tags| judge(&self.names, &tags).ok());
        Ok(part(topic, found.map(State::from)))
    }

    async fn delete(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        if !state.arn.starts_with("arn:") {
            // "PendingConfirmation": SNS forgets it by itself, and has no other name for it.
            return Ok(());
        }
        let deleted = Call::new("sns:Unsubscribe", &state.arn)
            .wait(cx, &[])
            .send(|| cx.cloud.sns.unsubscribe().subscription_arn(&state.arn).send())
            .await;
        match deleted {
            Err(error) if error.message.contains("pending confirmation") => Ok(()),
            deleted => Ok(ignore_not_found(deleted)?),
        }
    }
}

impl Resource for Subscription {
    type Id = SubscriptionId;
    type Inputs = ();

    fn id(&self) -> &SubscriptionId {
        &self.id
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let (topic, function) = self.id.ends();
        let listings = cx.cloud.shared.of::<Listings>();
        // Where none is, the topic asks whose it is before anything is subscribed to it.
        let Some(found) = listed(cx, &topic, &function).await? else {
            listings.expect(&topic, &function);
            return Ok(Found::Missing);
        };
        listings.arrived(&topic, &function);
        // What hangs on a foreign topic is not ours to change.
        let owner = async {
            if let Some(ours) = indexed(cx, &topic).await {
                return Ok::<_, ApiError>(Some(ours));
            }
            let tags = super::topic::tags(cx, &topic).await?;
            Ok(tags.and_then(|tags| judge(&self.id.names, &tags).ok()))
        };
        let (owner, notices) = tokio::join!(owner, self.read_notices(&found.arn, cx));
        let (owner, notices) = (owner?, notices?);
        Ok(part(owner, Some(State { notices, ..State::from(found) })))
    }

    fn diff(&self, (): &(), _: &State) -> Diff {
        Diff::Same
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let topic = self.id.names.topic_arn(&self.id.topic);
        let function = self.id.names.function_arn(&self.id.function);
        let subscribed = self.subscribe(&topic, &function, cx).await;
        cx.cloud.shared.of::<Listings>().arrived(&topic, &function);
        Ok(State { arn: subscribed?, endpoint: function, notices: Notices::default() })
    }

    async fn update(&self, (): &(), state: &State, _: &Context<'_>) -> Result<State> {
        Ok(state.clone())
    }

    /// It exists when it is listed.
    async fn wait_until_ready(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        let topic = self.id.names.topic_arn(&self.id.topic);
        let listings = cx.cloud.shared.of::<Listings>();
        let begun = Instant::now();
        let (mut subscribed, mut noted) = (begun, false);
        let mut asked = listings.gathered(&topic).await.unwrap_or(begun);
        loop {
            let listed = listings.since(&topic, asked, cx).await?;
            let found = |all: &Vec<Subscribed>| all.iter().any(|s| s.is_function(&state.endpoint));
            match listed.as_ref() {
                Some(all) if found(all) => return Ok(()),
                None if begun.elapsed() > TOPIC_UNKNOWN => return Err(Conflict.into()),
                _ if begun.elapsed() > LISTED => bail!(
                    "SNS has answered that {} is subscribed, but does not list it; gave up after {} \
                     s: it would hear nothing",
                    self.id.label,
                    LISTED.as_secs()
                ),
                Some(_) if subscribed.elapsed() > SUBSCRIBE_AGAIN => {
                    self.subscribe(&topic, &state.endpoint, cx).await?;
                    subscribed = Instant::now();
                }
                _ => {}
            }
            if !std::mem::replace(&mut noted, true) {
                cx.note("waiting for the subscription to be listed");
            }
            // A list that another asked for meanwhile is as good.
            asked = Instant::now();
            sleep(poll_pause(begun.elapsed())).await;
        }
    }
}

impl From<Subscribed> for State {
    fn from(Subscribed { arn, endpoint, .. }: Subscribed) -> Self {
        Self { arn, endpoint, notices: Notices::default() }
    }
}

impl Subscription {
    /// What somebody has set that advent.toml does not speak of.
    async fn read_notices(&self, arn: &str, cx: &Context<'_>) -> Result<Notices, ApiError> {
        let mut notices = Notices::default();
        let answer = Call::new("sns:GetSubscriptionAttributes", arn)
            .send(|| cx.cloud.sns.get_subscription_attributes().subscription_arn(arn).send())
            .await;
        let answer = optional("the subscription's attributes", answer, &mut notices.unread)?;
        let Some(answer) = answer else { return Ok(notices) };
        let asked = ("sns:GetSubscriptionAttributes", arn);
        let attributes = told(answer.attributes, "Attributes", asked)?;
        notices.watched = LOOKS[1].notices("", &serde_json::json!(attributes), &self.id.label);
        Ok(notices)
    }

    /// Subscribing twice gives the same subscription.
    async fn subscribe(&self, topic: &str, function: &str, cx: &Context<'_>) -> Result<String> {
        let request = cx
            .cloud
            .sns
            .subscribe()
            .topic_arn(topic)
            .protocol("lambda")
            .endpoint(function)
            .return_subscription_arn(true);
        let answer =
            Call::new("sns:Subscribe", topic).wait(cx, &[]).send(|| request.clone().send()).await?;
        Ok(answer.subscription_arn.unwrap_or_default())
    }
}

impl Subscribed {
    /// As a part of its topic.
    pub fn part(&self) -> Part {
        Part { kind: "subscription", name: format!("{} {}", self.protocol, self.endpoint) }
    }

    /// Whether it is that of the function with this ARN, and delivers: one that is still to be
    /// confirmed has no ARN.
    pub fn is_function(&self, arn: &str) -> bool {
        self.protocol == "lambda" && self.endpoint == arn && self.arn.starts_with("arn:")
    }
}

/// By topic ARN.
#[derive(Default)]
struct Lists(Cache<Option<Vec<Subscribed>>>);

/// The function's subscription, if the topic has it.
async fn listed(
    cx: &Context<'_>,
    topic: &str,
    function: &str,
) -> Result<Option<Subscribed>, ApiError> {
    let all = subscriptions(cx, topic).await?.unwrap_or_default();
    Ok(all.into_iter().find(|subscribed| subscribed.is_function(function)))
}

/// A topic's subscriptions, asked for once a run; `None` if there is no such topic.
pub async fn subscriptions(
    cx: &Context<'_>,
    topic: &str,
) -> Result<Option<Vec<Subscribed>>, ApiError> {
    cx.cloud.answers.of::<Lists>().0.get(cx, topic, || list(cx, topic)).await
}

async fn list(cx: &Context<'_>, topic: &str) -> Result<Option<Vec<Subscribed>>, ApiError> {
    const CALL: &str = "sns:ListSubscriptionsByTopic";
    let listed = Pages::of(CALL, topic).all(|token| async move {
        let request =
            cx.cloud.sns.list_subscriptions_by_topic().topic_arn(topic).set_next_token(token);
        let page = Call::new(CALL, topic).wait(cx, &[]).send(|| request.clone().send()).await?;
        Ok((told(page.subscriptions, "Subscriptions", (CALL, topic))?, page.next_token))
    });
    let listed = match listed.await {
        Ok(listed) => listed,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let known = listed.into_iter().map(|subscription| Subscribed {
        arn: subscription.subscription_arn.unwrap_or_default(),
        protocol: subscription.protocol.unwrap_or_default(),
        endpoint: subscription.endpoint.unwrap_or_default(),
    });
    // Some are listed for days after they were deleted.
    Ok(Some(known.filter(|known| known.arn != "Deleted").collect()))
}

type Listed = Arc<Option<Vec<Subscribed>>>;
type Last = tokio::sync::Mutex<Option<(Instant, Listed)>>;

/// Lists of topics' subscriptions, each taken for all that this run has subscribed by then.
#[derive(Debug, Default)]
struct Listings {
    /// The functions that this run is going to subscribe, by topic.
    expected: Mutex<HashMap<String, BTreeSet<String>>>,
    arrived: Notify,
    /// When the last arrived, by topic.
    latest: Mutex<HashMap<String, Instant>>,
    /// The last of each topic, and when it was asked for.
    last: Mutex<HashMap<String, Arc<Last>>>,
}

impl Listings {
    fn expect(&self, topic: &str, function: &str) {
        let mut expected = locked(&self.expected);
        expected.entry(topic.to_owned()).or_default().insert(function.to_owned());
    }

    /// It is subscribed, or could not be.
    fn arrived(&self, topic: &str, function: &str) {
        if let Some(expected) = locked(&self.expected).get_mut(topic) {
            expected.remove(function);
        }
        locked(&self.latest).insert(topic.to_owned(), Instant::now());
        self.arrived.notify_waiters();
    }

    /// Until all that are expected have arrived, but not for long: they may never begin. When the
    /// last did: a list from then on has them all.
    async fn gathered(&self, topic: &str) -> Option<Instant> {
        let all = async {
            loop {
                let arrived = self.arrived.notified();
                if locked(&self.expected).get(topic).is_none_or(BTreeSet::is_empty) {
                    return;
                }
                arrived.await;
            }
        };
        timeout(GATHER, all).await.ok();
        locked(&self.latest).get(topic).copied()
    }

    /// A list that was asked for at this time or later.
    async fn since(&self, topic: &str, asked: Instant, cx: &Context<'_>) -> Result<Listed> {
        let last = Arc::clone(locked(&self.last).entry(topic.to_owned()).or_default());
        let mut last = last.lock().await;
        if let Some((at, listed)) = last.as_ref()
            && *at >= asked
        {
            return Ok(Arc::clone(listed));
        }
        let at = Instant::now();
        let listed = Arc::new(list(cx, topic).await?);
        *last = Some((at, Arc::clone(&listed)));
        Ok(listed)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
