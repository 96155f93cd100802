//! Events for asynchronous invocation: kept until the function has dealt with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use rusqlite::{OptionalExtension as _, params};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::pool::{Options, Outcome, Refused};
use super::{Function, KIND};
use crate::local::clock::now_ms;
use crate::local::cloud::Cloud;
use crate::local::error::AwsError;
use crate::local::store::Db;

/// `state`: 0 waits until `due`, or runs; 2 failed for good. Times in milliseconds since the epoch.
pub const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL,
    region TEXT NOT NULL, function TEXT NOT NULL, payload BLOB NOT NULL,
    created INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    throttles INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
    why TEXT, response BLOB
);
DROP INDEX IF EXISTS event_due;
UPDATE event SET state = 0 WHERE state = 1;
CREATE INDEX IF NOT EXISTS event_function ON event (region, function, state)";

/// Events of one function that run at the same time.
const CONCURRENCY: usize = 10;
/// Events begun just now, of all functions, that may run while somebody waits for an answer.
const BESIDE_CALLERS: usize = 1;
/// What runs for longer than that is waiting for something itself, and takes nobody's time.
const JUST_NOW: Duration = Duration::from_millis(100);
/// How many of the finally failed events are kept.
const FAILED_KEPT: i64 = 1000;
/// Six hours, in milliseconds (AWS: asynchronous invocation).
const AGE: i64 = 6 * 3600 * 1000;
/// The wait before the first retry; the second waits twice as long (AWS: 1 and 2 minutes).
const RETRY: Duration = Duration::from_mins(1);

pub struct Queue {
    wake: Arc<Notify>,
    /// Milliseconds before the first retry.
    retry: AtomicU64,
    stopped: AtomicBool,
}

impl Queue {
    pub fn new(retry: Duration) -> Self {
        let queue = Self {
            wake: Arc::default(),
            retry: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        queue.set_retry(retry);
        queue
    }

    pub fn set_retry(&self, wait: Duration) {
        self.retry.store(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }
}

/// `ADVENT_LOCAL_RETRY_SECONDS` shortens the minute before the first retry, for tests.
pub(super) fn retry_from_environment() -> Duration {
    std::env::var("ADVENT_LOCAL_RETRY_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(RETRY)
}

/// Queues an event. Call [`super::events_queued`] when the transaction is done.
pub fn enqueue(
    db: &Db<'_>,
    region: &str,
    function: &str,
    request_id: &str,
    payload: &[u8],
) -> Result<(), AwsError> {
    let now = now_ms();
    db.conn()
        .prepare_cached(
            "INSERT INTO event (request_id, region, function, payload, created, due)
             VALUES (?, ?, ?, ?, ?5, ?5)",
        )?
        .execute(params![request_id, region, function, payload, now])?;
    Ok(())
}

/// The function was deleted: its events go with it.
pub(super) fn forget(db: &Db<'_>, region: &str, function: &str) -> Result<(), AwsError> {
    db.conn()
        .prepare_cached("DELETE FROM event WHERE region = ? AND function = ?")?
        .execute([region, function])?;
    Ok(())
}

pub(super) fn failed(cloud: &Arc<Cloud>) -> Result<Vec<Value>, AwsError> {
    cloud.store.read(|db| {
        let mut statement = db.conn().prepare_cached(
            "SELECT request_id, region, function, payload, created, due, attempts, why, response
             FROM event WHERE state = 2 ORDER BY id DESC",
        )?;
        let rows = statement.query_map([], |row| {
            let json = |bytes: Option<Vec<u8>>| -> Value {
                let bytes = bytes.unwrap_or_default();
                serde_json::from_slice(&bytes)
                    .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into())
            };
            Ok(json!({
                "requestId": row.get::<_, String>(0)?,
                "region": row.get::<_, String>(1)?,
                "function": row.get::<_, String>(2)?,
                "event": json(row.get(3)?),
                "created": row.get::<_, i64>(4)?,
                "failed": row.get::<_, i64>(5)?,
                "attempts": row.get::<_, i64>(6)?,
                "condition": row.get::<_, Option<String>>(7)?,
                "response": json(row.get(8)?),
            }))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    })
}

/// One event on its way.
struct Event {
    id: i64,
    request_id: String,
    payload: Bytes,
    created: i64,
    attempts: u32,
    throttles: u32,
}

/// A function: Region and name.
type Key = (String, String);

/// What becomes of an event that was tried.
enum Verdict {
    Done,
    /// Another attempt at `due`.
    Again {
        due: i64,
        attempts: u32,
        throttles: u32,
    },
    Failed {
        attempts: u32,
        why: &'static str,
        response: Bytes,
    },
}

/// The events that are not running, by their ids. What is kept in the store is enough to find them
/// again after a restart; this saves searching it for every event.
#[derive(Default)]
struct Waiting {
    /// The newest event that has been taken up.
    newest: i64,
    ready: BTreeMap<Key, VecDeque<i64>>,
    /// By the time when they are due.
    later: BTreeSet<(i64, i64, Key)>,
    running: BTreeMap<i64, (Key, Instant)>,
}

/// Deals with the queue as long as the cloud lives.
pub(super) fn start(cloud: &Arc<Cloud>) -> anyhow::Result<()> {
    let (weak, wake) = (Arc::downgrade(cloud), Arc::clone(&cloud.lambda.get()?.queue.wake));
    tokio::spawn(async move {
        let (done, mut finished) = mpsc::unbounded_channel();
        let (mut waiting, mut ended) = (Waiting::default(), Vec::new());
        loop {
            let wait = {
                let Some(cloud) = weak.upgrade() else { return };
                let Ok(runtime) = cloud.lambda.get() else { return };
                let stopped = runtime.queue.stopped.load(Ordering::SeqCst);
                match waiting.advance(&cloud, &mut ended, stopped) {
                    _ if stopped => return,
                    Ok(begun) => {
                        for (key, event) in begun {
                            let (cloud, done) = (Arc::clone(&cloud), done.clone());
                            tokio::spawn(async move {
                                let verdict = attempt(&cloud, &key, &event).await;
                                let _ = done.send((key, event.id, verdict));
                            });
                        }
                        waiting.rest()
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the queue of events cannot be used");
                        Duration::from_secs(1)
                    }
                }
            };
            tokio::select! {
                () = wake.notified() => {}
                Some(event) = finished.recv() => ended.push(event),
                () = tokio::time::sleep(wait) => {}
            }
            while let Ok(event) = finished.try_recv() {
                ended.push(event);
            }
        }
    });
    Ok(())
}

impl Waiting {
    /// Puts away what has ended, all of it in one transaction; then takes up what is new and, unless
    /// the local cloud ends, begins what is due and can run.
    fn advance(
        &mut self,
        cloud: &Cloud,
        ended: &mut Vec<(Key, i64, Verdict)>,
        stopped: bool,
    ) -> Result<Vec<(Key, Event)>, AwsError> {
        if !ended.is_empty() {
            cloud.store.write(|db| {
                ended.iter().try_for_each(|(_, id, verdict)| put_away(db, *id, verdict))
            })?;
        }
        for (key, id, verdict) in ended.drain(..) {
            self.running.remove(&id);
            if let Verdict::Again { due, .. } = verdict {
                self.later.insert((due, id, key));
            }
        }
        if stopped {
            return Ok(Vec::new());
        }
        let callers = cloud.lambda.get()?.pool.callers();
        cloud.store.read(|db| {
            self.take_up(db)?;
            Ok(self.begin(db, callers))
        })
    }

    /// How long there is nothing to do, unless something is queued or ends.
    fn rest(&self) -> Duration {
        if !self.ready.is_empty() {
            // Perhaps nobody waits for an answer any more by then.
            return JUST_NOW;
        }
        self.next_due().map_or(Duration::from_hours(1), |due| {
            Duration::from_millis(u64::try_from(due.saturating_sub(now_ms())).unwrap_or(0))
        })
    }

    fn next_due(&self) -> Option<i64> {
        self.later.first().map(|(due, ..)| *due)
    }

    fn take_up(&mut self, db: &Db<'_>) -> Result<(), AwsError> {
        let mut statement = db.conn().prepare_cached(
            "SELECT id, region, function, due FROM event WHERE id > ? AND state = 0 ORDER BY id",
        )?;
        let rows = statement.query_map([self.newest], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?), row.get(3)?))
        })?;
        for row in rows {
            let (id, key, due) = row?;
            self.newest = id;
            self.later.insert((due, id, key));
        }
        let now = now_ms();
        while self.next_due().is_some_and(|due| due <= now)
            && let Some((_, id, key)) = self.later.pop_first()
        {
            self.ready.entry(key).or_default().push_back(id);
        }
        Ok(())
    }

    /// The oldest first. `callers` wait for answers, which come before all of them.
    fn begin(&mut self, db: &Db<'_>, callers: usize) -> Vec<(Key, Event)> {
        let now = Instant::now();
        let fresh = self.running.values().filter(|(_, begun)| now - *begun < JUST_NOW).count();
        let room = if callers > 0 { BESIDE_CALLERS.saturating_sub(fresh) } else { usize::MAX };
        let mut begun = Vec::new();
        while begun.len() < room
            && let Some((key, id)) = self.next()
        {
            match load(db, id) {
                Ok(Some(event)) => {
                    self.running.insert(id, (key.clone(), now));
                    begun.push((key, event));
                }
                // Its function was deleted.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "an event cannot be read");
                    self.ready.entry(key).or_default().push_front(id);
                    break;
                }
            }
        }
        begun
    }

    /// Takes the oldest event whose function has not enough to do.
    fn next(&mut self) -> Option<(Key, i64)> {
        let busy = |key: &Key| self.running.values().filter(|(running, _)| running == key).count();
        let (key, _) = self
            .ready
            .iter()
            .filter(|(key, _)| busy(key) < CONCURRENCY)
            .min_by_key(|(_, ready)| ready.front())?;
        let key = key.clone();
        let ready = self.ready.get_mut(&key)?;
        let id = ready.pop_front()?;
        if ready.is_empty() {
            self.ready.remove(&key);
        }
        Some((key, id))
    }
}

fn load(db: &Db<'_>, id: i64) -> Result<Option<Event>, AwsError> {
    let event = db
        .conn()
        .prepare_cached(
            "SELECT request_id, payload, created, attempts, throttles FROM event
             WHERE id = ? AND state = 0",
        )?
        .query_row([id], |row| {
            Ok(Event {
                id,
                request_id: row.get(0)?,
                payload: row.get::<_, Vec<u8>>(1)?.into(),
                created: row.get(2)?,
                attempts: row.get(3)?,
                throttles: row.get(4)?,
            })
        })
        .optional()?;
    Ok(event)
}

async fn attempt(cloud: &Arc<Cloud>, (region, name): &Key, event: &Event) -> Verdict {
    // It was not carried out, which does not count as an attempt.
    let (attempts, throttles) = (event.attempts, event.throttles);
    let soon = || Verdict::Again { due: now_ms() + 1000, attempts, throttles };
    let function = cloud.store.read(|db| db.shared::<Function>(KIND, region, name));
    let (function, runtime) = match (function, cloud.lambda.get()) {
        (Ok(Some(function)), Ok(runtime)) => (function, runtime),
        (Ok(None), _) => return Verdict::Done,
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(function = name, %error, "an event could not be dealt with");
            return soon();
        }
    };
    let settings = function.event_invoke.clone().unwrap_or_default();
    let age = settings.age.map_or(AGE, |seconds| i64::from(seconds) * 1000);
    if now_ms() - event.created > age {
        return Verdict::Failed { attempts, why: "EventAgeExceeded", response: Bytes::new() };
    }
    let options = Options {
        request_id: Some(event.request_id.clone()),
        asynchronous: true,
        ..Options::default()
    };
    let spec = Arc::new(function.spec());
    match runtime.pool.invoke(&spec, event.payload.clone(), options).await {
        Ok(Outcome { failed: false, .. }) => Verdict::Done,
        Ok(Outcome { payload: response, .. }) => {
            let attempts = attempts + 1;
            if attempts > settings.retries.unwrap_or(2) {
                return Verdict::Failed { attempts, why: "RetriesExhausted", response };
            }
            let wait = runtime.queue.retry.load(Ordering::SeqCst).saturating_mul(attempts.into());
            Verdict::Again { due: now_ms().saturating_add_unsigned(wait), attempts, throttles }
        }
        Err(Refused::Throttled) => {
            // From 1 second to 5 minutes.
            let wait = 1000_i64 << throttles.min(9);
            let due = now_ms() + wait.min(300_000);
            Verdict::Again { due, attempts, throttles: throttles + 1 }
        }
        // Of a deleted function the event is gone too; when the local cloud ends, the next start
        // goes on with it.
        Err(Refused::Gone) => soon(),
    }
}

fn put_away(db: &Db<'_>, id: i64, verdict: &Verdict) -> Result<(), AwsError> {
    let change = |sql| db.conn().prepare_cached(sql);
    match verdict {
        Verdict::Done => {
            change("DELETE FROM event WHERE id = ?")?.execute([id])?;
        }
        Verdict::Again { due, attempts, throttles } => {
            change("UPDATE event SET due = ?2, attempts = ?3, throttles = ?4 WHERE id = ?1")?
                .execute(params![id, due, attempts, throttles])?;
        }
        Verdict::Failed { attempts, why, response } => {
            change(
                "UPDATE event SET state = 2, attempts = ?2, due = ?3, why = ?4, response = ?5
                 WHERE id = ?1",
            )?
            .execute(params![id, attempts, now_ms(), why, response.as_ref()])?;
            change(
                "DELETE FROM event WHERE state = 2 AND id NOT IN
                 (SELECT id FROM event WHERE state = 2 ORDER BY id DESC LIMIT ?)",
            )?
            .execute([FAILED_KEPT])?;
        }
    }
    Ok(())
}
