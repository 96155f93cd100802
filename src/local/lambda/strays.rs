//! What a function's process has started and what left its process group: found by its environment.
//!
//! Only Linux tells it. What has neither the environment nor the group is not found.

use std::path::Path;

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::code::CODE;

/// Others may be started while some are ended.
const PASSES: usize = 5;

/// Ends what was started by the worker with this log stream, which is no other's.
pub(super) fn end_of_worker(stream: &str) {
    let mark = format!("AWS_LAMBDA_LOG_STREAM_NAME={stream}");
    end(|variable| variable == mark.as_bytes());
}

/// Ends what was started by any function of the local cloud in this folder.
pub(super) fn end_of_folder(dir: &Path) {
    // Another local cloud's folder may be below this one's.
    let mark = format!("LAMBDA_TASK_ROOT={}/", dir.join(CODE).display());
    end(|variable| variable.starts_with(mark.as_bytes()));
}

fn end(is_mark: impl Fn(&[u8]) -> bool) {
    for _ in 0..PASSES {
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        let mut any = false;
        for process in processes.flatten() {
            let name = process.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
            // Empty where it has ended already, not to be read where it is another user's.
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(&is_mark) {
                any |= kill_process(pid, Signal::KILL).is_ok();
            }
        }
        if !any {
            return;
        }
    }
}
