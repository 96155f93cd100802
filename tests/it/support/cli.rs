//! The built binary, run in an environment in which nothing of this machine's owner is found.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a command may take: the first one builds the functions.
const LIMIT: Duration = Duration::from_mins(10);

/// A configured command line.
#[derive(Clone)]
pub struct Cli {
    program: PathBuf,
    cwd: PathBuf,
    home: Arc<TempDir>,
    env: BTreeMap<OsString, OsString>,
    /// Appended to every command line.
    args: Vec<OsString>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub args: Vec<OsString>,
    pub stdout: String,
    pub stderr: String,
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub took: Duration,
}

impl Cli {
    /// Fake credentials, a Region, a home of its own.
    pub fn new(cwd: &Path) -> Self {
        let home = TempDir::new().expect("a home folder");
        let mut env = BTreeMap::new();
        let mut set = |key: &str, value: &OsStr| env.insert(key.into(), value.to_owned());
        set("HOME", home.path().as_os_str());
        set("PATH", &std::env::var_os("PATH").unwrap_or_default());
        set("AWS_EC2_METADATA_DISABLED", "true".as_ref());
        set("AWS_ACCESS_KEY_ID", "test".as_ref());
        set("AWS_SECRET_ACCESS_KEY", "test".as_ref());
        set("AWS_REGION", "us-east-1".as_ref());
        // cargo and rustup stay where they are.
        let owner = std::env::home_dir().unwrap_or_default();
        for (key, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let path = std::env::var_os(key).unwrap_or_else(|| owner.join(default).into());
            if Path::new(&path).is_dir() {
                set(key, &path);
            }
        }
        for key in ["RUSTUP_TOOLCHAIN", "TMPDIR", "CI"] {
            if let Some(value) = std::env::var_os(key) {
                set(key, &value);
            }
        }
        let program = env!("CARGO_BIN_EXE_advent").into();
        Self { program, cwd: cwd.into(), home: Arc::new(home), env, args: Vec::new() }
    }

    /// Another executable than the one cargo built: a packed one.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.into();
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(key.into(), value.as_ref().to_owned());
        self
    }

    pub fn without_env(mut self, key: &str) -> Self {
        self.env.remove(OsStr::new(key));
        self
    }

    /// Against this endpoint.
    pub fn endpoint(self, url: &str) -> Self {
        self.env("AWS_ENDPOINT_URL", url)
    }

    /// On a local cloud that keeps its state in `dir`; without any AWS configuration.
    pub fn local(self, dir: &Path) -> Self {
        self.env("ADVENT_LOCAL_DIR", dir)
            .without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
            .without_env("AWS_REGION")
            .arg("--local")
    }

    /// An argument for every command.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs to its end.
    pub fn run<const N: usize>(&self, args: [&str; N]) -> Run {
        self.spawn(args).wait()
    }

    /// Runs to its end, which must be exit code 0.
    #[track_caller]
    pub fn ok<const N: usize>(&self, args: [&str; N]) -> Run {
        self.run(args).code(0)
    }

    /// Not started yet, for who wants to watch it.
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.cwd).env_clear().envs(&self.env);
        command
    }

    pub fn spawn<const N: usize>(&self, args: [&str; N]) -> Running {
        self.spawn_with(&Switch::default(), args)
    }

    /// Starts it so that the switch can end it.
    pub fn spawn_with<const N: usize>(&self, switch: &Switch, args: [&str; N]) -> Running {
        let args: Vec<OsString> =
            args.iter().map(OsString::from).chain(self.args.iter().cloned()).collect();
        let mut child = self
            .command(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.program.display()));
        let stdout = read(child.stdout.take().expect("stdout is a pipe"));
        let stderr = read(child.stderr.take().expect("stderr is a pipe"));
        let child = Arc::new(Mutex::new(child));
        drop(switch.0.set(Arc::clone(&child)));
        Running { args, child, stdout, stderr, start: Instant::now() }
    }
}

/// Reads on a thread, so that a full pipe stops nobody. Whoever inherited the pipe, such as a
/// local cloud in the background, is not waited for: what came within the process's life counts.
fn read(mut pipe: impl Read + Send + 'static) -> Output {
    let text = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&text);
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
        }
    });
    Output { text, thread }
}

struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Output {
    fn so_far(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn whole(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.so_far()
    }
}

/// Ends a process that is not started yet, from a callback of the proxy.
#[derive(Clone, Default)]
pub struct Switch(Arc<OnceLock<Arc<Mutex<Child>>>>);

impl Switch {
    /// `kill -9`. Returns when the process is gone.
    pub fn kill(&self) {
        if let Some(child) = self.0.get() {
            let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Sends a signal by name: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        if let Some(child) = self.0.get() {
            signal(&child.lock().unwrap_or_else(PoisonError::into_inner), name);
        }
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name]).arg(child.id().to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send SIG{name}");
}

/// A command under way. Killed when dropped.
pub struct Running {
    args: Vec<OsString>,
    child: Arc<Mutex<Child>>,
    stdout: Output,
    stderr: Output,
    start: Instant,
}

impl Running {
    pub fn signal(&self, name: &str) {
        signal(&self.child.lock().unwrap_or_else(PoisonError::into_inner), name);
    }

    pub fn kill(&self) {
        drop(self.child.lock().unwrap_or_else(PoisonError::into_inner).kill());
    }

    pub fn stdout_so_far(&self) -> String {
        self.stdout.so_far()
    }

    pub fn stderr_so_far(&self) -> String {
        self.stderr.so_far()
    }

    pub fn has_ended(&self) -> bool {
        self.ended().is_some()
    }

    /// The most memory it has had so far, in MB; `None` where the system does not tell.
    pub fn peak(&self) -> Option<f64> {
        let id = self.child.lock().unwrap_or_else(PoisonError::into_inner).id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes / 1024.0)
    }

    fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("the command's state")
    }

    #[track_caller]
    pub fn wait(self) -> Run {
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            if self.start.elapsed() > LIMIT {
                self.kill();
                panic!("{:?} still runs after {LIMIT:?}: {}", self.args, self.stderr.so_far());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.start.elapsed();
        Run {
            args: self.args.clone(),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
            code: status.code(),
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
            drop(self.child.lock().unwrap_or_else(PoisonError::into_inner).wait());
        }
    }
}

impl Run {
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "{:?} ended with {:?}, not {code}\nstdout: {}\nstderr: {}",
            self.args,
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// stdout or stderr contains the text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "{:?} does not say {text:?}\nstdout: {}\nstderr: {}",
            self.args,
            self.stdout,
            self.stderr
        );
        self
    }

    /// stdout as one JSON document: with its version, but for what others prescribe.
    #[track_caller]
    pub fn json(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{:?}: {error} in {}", self.args, self.stdout));
        let prescribed =
            ["policy", "env"].iter().any(|name| self.args.iter().any(|arg| arg == name));
        let version = (!prescribed || self.code != Some(0)).then_some(1);
        assert_eq!(document.get("version"), version.map(Value::from).as_ref(), "{document}");
        document
    }

    /// The last line of stdout as a JSON document: what long work ends with.
    #[track_caller]
    pub fn last_json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{:?}: {error} in {}", self.args, self.stdout))
    }
}
