//! What the local cloud bears: clients that never finish, few descriptors, long logs, strays.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http;
use crate::support::local::{LocalCloud, article, eventually};
use crate::support::python::{Boto, python};

/// A Runtime API loop of nothing but bash, as a zip in base64.
fn package(python: &crate::support::python::Python, bootstrap: &str) -> Value {
    let script = "import base64, io, sys, zipfile\n\
                  out = io.BytesIO()\n\
                  with zipfile.ZipFile(out, 'w') as zip:\n\
                  \x20   info = zipfile.ZipInfo('bootstrap')\n\
                  \x20   info.external_attr = 0o755 << 16\n\
                  \x20   zip.writestr(info, sys.argv[1])\n\
                  print(base64.b64encode(out.getvalue()).decode())";
    let output = std::process::Command::new(python.program("python"))
        .args(["-c", script, bootstrap])
        .output()
        .expect("a zip");
    json!({ "base64": String::from_utf8_lossy(&output.stdout).trim() })
}

fn create_function(boto: &Boto<'_>, name: &str, package: &Value) {
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
    let role = json!({"RoleName": name, "AssumeRolePolicyDocument": trust.to_string()});
    let role = boto.call("iam", "create_role", role);
    let function = json!({"FunctionName": name, "Role": role["Role"]["Arn"], "Handler": "bootstrap",
        "Runtime": "provided.al2023", "Timeout": 60, "Code": {"ZipFile": package}});
    boto.call("lambda", "create_function", function);
}

/// Neither a head nor a body that never ends keeps a connection for ever.
#[test]
fn half_a_request_is_not_waited_for() {
    let cloud = LocalCloud::new();
    let running = cloud.start();
    let url = cloud.access().url;
    let address = url.strip_prefix("http://").expect("an address");
    let begun = Instant::now();
    let halves = [
        "",
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Tar",
        "POST /_aws/execute-api/abcdefghij/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc",
    ];
    let ends: Vec<_> = halves
        .into_iter()
        .map(|half| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(half.as_bytes()).expect("half a request");
            stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
            std::thread::spawn(move || stream.read_to_string(&mut String::new()).map(drop))
        })
        .collect();
    for (end, half) in ends.into_iter().zip(halves) {
        let end = end.join().expect("a thread");
        assert!(end.is_ok(), "{half:?} is waited for: {end:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    cloud.stop();
    running.wait().code(0);
}

/// As many as macOS gives by default, and no more to be had.
#[test]
fn with_few_descriptors_posts_are_slow_and_not_lost() {
    const POSTS: usize = 200;
    let Some(python) = python() else { return };
    let cloud = LocalCloud::new();
    let folder = article();
    let advent = env!("CARGO_BIN_EXE_advent");
    let narrow =
        Cli::new(&folder).program(Path::new("/bin/sh")).env("ADVENT_LOCAL_DIR", cloud.dir());
    let start = format!("ulimit -Sn 256 && ulimit -Hn 256 && exec {advent} local start");
    let running = narrow.spawn(["-c", &start]);
    eventually("the local cloud answers", || cloud.url());
    let up = cloud.cli(&folder).ok(["up", "--json"]).last_json();
    let url = up["url"].as_str().expect("a URL").to_owned();
    // The article's own limit would answer most of them.
    let boto = cloud.boto(python);
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    let throttle = json!({"ThrottlingRateLimit": 100_000.0, "ThrottlingBurstLimit": 50_000});
    let stage = json!({"ApiId": apis["Items"][0]["ApiId"], "StageName": "$default",
        "DefaultRouteSettings": throttle});
    boto.call("apigatewayv2", "update_stage", stage);
    let posts: Vec<_> = (0..POSTS)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                http::post(&url, "application/x-www-form-urlencoded", b"text=few+words")
            })
        })
        .collect();
    let answers: Vec<_> = posts.into_iter().map(|post| post.join().expect("a thread")).collect();
    let lost: Vec<_> =
        answers.iter().filter(|it| !matches!(it, Ok(answer) if answer.status == 200)).collect();
    assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost.first());
    let count = u64::try_from(11 * POSTS).expect("a number");
    cloud.wait_for_counts("table", &[("few", count), ("words", count)]);
    cloud.stop();
    running.wait().code(0);
}

/// Three streams of many lines: none is missing, the memory of who shows them stays small, and
/// others are answered meanwhile.
#[test]
fn long_logs_hold_up_nobody() {
    const STREAMS: usize = 3;
    const BATCHES: usize = 10;
    let Some(python) = python() else { return };
    let cloud = LocalCloud::new();
    let folder = article();
    let cli = cloud.cli(&folder);
    cli.ok(["up"]);
    let boto = cloud.boto(python);
    let group = "/aws/lambda/sns_logger";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let now = i64::try_from(now.as_millis()).expect("a time") - 60_000;
    for stream in 0..STREAMS {
        let name = format!("s{stream}");
        boto.call(
            "logs",
            "create_log_stream",
            json!({"logGroupName": group, "logStreamName": name}),
        );
        for batch in 0..BATCHES {
            let events: Vec<_> = (0..10_000)
                .map(|line| {
                    let place = i64::try_from(batch * 10_000 + line).expect("a number");
                    json!({"timestamp": now + place / 7, "message": format!("{stream} {place}")})
                })
                .collect();
            let put = json!({"logGroupName": group, "logStreamName": name, "logEvents": events});
            boto.call("logs", "put_log_events", put);
        }
    }
    let reading = cli.spawn(["logs", "sns_logger"]);
    let (mut slowest, mut peak) = (Duration::ZERO, 0.0_f64);
    while !reading.has_ended() {
        let begun = Instant::now();
        boto.call("sns", "list_topics", json!({}));
        slowest = slowest.max(begun.elapsed());
        peak = peak.max(reading.peak().unwrap_or_default());
    }
    let shown = reading.wait().code(0).stdout;
    assert_eq!(shown.lines().count(), STREAMS * BATCHES * 10_000);
    let mut last = [-1; STREAMS];
    for line in shown.lines() {
        let (rest, place) = line.rsplit_once(' ').expect("a line");
        let stream: usize = rest.rsplit(' ').next().expect("a stream").parse().expect("a stream");
        let place: i64 = place.parse().expect("a place");
        assert_eq!(place, last[stream] + 1, "{line}");
        last[stream] = place;
    }
    assert!(slowest < Duration::from_secs(1), "another call took {slowest:?}");
    assert!(peak < 150.0, "{peak} MB");
    // The latest first, from page to page.
    let ask = |token: Option<&Value>| {
        let mut with = json!({"logGroupName": group, "startFromHead": false, "startTime": now});
        if let Some(token) = token {
            with["nextToken"] = token.clone();
        }
        boto.call("logs", "filter_log_events", with)
    };
    let (one, mut times) = (ask(None), Vec::new());
    let two = ask(Some(&one["nextToken"]));
    for page in [&one, &two] {
        let events = page["events"].as_array().expect("events");
        times.extend(events.iter().map(|event| event["timestamp"].as_i64().expect("a time")));
    }
    assert!(times.len() > 10_000 && times.is_sorted_by(|one, other| one >= other));
    // A pattern that fits nothing is looked for in bounded steps.
    let none = json!({"logGroupName": group, "filterPattern": "nowhere"});
    let none = boto.call("logs", "filter_log_events", none);
    assert!(none["events"].as_array().is_some_and(Vec::is_empty) && none["nextToken"].is_string());
    cli.ok(["down", "--yes"]);
}

/// A child with a session of its own ends with its function, and at the latest with the local cloud.
#[test]
#[cfg(target_os = "linux")]
fn what_left_its_process_group_ends_too() {
    let Some(python) = python() else { return };
    let cloud = LocalCloud::new();
    let running = cloud.start();
    let boto = cloud.boto(python);
    let bootstrap = "#!/bin/bash\n\
        setsid sleep 987 & echo $! >&2\n\
        while :; do\n\
        api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation\n\
        id=$(curl -s -D - -o /dev/null $api/next | grep -i request-id | tr -d '\\r' | cut -d' ' -f2)\n\
        [ -n \"$id\" ] || exit 1\n\
        curl -s -o /dev/null -d $(pgrep -n -f 'sleep 987') $api/$id/response\ndone\n";
    let package = package(python, bootstrap);
    let child = |name: &str| {
        create_function(&boto, name, &package);
        let answer = boto.call("lambda", "invoke", json!({"FunctionName": name}));
        let pid: u32 = answer["Payload"].as_str().expect("a payload").parse().expect("a process");
        assert!(is_alive(pid));
        pid
    };
    let one = child("one");
    boto.call("lambda", "delete_function", json!({"FunctionName": "one"}));
    eventually("the child of a deleted function ends", || (!is_alive(one)).then_some(()));
    let two = child("two");
    cloud.stop();
    running.wait().code(0);
    assert!(!is_alive(two), "it outlived the local cloud");
}

#[cfg(target_os = "linux")]
fn is_alive(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.starts_with(b"sleep\0")
}

/// What SQLite cannot read is said at once, with what to do, and not tried again for a minute.
#[test]
fn a_damaged_state_is_said() {
    let cloud = LocalCloud::new();
    let folder = article();
    let cli = cloud.cli(&folder);
    cli.ok(["up"]);
    cloud.stop();
    let files = ["state.sqlite", "dynamodb/us-east-1.sqlite"];
    // All but the first page, which says that it is a database, and all.
    for (name, from) in files.into_iter().flat_map(|name| [(name, 4096), (name, 0)]) {
        let path = cloud.dir().join(name);
        let whole = std::fs::read(&path).expect("a state");
        let mut damaged = whole.clone();
        let from = damaged.len().min(from);
        damaged[from..].fill(0xa5);
        std::fs::write(&path, damaged).expect("a damaged state");
        let run = cli.run(["status"]).code(1);
        assert!(run.took < Duration::from_secs(20), "{name}: {:?}", run.took);
        let run = run.says("damaged").says("begin anew");
        assert!(
            run.stderr.contains("local stop") || run.stderr.contains("rm -r"),
            "{}",
            run.stderr
        );
        cloud.stop();
        std::fs::write(&path, whole).expect("the state");
    }
    cli.ok(["down", "--yes"]);
}
