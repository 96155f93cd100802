//! Finds, starts and stops the local cloud that runs in the background.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize as _;
use serde_json::Value;

use super::executable::{self, Executable};
use super::gateway::{CONTROL, PROOF};
use super::keys::Key;
use super::server::{Endpoint, SERVE_LOCK};
use super::{REGION, folder, signature};
use crate::failure::Failure;

/// How long a new one may take until it answers, and an old one until it is gone: both write to a
/// disk that others may keep busy. One that ends instead is noticed at once.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long one that was asked to end may take.
const GRACE: Duration = Duration::from_secs(15);
/// How long one that holds its folder may take until it answers.
const SILENCE: Duration = Duration::from_secs(1);
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
    /// Its owner's.
    pub key: Key,
    /// Whether this call started it.
    pub started: bool,
}

impl Running {
    /// How it is used.
    pub fn access(&self) -> Access {
        Access { url: self.url.clone(), key: self.key.clone() }
    }
}

/// What a client of a local cloud needs.
#[derive(Debug, Clone)]
pub struct Access {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub key: Key,
}

/// Where the state is: `ADVENT_LOCAL_DIR`, else the project's `.advent/local`, else
/// `advent/local` in the user's state directory.
///
/// # Errors
/// A [`Failure`] where there is no home directory either.
pub fn state_dir(project: Option<&Path>) -> anyhow::Result<PathBuf> {
    place(project, |name| std::env::var_os(name), std::env::home_dir())
}

fn place(
    project: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("ADVENT_LOCAL_DIR") {
        return Ok(std::path::absolute(dir)?);
    }
    if let Some(project) = project {
        return Ok(std::path::absolute(project.join(".advent/local"))?);
    }
    // The XDG specification ignores relative paths.
    let state = set("XDG_STATE_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| Some(home?.join(".local/state")))
        .ok_or_else(|| {
            Failure::new("found no place for the local cloud's state: there is no home directory")
                .hint("Name a folder in ADVENT_LOCAL_DIR.")
        })?;
    Ok(state.join("advent/local"))
}

/// The one that runs in `dir`, if it answers.
///
/// # Errors
/// A [`Failure`] where it is another user's, or its key is damaged.
pub async fn find(dir: &Path) -> Result<Option<Running>, Failure> {
    Ok(probe(dir).await?.map(|(running, _)| running))
}

/// With whether its executable has been built anew since it started.
async fn probe(dir: &Path) -> Result<Option<(Running, bool)>, Failure> {
    let Some(key) = Key::read(dir)? else { return Ok(None) };
    Ok(probe_with(dir, key).await)
}

async fn probe_with(dir: &Path, key: Key) -> Option<(Running, bool)> {
    let endpoint = Endpoint::read(dir)?;
    let health = ask(&endpoint.url, &key, Method::GET, "health").await?;
    // Another one may have got the port of one that is gone.
    let own = dir.canonicalize().ok()?;
    let same = health["dir"].as_str() == Some(&*own.to_string_lossy());
    let pid = health["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())?;
    let stale = Executable::deserialize(&health["executable"])
        .ok()
        .zip(executable::started())
        .is_some_and(|(its, own)| its.is_replaced_by(own));
    let running = Running { url: endpoint.url, pid, dir: dir.to_owned(), key, started: false };
    same.then_some((running, stale))
}

/// The one that runs in `dir`, started if need be. Any number of these at once end with one. One
/// whose executable has been built anew since is replaced: the state stays.
///
/// # Errors
/// A [`Failure`] with the end of its log when it does not come up.
pub async fn ensure(dir: &Path) -> anyhow::Result<Running> {
    if let Some((running, false)) = probe(dir).await? {
        return Ok(running);
    }
    let failed = |error: &std::io::Error| {
        Failure::new(format!("cannot start a local cloud in {}: {error}", dir.display()))
            .hint("Choose another folder with ADVENT_LOCAL_DIR.")
    };
    folder::check(dir)?;
    folder::make(dir).map_err(|error| failed(&error))?;
    folder::close(dir)?;
    let lock = folder::create(&dir.join("start.lock")).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + 2 * PATIENCE;
    while let Err(error) = lock.try_lock() {
        if let TryLockError::Error(error) = error {
            return Err(failed(&error).into());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "another advent has been starting a local cloud in {} for too long",
                dir.display()
            ))
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
    match probe(dir).await? {
        Some((running, false)) => return Ok(running),
        Some((_, true)) => drop(stop(dir).await?),
        // One of a version that made no keys.
        None if Key::read(dir)?.is_none() => drop(stop(dir).await?),
        None => {}
    }
    let log = dir.join("local.log");
    let mut child = spawn(dir, &log).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(running) = find(dir).await? {
            // Whoever waits for it: not this process, which ends earlier.
            return Ok(Running { started: running.pid == child.id(), ..running });
        }
        let ended = child.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            let why = ended.map_or_else(
                || format!("did not answer within {} s", PATIENCE.as_secs()),
                |status| format!("ended at once ({status})"),
            );
            return Err(match ended.and_then(|_| last_words(&mut child)) {
                Some(failure) => failure,
                None => Failure::new(format!("the local cloud {why}{}", tail(&log)))
                    .hint(format!("Its whole log is in {}.", log.display())),
            }
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Why one that has ended did not come up. It comes through a pipe: where the disk is full, the
/// log is empty.
fn last_words(child: &mut Child) -> Option<Failure> {
    let mut text = String::new();
    child.stdout.take()?.read_to_string(&mut text).ok()?;
    let said: Value = serde_json::from_str(text.trim()).ok()?;
    let error = said.get("error")?;
    let what = format!("the local cloud could not start: {}", error["message"].as_str()?);
    let failure = Failure::new(what);
    Some(match error["hint"].as_str() {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

/// This executable as `local start --json --dir DIR`, apart from this terminal and its Ctrl-C.
fn spawn(dir: &Path, log: &Path) -> std::io::Result<Child> {
    let log = folder::create(log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["local", "start", "--json", "--dir"])
        .arg(dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
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

/// Ends the one that runs in `dir` and waits until it is gone: it is asked, then told, then
/// killed. What it has answered is kept in each case. False when none ran.
///
/// # Errors
/// A [`Failure`] when it does not end even so, or where it is another user's.
pub async fn stop(dir: &Path) -> anyhow::Result<bool> {
    // Its lock is the truth: it holds it for as long as it lives, however it ends.
    let Ok(lock) = OpenOptions::new().write(true).open(dir.join(SERVE_LOCK)) else {
        Key::read(dir)?;
        return Ok(false);
    };
    if lock.try_lock().is_ok() {
        return Ok(false);
    }
    let key = Key::read(dir).unwrap_or_default();
    let mut means = Means::Ask;
    let mut deadline = Instant::now() + if key.is_some() { SILENCE } else { Duration::ZERO };
    while lock.try_lock().is_err() {
        // It may be about to come up.
        if means == Means::Ask
            && let Some(key) = &key
            && let Some((running, _)) = probe_with(dir, key.clone()).await
            && ask(&running.url, key, Method::POST, "stop").await.is_some()
        {
            means = Means::Tell;
            deadline = Instant::now() + GRACE;
        }
        if Instant::now() > deadline {
            // Who holds the lock has written who it is, or is about to.
            let pid = Endpoint::of_holder(dir).map(|endpoint| endpoint.pid);
            let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            let next = match (means, pid) {
                (Means::Wait, _) => {
                    let what = format!("the local cloud in {} does not end", dir.display());
                    let hint = "its processor or disk is too busy, or it hangs in the system";
                    return Err(Failure::new(what).hint(hint).into());
                }
                (_, None) => (Means::Wait, PATIENCE),
                (Means::Ask, Some(pid)) => {
                    let _ = kill_process(pid, Signal::TERM);
                    (Means::Tell, SILENCE)
                }
                (Means::Tell, Some(pid)) => {
                    let _ = kill_process(pid, Signal::KILL);
                    (Means::Wait, PATIENCE)
                }
            };
            means = next.0;
            deadline = Instant::now() + next.1;
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(true)
}

/// What is done next for one to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    Ask,
    Tell,
    Wait,
}

/// Whether there is no table, topic, role, function, log group or API in it, in any Region.
///
/// # Errors
/// A [`Failure`] when it does not answer.
pub async fn is_empty(running: &Running) -> anyhow::Result<bool> {
    let contents =
        ask(&running.url, &running.key, Method::GET, "contents").await.ok_or_else(|| {
            Failure::new(format!("the local cloud at {} does not answer", running.url))
        })?;
    Ok(contents.as_object().is_some_and(|kinds| kinds.values().all(|count| count == 0)))
}

/// The asynchronous events that failed for good, newest first: what a function did not take
/// although it was tried again twice.
///
/// # Errors
/// A [`Failure`] when it does not answer.
pub async fn failed_events(running: &Running) -> anyhow::Result<Vec<Value>> {
    match ask(&running.url, &running.key, Method::GET, "failed").await {
        Some(Value::Array(events)) => Ok(events),
        _ => Err(Failure::new(format!(
            "the local cloud at {} does not tell its failed events",
            running.url
        ))
        .into()),
    }
}

/// Asks a local cloud about itself. None when it does not answer with JSON, or has not this key.
pub(super) async fn ask(url: &str, key: &Key, method: Method, what: &str) -> Option<Value> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{url}/_advent/{what}"))
        .header(header::HOST, url.strip_prefix("http://")?)
        .body(Full::<Bytes>::default())
        .ok()?;
    let (mut parts, body) = request.into_parts();
    let signature = signature::sign(&mut parts, b"", key, (REGION, CONTROL))?;
    let request = Request::from_parts(parts, body);
    let proof = signature::proof(&key.secret_access_key, PROOF, &signature);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let response = client.request(request).await.ok()?;
        let success = response.status().is_success();
        let proven = response.headers().get(PROOF)?.to_str().ok()?;
        if !signature::equal(&proof, proven) {
            return None;
        }
        let body = response.into_body().collect().await.ok()?.to_bytes();
        success.then(|| serde_json::from_slice(&body).ok())?
    };
    tokio::time::timeout(Duration::from_secs(2), answer).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_has_its_place() {
        let project = Some(Path::new("/project"));
        let home = || Some(PathBuf::from("/home/me"));
        let with = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| OsString::from(value))
        };
        let none = |_: &str| None;
        let place = |project, variable: &dyn Fn(&str) -> Option<OsString>, home| {
            place(project, variable, home).unwrap()
        };
        assert_eq!(place(project, &with("ADVENT_LOCAL_DIR", "/x"), home()), Path::new("/x"));
        assert_eq!(
            place(project, &with("ADVENT_LOCAL_DIR", ""), home()),
            Path::new("/project/.advent/local")
        );
        assert_eq!(
            place(None, &with("XDG_STATE_HOME", "/s"), home()),
            Path::new("/s/advent/local")
        );
        assert_eq!(
            place(None, &with("XDG_STATE_HOME", "s"), home()),
            Path::new("/home/me/.local/state/advent/local")
        );
        assert_eq!(place(None, &none, home()), Path::new("/home/me/.local/state/advent/local"));
        let error = super::place(None, none, None).unwrap_err();
        assert!(Failure::of(&error).unwrap().hint.as_ref().unwrap().contains("ADVENT_LOCAL_DIR"));
    }
}
