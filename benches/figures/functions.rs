//! The functions by themselves: cold starts beside the least that a function can be, and counting
//! beside one update after another.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use zip::ZipArchive;

use crate::measure::{comparisons, median, memory, row, table};
use crate::runtime_api::RuntimeApi;
use crate::tests::support::cli::Cli;
use crate::tests::support::local::eventually;
use crate::tests::support::local_project::give_key;
use crate::tests::support::proxy::Proxy;
use crate::tests::support::python::{Boto, Python};

const STARTS: usize = 101;
const MESSAGES: usize = 100;
/// Runs of each number of words.
const RUNS: usize = 11;
const WORDS: [usize; 3] = [1, 10, 100];
const CALL: Duration = Duration::from_millis(5);

/// A function's process, asking this program for its events as it would ask Lambda.
struct Function {
    api: RuntimeApi,
    child: Child,
    begun: Instant,
}

impl Function {
    /// Starts it with its first event waiting, as Lambda does.
    fn start(bootstrap: &Path, endpoint: &str, topic: Option<&str>, first: Value) -> Self {
        let api = RuntimeApi::start();
        api.offer(first);
        let begun = Instant::now();
        let child = Command::new(bootstrap)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("DYNAMO_TABLE", "table")
            .envs(topic.map(|arn| ("SNS_TOPIC_ARN", arn)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the function starts");
        Self { api, child, begun }
    }

    /// Milliseconds since it was started.
    fn since(&self, at: Instant) -> f64 {
        at.duration_since(self.begun).as_secs_f64() * 1e3
    }

    fn invoke(&self, event: Value) -> Duration {
        let begun = Instant::now();
        self.api.offer(event);
        self.api.answered().duration_since(begun)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Milliseconds from the start of the process to its first question, and to its first answer: to an event that needs no
/// call, and to a message of three words.
#[derive(Default)]
struct Cold {
    asked: Vec<f64>,
    answered: Vec<f64>,
    counted: Vec<f64>,
}

impl Cold {
    fn start(&mut self, bootstrap: &Path, endpoint: &str, topic: &str, event: Value) {
        let function = Function::start(bootstrap, endpoint, Some(topic), event);
        self.asked.push(function.since(function.api.asked()));
        self.answered.push(function.since(function.api.answered()));
    }

    fn count(&mut self, bootstrap: &Path, endpoint: &str, topic: &str, message: Value) {
        let function = Function::start(bootstrap, endpoint, Some(topic), message);
        self.counted.push(function.since(function.api.answered()));
    }
}

/// Tells every message from all before.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What an HTTP API makes of Slack's POST with so many words, none of them sent before.
fn post(words: usize) -> Value {
    let id = number();
    let text: Vec<_> = (0..words).map(|word| format!("word{word}")).collect();
    let body = format!(
        "team_id=T1&channel_id=C1&timestamp=1700000000.{id:06}&user_id=U1&user_name=u&text={}",
        text.join("+")
    );
    json!({
        "version": "2.0", "routeKey": "ANY /aws_advent", "rawPath": "/aws_advent", "rawQueryString": "",
        "headers": { "content-type": "application/x-www-form-urlencoded" },
        "requestContext": {
            "http": { "method": "POST", "path": "/aws_advent", "protocol": "HTTP/1.1" },
            "requestId": id.to_string(),
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// What SNS makes of a message.
fn notification(text: &str) -> Value {
    let sns = json!({
        "Type": "Notification", "MessageId": number().to_string(),
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:awsadvent",
        "Subject": null, "Message": text, "Timestamp": "2026-01-02T12:45:07.000Z",
        "SignatureVersion": "1", "Signature": "", "SigningCertUrl": "", "UnsubscribeUrl": "",
        "MessageAttributes": {},
    });
    json!({ "Records": [{
        "EventVersion": "1.0", "EventSubscriptionArn": "arn", "EventSource": "aws:sns", "Sns": sns,
    }] })
}

/// The functions that ship, out of their zips: executables by name, and bytes of the zips.
fn unpack(cli: &Cli, folder: &Path) -> Vec<(&'static str, PathBuf, u64)> {
    cli.ok(["build", "--out", "zips"]);
    ["aws_advent", "sns_multiplier", "sns_logger"]
        .map(|name| {
            let zip = folder.join("zips").join(format!("{name}.zip"));
            let bytes = fs::metadata(&zip).expect("a zip").len();
            let into = folder.join(name);
            let mut archive = ZipArchive::new(File::open(zip).expect("a zip")).expect("a zip");
            archive.extract(&into).expect("an unpacked zip");
            (name, alike(&into.join("bootstrap"), folder, name), bytes)
        })
        .into()
}

/// A copy that was written at once: how an executable came to be in the page cache, piece by piece or whole, makes a
/// tenth of its start.
fn alike(executable: &Path, folder: &Path, name: &str) -> PathBuf {
    let copy = folder.join(format!("{name}-executable"));
    fs::write(&copy, fs::read(executable).expect("an executable")).expect("a copy");
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("a copy that can be run");
    copy
}

pub fn figures(python: &'static Python, program: &Path) -> String {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("local");
    give_key(&state, "test");
    let cli = Cli::new(folder.path()).program(program);
    let shipped = unpack(&cli, folder.path());
    let local = cli.clone().local(&state);
    let running = local.spawn(["local", "start"]);
    let env = eventually("the local cloud answers", || {
        let env = local.run(["local", "env", "--json"]);
        (env.code == Some(0)).then(|| env.json())
    });
    let endpoint = env["AWS_ENDPOINT_URL"].as_str().expect("an endpoint");
    let table = json!({
        "TableName": "table", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "word", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "word", "KeyType": "HASH" }],
    });
    let boto = Boto::new(python, endpoint);
    boto.call("dynamodb", "create_table", table);
    let topic = boto.call("sns", "create_topic", json!({ "Name": "awsadvent" }));
    let topic = topic["TopicArn"].as_str().expect("an ARN");

    let hello = alike(&comparisons().join("bench_hello"), folder.path(), "hello");
    let text = [
        cold_starts(&hello, &shipped, endpoint, topic),
        counting(&comparisons().join("bench_sequential"), &shipped[0].1, endpoint),
    ]
    .join("\n");
    local.ok(["local", "stop"]);
    drop(running);
    text
}

fn cold_starts(
    hello: &Path,
    shipped: &[(&str, PathBuf, u64)],
    endpoint: &str,
    topic: &str,
) -> String {
    let mut least = Cold::default();
    let mut measured: Vec<Cold> = shipped.iter().map(|_| Cold::default()).collect();
    // Nothing to count: no call belongs to the first answer.
    let nothing = |name: &str| if name == "aws_advent" { post(0) } else { notification(" ") };
    let message =
        |name: &str| if name == "aws_advent" { post(3) } else { notification("ant bee cat") };
    for _ in 0..STARTS {
        least.start(hello, endpoint, topic, json!({}));
        for ((name, bootstrap, _), cold) in shipped.iter().zip(&mut measured) {
            cold.start(bootstrap, endpoint, topic, nothing(name));
            cold.count(bootstrap, endpoint, topic, message(name));
        }
    }
    let least = (median(least.asked), median(least.answered));
    let mut rows = vec![
        row(&[
            "function",
            "zip",
            "to first `next`",
            "to first answer",
            "three words",
            "peak memory",
        ]),
        row(&[
            "hello-world of `lambda_runtime`",
            "",
            &format!("{:.1} ms", least.0),
            &format!("{:.1} ms", least.1),
            "",
            "",
        ]),
    ];
    for ((name, bootstrap, bytes), cold) in shipped.iter().zip(measured) {
        let (asked, answered) = (median(cold.asked), median(cold.answered));
        let function = Function::start(bootstrap, endpoint, Some(topic), message(name));
        function.api.answered();
        for _ in 1..MESSAGES {
            function.invoke(message(name));
        }
        let (_, peak) = memory(function.child.id());
        #[expect(clippy::cast_precision_loss, reason = "to a hundredth of a megabyte")]
        let megabytes = *bytes as f64 / 1e6;
        rows.push(vec![
            format!("`{name}`"),
            format!("{megabytes:.2} MB"),
            format!("{asked:.1} ms, {:.2} times", asked / least.0),
            format!("{answered:.1} ms, {:.2} times", answered / least.1),
            format!("{:.1} ms", median(cold.counted)),
            format!("{peak:.1} MB"),
        ]);
    }
    let remark = format!(
        "The executables that ship, behind a stand-in for the Runtime API, with the local cloud as \
         their AWS over plain HTTP; medians of {STARTS} starts in turn, memory after {MESSAGES} \
         messages of three words. The first event holds no word, so that the first answer needs no \
         call, and no client either: each takes 0.25 ms to make, which is done when it is first used, \
         or over TLS while the handshake is under way. The next column is the first answer to three \
         words. What is beyond the hello-world is the connection that is opened before the first \
         `next`, and the size of the executables."
    );
    table("Functions: cold starts", &remark, &rows)
}

fn counting(sequential: &Path, concurrent: &Path, endpoint: &str) -> String {
    let proxy = Proxy::start(endpoint);
    let measure = |bootstrap: &Path, words: usize| {
        let function = Function::start(bootstrap, &proxy.url, None, post(1));
        function.api.answered();
        proxy.delay(CALL);
        let times = (0..RUNS).map(|_| function.invoke(post(words)).as_secs_f64() * 1e3).collect();
        proxy.delay(Duration::ZERO);
        median(times)
    };
    let mut rows = vec![row(&["words", "one update after another", "`aws_advent`", "ratio"])];
    for words in WORDS {
        let (one, other) = (measure(sequential, words), measure(concurrent, words));
        rows.push(vec![
            words.to_string(),
            format!("{one:.0} ms"),
            format!("{other:.0} ms"),
            format!("{:.1}", one / other),
        ]);
    }
    let remark = format!(
        "A message of so many different words, warm, without a topic, where every call to DynamoDB \
         takes {} ms more: the article's way beside transactions of up to 99 words and one read of \
         up to 100. Both are Rust, with the same clients and profile. Medians of {RUNS}.",
        CALL.as_millis()
    );
    table("Functions: counting", &remark, &rows)
}
