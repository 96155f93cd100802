//! Calls of cargo that run at the same time: what each would say of the others, and their end.

use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Process groups of cargo's that run now, by the ids of their leaders.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// How long a cargo waits for a lock before that may be told: one that is held by a sibling is
/// not worth a word, one held by somebody else is told of once.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The time in which this process ends where whatever ended cargo means this process too, as
/// Ctrl-C does at a terminal. Until then nothing is to be said of cargo's end.
const NOTICE: Duration = Duration::from_millis(500);

/// What calls of cargo that run at the same time know of each other.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    running: AtomicUsize,
    blocked: AtomicUsize,
    /// Warnings that were said.
    said: Mutex<BTreeSet<String>>,
}

impl Siblings {
    /// One more runs, until what is returned is dropped.
    pub fn join(&self) -> Counted<'_> {
        Counted::new(&self.running)
    }

    /// One of them waits for a lock, until what is returned is dropped.
    pub fn block(&self) -> Counted<'_> {
        Counted::new(&self.blocked)
    }

    /// None of them holds the lock that they wait for.
    pub fn all_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) >= self.running.load(Ordering::Relaxed)
    }

    /// Whether this warning is new: what several are made of warns with each of them.
    pub fn is_news(&self, warning: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(warning.to_owned())
    }
}

/// One that counts while it lives.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A cargo, and all that it has started, in a process group of its own: it ends with this, which
/// neither the compiler nor a build script would with cargo alone.
#[derive(Debug)]
pub(super) struct Group(Option<i32>);

impl Group {
    /// Whether a cargo gets a group of its own. Not at a terminal: there git or ssh may ask for a
    /// password, which the terminal takes from the group in front only, and Ctrl-C reaches all of
    /// that group by itself.
    pub fn is_apart() -> bool {
        cfg!(unix) && !std::io::IsTerminal::is_terminal(&std::io::stdin())
    }

    /// `id` is the leader's, which has been started and not waited for.
    pub fn new(id: Option<u32>) -> Self {
        let id = id.and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            running(|all| all.insert(id));
        }
        Self(id)
    }

    /// The leader has ended by itself, and its id may soon be another's.
    pub fn ended(mut self) {
        if let Some(id) = self.0.take() {
            running(|all| all.remove(&id));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.take()
            && running(|all| all.remove(&id))
        {
            end(id);
        }
    }
}

/// Ends every cargo that runs, with all that it has started; none is told of any more.
pub(super) fn end_all() {
    for id in running(std::mem::take) {
        end(id);
    }
}

/// Whether a signal ended cargo, once it is clear that this process goes on.
pub(super) async fn was_ended(status: ExitStatus) -> bool {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    if signal.is_some() {
        tokio::time::sleep(NOTICE).await;
    }
    signal.is_some()
}

fn running<T>(with: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    with(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner))
}

fn end(leader: i32) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process, kill_process_group};
        let Some(leader) = Pid::from_raw(leader) else { return };
        let kill = if Group::is_apart() { kill_process_group } else { kill_process };
        // What has ended meanwhile is no error.
        let _gone = kill(leader, Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = leader;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_a_siblings_while_one_goes_on() {
        let siblings = Siblings::default();
        let (one, two) = (siblings.join(), siblings.join());
        let blocked = siblings.block();
        assert!(!siblings.all_blocked());
        drop(one);
        assert!(siblings.all_blocked());
        drop(blocked);
        assert!(!siblings.all_blocked());
        drop(two);
    }

    #[test]
    fn a_warning_is_news_once() {
        let siblings = Siblings::default();
        assert!(siblings.is_news("warning: unused"));
        assert!(!siblings.is_news("warning: unused"));
        assert!(siblings.is_news("warning: other"));
    }
}
