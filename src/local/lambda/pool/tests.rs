//! The pool with real processes: a Python script that speaks the Runtime API.

use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::super::code::tests::zip_of;
use super::*;

const BOOTSTRAP: &[u8] = include_bytes!("../testing/bootstrap.py");

struct Logs {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Host for Logs {
    fn environment(&self, _worker: &str, spec: &Spec) -> Vec<(String, String)> {
        let mut environment = spec.variables.clone();
        environment.push(("PATH".into(), std::env::var("PATH").unwrap()));
        environment
    }

    fn ended(&self, _worker: &str) {}

    fn log(
        &self,
        _spec: Arc<Spec>,
        _stream: String,
        lines: Vec<LogLine>,
    ) -> BoxFuture<'static, ()> {
        self.lines.lock().unwrap().extend(lines.into_iter().map(|line| line.text));
        Box::pin(async {})
    }

    fn process(&self, _pid: u32, _alive: bool) {}
}

struct World {
    pool: Arc<Pool>,
    lines: Arc<Mutex<Vec<String>>>,
    spec: Spec,
    _dir: TempDir,
}

fn world(limits: Limits) -> World {
    world_of(limits, &zip_of(&[("bootstrap", 0o755, BOOTSTRAP)]))
}

fn world_of(limits: Limits, zip: &[u8]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let code = CodeStore::open(dir.path().join("code")).unwrap();
    let package = code.put(zip).unwrap();
    let lines = Arc::default();
    let host = Logs { lines: Arc::clone(&lines) };
    let pool = Pool::new(Arc::new(host), code, limits);
    let spec = Spec {
        key: "r/f".into(),
        name: "f".into(),
        region: "r".into(),
        arn: "arn:aws:lambda:r:0:function:f".into(),
        generation: 1,
        code_sha256: package.sha256,
        handler: "bootstrap".into(),
        memory_mb: 128,
        timeout: Duration::from_secs(5),
        log_group: "/aws/lambda/f".into(),
        role: "role".into(),
        variables: Vec::new(),
    };
    World { pool, lines, spec, _dir: dir }
}

impl World {
    async fn invoke(&self, spec: &Spec, event: &Value) -> Outcome {
        let options = Options { tail: true, ..Options::default() };
        let payload = event.to_string().into();
        self.pool.invoke(&Arc::new(spec.clone()), payload, options).await.unwrap()
    }

    async fn value(&self, event: &Value) -> Value {
        let outcome = self.invoke(&self.spec, event).await;
        assert!(!outcome.failed, "{outcome:?}");
        serde_json::from_slice(&outcome.payload).unwrap()
    }

    async fn error(&self, spec: &Spec, event: &Value) -> (String, String, String) {
        let outcome = self.invoke(spec, event).await;
        assert!(outcome.failed, "{outcome:?}");
        let error: Value = serde_json::from_slice(&outcome.payload).unwrap();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (text("errorType"), text("errorMessage"), outcome.tail.unwrap_or_default())
    }

    fn logged(&self, part: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(part))
    }
}

fn alive(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie waits for whoever adopted it; it runs no more.
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_reused_and_its_output_is_logged_in_order() {
    let world = world(Limits::default());
    let first = world.value(&json!({"do": "who"})).await;
    let second = world.value(&json!({"do": "who"})).await;
    assert_eq!((&first["pid"], &second["count"]), (&second["pid"], &json!(2)));
    let outcome = world.invoke(&world.spec, &json!({"do": "print", "lines": 3})).await;
    let tail = outcome.tail.unwrap();
    let lines: Vec<&str> = tail.lines().collect();
    assert!(lines[0].starts_with("START RequestId: ") && lines[0].ends_with("Version: $LATEST"));
    assert_eq!(lines[1..4], ["line 0", "line 1", "line 2"]);
    assert!(lines[4].starts_with("END RequestId: ") && lines[5].starts_with("REPORT RequestId: "));
    assert!(world.logged("Init Duration: "));
    let told = world.value(&json!({"do": "deadline"})).await;
    let left = told["left"].as_f64().unwrap();
    assert!((3000.0..=5000.0).contains(&left), "{told}");
    assert_eq!(told["arn"], world.spec.arn);
    world.pool.shutdown().await;
    assert!(!alive(&first["pid"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_function_times_out_with_all_that_it_started() {
    let world = world(Limits::default());
    let spec = Spec { timeout: Duration::from_secs(1), ..world.spec.clone() };
    let start = Instant::now();
    let (kind, message, tail) = world.error(&spec, &json!({"do": "child", "hang": true})).await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Error: Task timed out after 1.00 seconds"), "{message}");
    assert!(tail.contains("Task timed out after 1.00 seconds"), "{tail}");
    let child: Value = tail
        .lines()
        .find_map(|line| line.strip_prefix("child "))
        .unwrap()
        .parse::<u32>()
        .unwrap()
        .into();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!alive(&child));
    // The next invocation gets a new process.
    assert_eq!(world.value(&json!({"do": "who"})).await["count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_the_answer_and_the_next_invocation_works() {
    let world = world(Limits::default());
    let (kind, message, tail) = world.error(&world.spec, &json!({"do": "crash"})).await;
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: exit status 7"), "{message}");
    assert!(tail.contains("about to crash"), "{tail}");
    let (_, message, _) = world.error(&world.spec, &json!({"do": "kill"})).await;
    assert!(message.ends_with("Runtime exited with error: signal: killed"), "{message}");
    let (kind, message, _) = world.error(&world.spec, &json!({"do": "fail"})).await;
    assert_eq!((kind.as_str(), message.as_str()), ("Sad", "as told"));
    assert_eq!(world.value(&json!({"do": "who"})).await["count"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let world = world(Limits::default());
    let with = |generation, init: &str| Spec {
        generation,
        variables: vec![("INIT".into(), init.into())],
        ..world.spec.clone()
    };
    let (kind, message, _) = world.error(&with(2, "crash"), &json!({})).await;
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.ends_with("Runtime exited with error: exit status 3"), "{message}");
    assert!(world.logged("cannot start"));
    let (kind, message, _) = world.error(&with(4, "error"), &json!({})).await;
    assert_eq!((kind.as_str(), message.as_str()), ("Init.Bad", "no config"));

    for (zip, text) in [
        (zip_of(&[("main", 0o755, b"")]), "Couldn't find valid bootstrap(s)"),
        (zip_of(&[("bootstrap", 0o644, BOOTSTRAP)]), "fork/exec /var/task/bootstrap: Permission"),
        (zip_of(&[("bootstrap", 0o755, b"\x7fELF?")]), "Exec format error"),
    ] {
        let world = world_of(Limits::default(), &zip);
        let (kind, message, _) = world.error(&world.spec, &json!({})).await;
        assert_eq!(kind, "Runtime.InvalidEntrypoint");
        assert!(message.contains(text), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initialisation_that_hangs_is_ended() {
    let world = world(Limits { init: Duration::from_millis(300), ..Limits::default() });
    let spec = Spec { variables: vec![("INIT".into(), "hang".into())], ..world.spec.clone() };
    let (kind, message, _) = world.error(&spec, &json!({})).await;
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Initialization has timed out after 0.30 seconds"), "{message}");
    assert!(world.logged("Phase: init\tStatus: timeout"));
    assert_eq!(world.pool.alive(&spec.key), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_output_have_limits() {
    let world = world(Limits::default());
    let outcome = world.invoke(&world.spec, &json!({"do": "big", "bytes": 6_000_000})).await;
    assert_eq!((outcome.failed, outcome.payload.len()), (false, 6_000_002));
    let (kind, message, _) =
        world.error(&world.spec, &json!({"do": "big", "bytes": 6_300_000})).await;
    assert_eq!(kind, "Function.ResponseSizeTooLarge");
    assert!(message.contains("6291556 bytes"));
    let spec = Spec { timeout: Duration::from_secs(1), generation: 2, ..world.spec.clone() };
    let (kind, _, tail) = world.error(&spec, &json!({"do": "flood"})).await;
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(tail.len() <= 4096);
    let logged: usize = world.lines.lock().unwrap().iter().map(String::len).sum();
    assert!(logged < 17 * 1024 * 1024, "{logged}");
    assert!(world.logged("the rest is dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_invocations_get_workers_of_their_own_and_excess_waits() {
    let world = world(Limits { workers: 3, starting: 2, ..Limits::default() });
    let event = json!({"do": "sleep", "seconds": 0.1});
    let calls = (0..9).map(|_| world.invoke(&world.spec, &event));
    let outcomes = futures::future::join_all(calls).await;
    assert!(outcomes.iter().all(|outcome| !outcome.failed));
    let alive = world.pool.alive(&world.spec.key);
    assert!((2..=3).contains(&alive), "{alive}");

    let narrow = self::world(Limits { invocations: 1, ..Limits::default() });
    let spec = Arc::new(narrow.spec.clone());
    let (one, two) = tokio::join!(
        narrow.pool.invoke(&spec, "{}".into(), Options::default()),
        narrow.pool.invoke(&spec, "{}".into(), Options::default()),
    );
    assert!(one.is_ok());
    assert_eq!(two, Err(Refused::Throttled));
    assert!(narrow.pool.invoke(&spec, "{}".into(), Options::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_when_idle_changed_or_deleted() {
    let world = world(Limits { idle: Duration::from_millis(300), ..Limits::default() });
    let first = world.value(&json!({"do": "who"})).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!alive(&first["pid"]) && world.pool.alive(&world.spec.key) == 0);

    let old = world.value(&json!({"do": "who"})).await;
    let newer = Spec { generation: 2, ..world.spec.clone() };
    let new = world.invoke(&newer, &json!({"do": "who"})).await;
    let new: Value = serde_json::from_slice(&new.payload).unwrap();
    assert_ne!(old["pid"], new["pid"]);
    world.pool.forget(&world.spec.key);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!alive(&old["pid"]) && !alive(&new["pid"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_invocations_are_quick() {
    let world = world(Limits::default());
    let spec = Arc::new(world.spec.clone());
    let call = || world.pool.invoke(&spec, "{}".into(), Options::default());
    call().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        call().await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    // About 1 ms here; the machine may be busy with other tests.
    assert!(times[25] < Duration::from_millis(50), "{:?}", times[25]);
}
