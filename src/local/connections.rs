//! The connections that are taken: how many at once, and how long each may take to say what it wants.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::cloud::LocalCloud;
use super::gateway;

/// How long the head of a request may take, and a connection without one may stay.
pub(super) const HEAD: Duration = Duration::from_secs(30);
/// How long the next part of a body may take.
pub(super) const PART: Duration = Duration::from_secs(10);
/// Bytes a second that a body must have come at after its first [`PART`]: nobody is far away from
/// here, and whoever drips holds a connection that others wait for.
const SLOWEST: usize = 16 * 1024;
/// Pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(20);

/// More descriptors than this are of no use here.
const ENOUGH: u64 = 65_536;
/// What macOS takes at most, whatever it says its limit is.
const MACOS: u64 = 10_240;
/// Descriptors of the local cloud itself: its files, databases and listeners.
const OWN: u64 = 56;
/// What a process of a function takes: its output, itself, its Runtime API's listener and
/// connection, and what it asks the services through.
const PER_PROCESS: u64 = 8;

/// How much there may be at once, so that descriptors never run out: what comes more waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Connections of clients.
    pub clients: usize,
    /// Processes of functions.
    pub processes: usize,
}

impl Bounds {
    /// Of this process, whose limit is raised as far as the system lets it.
    pub fn of_this_process() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let mut limit = current.unwrap_or(ENOUGH);
        let most = maximum.unwrap_or(ENOUGH).min(ENOUGH);
        for wanted in [most, most.min(MACOS)] {
            if limit < wanted
                && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok()
            {
                limit = wanted;
            }
        }
        Self::of(limit)
    }

    fn of(descriptors: u64) -> Self {
        let free = descriptors.saturating_sub(OWN);
        let clients = (free / 3).clamp(4, 4096);
        let processes = (free.saturating_sub(clients) / PER_PROCESS).clamp(2, 1024);
        let number = |of: u64| usize::try_from(of).unwrap_or(usize::MAX);
        Self { clients: number(clients), processes: number(processes) }
    }

    /// Connections of functions to the services.
    pub fn functions(self) -> usize {
        self.processes * 4
    }
}

/// Answers what comes to a listener until `stopping` turns true, at most `most` connections at
/// once, and then what is under way.
pub(super) async fn serve(
    listener: TcpListener,
    cloud: Arc<LocalCloud>,
    most: usize,
    mut stopping: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(most));
    let wanted = Arc::new(Notify::new());
    let mut connections = JoinSet::new();
    loop {
        let taken = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            taken = take(&listener, &permits, &wanted) => taken,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer, permit) = taken;
        let serving = answer(stream, peer, cloud.clone(), stopping.clone(), wanted.clone());
        connections.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is room for it.
async fn take(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    wanted: &Notify,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let permit = match Arc::clone(permits).try_acquire_owned() {
                    Ok(permit) => permit,
                    Err(_) => room(permits, wanted).await,
                };
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                return (stream, peer, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Waits for room. Connections that wait for their next request are closed, the others after the
/// one that is under way.
async fn room(permits: &Arc<Semaphore>, wanted: &Notify) -> OwnedSemaphorePermit {
    loop {
        wanted.notify_waiters();
        let permit = timeout(PAUSE, Arc::clone(permits).acquire_owned()).await;
        if let Ok(Ok(permit)) = permit {
            return permit;
        }
    }
}

async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    cloud: Arc<LocalCloud>,
    mut stopping: watch::Receiver<bool>,
    wanted: Arc<Notify>,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let cloud = cloud.clone();
        async move {
            let request: Request = request.map(Body::new);
            Ok::<_, Infallible>(gateway::entry(&cloud, peer, request).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut last = false;
    loop {
        tokio::select! {
            // How it ends is its client's matter.
            _ = &mut connection => return,
            _ = stopping.wait_for(|stop| *stop), if !last => {}
            () = wanted.notified(), if !last => {}
        }
        last = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    /// It stopped coming.
    Late,
}

/// A whole body of at most so many bytes.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, Unread> {
    let mut body = body;
    let begun = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let Some(frame) = timeout(PART, body.frame()).await.map_err(|_| Unread::Late)? else {
            return Ok(bytes.into());
        };
        // Whoever went away meanwhile hears nothing anyway.
        let frame = frame.map_err(|_| Unread::Late)?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&data);
        let due = u64::try_from(bytes.len() / SLOWEST).unwrap_or(u64::MAX);
        if begun.elapsed() > PART.saturating_add(Duration::from_secs(due)) {
            return Err(Unread::Late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_suffice() {
        for limit in [64, 128, 256, 1024, 4096, 1 << 20] {
            let bounds = Bounds::of(limit);
            let Bounds { clients, processes } = bounds;
            assert!(clients >= 4 && processes >= 1, "{limit}: {bounds:?}");
            if limit >= 128 {
                let all = clients as u64 + PER_PROCESS * processes as u64 + OWN;
                assert!(all <= limit, "{limit}: {bounds:?}");
            }
        }
        assert_eq!(Bounds::of(256), Bounds { clients: 66, processes: 16 });
    }
}
