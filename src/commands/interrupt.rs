//! Ctrl-C and other signals that end a process: while resources are worked on, the first lets what is under way end and
//! the second ends the process; at any other time the first ends it. All exit with 130.

use std::sync::{Arc, Mutex, PoisonError};

use crate::bundle;
use crate::cli::Command;
use crate::engine::Interrupt;
use crate::report::Voice;
use crate::trace;

/// What a shell gives a process that Ctrl-C ended.
pub const EXIT: u8 = 130;

/// How far the work on the resources has come.
#[derive(Default)]
enum Work {
    #[default]
    NotBegun,
    UnderWay(Arc<Interrupt>),
    /// Another round may follow.
    Over,
}

static WORK: Mutex<Work> = Mutex::new(Work::NotBegun);

/// Resources are worked on from here on, until this is dropped.
pub struct UnderWay;

impl UnderWay {
    pub fn begin(interrupt: &Arc<Interrupt>) -> Self {
        set(Work::UnderWay(Arc::clone(interrupt)));
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        set(Work::Over);
    }
}

fn set(work: Work) {
    *WORK.lock().unwrap_or_else(PoisonError::into_inner) = work;
}

/// Listens for as long as the process lives. It begins before this returns.
pub fn watch(voice: Voice, command: &Command) {
    let goes_on = match command {
        Command::Up(_) => "`advent up` continues, `advent down` removes what is there",
        Command::Down => "`advent down` continues",
        _ => "",
    };
    let mut signals = Signals::listen();
    tokio::spawn(async move {
        loop {
            signals.next().await;
            let work = WORK.lock().unwrap_or_else(PoisonError::into_inner);
            let text = match &*work {
                Work::UnderWay(interrupt) if !interrupt.is_raised() => {
                    interrupt.raise();
                    voice.note(
                        "interrupted: nothing new is begun, what is under way ends; \
                         a second Ctrl-C ends at once",
                    );
                    continue;
                }
                Work::UnderWay(_) => {
                    format!("ended at once: what was under way may have happened or not; {goes_on}")
                }
                Work::Over => format!("interrupted: {goes_on}"),
                Work::NotBegun if goes_on.is_empty() => "interrupted".to_owned(),
                Work::NotBegun => "interrupted: nothing was changed".to_owned(),
            };
            bundle::end_builds();
            trace::end();
            voice.last(&text, EXIT);
            std::process::exit(EXIT.into());
        }
    });
}

/// SIGINT, SIGTERM, SIGQUIT and, unless it is ignored as under `nohup`, SIGHUP.
struct Signals {
    #[cfg(unix)]
    each: Vec<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()]
            .into_iter()
            .chain(hangup_ends().then(SignalKind::hangup));
        Self { each: kinds.filter_map(|kind| signal(kind).ok()).collect() }
    }

    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let came = self.each.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// Whether SIGHUP ends this process; where that cannot be told, nothing is changed about it.
#[cfg(unix)]
fn hangup_ends() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // A bit a signal, the first for signal 1, which is SIGHUP.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 0)
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
