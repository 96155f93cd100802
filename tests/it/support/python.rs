//! Independent emulators and AWS clients: a virtual environment, installed once, and its servers.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const REQUIREMENTS: &str = include_str!("python/requirements.txt");
const SERVE: &str = include_str!("python/serve.py");
const CLIENT: &str = include_str!("python/client.py");
const SIGN: &str = include_str!("python/sign.py");

/// A virtual environment with everything in `requirements.txt`.
pub struct Python {
    dir: PathBuf,
}

/// The environment; `None` if this machine has no Python, which is said loudly, or fails the test
/// where `CI` is `true`.
pub fn python() -> Option<&'static Python> {
    static PYTHON: OnceLock<Result<Python, String>> = OnceLock::new();
    match PYTHON.get_or_init(Python::install) {
        Ok(python) => Some(python),
        Err(reason) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let notice =
                format!("SKIPPED: {test} needs moto, ministack, boto3 and slack_sdk: {reason}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{notice}");
            // Not `eprintln!`, which the test harness swallows when a test passes.
            drop(writeln!(io::stderr(), "{notice}"));
            None
        }
    }
}

impl Python {
    /// Once for each set of requirements, whichever process comes first.
    fn install() -> Result<Self, String> {
        let version = run(Command::new("python3").arg("--version"))?;
        let mut hasher = DefaultHasher::new();
        (REQUIREMENTS, version).hash(&mut hasher);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
        let dir = target.join(format!("python-{:016x}", hasher.finish()));
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let lock = File::create(dir.join("lock")).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let python = Self { dir: dir.join("venv") };
        let complete = dir.join("complete");
        if !complete.exists() {
            drop(writeln!(
                io::stderr(),
                "installing moto, ministack, boto3 and slack_sdk in {}",
                dir.display()
            ));
            drop(fs::remove_dir_all(&python.dir));
            let requirements = dir.join("requirements.txt");
            fs::write(&requirements, REQUIREMENTS).map_err(|error| error.to_string())?;
            run(Command::new("python3").args(["-m", "venv"]).arg(&python.dir))?;
            run(Command::new(python.program("python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements))?;
            File::create(&complete).map_err(|error| error.to_string())?;
        }
        Ok(python)
    }

    /// A program of the environment: `python`, `aws`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(if cfg!(windows) { "Scripts" } else { "bin" }).join(name)
    }

    /// The signatures of Slack's own SDK for bodies that are sent at this time, in seconds.
    pub fn slack_signatures(&self, secret: &str, timestamp: &str, bodies: &[&str]) -> Vec<String> {
        let mut child = Command::new(self.program("python"))
            .args(["-c", SIGN])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the SDK starts");
        let request = json!({ "secret": secret, "timestamp": timestamp, "bodies": bodies });
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        write!(stdin, "{request}").expect("the SDK listens");
        drop(stdin);
        let output = child.wait_with_output().expect("the SDK ends");
        serde_json::from_slice(&output.stdout).expect("signatures")
    }

    /// A moto server with nothing in it: every control plane, but it runs no function.
    pub fn moto(&self) -> Server {
        Server::lease(self, Kind::Moto)
    }

    /// A ministack server with nothing in it, that runs native functions and enforces their roles.
    pub fn ministack(&self) -> Server {
        Server::lease(self, Kind::Ministack)
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        format!("cannot run {}: {error}", command.get_program().to_string_lossy())
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = stderr.lines().rev().take(3).collect();
    Err(end.into_iter().rev().collect::<Vec<_>>().join(" "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Moto,
    Ministack,
}

/// An emulator's process. Given back when dropped, emptied, and used again by the next test.
pub struct Server {
    running: Option<Running>,
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

struct Running {
    kind: Kind,
    url: String,
    child: Child,
    dir: TempDir,
}

static IDLE: Mutex<Vec<Running>> = Mutex::new(Vec::new());

impl Server {
    fn lease(python: &Python, kind: Kind) -> Self {
        let idle = {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            let position = idle.iter().position(|running| running.kind == kind);
            position.map(|position| idle.swap_remove(position))
        };
        let running = idle.unwrap_or_else(|| Running::start(python, kind));
        Self { url: running.url.clone(), running: Some(running) }
    }

    /// What it has said, for the message of a test that fails.
    pub fn log(&self) -> String {
        let path = self.running.as_ref().map(|running| running.dir.path().join("log"));
        path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            if !std::thread::panicking() && running.reset() {
                IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(running);
            } else {
                running.end();
            }
        }
    }
}

impl Running {
    fn start(python: &Python, kind: Kind) -> Self {
        let dir = TempDir::new().expect("a folder for the server");
        let url = format!("http://127.0.0.1:{}", free_port());
        let port = url.rsplit(':').next().unwrap_or_default();
        let log = File::create(dir.path().join("log")).expect("a log file for the server");
        let serve = dir.path().join("serve.py");
        fs::write(&serve, SERVE).expect("the server's wrapper");
        let mut command = Command::new(python.program("python"));
        command
            .arg(serve)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log file for the server"))
            .stderr(log);
        match kind {
            Kind::Moto => command.args(["moto.server", "-H", "127.0.0.1", "-p", port]),
            Kind::Ministack => command
                .arg("ministack")
                .env("AUTH", "true")
                .env("LAMBDA_EXECUTOR", "local")
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port)
                .env("IOT_MTLS_ENABLED", "0")
                .env("AWS_ENDPOINT_URL", &url),
        };
        let child = command.spawn().expect("the server starts");
        let mut running = Self { kind, url, child, dir };
        running.wait_until_ready();
        running
    }

    fn wait_until_ready(&mut self) {
        let path = match self.kind {
            Kind::Moto => "/moto-api/data.json",
            Kind::Ministack => "/_ministack/health",
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        while !super::http::get(&format!("{}{path}", self.url)).is_ok_and(|a| a.status == 200) {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let ended = self.child.try_wait().expect("the server's state");
            assert!(ended.is_none(), "the server ended: {}", log());
            assert!(Instant::now() < deadline, "the server is not ready after 60 s: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether everything in it is gone.
    fn reset(&self) -> bool {
        let path = match self.kind {
            Kind::Moto => "/moto-api/reset",
            Kind::Ministack => "/_ministack/reset",
        };
        super::http::post(&format!("{}{path}", self.url), "text/plain", b"")
            .is_ok_and(|answer| answer.status == 200)
    }

    fn end(&mut self) {
        // The wrapper ends its whole process group when its stdin closes.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a free port").port()
}

/// boto3 against an endpoint.
pub struct Boto<'a> {
    python: &'a Python,
    endpoint: String,
    pub region: String,
    /// Access key to sign with, and its secret.
    pub key: String,
    pub secret: String,
}

/// An AWS error code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    pub code: String,
    pub message: String,
}

impl<'a> Boto<'a> {
    pub fn new(python: &'a Python, endpoint: &str) -> Self {
        Self {
            python,
            endpoint: endpoint.into(),
            region: "us-east-1".into(),
            key: "test".into(),
            secret: "test".into(),
        }
    }

    /// With what `advent local env --json` says.
    pub fn of(python: &'a Python, variables: &Value) -> Self {
        let text = |name: &str| variables[name].as_str().expect("a variable").to_owned();
        Self {
            key: text("AWS_ACCESS_KEY_ID"),
            secret: text("AWS_SECRET_ACCESS_KEY"),
            ..Self::new(python, &text("AWS_ENDPOINT_URL"))
        }
    }

    /// One call: `call("lambda", "get_function", json!({"FunctionName": "f"}))`. Bytes are written
    /// `{"base64": …}`.
    #[expect(clippy::needless_pass_by_value, reason = "reads better with `json!` in place")]
    pub fn try_call(&self, service: &str, method: &str, with: Value) -> Result<Value, AwsError> {
        self.ask(json!({ "call": [service, method, with] }))
    }

    pub fn call(&self, service: &str, method: &str, parameters: Value) -> Value {
        self.try_call(service, method, parameters)
            .unwrap_or_else(|error| panic!("{service}.{method}: {}: {}", error.code, error.message))
    }

    /// Everything there is in the Region, with what the cloud chose (ids, times) taken out, so
    /// that two worlds can be compared.
    pub fn world(&self) -> Value {
        self.ask(json!({ "world": true })).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn ask(&self, mut request: Value) -> Result<Value, AwsError> {
        static CLIENTS: Mutex<Vec<Client>> = Mutex::new(Vec::new());
        request["endpoint"] = self.endpoint.as_str().into();
        request["region"] = self.region.as_str().into();
        request["key"] = self.key.as_str().into();
        request["secret"] = self.secret.as_str().into();
        let idle = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = idle.unwrap_or_else(|| Client::start(self.python));
        let answer = client.ask(&request);
        CLIENTS.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        match answer.get("ok") {
            Some(ok) => Ok(ok.clone()),
            None => Err(AwsError {
                code: answer["error"].as_str().unwrap_or_default().into(),
                message: answer["message"].as_str().unwrap_or_default().into(),
            }),
        }
    }
}

/// The process behind [`Boto`]. It ends when its stdin closes.
struct Client {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _child: Child,
}

impl Client {
    fn start(python: &Python) -> Self {
        let mut child = Command::new(python.program("python"))
            .args(["-c", CLIENT])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("boto3 starts");
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self { stdin, stdout, _child: child }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.stdin, "{request}").expect("boto3 listens");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("boto3 answers");
        serde_json::from_str(&line).expect("boto3 answers in JSON")
    }
}
