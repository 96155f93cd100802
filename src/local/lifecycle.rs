//! Finds, starts and stops the local cloud that runs in the background.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::server::{Endpoint, SERVE_LOCK};
use crate::failure::Failure;

/// How long a new one may take until it answers, and an old one until it is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for meanwhile.
const POLL: Duration = Duration::from_millis(10);

/// A local cloud that answers.
#[derive(Debug, Clone)]
pub struct Running {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub pid: u32,
    /// Where its state is.
    pub dir: PathBuf,
    /// Whether this call started it.
    pub started: bool,
}

/// Where the state is: `ADVENT_LOCAL_DIR`, else the project's `.advent/local`, else
/// `advent/local` in the user's state directory.
///
/// # Errors
/// A [`Failure`] where there is no home directory either.
pub fn state_dir(project: Option<&Path>) -> anyhow::Result<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("ADVENT_LOCAL_DIR") {
        return Ok(std::path::absolute(dir)?);
    }
    if let Some(project) = project {
        return Ok(std::path::absolute(project.join(".advent/local"))?);
    }
    let state = set("XDG_STATE_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".local/state")))
        .ok_or_else(|| {
            Failure::new("found no place for the local cloud's state: there is no home directory")
                .hint("Name a folder in ADVENT_LOCAL_DIR.")
        })?;
    Ok(state.join("advent/local"))
}

/// The one that runs in `dir`, if it answers.
pub async fn find(dir: &Path) -> Option<Running> {
    let endpoint = Endpoint::read(dir)?;
    let health = ask(&endpoint.url, Method::GET, "health").await?;
    // Another one may have got the port of one that is gone.
    let same = health["dir"].as_str().map(Path::new) == dir.canonicalize().ok().as_deref();
    let pid = health["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())?;
    same.then(|| Running { url: endpoint.url, pid, dir: dir.to_owned(), started: false })
}

/// The one that runs in `dir`, started if need be. Any number of these at once end with one.
///
/// # Errors
/// A [`Failure`] with the end of its log when it does not come up.
pub async fn ensure(dir: &Path) -> anyhow::Result<Running> {
    if let Some(running) = find(dir).await {
        return Ok(running);
    }
    let failed = |error: &std::io::Error| {
        Failure::new(format!("cannot start a local cloud in {}: {error}", dir.display()))
            .hint("Choose another folder with ADVENT_LOCAL_DIR.")
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    let lock = File::create(dir.join("start.lock")).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + 2 * PATIENCE;
    while lock.try_lock().is_err() {
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "another advent has been starting a local cloud in {} for too long",
                dir.display()
            ))
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
    if let Some(running) = find(dir).await {
        return Ok(running);
    }
    let log = dir.join("local.log");
    let mut child = spawn(dir, &log).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(running) = find(dir).await {
            // Whoever waits for it: not this process, which ends earlier.
            return Ok(Running { started: running.pid == child.id(), ..running });
        }
        let ended = child.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let why = ended.map_or_else(
                || format!("did not answer within {} s", PATIENCE.as_secs()),
                |status| format!("ended at once ({status})"),
            );
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::new(format!("the local cloud {why}{}", tail(&log)))
                .hint(format!("Its whole log is in {}.", log.display()))
                .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// This executable as `local start --dir DIR`, apart from this terminal and its Ctrl-C.
fn spawn(dir: &Path, log: &Path) -> std::io::Result<Child> {
    let log = File::create(log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["local", "start", "--dir"])
        .arg(dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

/// The end of the log, to be shown after an error.
fn tail(log: &Path) -> String {
    const TAIL: u64 = 2000;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    match read() {
        Ok(text) if !text.is_empty() => format!(":\n{text}"),
        _ => String::new(),
    }
}

/// Ends the one that runs in `dir` and waits until it is gone. False when none ran.
///
/// # Errors
/// A [`Failure`] when it does not end.
pub async fn stop(dir: &Path) -> anyhow::Result<bool> {
    let Some(running) = find(dir).await else { return Ok(false) };
    ask(&running.url, Method::POST, "stop").await;
    let lock = File::create(dir.join(SERVE_LOCK))?;
    let deadline = Instant::now() + PATIENCE;
    while lock.try_lock().is_err() {
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "the local cloud at {} did not end within {} s",
                running.url,
                PATIENCE.as_secs()
            ))
            .hint(format!("End its process: kill {}", running.pid))
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(true)
}

/// Whether there is no table, topic, role, function, log group or API in it, in any Region.
///
/// # Errors
/// A [`Failure`] when it does not answer.
pub async fn is_empty(running: &Running) -> anyhow::Result<bool> {
    let contents = ask(&running.url, Method::GET, "contents").await.ok_or_else(|| {
        Failure::new(format!("the local cloud at {} does not answer", running.url))
    })?;
    Ok(contents.as_object().is_some_and(|kinds| kinds.values().all(|count| count == 0)))
}

/// Asks a local cloud about itself. None when it does not answer with JSON.
pub(super) async fn ask(url: &str, method: Method, what: &str) -> Option<Value> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{url}/_advent/{what}"))
        .body(Full::<Bytes>::default())
        .ok()?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let response = client.request(request).await.ok()?;
        let success = response.status().is_success();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        success.then(|| serde_json::from_slice(&body).ok())?
    };
    tokio::time::timeout(Duration::from_secs(2), answer).await.ok()?
}
