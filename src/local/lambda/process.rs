//! The processes of workers: how they are started, and how they ended.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::process::{Child, Command as Process};
use tokio::time::sleep;

use super::code::CodeError;
use super::pool::Pool;
use super::worker::Worker;
use crate::local::runtime_api::{self, Listening};

/// Starts a worker's process. Everything that it prints comes out of the pipe.
pub(super) async fn start(
    pool: &Arc<Pool>,
    worker: &Arc<Worker>,
    stream: &str,
) -> Result<(Child, pipe::Receiver, Listening), String> {
    let spec = &worker.spec;
    let (unpacking, of) = (Arc::clone(pool), Arc::clone(spec));
    let root = tokio::task::spawn_blocking(move || unpacking.task_root(&of))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| match error {
            CodeError::Invalid => {
                "the package cannot be unpacked: it is damaged; change the function and deploy it \
                 anew, or begin with an empty local cloud"
                    .to_owned()
            }
            CodeError::TooLarge => "the package is larger than 250 MB unpacked".to_owned(),
            CodeError::Io(error) => format!("the package cannot be unpacked: {error}"),
        })?;
    let bootstrap = root.join("bootstrap");
    if !bootstrap.exists() {
        return Err("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".into());
    }
    let api = runtime_api::listen(pool, worker)
        .await
        .map_err(|error| format!("there is no port for the Runtime API: {error}"))?;
    let failed = |error: std::io::Error| format!("fork/exec /var/task/bootstrap: {error}");
    let mut attempt = 0;
    loop {
        // One pipe for both, so that what is printed stays in order.
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let errors = writer.try_clone().map_err(failed)?;
        let mut process = Process::new(&bootstrap);
        process
            .current_dir(&root)
            .env_clear()
            .envs(pool.host.environment(&worker.id, spec))
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("AWS_LAMBDA_LOG_STREAM_NAME", stream)
            .env("LAMBDA_TASK_ROOT", &root)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(errors)
            // Ctrl-C in the terminal is for the local cloud, which then ends its workers.
            .process_group(0)
            .kill_on_drop(true);
        match process.spawn() {
            Ok(child) => {
                let pipe = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?;
                return Ok((child, pipe, api));
            }
            // A process that forked while the file was written still holds it for a moment.
            Err(error)
                if error.kind() == std::io::ErrorKind::ExecutableFileBusy && attempt < 50 =>
            {
                attempt += 1;
                sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// As Lambda words it.
pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(9)) => "Runtime exited with error: signal: killed".to_owned(),
        (None, Some(signal)) => format!("Runtime exited with error: signal: {signal}"),
        (None, None) => "Runtime exited with error".to_owned(),
    }
}
