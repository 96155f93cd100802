//! Invocations meet workers: idle ones are reused, missing ones are started.

mod room;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::code::CodeStore;
use super::output::LogLine;
use super::worker::{self, Invocation, Worker};

/// What a worker is started from: one state of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Region and name: one function of the pool.
    pub key: String,
    pub name: String,
    pub region: String,
    pub arn: String,
    /// Grows with every change of the function: workers of an older generation are ended.
    pub generation: i64,
    pub code_sha256: String,
    pub handler: String,
    pub memory_mb: u32,
    pub timeout: Duration,
    pub log_group: String,
    /// Name of the role, for the session credentials.
    pub role: String,
    /// The function's own variables.
    pub variables: Vec<(String, String)>,
}

/// What the pool needs of the cloud around it.
pub trait Host: Send + Sync + 'static {
    /// The whole environment of a new worker, apart from what names the Runtime API and the log
    /// stream.
    fn environment(&self, worker: &str, spec: &Spec) -> Vec<(String, String)>;
    /// The worker is gone.
    fn ended(&self, worker: &str);
    fn log(&self, spec: Arc<Spec>, stream: String, lines: Vec<LogLine>) -> BoxFuture<'static, ()>;
    /// A process was started (`true`) or is gone.
    fn process(&self, pid: u32, alive: bool);
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a process may take to ask for its first event (AWS: 10 s).
    pub init: Duration,
    /// How long a worker may be idle before it is ended.
    pub idle: Duration,
    /// Processes of one function. More concurrent invocations wait for one of them.
    pub workers: usize,
    /// Processes of all functions. One function leaves as much room as it takes, and where there
    /// is none left, an idle process ends for a function that has none.
    pub processes: usize,
    /// Processes of one function that start at the same time.
    pub starting: usize,
    /// Invocations of all functions at once; more are throttled (AWS: 1,000 per Region).
    pub invocations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            init: Duration::from_secs(10),
            idle: Duration::from_mins(5),
            workers: 64,
            processes: 1024,
            starting: 2 * cores,
            invocations: 1000,
        }
    }
}

/// An invocation on its way to a worker and back.
#[derive(Debug)]
pub(super) struct Job {
    pub id: String,
    pub payload: Bytes,
    pub tail: bool,
    pub client_context: Option<String>,
    pub reply: oneshot::Sender<Outcome>,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub payload: Bytes,
    /// The function failed; the payload says how.
    pub failed: bool,
    /// The last 4 KB of its log, if asked for.
    pub tail: Option<String>,
}

impl Outcome {
    /// A failure that the platform reports, formed as Lambda forms it.
    pub fn error(kind: &str, message: &str) -> Self {
        let payload = json!({"errorType": kind, "errorMessage": message}).to_string();
        Self { payload: payload.into(), failed: true, tail: None }
    }
}

/// Why an invocation did not take place.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many at once.
    Throttled,
    /// The function was deleted, or the local cloud ends.
    Gone,
}

/// What a worker that asks for an invocation gets.
pub(in crate::local) enum Next {
    Invocation(Invocation),
    /// It is to end.
    End,
    /// It has one, or waits for one already.
    NotNow,
}

#[derive(Debug, Default)]
pub struct Options {
    pub request_id: Option<String>,
    pub tail: bool,
    pub client_context: Option<String>,
    /// Nobody waits for the answer.
    pub asynchronous: bool,
}

pub struct Pool {
    pub(super) host: Arc<dyn Host>,
    pub(super) code: CodeStore,
    pub(super) limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fleets: HashMap<String, Fleet>,
    workers: HashMap<String, Arc<Worker>>,
    supervisors: JoinSet<()>,
    invocations: usize,
    /// When the invocations that somebody waits for came, by a number of their own.
    callers: BTreeMap<u64, Instant>,
    calls: u64,
    closing: bool,
    /// Idle workers that end to make room.
    leaving: HashSet<String>,
}

/// The workers and the waiting invocations of one function.
struct Fleet {
    spec: Arc<Spec>,
    idle: Vec<Idle>,
    waiting: VecDeque<Job>,
    starting: HashSet<String>,
    /// Those that have answered and will ask for the next event any moment.
    returning: HashSet<String>,
    alive: usize,
}

struct Idle {
    worker: String,
    give: oneshot::Sender<Job>,
}

impl Pool {
    pub fn new(host: Arc<dyn Host>, code: CodeStore, limits: Limits) -> Arc<Self> {
        Arc::new(Self { host, code, limits, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one invocation to its end, which the function's timeout bounds once it has begun.
    pub async fn invoke(
        self: &Arc<Self>,
        spec: &Arc<Spec>,
        payload: Bytes,
        options: Options,
    ) -> Result<Outcome, Refused> {
        let (reply, outcome) = oneshot::channel();
        let job = Job {
            id: options.request_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
            payload,
            tail: options.tail,
            client_context: options.client_context,
            reply,
        };
        let _counted = self.submit(spec, job, options.asynchronous)?;
        outcome.await.map_err(|_| Refused::Gone)
    }

    /// Whether somebody waits for an answer, and has not done so for longer than this.
    pub(super) fn has_callers(&self, since: Duration) -> bool {
        self.lock().callers.last_key_value().is_some_and(|(_, came)| came.elapsed() < since)
    }

    fn submit(
        self: &Arc<Self>,
        spec: &Arc<Spec>,
        mut job: Job,
        asynchronous: bool,
    ) -> Result<Counted, Refused> {
        let mut state = self.lock();
        if state.closing {
            return Err(Refused::Gone);
        }
        if state.invocations >= self.limits.invocations {
            return Err(Refused::Throttled);
        }
        state.invocations += 1;
        let caller = (!asynchronous).then(|| {
            state.calls += 1;
            let number = state.calls;
            state.callers.insert(number, Instant::now());
            number
        });
        let counted = Counted { pool: Arc::clone(self), caller };
        let fleet = state.fleets.entry(spec.key.clone()).or_insert_with(|| Fleet::new(spec));
        if fleet.spec.generation < spec.generation {
            // Its idle workers end now (their channel closes), the busy ones when they ask next.
            fleet.spec = Arc::clone(spec);
            fleet.idle.clear();
            fleet.starting.clear();
            fleet.returning.clear();
        }
        // The one that was used last is the warmest, and lets the others expire.
        while let Some(idle) = fleet.idle.pop() {
            match idle.give.send(job) {
                Ok(()) => return Ok(counted),
                Err(back) => job = back,
            }
        }
        fleet.waiting.push_back(job);
        self.start_missing(&mut state, &spec.key);
        Ok(counted)
    }

    /// Starts as many workers as invocations wait for, within the limits.
    fn start_missing(self: &Arc<Self>, state: &mut State, key: &str) {
        let State { fleets, workers, supervisors, leaving, closing, .. } = state;
        let Some(fleet) = fleets.get_mut(key) else { return };
        let room = |fleet: &Fleet, all: usize| {
            let others = all.saturating_sub(fleet.alive);
            let share = self.limits.processes.saturating_sub(others) / 2;
            all < self.limits.processes && (fleet.alive == 0 || fleet.alive < share)
        };
        while fleet.waiting.len() > fleet.starting.len() + fleet.returning.len()
            && fleet.starting.len() < self.limits.starting
            && fleet.alive < self.limits.workers
            && room(fleet, workers.len())
            && !*closing
        {
            let (worker, commands) = Worker::new(&fleet.spec);
            fleet.alive += 1;
            fleet.starting.insert(worker.id.clone());
            workers.insert(worker.id.clone(), Arc::clone(&worker));
            while supervisors.try_join_next().is_some() {}
            supervisors.spawn(worker::supervise(Arc::clone(self), worker, commands));
        }
        if fleet.alive == 0 && !fleet.waiting.is_empty() && leaving.is_empty() {
            let idle = fleets.values_mut().find(|fleet| !fleet.idle.is_empty());
            // The one that was used longest ago; it hears of it by the end of its channel.
            leaving.extend(idle.map(|fleet| fleet.idle.remove(0).worker));
        }
    }

    /// The next invocation for this worker, whenever it comes.
    pub(in crate::local) async fn next(self: &Arc<Self>, worker: &Arc<Worker>) -> Next {
        let Some(_asking) = worker.ask() else { return Next::NotNow };
        match self.given(worker).await.and_then(|()| worker.event()) {
            Some(event) => Next::Invocation(event),
            None => Next::End,
        }
    }

    /// Waits until the worker has been given an invocation; `None` when it is to end.
    async fn given(self: &Arc<Self>, worker: &Arc<Worker>) -> Option<()> {
        let mut parked = {
            let mut state = self.lock();
            let closing = state.closing;
            let key = &worker.spec.key;
            let fleet = state
                .fleets
                .get_mut(key)
                .filter(|fleet| fleet.spec.generation == worker.spec.generation && !closing);
            let Some(fleet) = fleet else {
                worker.stop();
                return None;
            };
            fleet.starting.remove(&worker.id);
            fleet.returning.remove(&worker.id);
            if let Some(job) = fleet.waiting.pop_front() {
                self.start_missing(&mut state, key);
                drop(state);
                worker.begin(job);
                return Some(());
            }
            let tight = state.starving(&self.limits).is_some();
            let Some(fleet) = state.fleets.get_mut(key).filter(|_| !tight) else {
                worker.stop();
                return None;
            };
            let (give, take) = oneshot::channel();
            fleet.idle.push(Idle { worker: worker.id.clone(), give });
            Parked { pool: self, key, take }
        };
        let Ok(job) = (&mut parked.take).await else {
            worker.stop();
            return None;
        };
        worker.begin(job);
        Some(())
    }

    /// Takes a function's answer to invocation `id`; false when that is not running on this worker
    /// (any more). Returns when what it printed before is on its way to the log.
    pub(in crate::local) async fn finish(
        self: &Arc<Self>,
        worker: &Worker,
        id: &str,
        outcome: Outcome,
    ) -> bool {
        // Before the caller hears of it, whose next invocation may come at once: that had better
        // wait for this worker than have one started.
        if let Some(fleet) = self.lock().fleets.get_mut(&worker.spec.key)
            && fleet.spec.generation == worker.spec.generation
        {
            fleet.returning.insert(worker.id.clone());
        }
        let known = worker.finish(id, outcome).await;
        if !known {
            self.late(worker);
        }
        known
    }

    /// A worker does not ask for its next event: nobody should count on it.
    pub(super) fn late(self: &Arc<Self>, worker: &Worker) {
        let mut state = self.lock();
        let key = &worker.spec.key;
        if state.fleets.get_mut(key).is_some_and(|fleet| fleet.returning.remove(&worker.id)) {
            self.start_missing(&mut state, key);
        }
    }

    /// Takes a worker out of the idle ones; false when it is not among them.
    pub(super) fn retire(&self, worker: &Worker) -> bool {
        let mut state = self.lock();
        let Some(fleet) = state.fleets.get_mut(&worker.spec.key) else { return true };
        let before = fleet.idle.len();
        fleet.idle.retain(|idle| idle.worker != worker.id);
        fleet.idle.len() < before || fleet.spec.generation != worker.spec.generation
    }

    /// A worker's process is gone. One that never got to ask for an event takes the invocation it
    /// was started for with it: `cause` is the answer.
    pub(super) fn ended(self: &Arc<Self>, worker: &Worker, cause: impl FnOnce(&str) -> Outcome) {
        self.host.ended(&worker.id);
        let mut state = self.lock();
        state.workers.remove(&worker.id);
        state.leaving.remove(&worker.id);
        let closing = state.closing;
        let full = state.workers.len() + 1 >= self.limits.processes;
        let Some(fleet) = state.fleets.get_mut(&worker.spec.key) else {
            self.start_for_all(&mut state, full);
            return;
        };
        fleet.alive = fleet.alive.saturating_sub(1);
        fleet.idle.retain(|idle| idle.worker != worker.id);
        fleet.returning.remove(&worker.id);
        let mut failed = None;
        if fleet.starting.remove(&worker.id) && !closing {
            failed = fleet.waiting.pop_front();
        }
        self.start_for_all(&mut state, full);
        self.start_missing(&mut state, &worker.spec.key);
        drop(state);
        if let Some(job) = failed {
            let outcome = cause(&job.id);
            let _ = job.reply.send(outcome);
        }
    }

    /// The function was deleted: its workers end, what waits for them is refused.
    pub fn forget(&self, key: &str) {
        let fleet = self.lock().fleets.remove(key);
        drop(fleet);
    }

    /// Ends all workers and waits until their processes are gone.
    pub async fn shutdown(&self) {
        let (workers, fleets, mut supervisors) = {
            let mut state = self.lock();
            state.closing = true;
            (
                std::mem::take(&mut state.workers),
                std::mem::take(&mut state.fleets),
                std::mem::take(&mut state.supervisors),
            )
        };
        drop(fleets);
        for worker in workers.values() {
            worker.stop();
        }
        // They kill; a process that cannot be killed must not keep the local cloud alive.
        let all = async { while supervisors.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    }

    /// Living workers of a function.
    #[cfg(test)]
    pub fn alive(&self, key: &str) -> usize {
        self.lock().fleets.get(key).map_or(0, |fleet| fleet.alive)
    }

    /// The folder with a package's files. Blocks the first time.
    pub(super) fn task_root(&self, spec: &Spec) -> Result<PathBuf, super::code::CodeError> {
        self.code.unpacked(&spec.code_sha256)
    }
}

impl Fleet {
    fn new(spec: &Arc<Spec>) -> Self {
        Self {
            spec: Arc::clone(spec),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            starting: HashSet::new(),
            returning: HashSet::new(),
            alive: 0,
        }
    }
}

/// One invocation, counted until it ends or nobody waits for it any more.
struct Counted {
    pool: Arc<Pool>,
    caller: Option<u64>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.invocations -= 1;
        if let Some(caller) = self.caller {
            state.callers.remove(&caller);
        }
    }
}

/// A worker that waits for an invocation. If its connection ends just when one was given to it,
/// the invocation goes back to the others.
struct Parked<'a> {
    pool: &'a Arc<Pool>,
    key: &'a str,
    take: oneshot::Receiver<Job>,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.take.close();
        if let Ok(job) = self.take.try_recv() {
            let mut state = self.pool.lock();
            if let Some(fleet) = state.fleets.get_mut(self.key) {
                fleet.waiting.push_front(job);
                self.pool.start_missing(&mut state, self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
