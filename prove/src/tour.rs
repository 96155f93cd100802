//! The article's application from its first `up` to its last `down`, as a user goes through it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use advent::aws::{ApiError, Call};
use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::advent::{Advent, Ran};
use crate::findings::{Findings, Seen, Verdict};
use crate::lab::{Lab, MINUTES, SECONDS, lag, told};
use crate::sweep;

/// Everything that the article's application consists of.
const RESOURCES: usize = 17;
const TEXT: &str = "awsadvent some words";
/// The manifest's own memory of the function that is measured, in MB, and the others to try.
const OWN_MEMORY: i64 = 256;
const MEMORIES: [i64; 2] = [128, 512];

/// Id, question, expectation.
type Asked = (&'static str, &'static str, &'static str);

const UP: Asked = ("tour-up", "Does `up` create the application?", "17 resources created");
const SAME: Asked = (
    "tour-up-again",
    "Does a second `up` leave it alone?",
    "nothing changed, no request that writes",
);
const STATUS: Asked = ("tour-status", "Does `status` find it as it should be?", "in sync");
const SAY: Asked =
    ("tour-say", "Does it count a message, and react to it?", "1, then 11 in the table, then 12");
const LOGS: Asked =
    ("tour-logs", "Does `logs` show the words of both messages?", "6 words within three minutes");
const DRIFT: Asked = (
    "tour-drift",
    "Is what somebody else changed found and repaired?",
    "code, retention and a missing subscription are found; `up` repairs just these",
);
const COLD: Asked = (
    "cold-start",
    "How long does the function take to start, with the TLS handshake of ring, by memory?",
    "one function updated for each; REPORT lines with Init Duration for 128, 256 and 512 MB",
);
const STAGES: Asked = (
    "tour-stages",
    "Does a second stage come and go without touching the first?",
    "17 created, 17 deleted, the first in sync",
);
const DOWN: Asked =
    ("tour-down", "Does `down` delete all of it?", "17 resources deleted, nothing left by name");
const GONE: Asked =
    ("tour-down-again", "Does a second `down` find nothing to do?", "nothing written");

/// The application on its way, and what looks at it from outside.
pub struct Tour<'a> {
    pub advent: &'a mut Advent,
    pub lab: &'a Lab,
    pub findings: &'a mut Findings,
}

impl Tour<'_> {
    /// Everything but the last `down`.
    pub async fn there(&mut self) {
        let [stage, other] = sweep::stages(&self.lab.id);
        let (begun, up) = (Instant::now(), self.up(&stage).await);
        if !self.add(UP, up, begun) {
            return;
        }
        let (begun, same) = (Instant::now(), self.same(&stage).await);
        self.add(SAME, same, begun);
        let (begun, status) = (Instant::now(), self.status(&stage).await);
        self.add(STATUS, status, begun);
        let (begun, said) = (Instant::now(), self.say(&stage).await);
        let runs = self.add(SAY, said, begun);
        let (begun, logs) = (Instant::now(), self.logs(&stage, runs).await);
        self.add(LOGS, logs, begun);
        let (begun, drift) = (Instant::now(), self.drift(&stage).await);
        self.add(DRIFT, drift, begun);
        let (begun, cold) = (Instant::now(), self.cold(&stage, runs).await);
        self.add(COLD, cold, begun);
        if !self.lab.quick {
            let (begun, stages) = (Instant::now(), self.beside(&stage, &other).await);
            self.add(STAGES, stages, begun);
        }
    }

    /// The way back, which is gone whatever happened before.
    pub async fn back(&mut self) {
        let [stage, _] = sweep::stages(&self.lab.id);
        let (begun, down) = (Instant::now(), self.down(&stage).await);
        self.add(DOWN, down, begun);
        let (begun, gone) = (Instant::now(), self.gone(&stage).await);
        self.add(GONE, gone, begun);
    }

    fn add(&mut self, asked: Asked, seen: Result<Seen>, begun: Instant) -> bool {
        let seen = seen.unwrap_or_else(|error| Seen::untried(format!("{error:#}")));
        let held = seen.verdict == Verdict::Held;
        self.findings.add(asked, &seen, begun);
        held
    }

    async fn up(&mut self, stage: &str) -> Result<Seen> {
        let ran = self.advent.run(stage, &["up"]).await?;
        let created = count(&ran, "create");
        if ran.code != Some(0) {
            return Ok(Seen::differs(format!("{created} created, then {}", ran.why())));
        }
        Ok(Seen::that(created == RESOURCES, format!("{created} created: {}", brief(&ran))))
    }

    async fn same(&mut self, stage: &str) -> Result<Seen> {
        let ran = self.advent.run(stage, &["up"]).await?;
        let held = ran.code == Some(0) && ran.changed().is_empty() && ran.writes.is_empty();
        Ok(Seen::that(held, brief(&ran)))
    }

    async fn status(&mut self, stage: &str) -> Result<Seen> {
        let ran = self.advent.run(stage, &["status"]).await?;
        Ok(Seen::that(ran.document["in_sync"] == true, brief(&ran)))
    }

    async fn say(&mut self, stage: &str) -> Result<Seen> {
        let first = self.advent.run(stage, &["say", TEXT]).await?;
        if counted(&first) != Some(1) {
            return Ok(Seen::differs(format!("the first message: {}", answer(&first))));
        }
        let table = format!("table-{stage}");
        let reacted = || async { Ok(count_of(self.lab, &table, "awsadvent").await? == Some(11)) };
        let reacted = lag(self.lab.bound(SECONDS).max(Duration::from_secs(20)), reacted).await?;
        let second = self.advent.run(stage, &["say", TEXT]).await?;
        let text = format!(
            "1 in {} ms, 11 {}, then {}",
            first.document["ms"],
            told(reacted),
            answer(&second)
        );
        Ok(Seen::that(reacted.is_some() && counted(&second) == Some(12), text))
    }

    async fn logs(&mut self, stage: &str, runs: bool) -> Result<Seen> {
        if !runs {
            return Ok(Seen::untried("the messages were not counted"));
        }
        let (begun, patience) =
            (Instant::now(), self.lab.bound(MINUTES).max(Duration::from_secs(20)));
        loop {
            let ran = self.advent.run(stage, &["logs", "sns_logger"]).await?;
            let words = ran.document["events"].as_array().into_iter().flatten().filter(|event| {
                event["message"].as_str().is_some_and(|line| line.trim().starts_with("{\"word\""))
            });
            let words = words.count();
            if words >= 6 || begun.elapsed() > patience {
                let text = format!("{words} words after {:.1} s", begun.elapsed().as_secs_f32());
                return Ok(Seen::that(words == 6, text));
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn drift(&mut self, stage: &str) -> Result<Seen> {
        let logger = format!("sns_logger-{stage}");
        let code = self
            .lab
            .cloud
            .lambda
            .update_function_code()
            .function_name(&logger)
            .zip_file(self.lab.zip());
        Call::plain("lambda:UpdateFunctionCode", &logger).send(|| code.clone().send()).await?;
        let group = format!("/aws/lambda/{logger}");
        let retention =
            self.lab.cloud.logs.put_retention_policy().log_group_name(&group).retention_in_days(90);
        Call::plain("logs:PutRetentionPolicy", &group).send(|| retention.clone().send()).await?;
        let arn = self.subscription(stage, &format!("sns_multiplier-{stage}")).await?;
        let unsubscribe = self.lab.cloud.sns.unsubscribe().subscription_arn(&arn);
        Call::plain("sns:Unsubscribe", &arn).send(|| unsubscribe.clone().send()).await?;

        // Lists lag: what was done may be found a little later.
        let begun = Instant::now();
        let mut found = loop {
            let found = self.advent.run(stage, &["plan"]).await?.changed();
            if found.len() >= 3 || begun.elapsed() > self.lab.bound(SECONDS) {
                break found;
            }
            sleep(Duration::from_secs(2)).await;
        };
        let looked = begun.elapsed();
        let repaired = self.advent.run(stage, &["up"]).await?;
        let after = self.advent.run(stage, &["status"]).await?;
        let mut changed = repaired.changed();
        changed.sort();
        found.sort();
        let text = format!(
            "found {found:?} after {:.1} s; repaired {changed:?} in {}; {}",
            looked.as_secs_f32(),
            repaired.seconds(),
            if after.document["in_sync"] == true { "in sync" } else { "NOT in sync" },
        );
        let held = found.len() == 3 && changed == found && after.document["in_sync"] == true;
        Ok(Seen::that(held, text))
    }

    async fn subscription(&self, stage: &str, function: &str) -> Result<String> {
        let topic = self.lab.cloud.names.topic_arn(&format!("awsadvent-{stage}"));
        let list = self.lab.cloud.sns.list_subscriptions_by_topic().topic_arn(&topic);
        let answer = Call::plain("sns:ListSubscriptionsByTopic", &topic)
            .send(|| list.clone().send())
            .await?;
        let found = answer.subscriptions().iter().find(|subscription| {
            subscription.endpoint().is_some_and(|endpoint| endpoint.ends_with(function))
        });
        let arn = found.and_then(|subscription| subscription.subscription_arn());
        Ok(arn.with_context(|| format!("{function} is not subscribed"))?.to_owned())
    }

    /// Each memory is a change of one function's configuration, and a new environment.
    async fn cold(&mut self, stage: &str, runs: bool) -> Result<Seen> {
        let mut updates = Vec::new();
        for memory in MEMORIES.into_iter().chain([OWN_MEMORY]) {
            set_memory(self.advent, memory)?;
            let ran = self.advent.run(stage, &["up"]).await?;
            if ran.changed() != [("function.aws_advent".to_owned(), "update".to_owned())] {
                return Ok(Seen::differs(format!("memory {memory}: {}", brief(&ran))));
            }
            updates.push(ran.seconds());
            if memory != OWN_MEMORY && runs {
                self.advent.run(stage, &["say", "cold"]).await?;
            }
        }
        let updates = format!("updated in {}", updates.join(", "));
        if !runs {
            return Ok(Seen::untried(format!("{updates}; functions do not really run here")));
        }
        let group = format!("/aws/lambda/aws_advent-{stage}");
        let begun = Instant::now();
        let wanted = MEMORIES.len() + 1;
        let starts = loop {
            let starts = starts(self.lab, &group).await?;
            if starts.len() >= wanted || begun.elapsed() > self.lab.bound(MINUTES) {
                break starts;
            }
            sleep(Duration::from_secs(2)).await;
        };
        let all: Vec<_> =
            starts.iter().map(|(memory, start)| format!("{memory} MB: {start}")).collect();
        Ok(Seen::that(starts.len() >= wanted, format!("{updates}; {}", all.join(" | "))))
    }

    async fn beside(&mut self, stage: &str, other: &str) -> Result<Seen> {
        let up = self.advent.run(other, &["up"]).await?;
        let first = self.advent.run(stage, &["status"]).await?;
        let down = self.advent.finish(other, &["down"]).await?;
        let again = self.advent.run(stage, &["status"]).await?;
        let in_sync = [&first, &again].map(|ran| ran.document["in_sync"] == true);
        let (created, deleted) = (count(&up, "create"), count(&down, "delete"));
        let held = created == RESOURCES && deleted == RESOURCES && in_sync == [true, true];
        let text = format!(
            "{created} created in {}, {deleted} deleted in {}, the first in sync: {in_sync:?}",
            up.seconds(),
            down.seconds()
        );
        Ok(Seen::that(held, text))
    }

    async fn down(&mut self, stage: &str) -> Result<Seen> {
        let ran = self.advent.finish(stage, &["down"]).await?;
        let deleted = count(&ran, "delete");
        // An empty local cloud has stopped.
        self.advent.wake(stage).await?;
        let left = sweep::inventory(&self.lab.cloud, &sweep::stages(&self.lab.id)).await;
        let text = format!("{deleted} deleted: {}; left by name: {}", brief(&ran), left.told());
        // Of what did not come up less can go down.
        let up = self
            .findings
            .0
            .iter()
            .any(|finding| finding.id == UP.0 && finding.verdict == Verdict::Held);
        let all = deleted == RESOURCES || !up;
        let held = ran.code == Some(0) && all && left.is_clean();
        Ok(Seen::that(held, text))
    }

    async fn gone(&mut self, stage: &str) -> Result<Seen> {
        let ran = self.advent.finish(stage, &["down"]).await?;
        self.advent.wake(stage).await?;
        let held = ran.code == Some(0) && ran.changed().is_empty() && ran.writes.is_empty();
        Ok(Seen::that(held, brief(&ran)))
    }
}

fn count(ran: &Ran, action: &str) -> usize {
    let resources = ran.document["resources"].as_array().into_iter().flatten();
    resources.filter(|step| step["action"] == action && step["outcome"] == "done").count()
}

/// What a command did, in one line.
fn brief(ran: &Ran) -> String {
    let mut text =
        format!("{}, {} requests, {} of them write", ran.seconds(), ran.requests, ran.writes.len());
    let changed = ran.changed();
    if !changed.is_empty() && changed.len() < RESOURCES {
        text = format!("{text}, changed {changed:?}");
    }
    if ran.code == Some(0) { text } else { format!("{text}, {}", ran.why()) }
}

/// What the bot counts, if it counts all words the same.
fn counted(ran: &Ran) -> Option<u64> {
    let text = ran.document["text"].as_str()?;
    let mut counts = text.lines().map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    let first = counts.next()??;
    counts.all(|count| count == Some(first)).then_some(first)
}

fn answer(ran: &Ran) -> String {
    match ran.document["text"].as_str() {
        Some(text) => {
            format!("{:?} ({}) in {} ms", text, ran.document["status"], ran.document["ms"])
        }
        None => ran.why(),
    }
}

async fn count_of(lab: &Lab, table: &str, word: &str) -> Result<Option<u64>, ApiError> {
    let key = aws_sdk_dynamodb::types::AttributeValue::S(word.to_owned());
    let request =
        lab.cloud.dynamodb.get_item().table_name(table).key("word", key).consistent_read(true);
    let answer = Call::plain("dynamodb:GetItem", table).send(|| request.clone().send()).await?;
    Ok(answer.item.and_then(|item| item.get("count")?.as_n().ok()?.parse().ok()))
}

/// Cold starts by memory, of the lines with which Lambda ends an invocation.
async fn starts(lab: &Lab, group: &str) -> Result<BTreeMap<u32, String>, ApiError> {
    let request = lab.cloud.logs.filter_log_events().log_group_name(group);
    let (mut all, mut token) = (BTreeMap::new(), None);
    loop {
        let request = request.clone().set_next_token(token);
        let page =
            Call::plain("logs:FilterLogEvents", group).send(|| request.clone().send()).await?;
        for message in page.events().iter().filter_map(|event| event.message()) {
            if let (Some(memory), Some(init)) =
                (part(message, "Memory Size: "), part(message, "Init Duration: "))
                && let Ok(memory) = memory.parse()
            {
                let first = part(message, "Duration: ").unwrap_or_default();
                let used = part(message, "Max Memory Used: ").unwrap_or_default();
                all.insert(
                    memory,
                    format!("init {init} ms, first call {first} ms, {used} MB used"),
                );
            }
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// The number behind a label of a REPORT line.
fn part<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    line.starts_with("REPORT").then_some(())?;
    line.split('\t').find_map(|field| field.trim().strip_prefix(label))?.split(' ').next()
}

/// Changes the throw-away copy of the manifest.
fn set_memory(advent: &Advent, memory: i64) -> Result<()> {
    let path = advent.folder.join("advent.toml");
    let mut manifest: toml::Table = std::fs::read_to_string(&path)?.parse()?;
    let function =
        manifest.get_mut("function").and_then(|functions| functions.get_mut("aws_advent"));
    let function =
        function.and_then(toml::Value::as_table_mut).context("there is no aws_advent")?;
    function.insert("memory".to_owned(), memory.into());
    std::fs::write(&path, toml::to_string(&manifest)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_line_is_taken_apart() {
        let line = "REPORT RequestId: 1-2\tDuration: 31.25 ms\tBilled Duration: 92 ms\t\
                    Memory Size: 128 MB\tMax Memory Used: 26 MB\tInit Duration: 60.10 ms\t\n";
        let of = |label| part(line, label);
        assert_eq!(of("Memory Size: "), Some("128"));
        assert_eq!(of("Init Duration: "), Some("60.10"));
        assert_eq!(of("Duration: "), Some("31.25"));
        assert_eq!(part("START RequestId: 1", "Duration: "), None);
    }
}
