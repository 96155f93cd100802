//! Cargo's processes, which end when this one does.

use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Process groups of cargo's that run now, by the ids of their leaders.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// The time in which this process ends where whatever ended cargo means this process too, as
/// Ctrl-C does at a terminal. Until then nothing is to be said of cargo's end.
const NOTICE: Duration = Duration::from_millis(500);

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
