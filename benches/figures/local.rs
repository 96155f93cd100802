//! The article's flow on the local cloud, under load, beside an emulator that runs functions too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::measure::{comparisons, median, memory, percentile, row, table};
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

/// Messages that were never sent before, sent by a program of its own.
fn load(address: &Address, connections: usize, posts: usize) -> Load {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = NEXT.fetch_add(posts, Ordering::Relaxed);
    let output = Command::new(comparisons().join("bench_load"))
        .args([&address.connect, &address.host, &address.path])
        .args([connections, posts, first].map(|number| number.to_string()))
        .arg(WORDS.join("+"))
        .output()
        .expect("bench_load");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let took = told["took"].as_array().expect("latencies").iter();
    let mut latencies: Vec<f64> = took.filter_map(Value::as_f64).collect();
    latencies.sort_by(f64::total_cmp);
    let good = told["good"].as_u64().expect("a number");
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = posts as f64 / told["seconds"].as_f64().expect("a time");
    Load { rate, latencies, answered: usize::try_from(good).expect("a small number") }
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

    let up = cli.ok(["up", "--yes", "--json"]).last_json();
    let url = up["url"].as_str().expect("a URL").to_owned();
    let env = cli.ok(["local", "env", "--json"]).json();
    let endpoint = env["AWS_ENDPOINT_URL"].as_str().expect("an endpoint").to_owned();
    let boto = Boto::of(python, &env);
    lift_throttle(&boto);
    let address = Address::of(&url, &endpoint);
    let cold = load(&address, 1, 1).latencies[0];
    let warm = load(&address, 1, 200);
    let full = load(&address, CONNECTIONS, POSTS);
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

/// Where to connect to for a URL whose host only the local cloud knows.
struct Address {
    connect: String,
    host: String,
    path: String,
}

impl Address {
    fn of(url: &str, endpoint: &str) -> Self {
        let host = url.split('/').nth(2).unwrap_or_default().to_owned();
        let path = format!("/{}", url.splitn(4, '/').nth(3).unwrap_or_default());
        Self { connect: endpoint.trim_start_matches("http://").to_owned(), host, path }
    }
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
    let up = cli.ok(["up", "--yes", "--json"]).last_json();
    lift_throttle(&Boto::new(python, &server.url));
    let url = up["url"].as_str().expect("a URL");
    let address = Address::of(url, &server.url);
    let cold = load(&address, 1, 1).latencies[0];
    let warm = load(&address, 1, 100);
    assert_eq!(warm.answered, 100, "ministack answers");
    (cold, percentile(&warm.latencies, 50))
}
