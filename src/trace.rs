//! `--trace`: what a command did when, as Chrome's trace events, which Perfetto opens.
//!
//! Each event is written when it is over, so that a run that is killed leaves a trace too: the
//! format lets the closing bracket be missing. No message and no body gets into it, so no secret.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::failure::Failure;

static SINK: OnceLock<Trace> = OnceLock::new();

tokio::task_local! {
    /// The resource that is worked on.
    static TRACK: Arc<str>;
}

/// Requests of one resource that may be under way at once before they share a lane.
const LANES: usize = 64;

struct Trace {
    begun: Instant,
    file: Mutex<File>,
    tracks: Mutex<HashMap<Arc<str>, Track>>,
}

/// One resource: events that overlap without being one within the other have a lane each, which
/// is a thread to the viewers.
struct Track {
    number: usize,
    busy: [bool; LANES],
    named: [bool; LANES],
}

/// From here on, everything goes into this file.
///
/// # Errors
/// The file cannot be written.
pub fn begin(path: &Path) -> Result<(), Failure> {
    let file = File::create(path).and_then(|mut file| {
        let name = json!({ "name": "process_name", "ph": "M", "pid": 1, "tid": 0,
            "args": { "name": "advent" } });
        file.write_all(format!("[\n{name}").as_bytes()).map(|()| file)
    });
    let file = Mutex::new(file.map_err(|error| {
        Failure::refused(format!("the trace cannot be written to {}", path.display()))
            .hint("name a file in a folder that exists")
            .source(error)
    })?);
    let trace = Trace { begun: Instant::now(), file, tracks: Mutex::default() };
    drop(SINK.set(trace));
    Ok(())
}

/// Completes the file, if there is one.
pub fn end() {
    if let Some(trace) = SINK.get() {
        let mut file = trace.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(b"\n]\n").ok();
    }
}

/// Does work on a resource; what is asked of the cloud for it belongs to it.
pub fn step<F: Future>(
    resource: &str,
    name: &'static str,
    work: F,
) -> impl Future<Output = F::Output> {
    let work = Box::pin(work);
    async move {
        if SINK.get().is_none() {
            return work.await;
        }
        let track: Arc<str> = resource.into();
        let span = Span::begin(Arc::clone(&track), name, "step", Value::Null);
        let output = TRACK.scope(track, work).await;
        drop(span);
        output
    }
}

/// One attempt of a request. It ends when it is dropped.
pub fn request(operation: &'static str, target: &str, attempt: u32) -> Option<Span> {
    SINK.get()?;
    let track = TRACK.try_with(Arc::clone).unwrap_or_else(|_| "session".into());
    let args = json!({ "operation": operation, "target": target, "attempt": attempt + 1,
        "status": "abandoned" });
    Span::begin(track, operation, "request", args)
}

/// Something under way.
pub struct Span {
    sink: &'static Trace,
    track: Arc<str>,
    lane: usize,
    name: &'static str,
    category: &'static str,
    begun: Instant,
    args: Value,
}

impl Span {
    fn begin(
        track: Arc<str>,
        name: &'static str,
        category: &'static str,
        args: Value,
    ) -> Option<Self> {
        let sink = SINK.get()?;
        let lane = sink.enter(&track, category == "step");
        Some(Self { sink, track, lane, name, category, begun: Instant::now(), args })
    }

    pub fn succeeded(&mut self) {
        self.args["status"] = "ok".into();
    }

    pub fn failed(&mut self, status: Option<u16>, code: Option<&str>) {
        self.args["status"] = status.map_or_else(|| "unanswered".into(), Value::from);
        self.args["code"] = code.into();
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let ended = self.begun.elapsed();
        let tid = self.sink.leave(&self.track, self.lane, self.category == "step");
        let mut event = json!({
            "name": self.name, "cat": self.category, "ph": "X", "pid": 1, "tid": tid,
            "ts": micros(self.begun.duration_since(self.sink.begun)), "dur": micros(ended),
        });
        if !self.args.is_null() {
            event["args"] = self.args.take();
        }
        self.sink.write(&event);
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Trace {
    /// The lane for what begins now. Steps have the first, with the first of their requests in it.
    fn enter(&self, track: &Arc<str>, step: bool) -> usize {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let number = tracks.len();
        let track = tracks.entry(Arc::clone(track)).or_insert_with(|| Track {
            number,
            busy: [false; LANES],
            named: [false; LANES],
        });
        if step {
            return 0;
        }
        let lane = track.busy.iter().position(|busy| !busy).unwrap_or(LANES - 1);
        track.busy[lane] = true;
        lane
    }

    /// Frees the lane; returns the thread that it is to the viewers.
    fn leave(&self, name: &Arc<str>, lane: usize, step: bool) -> usize {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(track) = tracks.get_mut(name) else { return 0 };
        if !step {
            track.busy[lane] = false;
        }
        let tid = track.number * LANES + lane;
        if !std::mem::replace(&mut track.named[lane], true) {
            self.write(&json!({ "name": "thread_name", "ph": "M", "pid": 1, "tid": tid,
                "args": { "name": &**name } }));
        }
        tid
    }

    /// A trace is not worth failing for.
    fn write(&self, event: &Value) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!(",\n{event}").as_bytes()).ok();
    }
}
