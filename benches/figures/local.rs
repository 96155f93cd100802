//! The article's flow on the local cloud, under load, beside an emulator that runs functions too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::measure::{median, memory, percentile, row, table};
use crate::tests::support::cli::Cli;
use crate::tests::support::python::{Boto, Python};

const CONNECTIONS: usize = 8;
const POSTS: usize = 5_000;
const WORDS: [&str; 3] = ["ant", "bee", "cat"];

/// Posts per second, latencies in milliseconds in order, and how many were answered 200.
struct Load {
    rate: f64,
    latencies: Vec<f64>,
    answered: usize,
}

/// A message that was never sent before.
fn message() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "team_id=T1&channel_id=C1&timestamp=1700000000.{id:06}&user_id=U1&user_name=u&text={}",
        WORDS.join("+")
    )
}

fn load(url: &str, host: Option<&str>, connections: usize, posts: usize) -> Load {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let left = Arc::new(AtomicUsize::new(posts));
    let begun = Instant::now();
    let results = runtime.block_on(async {
        let workers = (0..connections).map(|_| {
            let (left, url, host) = (Arc::clone(&left), url.to_owned(), host.map(str::to_owned));
            tokio::spawn(async move {
                let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
                let (mut latencies, mut answered) = (Vec::new(), 0);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    let mut request = Request::post(&url)
                        .header("content-type", "application/x-www-form-urlencoded");
                    if let Some(host) = &host {
                        request = request.header("host", host);
                    }
                    let request = request.body(Full::new(message().into())).expect("a request");
                    let sent = Instant::now();
                    let answer = client.request(request).await.expect("an answer");
                    answered += usize::from(answer.status() == 200);
                    answer.into_body().collect().await.expect("a whole answer");
                    latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                (latencies, answered)
            })
        });
        let workers: Vec<_> = workers.collect();
        let mut results = Vec::new();
        for worker in workers {
            results.push(worker.await.expect("no panic"));
        }
        results
    });
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = posts as f64 / begun.elapsed().as_secs_f64();
    let answered = results.iter().map(|(_, answered)| answered).sum();
    let mut latencies: Vec<f64> =
        results.into_iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_by(f64::total_cmp);
    Load { rate, latencies, answered }
}

fn counts(boto: &Boto<'_>) -> BTreeMap<String, u64> {
    let scan = boto.call("dynamodb", "scan", json!({ "TableName": "table" }));
    let items = scan["Items"].as_array().cloned().unwrap_or_default();
    let count = |item: &Value| {
        let word = item["word"]["S"].as_str()?.to_owned();
        Some((word, item["count"]["N"].as_str()?.parse().ok()?))
    };
    items.iter().filter_map(count).collect()
}

/// Without the stage's throttle, which would refuse most of a load.
fn lift_throttle(boto: &Boto<'_>) {
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    let throttle = json!({ "ThrottlingRateLimit": 100_000.0, "ThrottlingBurstLimit": 50_000 });
    let with = json!({
        "ApiId": apis["Items"][0]["ApiId"], "StageName": "$default", "DefaultRouteSettings": throttle
    });
    boto.call("apigatewayv2", "update_stage", with);
}

pub fn figures(python: &'static Python, program: &Path) -> String {
    let folder = TempDir::new().expect("a folder");
    let state: PathBuf = folder.path().join("local");
    let cli = Cli::new(folder.path()).program(program).local(&state);

    // From nothing to an endpoint that answers; stopped and forgotten in between.
    let start = || {
        let begun = Instant::now();
        let running = cli.spawn(["local", "start"]);
        while cli.run(["local", "env"]).code != Some(0) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = begun.elapsed().as_secs_f64() * 1e3;
        cli.ok(["local", "stop"]);
        drop(running);
        took
    };
    let starts: Vec<f64> = (0..5).map(|_| start()).collect();

    let up = cli.ok(["up", "--json"]).last_json();
    let url = up["url"].as_str().expect("a URL").to_owned();
    let env = cli.ok(["local", "env", "--json"]).json();
    let endpoint = env["AWS_ENDPOINT_URL"].as_str().expect("an endpoint").to_owned();
    let boto = Boto::new(python, &endpoint);
    lift_throttle(&boto);
    let (via, host) = address(&url, &endpoint);
    let cold = load(&via, host.as_deref(), 1, 1).latencies[0];
    let warm = load(&via, host.as_deref(), 1, 200);
    let full = load(&via, host.as_deref(), CONNECTIONS, POSTS);
    let all = u64::try_from(1 + 200 + POSTS).expect("a small number");
    let wanted: BTreeMap<_, _> = WORDS.iter().map(|word| ((*word).to_owned(), all * 11)).collect();
    let drained = Instant::now();
    while counts(&boto) != wanted {
        assert!(drained.elapsed().as_secs() < 120, "{:?}, not {wanted:?}", counts(&boto));
        std::thread::sleep(Duration::from_millis(100));
    }
    let drained = drained.elapsed().as_secs_f64();
    let pid = local_process(&state);
    let (_, peak) = memory(pid);
    cli.ok(["down", "--yes"]);

    let ministack = ministack(python, program);
    let rows = vec![
        row(&["what", "measured", "wanted"]),
        vec!["start to ready".into(), format!("{:.0} ms", median(starts)), "100 ms".into()],
        vec!["first POST, cold function".into(), format!("{cold:.0} ms"), "50 ms".into()],
        vec![
            "POST, warm, one connection: p50".into(),
            format!("{:.1} ms; ministack {:.1} ms", percentile(&warm.latencies, 50), ministack.1),
            "a tenth of ministack".into(),
        ],
        vec!["the same cold, ministack".into(), format!("{:.0} ms", ministack.0), String::new()],
        vec![
            format!("{CONNECTIONS} connections, {POSTS} posts"),
            format!("{:.0} a second, {} answered 200", full.rate, full.answered),
            "500 a second".into(),
        ],
        vec![
            "the same: p50".into(),
            format!("{:.1} ms", percentile(&full.latencies, 50)),
            "10 ms".into(),
        ],
        vec![
            "the same: p99".into(),
            format!("{:.1} ms", percentile(&full.latencies, 99)),
            "50 ms".into(),
        ],
        vec!["every count exact after".into(), format!("{drained:.1} s"), String::new()],
        vec!["peak memory of the local cloud".into(), format!("{peak:.0} MB"), "100 MB".into()],
    ];
    let remark = "The article's POST with three words: HTTP API, function, one transaction in \
                  DynamoDB, publish; behind it the two functions of the topic. Load and local cloud \
                  share the two cores.";
    table("Local cloud", remark, &rows)
}

/// Where to connect to for a URL whose host only the local cloud knows, and as whom.
fn address(url: &str, endpoint: &str) -> (String, Option<String>) {
    let host = url.split('/').nth(2).unwrap_or_default();
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    (format!("{endpoint}/{path}"), Some(host.to_owned()))
}

/// The process that has this folder open as its state.
fn local_process(state: &Path) -> u32 {
    let wanted = state.to_str().expect("a path in UTF-8");
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|id| {
            let command =
                std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            command.contains(wanted) && command.contains("start")
        })
        .expect("the local cloud's process")
}

/// A cold and a warm POST in ministack, in milliseconds.
fn ministack(python: &'static Python, program: &Path) -> (f64, f64) {
    let server = python.ministack();
    let folder = TempDir::new().expect("a folder");
    let cli = Cli::new(folder.path()).program(program).endpoint(&server.url);
    let up = cli.ok(["up", "--json"]).last_json();
    lift_throttle(&Boto::new(python, &server.url));
    let url = up["url"].as_str().expect("a URL");
    let (via, host) = address(url, &server.url);
    let cold = load(&via, host.as_deref(), 1, 1).latencies[0];
    let warm = load(&via, host.as_deref(), 1, 100);
    assert_eq!(warm.answered, 100, "ministack answers");
    (cold, percentile(&warm.latencies, 50))
}
