//! One worker: a process that runs a function's `bootstrap`, watched from start to end.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::output::{self, Output};
use super::pool::{Job, Outcome, Pool, Spec};
use super::process::{describe, start};
use super::strays;
use crate::local::clock::now_ms;

/// The largest answer of a function, in bytes (AWS: Lambda quotas, 6 MB and a little).
pub(in crate::local) const RESPONSE_LIMIT: usize = 6_291_556;
/// How soon a worker that has answered should ask for the next event.
const RETURN: Duration = Duration::from_millis(500);
/// How long lines may wait for more before they are written. Those of an invocation that comes
/// after a pause as long need not wait.
const FLUSH: Duration = Duration::from_millis(200);

/// An invocation that takes so long may have needed memory.
const NOTABLE: Duration = Duration::from_millis(20);

pub(in crate::local) struct Worker {
    pub id: String,
    pub spec: Arc<Spec>,
    commands: mpsc::UnboundedSender<Command>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    running: Option<Running>,
    /// The runtime waits for an event.
    asking: bool,
    /// What the runtime said about its failed initialisation.
    init_error: Option<Bytes>,
}

struct Running {
    job: Job,
    started: Instant,
    deadline_ms: u128,
}

/// What the Runtime API tells a worker of its invocation.
pub(in crate::local) struct Invocation {
    pub id: String,
    pub payload: Bytes,
    /// Milliseconds since the epoch.
    pub deadline_ms: u128,
    pub client_context: Option<String>,
}

pub(super) enum Command {
    /// The process asks for an event.
    Asks,
    Begin {
        id: String,
        tail: bool,
        deadline: Instant,
    },
    End {
        job: Job,
        outcome: Outcome,
        duration: Duration,
        written: oneshot::Sender<()>,
    },
    Stop,
}

impl Worker {
    pub(super) fn new(spec: &Arc<Spec>) -> (Arc<Self>, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let worker = Self {
            id: Uuid::new_v4().simple().to_string(),
            spec: Arc::clone(spec),
            commands,
            slot: Mutex::default(),
        };
        (Arc::new(worker), receiver)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, command: Command) {
        // Nobody listens when the process is gone, and then it does not matter.
        let _ = self.commands.send(command);
    }

    pub fn stop(&self) {
        self.tell(Command::Stop);
    }

    /// The runtime asks for an event, as long as the answer lives. `None` where it may not: it waits for one
    /// already, or has not answered the last one, which goes on until its timeout.
    pub(super) fn ask(self: &Arc<Self>) -> Option<Asking> {
        let mut slot = self.slot();
        if slot.asking || slot.running.is_some() {
            return None;
        }
        slot.asking = true;
        self.tell(Command::Asks);
        Some(Asking(Arc::clone(self)))
    }

    pub(super) fn begin(&self, job: Job) {
        let started = Instant::now();
        let timeout = self.spec.timeout;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.tell(Command::Begin {
            id: job.id.clone(),
            tail: job.tail,
            deadline: started + timeout,
        });
        let deadline_ms = (now + timeout).as_millis();
        self.slot().running = Some(Running { job, started, deadline_ms });
    }

    /// The invocation that was begun last, if it has not ended.
    pub fn event(&self) -> Option<Invocation> {
        let slot = self.slot();
        let running = slot.running.as_ref()?;
        Some(Invocation {
            id: running.job.id.clone(),
            payload: running.job.payload.clone(),
            deadline_ms: running.deadline_ms,
            client_context: running.job.client_context.clone(),
        })
    }

    fn take(&self, id: Option<&str>) -> Option<Running> {
        let mut slot = self.slot();
        if let (Some(id), Some(running)) = (id, &slot.running)
            && running.job.id != id
        {
            return None;
        }
        slot.running.take()
    }

    /// See [`Pool::finish`].
    pub(super) async fn finish(&self, id: &str, outcome: Outcome) -> bool {
        let Some(mut running) = self.take(Some(id)) else { return false };
        let duration = running.started.elapsed();
        if !running.job.tail {
            let (nobody, _) = oneshot::channel();
            let reply = std::mem::replace(&mut running.job.reply, nobody);
            let _ = reply.send(outcome.clone());
        }
        let (written, done) = oneshot::channel();
        self.tell(Command::End { job: running.job, outcome, duration, written });
        let _ = done.await;
        true
    }

    pub fn init_failed(&self, error: Bytes) {
        self.slot().init_error = Some(error);
    }
}

/// A question for the next event.
pub(super) struct Asking(Arc<Worker>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.slot().asking = false;
    }
}

/// Starts the process and watches it until it is gone.
pub(super) async fn supervise(
    pool: Arc<Pool>,
    worker: Arc<Worker>,
    commands: mpsc::UnboundedReceiver<Command>,
) {
    let stream = output::stream_name(&worker.id);
    match start(&pool, &worker, &stream).await {
        Ok((child, pipe, api)) => {
            let pid = child.id().unwrap_or_default();
            pool.host.process(pid, true);
            let (now, own) = (Instant::now(), stream.clone());
            let supervisor = Supervisor {
                deadline: now + pool.limits.init,
                pool: Arc::clone(&pool),
                worker: Arc::clone(&worker),
                stream,
                child,
                pid,
                output: Output::new(pipe),
                phase: Phase::Init,
                started: now,
                init: None,
                flush: None,
                used: None,
                logged: None,
            };
            let end = supervisor.run(commands).await;
            drop(api);
            let _ = tokio::task::spawn_blocking(move || strays::end_of_worker(&own)).await;
            pool.host.process(pid, false);
            pool.ended(&worker, |id| worker.init_outcome(id, &end));
        }
        Err(why) => {
            let line = output::LogLine { time: now_ms(), text: why.clone() };
            pool.host.log(Arc::clone(&worker.spec), stream, vec![line]).await;
            pool.ended(&worker, |id| {
                Outcome::error(
                    "Runtime.InvalidEntrypoint",
                    &format!("RequestId: {id} Error: {why}"),
                )
            });
        }
    }
}

enum Phase {
    Init,
    /// Between an answer and the next question.
    Between,
    /// As `Between`, for too long already.
    Late,
    Idle,
    Busy,
}

/// Why a process ended.
enum End {
    Exited(ExitStatus),
    /// It was initialising for too long.
    InitTimeout(Duration),
    Stopped,
}

struct Supervisor {
    pool: Arc<Pool>,
    worker: Arc<Worker>,
    stream: String,
    child: Child,
    pid: u32,
    output: Output,
    phase: Phase,
    deadline: Instant,
    started: Instant,
    /// How long the initialisation took, until it is reported.
    init: Option<Duration>,
    flush: Option<Instant>,
    /// The most memory in MB, when it was looked at last.
    used: Option<u64>,
    /// When lines were written last.
    logged: Option<Instant>,
}

impl Supervisor {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> End {
        loop {
            let flush = self.flush.unwrap_or(self.deadline);
            // Output comes last: a process that never stops printing still ends in time.
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Asks) => self.asked(),
                    Some(Command::Begin { id, tail, deadline }) => {
                        // No reading here: what is in the pipe may already be of this invocation.
                        self.output.begin(tail);
                        self.output.line(format!("START RequestId: {id} Version: $LATEST"));
                        self.phase = Phase::Busy;
                        self.deadline = deadline;
                    }
                    Some(Command::End { job, outcome, duration, written }) => {
                        self.output.drain().await;
                        self.answered(job, outcome, duration);
                        let _ = written.send(());
                        // Under load, the lines of many invocations are written together.
                        match self.held() {
                            Some(until) => self.flush = self.flush.or(Some(until)),
                            None => self.write_log().await,
                        }
                    }
                    Some(Command::Stop) | None => {
                        self.kill().await;
                        self.write_log().await;
                        return End::Stopped;
                    }
                },
                status = self.child.wait() => {
                    let Ok(status) = status else { return End::Stopped };
                    self.kill_group();
                    self.exited(status).await;
                    return End::Exited(status);
                }
                () = sleep_until(self.deadline) => {
                    if let Some(end) = self.expired().await {
                        return end;
                    }
                }
                () = sleep_until(flush), if self.flush.is_some() => self.write_log().await,
                () = self.output.fill(), if self.output.is_open() => {
                    match self.output.waiting() {
                        (_, true) => self.write_log().await,
                        (true, _) if self.flush.is_none() => {
                            self.flush = Some(Instant::now() + FLUSH);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn asked(&mut self) {
        if matches!(self.phase, Phase::Init) {
            self.init = Some(self.started.elapsed());
        }
        self.phase = Phase::Idle;
        self.deadline = Instant::now() + self.pool.limits.idle;
    }

    fn answered(&mut self, job: Job, mut outcome: Outcome, duration: Duration) {
        self.close(&job.id, duration);
        self.phase = Phase::Between;
        self.deadline = Instant::now() + RETURN;
        outcome.tail = self.output.take_tail();
        let _ = job.reply.send(outcome);
    }

    /// The platform's lines after an invocation.
    fn close(&mut self, id: &str, duration: Duration) {
        let spec = &self.worker.spec;
        // Asking the system takes longer than many an invocation.
        if duration >= NOTABLE || self.held().is_none() {
            self.used = output::peak_memory_mb(self.pid);
        }
        self.output.line(format!("END RequestId: {id}"));
        let report = output::report(id, duration, spec.memory_mb, self.used, self.init.take());
        self.output.line(report);
    }

    async fn exited(&mut self, status: ExitStatus) {
        self.output.drain().await;
        if let Some(running) = self.worker.take(None) {
            let id = running.job.id.clone();
            let message = format!("RequestId: {id} Error: {}", describe(status));
            self.fail(running, &message, Outcome::error("Runtime.ExitError", &message));
        } else if matches!(self.phase, Phase::Init) {
            let text = format!(
                "INIT_REPORT Status: error\tError Type: Runtime.ExitError\t{}",
                describe(status)
            );
            self.output.line(text);
        }
        self.write_log().await;
    }

    async fn expired(&mut self) -> Option<End> {
        match self.phase {
            Phase::Busy => {
                // Its answer may just have come: then End is the next command.
                let running = self.worker.take(None);
                let Some(running) = running else {
                    self.deadline = Instant::now() + self.pool.limits.idle;
                    return None;
                };
                self.kill().await;
                self.output.drain().await;
                let seconds = self.worker.spec.timeout.as_secs_f64();
                let id = running.job.id.clone();
                let what = format!("Task timed out after {seconds:.2} seconds");
                let outcome =
                    Outcome::error("Sandbox.Timedout", &format!("RequestId: {id} Error: {what}"));
                self.fail(running, &format!("{} {id} {what}", output::timestamp()), outcome);
                self.write_log().await;
                Some(End::Stopped)
            }
            Phase::Init => {
                self.kill().await;
                self.output.drain().await;
                let ms = self.started.elapsed().as_secs_f64() * 1000.0;
                self.output.line(format!(
                    "INIT_REPORT Init Duration: {ms:.2} ms\tPhase: init\tStatus: timeout"
                ));
                self.write_log().await;
                Some(End::InitTimeout(self.pool.limits.init))
            }
            Phase::Between => {
                // What it does is nobody's business, but it must not stay for ever.
                self.pool.late(&self.worker);
                self.phase = Phase::Late;
                self.deadline = Instant::now() + self.pool.limits.idle;
                None
            }
            Phase::Idle | Phase::Late => {
                if !self.pool.retire(&self.worker) && matches!(self.phase, Phase::Idle) {
                    // It was given an invocation just now.
                    self.deadline = Instant::now() + self.pool.limits.idle;
                    return None;
                }
                self.kill().await;
                self.write_log().await;
                Some(End::Stopped)
            }
        }
    }

    fn fail(&mut self, running: Running, line: &str, mut outcome: Outcome) {
        self.output.line(line.to_owned());
        self.close(&running.job.id, running.started.elapsed());
        outcome.tail = self.output.take_tail();
        let _ = running.job.reply.send(outcome);
    }

    async fn kill(&mut self) {
        self.kill_group();
        let _ = self.child.kill().await;
    }

    /// What the process has started goes with it.
    fn kill_group(&self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Until when lines wait for more, if some were written just now.
    fn held(&self) -> Option<Instant> {
        self.logged.map(|at| at + FLUSH).filter(|until| *until > Instant::now())
    }

    async fn write_log(&mut self) {
        self.flush = None;
        self.logged = Some(Instant::now());
        let lines = self.output.take_lines();
        if !lines.is_empty() {
            let spec = Arc::clone(&self.worker.spec);
            self.pool.host.log(spec, self.stream.clone(), lines).await;
        }
    }
}

impl Worker {
    /// What the invocation gets for which this worker was started in vain.
    fn init_outcome(&self, id: &str, end: &End) -> Outcome {
        if let Some(payload) = self.slot().init_error.take() {
            return Outcome { payload, failed: true, tail: None };
        }
        let (kind, message) = match end {
            End::Exited(status) => ("Runtime.ExitError", describe(*status)),
            End::InitTimeout(limit) => (
                "Sandbox.Timedout",
                format!("Initialization has timed out after {:.2} seconds", limit.as_secs_f64()),
            ),
            End::Stopped => ("Runtime.Unknown", "the local cloud ended the function".to_owned()),
        };
        Outcome::error(kind, &format!("RequestId: {id} Error: {message}"))
    }
}
