//! Events for asynchronous invocation: kept until the function has dealt with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::params;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::output::now_ms;
use super::pool::{Options, Outcome, Refused};
use super::{Function, KIND};
use crate::local::cloud::Cloud;
use crate::local::error::AwsError;
use crate::local::store::Db;

/// `state`: 0 waits until `due`, 1 runs, 2 failed for good. Times in milliseconds since the epoch.
pub const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL,
    region TEXT NOT NULL, function TEXT NOT NULL, payload BLOB NOT NULL,
    created INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    throttles INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
    why TEXT, response BLOB
);
CREATE INDEX IF NOT EXISTS event_due ON event (state, due);
CREATE INDEX IF NOT EXISTS event_function ON event (region, function, state)";

/// Events of one function that run at the same time.
const CONCURRENCY: usize = 10;
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
    region: String,
    function: String,
    created: i64,
    attempts: u32,
    throttles: u32,
}

/// Deals with the queue as long as the cloud lives.
pub(super) fn start(cloud: &Arc<Cloud>) -> anyhow::Result<()> {
    // What ran when the last one ended may not have been finished: once more.
    cloud.store.write(|db| {
        db.conn().execute("UPDATE event SET state = 0 WHERE state = 1", [])?;
        Ok(())
    })?;
    let (weak, wake) = (Arc::downgrade(cloud), Arc::clone(&cloud.lambda.get()?.queue.wake));
    tokio::spawn(async move {
        let (done, mut finished) = mpsc::unbounded_channel::<(String, String)>();
        let mut running: HashMap<(String, String), usize> = HashMap::new();
        loop {
            let wait = {
                let Some(cloud) = weak.upgrade() else { return };
                let Ok(runtime) = cloud.lambda.get() else { return };
                if runtime.queue.stopped.load(Ordering::SeqCst) {
                    return;
                }
                match pick(&cloud, &running) {
                    Ok((events, next)) => {
                        for event in events {
                            let key = (event.region.clone(), event.function.clone());
                            *running.entry(key.clone()).or_default() += 1;
                            let (cloud, done) = (Arc::clone(&cloud), done.clone());
                            tokio::spawn(async move {
                                deal(&cloud, event).await;
                                let _ = done.send(key);
                            });
                        }
                        next.map_or(Duration::from_hours(1), |due| {
                            Duration::from_millis(
                                u64::try_from(due.saturating_sub(now_ms())).unwrap_or(0),
                            )
                        })
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the queue of events cannot be read");
                        Duration::from_secs(1)
                    }
                }
            };
            tokio::select! {
                () = wake.notified() => {}
                Some(key) = finished.recv() => {
                    if let Some(count) = running.get_mut(&key) {
                        *count -= 1;
                        if *count == 0 {
                            running.remove(&key);
                        }
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
    Ok(())
}

/// Marks what is due, and can run, as running; and says when the next one is due.
fn pick(
    cloud: &Cloud,
    running: &HashMap<(String, String), usize>,
) -> Result<(Vec<Event>, Option<i64>), AwsError> {
    let now = now_ms();
    let free = |region: &str, function: &str| {
        let busy = running.get(&(region.to_owned(), function.to_owned())).copied();
        CONCURRENCY.saturating_sub(busy.unwrap_or(0))
    };
    let due: Vec<(String, String)> = cloud.store.read(|db| {
        let mut statement = db.conn().prepare_cached(
            "SELECT DISTINCT region, function FROM event WHERE state = 0 AND due <= ?",
        )?;
        let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    })?;
    let due: Vec<_> = due.into_iter().filter(|(r, f)| free(r, f) > 0).collect();
    let select_next = |db: &Db<'_>| -> Result<Option<i64>, AwsError> {
        Ok(db
            .conn()
            .prepare_cached("SELECT min(due) FROM event WHERE state = 0 AND due > ?")?
            .query_row([now], |row| row.get(0))?)
    };
    if due.is_empty() {
        return Ok((Vec::new(), cloud.store.read(select_next)?));
    }
    cloud.store.write(|db| {
        let mut events = Vec::new();
        for (region, function) in due {
            let mut statement = db.conn().prepare_cached(
                "UPDATE event SET state = 1 WHERE id IN (
                     SELECT id FROM event
                     WHERE region = ? AND function = ? AND state = 0 AND due <= ?
                     ORDER BY due, id LIMIT ?)
                 RETURNING id, request_id, created, attempts, throttles",
            )?;
            let most = i64::try_from(free(&region, &function)).unwrap_or(1);
            let rows = statement.query_map(params![region, function, now, most], |row| {
                Ok(Event {
                    id: row.get(0)?,
                    request_id: row.get(1)?,
                    region: region.clone(),
                    function: function.clone(),
                    created: row.get(2)?,
                    attempts: row.get(3)?,
                    throttles: row.get(4)?,
                })
            })?;
            for event in rows {
                events.push(event?);
            }
        }
        events.sort_by_key(|event| event.id);
        Ok((events, select_next(db)?))
    })
}

async fn deal(cloud: &Arc<Cloud>, event: Event) {
    let result = attempt(cloud, &event).await;
    if let Err(error) = result {
        tracing::warn!(function = event.function, %error, "an event could not be dealt with");
        // Otherwise it would stay as running until a restart.
        let _ = again_soon(cloud, &event);
    }
}

/// Leaves an event for another attempt, which does not count as one more.
fn again_soon(cloud: &Cloud, event: &Event) -> Result<(), AwsError> {
    let due = now_ms() + 1000;
    update(cloud, "UPDATE event SET state = 0, due = ?2 WHERE id = ?1", params![event.id, due])
}

fn update(cloud: &Cloud, sql: &str, values: impl rusqlite::Params) -> Result<(), AwsError> {
    cloud.store.write(|db| {
        db.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    })
}

async fn attempt(cloud: &Arc<Cloud>, event: &Event) -> Result<(), AwsError> {
    let read = cloud.store.read(|db| {
        let function = db.get::<Function>(KIND, &event.region, &event.function)?;
        let payload: Vec<u8> = db
            .conn()
            .prepare_cached("SELECT payload FROM event WHERE id = ?")?
            .query_row([event.id], |row| row.get(0))?;
        Ok((function, payload))
    });
    let (function, payload) = match read {
        Ok((Some(function), payload)) => (function, payload),
        Ok((None, _)) => return update(cloud, "DELETE FROM event WHERE id = ?", [event.id]),
        Err(error) => return Err(error),
    };
    let settings = function.event_invoke.clone().unwrap_or_default();
    let age = settings.age.map_or(AGE, |seconds| i64::from(seconds) * 1000);
    if now_ms() - event.created > age {
        return give_up(cloud, event, event.attempts, "EventAgeExceeded", &[]);
    }
    let runtime = cloud.lambda.get()?;
    let options = Options { request_id: Some(event.request_id.clone()), ..Options::default() };
    let spec = Arc::new(function.spec());
    match runtime.pool.invoke(&spec, payload.into(), options).await {
        Ok(Outcome { failed: false, .. }) => {
            update(cloud, "DELETE FROM event WHERE id = ?", [event.id])
        }
        Ok(Outcome { payload, .. }) => {
            let attempts = event.attempts + 1;
            if attempts > settings.retries.unwrap_or(2) {
                return give_up(cloud, event, attempts, "RetriesExhausted", &payload);
            }
            let wait = runtime.queue.retry.load(Ordering::SeqCst).saturating_mul(attempts.into());
            let due = now_ms().saturating_add_unsigned(wait);
            update(
                cloud,
                "UPDATE event SET state = 0, attempts = ?2, due = ?3 WHERE id = ?1",
                params![event.id, attempts, due],
            )
        }
        Err(Refused::Throttled) => {
            // From 1 second to 5 minutes.
            let wait = 1000_i64 << event.throttles.min(9);
            update(
                cloud,
                "UPDATE event SET state = 0, throttles = throttles + 1, due = ?2 WHERE id = ?1",
                params![event.id, now_ms() + wait.min(300_000)],
            )
        }
        // It was not carried out. Of a deleted function the event is gone too; when the local cloud ends, the next
        // start goes on with it.
        Err(Refused::Gone) => again_soon(cloud, event),
    }
}

fn give_up(
    cloud: &Cloud,
    event: &Event,
    attempts: u32,
    why: &str,
    response: &[u8],
) -> Result<(), AwsError> {
    cloud.store.write(|db| {
        db.conn()
            .prepare_cached(
                "UPDATE event SET state = 2, attempts = ?2, due = ?3, why = ?4, response = ?5
                 WHERE id = ?1",
            )?
            .execute(params![event.id, attempts, now_ms(), why, response])?;
        db.conn()
            .prepare_cached(
                "DELETE FROM event WHERE state = 2 AND id NOT IN
                 (SELECT id FROM event WHERE state = 2 ORDER BY id DESC LIMIT ?)",
            )?
            .execute([FAILED_KEPT])?;
        Ok(())
    })
}
