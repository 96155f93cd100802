//! Counters in a `DynamoDB` table: each message is added once, however often it is delivered.
//!
//! A message's counts and a marker item that names the message are one transaction, on the condition that the marker
//! is new. A second delivery therefore changes nothing and learns from the marker how far the first one came. A
//! `ClientRequestToken` made from the message would hide exactly that, and only for ten minutes; the SDK's own token
//! covers its retries of one call. The price: a transaction costs two write units a word instead of one, and a marker
//! stays until its time to live (attribute `expires`) is over. Its key contains a space, so it can never be a word.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::{
    Client,
    operation::{
        transact_write_items::TransactWriteItemsError,
        update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    },
    types::{
        AttributeValue, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem, Update,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Error, aws::Lazy, reason};

const KEY: &str = "word";
const COUNT: &str = "count";

/// A transaction takes 100 actions; one is the marker.
const PER_TRANSACTION: usize = 99;
/// `BatchGetItem` takes 100 keys.
const PER_READ: usize = 100;
/// Calls at the same time. Each has a connection of its own.
const AT_ONCE: usize = 8;

/// A table of counters: key `word`, number `count`.
#[derive(Clone, Debug)]
pub struct Counter {
    client: Lazy<Client>,
    table: String,
}

/// Names one message for one function.
#[derive(Clone, Debug)]
pub struct Marker {
    key: String,
    keep: Duration,
    signature: Option<String>,
    claim: Option<Claim>,
}

/// That one delivery, and no other until then, does what follows the counting.
#[derive(Clone, Debug)]
struct Claim {
    /// Tells it from others'.
    own: String,
    until: SystemTime,
}

impl Marker {
    /// `id` tells the message from every other for as long as `keep`, within which all its deliveries must happen.
    pub fn new(function: &str, id: &str, keep: Duration) -> Self {
        Self { key: format!("seen {function} {id}"), keep, signature: None, claim: None }
    }

    /// Whoever is first to write it is alone with what follows the counting (see [`Counter::take_over`]) until then,
    /// at the latest: the end of the invocation.
    #[must_use]
    pub fn claimed(mut self, until: SystemTime) -> Self {
        self.claim = Some(Claim { own: format!("{:016x}", random_bits()), until });
        self
    }

    /// Remembers the signature of the request, which [`Earlier`] gives back.
    #[must_use]
    pub fn signed(mut self, signature: Option<&str>) -> Self {
        self.signature = signature.map(str::to_owned);
        self
    }

    fn key(&self, chunk: usize) -> AttributeValue {
        AttributeValue::S(format!("{} {chunk}", self.key))
    }

    fn item(&self, chunk: usize) -> HashMap<String, AttributeValue> {
        let expires = since_epoch(SystemTime::now() + self.keep);
        let mut item = HashMap::from([
            (KEY.to_owned(), self.key(chunk)),
            ("expires".to_owned(), AttributeValue::N(expires.as_secs().to_string())),
        ]);
        if let Some(signature) = self.signature() {
            item.insert("signatures".to_owned(), signature);
        }
        if let Some(claim) = self.claim.as_ref().filter(|_| chunk == 0) {
            item.extend(claim.attributes().map(|(name, value)| (name.to_owned(), value)));
        }
        item
    }

    fn signature(&self) -> Option<AttributeValue> {
        self.signature.clone().map(|signature| AttributeValue::Ss(vec![signature]))
    }
}

impl Claim {
    fn attributes(&self) -> [(&'static str, AttributeValue); 2] {
        [("claim", AttributeValue::S(self.own.clone())), ("until", milliseconds(self.until))]
    }
}

/// Words and their counts, as `DynamoDB` writes numbers.
pub type Counts = HashMap<String, String>;

/// What an earlier delivery of the same message left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// All of the words had been added: this delivery added nothing.
    pub counted: bool,
    /// [`Counter::published`] was called.
    pub published: bool,
    /// [`Counter::may_tell`] was answered with yes.
    pub told: bool,
    /// Of the request that counted, and of those that were noted after it.
    pub signatures: Vec<String>,
    /// When the invocation ends that may be at work on what follows the counting; `None` if none is.
    pub claimed_until: Option<SystemTime>,
}

impl Earlier {
    fn of(item: &HashMap<String, AttributeValue>, counted: bool) -> Self {
        let signatures = match item.get("signatures") {
            Some(AttributeValue::Ss(signatures)) => signatures.clone(),
            _ => Vec::new(),
        };
        let until = item.get("until").and_then(|until| until.as_n().ok()?.parse().ok());
        Self {
            counted,
            published: item.contains_key("published"),
            told: item.contains_key("told"),
            signatures,
            claimed_until: until.map(|until| UNIX_EPOCH + Duration::from_millis(until)),
        }
    }
}

impl Counter {
    pub fn new(client: impl Into<Lazy<Client>>, table: impl Into<String>) -> Self {
        Self { client: client.into(), table: table.into() }
    }

    /// Adds `each` per occurrence to every word, unless `marker` says that it was done before: then returns what else
    /// it says. Without a marker, every call adds.
    ///
    /// More than 99 words are several transactions, each with its own marker: after an error some may have happened,
    /// and the same call again does the others.
    pub async fn add(
        &self,
        words: &[(String, u64)],
        each: u64,
        marker: Option<&Marker>,
    ) -> Result<Option<Earlier>, Error> {
        let chunks = words.chunks(PER_TRANSACTION).enumerate();
        let mut chunks: Vec<_> = stream::iter(chunks)
            .map(|(chunk, words)| async move {
                let earlier = self.add_chunk(chunk, words, each, marker).await?;
                Ok::<_, Error>((chunk, earlier))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        chunks.sort_unstable_by_key(|(chunk, _)| *chunk);
        let counted = !chunks.is_empty() && chunks.iter().all(|(_, earlier)| earlier.is_some());
        // What happened after the counting is noted in the first chunk's marker.
        let first = chunks.into_iter().next().and_then(|(_, earlier)| earlier);
        Ok(first.map(|item| Earlier::of(&item, counted)))
    }

    /// What the marker of a message says now, whose words are counted.
    pub async fn look(&self, marker: &Marker) -> Result<Option<Earlier>, Error> {
        let call = self.client.get_item().table_name(&self.table).key(KEY, marker.key(0));
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(|error| self.failed("read a marker in", &error))?;
        Ok(answer.item.map(|item| Earlier::of(&item, true)))
    }

    /// Makes the caller the one that does what follows the counting, and returns how far others came; `None` if
    /// another delivery may still be at it.
    pub async fn take_over(&self, marker: &Marker) -> Result<Option<Earlier>, Error> {
        let Some(claim) = &marker.claim else { return self.look(marker).await };
        let note = self
            .note(marker, claim.attributes())
            // The last for an answer that is lost: the SDK asks again and is to find its own claim then.
            .condition_expression(
                "attribute_not_exists(#until) OR #until < :now OR #claim = :claim",
            )
            .expression_attribute_values(":now", milliseconds(SystemTime::now()))
            .return_values(ReturnValue::AllNew);
        let item = self.conditionally(note, "take over a message in").await?;
        Ok(item.map(|item| Earlier::of(&item, true)))
    }

    /// Lets the next delivery take over at once.
    pub async fn release(&self, marker: &Marker) -> Result<(), Error> {
        let Some(claim) = &marker.claim else { return Ok(()) };
        let note = self
            .note(marker, [("until", milliseconds(UNIX_EPOCH))])
            .condition_expression("#claim = :claim")
            .expression_attribute_names("#claim", "claim")
            .expression_attribute_values(":claim", AttributeValue::S(claim.own.clone()));
        self.conditionally(note, "let go of a message in").await.map(drop)
    }

    /// What the change returns; `None` if its condition did not hold.
    async fn conditionally(
        &self,
        change: UpdateItemFluentBuilder,
        what: &str,
    ) -> Result<Option<HashMap<String, AttributeValue>>, Error> {
        match change.send().await {
            Ok(answer) => Ok(Some(answer.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(self.failed(what, &error)),
            },
        }
    }

    /// The marker of an earlier delivery, or `None` if the words were added now.
    async fn add_chunk(
        &self,
        chunk: usize,
        words: &[(String, u64)],
        each: u64,
        marker: Option<&Marker>,
    ) -> Result<Option<HashMap<String, AttributeValue>>, Error> {
        let mut actions = Vec::with_capacity(words.len() + 1);
        if let Some(marker) = marker {
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(marker.item(chunk)))
                .condition_expression("attribute_not_exists(#k)")
                .expression_attribute_names("#k", KEY)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .build()?;
            actions.push(TransactWriteItem::builder().put(put).build());
        }
        for (word, times) in words {
            let update = Update::builder()
                .table_name(&self.table)
                .key(KEY, AttributeValue::S(word.clone()))
                .update_expression("ADD #c :n")
                .expression_attribute_names("#c", COUNT)
                .expression_attribute_values(":n", AttributeValue::N((times * each).to_string()))
                .build()?;
            actions.push(TransactWriteItem::builder().update(update).build());
        }

        let mut pause = Duration::from_millis(10);
        loop {
            let call = self.client.transact_write_items().set_transact_items(Some(actions.clone()));
            let Err(error) = call.send().await else {
                return Ok(None);
            };
            match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let reasons = cancelled.cancellation_reasons();
                    let seen = reasons
                        .first()
                        .filter(|reason| reason.code() == Some("ConditionalCheckFailed"));
                    if let Some(seen) = seen {
                        return Ok(Some(seen.item().cloned().unwrap_or_default()));
                    }
                    let passes = reasons.iter().all(|reason| {
                        matches!(
                            reason.code(),
                            None | Some(
                                "None"
                                    | "TransactionConflict"
                                    | "ThrottlingError"
                                    | "ProvisionedThroughputExceeded"
                            )
                        )
                    });
                    if reasons.is_empty() || !passes {
                        return Err(self.failed("count in", &error));
                    }
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => {}
                _ => return Err(self.failed("count in", &error)),
            }
            // Another message with one of the words (the trigger word, most likely) is being counted right now. The
            // caller bounds how long this goes on.
            tokio::time::sleep(pause.mul_f64(random())).await;
            pause = (pause * 2).min(Duration::from_millis(320));
        }
    }

    /// The counts, strongly consistent. A word without a count is missing.
    pub async fn read(&self, words: &[(String, u64)]) -> Result<Counts, Error> {
        let chunks: Vec<Counts> = stream::iter(words.chunks(PER_READ))
            .map(|words| self.read_chunk(words))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(chunks.into_iter().flatten().collect())
    }

    async fn read_chunk(&self, words: &[(String, u64)]) -> Result<Counts, Error> {
        let keys = words
            .iter()
            .map(|(word, _)| HashMap::from([(KEY.to_owned(), AttributeValue::S(word.clone()))]));
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys.collect()))
            .consistent_read(true)
            .build()?;
        let mut open = HashMap::from([(self.table.clone(), keys)]);
        let mut counts = Counts::new();
        let mut pause = Duration::from_millis(10);
        loop {
            let call = self.client.batch_get_item().set_request_items(Some(open));
            let read =
                call.send().await.map_err(|error| self.failed("read the counts in", &error))?;
            for mut item in read.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                if let (Some(AttributeValue::S(word)), Some(AttributeValue::N(count))) =
                    (item.remove(KEY), item.remove(COUNT))
                {
                    counts.insert(word, count);
                }
            }
            open = read.unprocessed_keys.unwrap_or_default();
            if open.is_empty() {
                return Ok(counts);
            }
            tokio::time::sleep(pause.mul_f64(random())).await;
            pause = (pause * 2).min(Duration::from_millis(320));
        }
    }

    /// Notes that the message was published, so that another delivery does not publish it again, and the signature of
    /// the request that saw to it.
    pub async fn published(&self, marker: &Marker) -> Result<(), Error> {
        let published = ("published", AttributeValue::Bool(true));
        // And the next delivery need not wait.
        let note = self.note(marker, [published, ("until", milliseconds(UNIX_EPOCH))]);
        let note = note.send().await;
        note.map_err(|error| self.failed("note what was published in", &error))?;
        Ok(())
    }

    /// Whether the caller is the one delivery of the message that answers it: the first that asks. It is asked before
    /// the answer, so whoever ends in between leaves the message without one, and none ever gets two.
    pub async fn may_tell(&self, marker: &Marker) -> Result<bool, Error> {
        // The SDK asks again when an answer is lost, and is to find its own note then.
        let own = AttributeValue::S(format!("{:016x}", random_bits()));
        let note = self
            .note(marker, [("told", own)])
            .condition_expression("attribute_not_exists(#told) OR #told = :told");
        Ok(self.conditionally(note, "note who answers in").await?.is_some())
    }

    /// Notes the signature of one more request with the same message.
    pub async fn signed(&self, marker: &Marker) -> Result<(), Error> {
        if marker.signature.is_none() {
            return Ok(());
        }
        let note = self.note(marker, []).send().await;
        note.map_err(|error| self.failed("note a signature in", &error))?;
        Ok(())
    }

    /// Sets attributes of the marker and adds the request's signature, if there is one.
    fn note<const N: usize>(
        &self,
        marker: &Marker,
        set: [(&str, AttributeValue); N],
    ) -> UpdateItemFluentBuilder {
        let mut change = self.client.update_item().table_name(&self.table).key(KEY, marker.key(0));
        let sets: Vec<_> = set.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let mut expression = match N {
            0 => String::new(),
            _ => format!("SET {} ", sets.join(", ")),
        };
        for (name, value) in set {
            change = change
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        if let Some(signature) = marker.signature() {
            expression.push_str("ADD #s :s");
            change = change
                .expression_attribute_names("#s", "signatures")
                .expression_attribute_values(":s", signature);
        }
        change.update_expression(expression.trim_end())
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) -> Error {
        format!("could not {what} table {:?}: {}", self.table, reason(error)).into()
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Since 1970.
fn milliseconds(time: SystemTime) -> AttributeValue {
    AttributeValue::N(since_epoch(time).as_millis().to_string())
}

/// From 0.5 to 1, so that those who collided once do not meet again.
fn random() -> f64 {
    0.5 + f64::from(u16::try_from(random_bits() % 1000).unwrap_or_default()) / 2000.0
}

fn random_bits() -> u64 {
    RandomState::new().hash_one(0)
}
