//! Events for asynchronous invocation: kept until the function has dealt with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use rusqlite::{OptionalExtension as _, params};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pool::{Options, Outcome, Refused};
use super::{Function, KIND};
use crate::local::clock::now_ms;
use crate::local::cloud::LocalCloud;
use crate::local::error::AwsError;
use crate::local::store::Db;

/// `state`: 2 failed for good, what is less waits until `due` or runs. Times in milliseconds since
/// the epoch.
pub const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL,
    region TEXT NOT NULL, function TEXT NOT NULL, payload BLOB NOT NULL,
    created INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    throttles INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
    why TEXT, response BLOB
);
DROP INDEX IF EXISTS event_due;
CREATE INDEX IF NOT EXISTS event_failed ON event (id) WHERE state = 2;
CREATE INDEX IF NOT EXISTS event_function ON event (region, function, state)";

/// Events of one function that run at the same time.
const CONCURRENCY: usize = 10;
/// Events begun just now, of all functions, that may run beside callers that came just now: the
/// processor is theirs.
const BESIDE_CALLERS: usize = 1;
/// What takes longer than that, a caller's call or an event, is waiting for something itself.
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
    /// What deals with the queue.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    pub fn new(retry: Duration) -> Self {
        let queue = Self {
            wake: Arc::default(),
            retry: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            task: Mutex::default(),
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

    /// Begins nothing new.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Waits until what ran is put away, once nothing runs any more.
    pub async fn ended(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = tokio::time::timeout(Duration::from_secs(1), task).await;
        }
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

pub(super) fn failed(cloud: &Arc<LocalCloud>) -> Result<Vec<Value>, AwsError> {
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
struct QueuedEvent {
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
    /// Whose event was begun last: the others come first then.
    last: Option<Key>,
}

/// Deals with the queue as long as the cloud lives.
pub(super) fn start(cloud: &Arc<LocalCloud>) -> anyhow::Result<()> {
    let runtime = cloud.lambda.get()?;
    let (weak, wake) = (Arc::downgrade(cloud), Arc::clone(&runtime.queue.wake));
    let task = tokio::spawn(async move {
        let (done, mut finished) = mpsc::unbounded_channel();
        let (mut waiting, mut ended) = (Waiting::default(), Vec::new());
        loop {
            let wait = {
                let Some(cloud) = weak.upgrade() else { return };
                let Ok(runtime) = cloud.lambda.get() else { return };
                if runtime.queue.stopped.load(Ordering::SeqCst) {
                    break;
                }
                match waiting.advance(&cloud, &mut ended) {
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
        // The pool ends what still runs.
        drop(done);
        while let Some(event) = finished.recv().await {
            ended.push(event);
        }
        if let Some(cloud) = weak.upgrade()
            && let Err(error) = put_away(&cloud, &ended)
        {
            tracing::warn!(%error, "events that ended will run again");
        }
    });
    *runtime.queue.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    Ok(())
}

impl Waiting {
    /// Puts away what has ended, takes up what is new, and begins what is due and can run.
    fn advance(
        &mut self,
        cloud: &LocalCloud,
        ended: &mut Vec<(Key, i64, Verdict)>,
    ) -> Result<Vec<(Key, QueuedEvent)>, AwsError> {
        put_away(cloud, ended)?;
        for (key, id, verdict) in ended.drain(..) {
            self.running.remove(&id);
            if let Verdict::Again { due, .. } = verdict {
                self.later.insert((due, id, key));
            }
        }
        let callers = cloud.lambda.get()?.pool.has_callers(JUST_NOW);
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
            "SELECT id, region, function, due FROM event WHERE id > ? AND state < 2 ORDER BY id",
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

    /// The functions in turn, the oldest event of each first.
    fn begin(&mut self, db: &Db<'_>, callers: bool) -> Vec<(Key, QueuedEvent)> {
        let now = Instant::now();
        let fresh = self.running.values().filter(|(_, begun)| now - *begun < JUST_NOW).count();
        let room = if callers { BESIDE_CALLERS.saturating_sub(fresh) } else { usize::MAX };
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
                    self.ready.entry(key).or_default().push_back(id);
                    break;
                }
            }
        }
        begun
    }

    /// Takes an event of the next function, after the last one, that has not enough to do.
    fn next(&mut self) -> Option<(Key, i64)> {
        let busy = |key: &Key| self.running.values().filter(|(running, _)| running == key).count();
        let after = self.last.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = self.ready.range((after, Bound::Unbounded)).chain(&self.ready);
        let key = in_turn.map(|(key, _)| key).find(|key| busy(key) < CONCURRENCY)?.clone();
        self.last = Some(key.clone());
        let ready = self.ready.get_mut(&key)?;
        let id = ready.pop_front()?;
        if ready.is_empty() {
            self.ready.remove(&key);
        }
        Some((key, id))
    }
}

fn load(db: &Db<'_>, id: i64) -> Result<Option<QueuedEvent>, AwsError> {
    let event = db
        .conn()
        .prepare_cached(
            "SELECT request_id, payload, created, attempts, throttles FROM event
             WHERE id = ? AND state < 2",
        )?
        .query_row([id], |row| {
            Ok(QueuedEvent {
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

async fn attempt(cloud: &Arc<LocalCloud>, (region, name): &Key, event: &QueuedEvent) -> Verdict {
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

/// All of them in one transaction.
fn put_away(cloud: &LocalCloud, ended: &[(Key, i64, Verdict)]) -> Result<(), AwsError> {
    if ended.is_empty() {
        return Ok(());
    }
    cloud.store.write(|db| ended.iter().try_for_each(|(_, id, verdict)| settle(db, *id, verdict)))
}

fn settle(db: &Db<'_>, id: i64, verdict: &Verdict) -> Result<(), AwsError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_take_turns_and_have_their_limit() {
        let key = |name: &str| ("r".to_owned(), name.to_owned());
        let mut waiting = Waiting::default();
        waiting.ready.insert(key("a"), (1..100).collect());
        waiting.ready.insert(key("b"), [100, 101].into());
        let mut taken = Vec::new();
        while let Some((key, id)) = waiting.next() {
            waiting.running.insert(id, (key, Instant::now()));
            taken.push(id);
        }
        assert_eq!(taken, [1, 100, 2, 101, 3, 4, 5, 6, 7, 8, 9, 10]);
        waiting.running.remove(&1);
        assert_eq!(waiting.next(), Some((key("a"), 11)));
    }
}
