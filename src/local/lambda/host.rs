//! What workers get from the local cloud: environment, credentials, a log.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};

use super::output::LogLine;
use super::pool::{Host, Spec};
use crate::local::cloud::LocalCloud;
use crate::local::{ACCOUNT, logs};

pub(super) struct CloudHost {
    cloud: Weak<LocalCloud>,
    url: String,
    /// One file per living worker process.
    processes: PathBuf,
    /// The access key of each worker.
    keys: Mutex<HashMap<String, String>>,
}

impl CloudHost {
    pub fn new(cloud: &Arc<LocalCloud>) -> std::io::Result<Self> {
        let processes = processes(&cloud.dir);
        std::fs::create_dir_all(&processes)?;
        Ok(Self {
            cloud: Arc::downgrade(cloud),
            url: cloud.functions_url.clone(),
            processes,
            keys: Mutex::default(),
        })
    }
}

impl Host for CloudHost {
    fn environment(&self, worker: &str, spec: &Spec) -> Vec<(String, String)> {
        let Some(cloud) = self.cloud.upgrade() else { return Vec::new() };
        let credentials = cloud.sessions.issue(&spec.role, &spec.name);
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(worker.to_owned(), credentials.access_key_id.clone());
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into());
        let own = [
            ("PATH", path),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("TZ", ":UTC".to_owned()),
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
            ("AWS_SESSION_TOKEN", credentials.session_token),
            ("AWS_REGION", spec.region.clone()),
            ("AWS_DEFAULT_REGION", spec.region.clone()),
            ("AWS_LAMBDA_FUNCTION_NAME", spec.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec.memory_mb.to_string()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", spec.log_group.clone()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
            ("_HANDLER", spec.handler.clone()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(spec.variables.iter().cloned()).collect()
    }

    fn ended(&self, worker: &str) {
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
        if let (Some(key), Some(cloud)) = (key, self.cloud.upgrade()) {
            cloud.sessions.revoke(&key);
        }
    }

    fn log(&self, spec: Arc<Spec>, stream: String, lines: Vec<LogLine>) -> BoxFuture<'static, ()> {
        let cloud = self.cloud.clone();
        Box::pin(async move {
            let write = move || {
                let Some(cloud) = cloud.upgrade() else { return };
                if let Err(error) = write_log(&cloud, &spec, &stream, lines) {
                    tracing::warn!(function = spec.name, %error, "a function's log was lost");
                }
            };
            let _ = tokio::task::spawn_blocking(write).await;
        })
    }

    fn process(&self, pid: u32, alive: bool) {
        let file = self.processes.join(pid.to_string());
        let _ = match (alive, started_at(pid)) {
            (true, Some(start)) => std::fs::write(file, start),
            (true, None) => Ok(()),
            (false, _) => std::fs::remove_file(file),
        };
    }
}

/// As Lambda: with the rights of the function's role, and only into a group that exists.
fn write_log(
    cloud: &Arc<LocalCloud>,
    spec: &Spec,
    stream: &str,
    lines: Vec<LogLine>,
) -> Result<(), crate::local::error::AwsError> {
    let group = &spec.log_group;
    let arn =
        format!("arn:aws:logs:{}:{ACCOUNT}:log-group:{group}:log-stream:{stream}", spec.region);
    let may = |action| cloud.role_allows(&spec.role, &spec.name, &spec.region, action, &arn);
    if may("logs:CreateLogStream") && may("logs:PutLogEvents") {
        let lines: Vec<_> = lines
            .into_iter()
            .map(|line| logs::LogLine { timestamp_ms: line.time, message: line.text })
            .collect();
        logs::append(cloud, &spec.region, group, stream, &lines)?;
    }
    Ok(())
}

fn processes(dir: &Path) -> PathBuf {
    dir.join("processes")
}

/// When a process was started, in the kernel's ticks; only Linux tells. With the number it
/// identifies a process: numbers alone are used again.
fn started_at(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(ToOwned::to_owned)
}

/// Ends the workers that outlived a local cloud which was killed.
pub(super) fn end_leftovers(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(processes(dir)) else { return };
    for entry in entries.flatten() {
        let recorded = std::fs::read_to_string(entry.path()).ok();
        let pid: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && recorded.is_some()
            && started_at(pid) == recorded
            && let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = std::fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_our_own_leftovers_are_ended() {
        let dir = tempfile::tempdir().unwrap();
        let files = processes(dir.path());
        std::fs::create_dir_all(&files).unwrap();
        let sleep = || Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let (mut ours, mut stranger) = (sleep(), sleep());
        let start = started_at(ours.id()).unwrap();
        std::fs::write(files.join(ours.id().to_string()), start).unwrap();
        // The number is used again, by a process that was started later.
        std::fs::write(files.join(stranger.id().to_string()), "1").unwrap();
        end_leftovers(dir.path());
        assert!(!ours.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        assert_eq!(std::fs::read_dir(&files).unwrap().count(), 0);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
