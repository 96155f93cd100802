//! Runs a local cloud in this process.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::cloud::{LocalCloud, STATE};
use super::connections::{self, Bounds};
use super::keys::Key;
use super::{executable, folder, lambda, logs};
use crate::failure::Failure;

/// Holds the folder for as long as its local cloud lives.
pub(super) const SERVE_LOCK: &str = "serve.lock";
/// Says where it listens.
const ENDPOINT: &str = "endpoint.json";
/// How long requests in flight may take once it is to end.
const DRAIN: Duration = Duration::from_secs(1);

/// How often the folder is looked at: whether it is still the one that is served.
const WATCH: Duration = Duration::from_millis(200);

/// How often what has expired is removed.
const UPKEEP: Duration = Duration::from_mins(5);

/// What `endpoint.json` holds, and the lock for as long as it is held. The first stays after the
/// end: the next one takes the same port.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub url: String,
    pub port: u16,
    pub pid: u32,
}

impl Endpoint {
    pub fn read(dir: &Path) -> Option<Self> {
        let text = std::fs::read(dir.join(ENDPOINT)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).or_else(|| Self::of_holder(dir))
    }

    /// Of the one that holds the lock, once it listens.
    pub fn of_holder(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(SERVE_LOCK)).ok()?).ok()
    }

    fn write(&self, dir: &Path, mut lock: &File) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        lock.set_len(0)?;
        lock.write_all(&text)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&text)?;
        file.persist(dir.join(ENDPOINT))?;
        Ok(())
    }
}

/// Serves until SIGINT, SIGTERM or [`super::stop`]. `ready` gets the URL.
///
/// Without `port` it is the one of the last time, else any free one.
///
/// # Errors
/// A [`Failure`] where another one serves `dir`, the port is taken or the folder cannot be written.
pub async fn serve(dir: &Path, port: Option<u16>, ready: impl FnOnce(&str)) -> anyhow::Result<()> {
    let server = Server::open(dir, port).await?;
    ready(&server.cloud.url);
    server.run(terminated()).await
}

struct Server {
    cloud: Arc<LocalCloud>,
    listener: TcpListener,
    /// For functions.
    inner: TcpListener,
    lock: File,
}

impl Server {
    async fn open(dir: &Path, port: Option<u16>) -> anyhow::Result<Self> {
        let failed = |error: std::io::Error| {
            Failure::new(format!(
                "cannot keep the local cloud's state in {}: {error}",
                dir.display()
            ))
            .hint("Choose another folder with ADVENT_LOCAL_DIR.")
        };
        executable::started();
        folder::check(dir)?;
        folder::make(dir).map_err(failed)?;
        folder::close(dir)?;
        folder::keep_closed();
        let dir = dir.canonicalize().map_err(failed)?;
        // Not emptied: whoever holds it has written into it.
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let lock = options.open(dir.join(SERVE_LOCK)).map_err(failed)?;
        if let Err(error) = lock.try_lock() {
            if let TryLockError::Error(error) = error {
                return Err(failed(error).into());
            }
            let whose = Endpoint::read(&dir)
                .map_or_else(String::new, |e| format!(" at {} (process {})", e.url, e.pid));
            return Err(Failure::refused(format!(
                "a local cloud is already running in {}{whose}",
                dir.display()
            ))
            .hint("Use it, or stop it with `advent local stop`.")
            .into());
        }
        let key = Key::read_or_make(&dir)?;
        let listener = bind(&dir, port).await?;
        // Whoever was there before is not to be taken for this one.
        lock.set_len(0).map_err(failed)?;
        let inner = any_port().await?;
        let port = listener.local_addr()?.port();
        let ports = [port, inner.local_addr()?.port()];
        let cloud = LocalCloud::open(&dir, ports, key, Bounds::of_this_process())?;
        let endpoint = Endpoint { url: cloud.url.clone(), port, pid: std::process::id() };
        endpoint.write(&dir, &lock).map_err(failed)?;
        Ok(Self { cloud, listener, inner, lock })
    }

    async fn run(self, until: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { cloud, listener, inner, lock } = self;
        lambda::start(&cloud)?;
        let upkeep = tokio::spawn(upkeep(cloud.clone()));
        let mut stopping = cloud.stopping.subscribe();
        let Bounds { clients, .. } = cloud.bounds;
        let serve = |listener, most| {
            connections::serve(listener, cloud.clone(), most, cloud.stopping.subscribe())
        };
        let (outer, inner) = (serve(listener, clients), serve(inner, cloud.bounds.functions()));
        let mut server = tokio::spawn(async move {
            tokio::join!(outer, inner);
        });
        // With nothing in flight the server ends as soon as it is told to, maybe before this task
        // hears of that.
        let mut lost = false;
        let ended = tokio::select! {
            () = until => None,
            _ = stopping.wait_for(|stop| *stop) => None,
            () = replaced(&cloud.dir, &lock) => {
                lost = true;
                None
            }
            ended = &mut server => Some(ended),
        };
        cloud.stopping.send_replace(true);
        upkeep.abort();
        // First of all: the workers are clients that wait for ever.
        lambda::stop(&cloud).await;
        match ended {
            Some(ended) => ended.context("the local cloud's listener failed")?,
            None if tokio::time::timeout(DRAIN, &mut server).await.is_err() => server.abort(),
            None => {}
        }
        if lost {
            let what = format!("the local cloud's folder {} was deleted", cloud.dir.display());
            return Err(Failure::new(what).into());
        }
        Ok(())
    }
}

/// Ends when what is served is no longer what `dir` leads to: nobody finds it there any more, and
/// another one may be started beside it.
async fn replaced(dir: &Path, lock: &File) {
    let (path, state) = (dir.join(SERVE_LOCK), dir.join(STATE));
    let opened = state.metadata().ok();
    loop {
        tokio::time::sleep(WATCH).await;
        let is = |path: &Path, held: Option<&Metadata>| {
            path.metadata().ok().zip(held).is_some_and(|(found, held)| same(&found, held))
        };
        if !is(&path, lock.metadata().ok().as_ref()) || !is(&state, opened.as_ref()) {
            return;
        }
    }
}

#[cfg(unix)]
fn same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// An open file cannot be deleted there.
#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Removes what has expired, now and then.
async fn upkeep(cloud: Arc<LocalCloud>) {
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        interval.tick().await;
        let cloud = cloud.clone();
        let done = tokio::task::spawn_blocking(move || {
            cloud.dynamodb.expire()?;
            logs::expire(&cloud)
        });
        if let Ok(Err(error)) = done.await {
            tracing::warn!(%error, "what has expired could not be removed");
        }
    }
}

async fn bind(dir: &Path, port: Option<u16>) -> anyhow::Result<TcpListener> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = port {
        return at(port).await.map_err(|error| {
            let why = match error.kind() {
                ErrorKind::AddrInUse => "it is in use".to_owned(),
                ErrorKind::PermissionDenied => "ports under 1024 need privileges".to_owned(),
                _ => error.to_string(),
            };
            Failure::new(format!("the local cloud cannot listen on port {port}: {why}"))
                .hint("Choose another port, or none: then a free one is taken.")
                .into()
        });
    }
    if let Some(last) = Endpoint::read(dir)
        && let Ok(listener) = at(last.port).await
    {
        return Ok(listener);
    }
    any_port().await
}

async fn any_port() -> anyhow::Result<TcpListener> {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    any.context("the local cloud found no free port")
}

/// SIGINT or SIGTERM.
async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// A local cloud in this process, for tests. It ends when this is dropped.
pub struct InProcess {
    cloud: Arc<LocalCloud>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl InProcess {
    /// Starts it on a thread and a runtime of its own, so that it outlives a test's runtime.
    ///
    /// # Errors
    /// As [`serve`].
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let folder = dir.to_owned();
        let thread =
            std::thread::Builder::new().name("local cloud".to_owned()).spawn(move || {
                let runtime = match tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = ready.send(Err(error.into()));
                        return;
                    }
                };
                runtime.block_on(async {
                    match Server::open(&folder, None).await {
                        Err(error) => drop(ready.send(Err(error))),
                        Ok(server) => {
                            let _ = ready.send(Ok(server.cloud.clone()));
                            let _ = server.run(async { drop(stopped.await) }).await;
                        }
                    }
                });
            })?;
        let cloud = started.recv().context("the local cloud's thread ended")??;
        Ok(Self { cloud, stop: Some(stop), thread: Some(thread) })
    }

    pub fn url(&self) -> &str {
        &self.cloud.url
    }

    /// What is behind it.
    #[cfg(any(test, fuzzing))]
    pub(super) fn cloud(&self) -> &Arc<LocalCloud> {
        &self.cloud
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
