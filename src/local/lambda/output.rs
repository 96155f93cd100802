//! What a worker prints, line by line, and Lambda's own lines around it.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::local::clock::now_ms;

/// One line for the function's log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Milliseconds since the epoch.
    pub time: i64,
    pub text: String,
}

/// A longer line is cut into several events (`CloudWatch` Logs: 256 KB per event).
const LINE_LIMIT: usize = 256 * 1024 - 1024;
/// What one invocation may print, in bytes, before the rest is dropped.
const INVOCATION_LIMIT: usize = 16 * 1024 * 1024;
/// What `LogType=Tail` answers with, in bytes (AWS: Invoke).
const TAIL: usize = 4096;
/// Pending bytes that should be written without waiting for more.
const BATCH: usize = 256 * 1024;

/// The output of one worker process.
pub(super) struct Output {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    partial: Vec<u8>,
    lines: Vec<LogLine>,
    pending: usize,
    printed: usize,
    tail: Option<String>,
}

impl Output {
    pub fn new(pipe: pipe::Receiver) -> Self {
        Self {
            pipe: Some(pipe),
            buffer: Vec::with_capacity(16 * 1024),
            partial: Vec::new(),
            lines: Vec::new(),
            pending: 0,
            printed: 0,
            tail: None,
        }
    }

    /// Whether more can come.
    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Whether lines wait to be taken, and whether they should be taken at once.
    pub fn waiting(&self) -> (bool, bool) {
        (!self.lines.is_empty(), self.pending >= BATCH)
    }

    /// Waits for output and takes what is there. Cancel safe.
    pub async fn fill(&mut self) {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        match pipe.read_buf(&mut self.buffer).await {
            Ok(count) if count > 0 => {
                let mut bytes = std::mem::take(&mut self.buffer);
                self.push(&bytes);
                bytes.clear();
                self.buffer = bytes;
            }
            _ => self.pipe = None,
        }
    }

    /// Takes what has been printed up to now, without waiting for more.
    pub async fn drain(&mut self) {
        // The runtime polls its I/O driver when every task has yielded; what was written before
        // the worker's answer is readable then.
        tokio::task::yield_now().await;
        while self.is_open() {
            let more = tokio::time::timeout(Duration::ZERO, self.fill()).await;
            if more.is_err() || self.printed > INVOCATION_LIMIT {
                break;
            }
        }
        self.end_line();
    }

    fn push(&mut self, bytes: &[u8]) {
        let before = self.printed;
        self.printed = self.printed.saturating_add(bytes.len());
        if self.printed > INVOCATION_LIMIT {
            if before <= INVOCATION_LIMIT {
                self.end_line();
                self.line("[16 MB printed by this invocation: the rest is dropped]".to_owned());
            }
            return;
        }
        for &byte in bytes {
            if byte == b'\n' || self.partial.len() >= LINE_LIMIT {
                self.end_line();
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            let text = String::from_utf8_lossy(&self.partial).trim_end_matches('\r').to_owned();
            self.partial.clear();
            self.partial.shrink_to(16 * 1024);
            self.line(text);
        }
    }

    /// Adds a line of the platform's own.
    pub fn line(&mut self, text: String) {
        if let Some(tail) = &mut self.tail {
            tail.push_str(&text);
            tail.push('\n');
            if tail.len() > 16 * TAIL {
                *tail = last(tail, TAIL).to_owned();
            }
        }
        self.pending += text.len();
        self.lines.push(LogLine { time: now_ms(), text });
    }

    /// Starts a new invocation's share; with `tail`, its last 4 KB are kept.
    pub fn begin(&mut self, tail: bool) {
        self.printed = 0;
        self.tail = tail.then(String::new);
    }

    /// The invocation's last 4 KB, if asked for at its begin.
    pub fn take_tail(&mut self) -> Option<String> {
        self.tail.take().map(|tail| last(&tail, TAIL).to_owned())
    }

    pub fn take_lines(&mut self) -> Vec<LogLine> {
        self.pending = 0;
        std::mem::take(&mut self.lines)
    }
}

fn last(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Now in UTC, as Lambda's timeout line carries it: `2026-11-23T18:05:00.123Z`.
pub(in crate::local) fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    format!(
        "{}T{:02}:{:02}:{:02}.{:03}Z",
        now.date(),
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    )
}

/// A log stream's name, as Lambda forms it: `2026/11/23/[$LATEST]0123…`.
pub(super) fn stream_name(id: &str) -> String {
    let now = OffsetDateTime::now_utc();
    format!("{}/{:02}/{:02}/[$LATEST]{id}", now.year(), u8::from(now.month()), now.day())
}

/// The line after an invocation.
pub(super) fn report(
    id: &str,
    duration: Duration,
    memory_mb: u32,
    used_mb: Option<u64>,
    init: Option<Duration>,
) -> String {
    use std::fmt::Write as _;
    let ms = duration.as_secs_f64() * 1000.0;
    let billed = duration.as_micros().div_ceil(1000);
    let mut line = format!(
        "REPORT RequestId: {id}\tDuration: {ms:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {memory_mb} MB\t"
    );
    if let Some(used) = used_mb {
        let _ = write!(line, "Max Memory Used: {used} MB\t");
    }
    if let Some(init) = init {
        let _ = write!(line, "Init Duration: {:.2} ms\t", init.as_secs_f64() * 1000.0);
    }
    line
}

/// The most memory a process has held, in MB; only Linux tells.
pub(super) fn peak_memory_mb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes.div_ceil(1024))
}
