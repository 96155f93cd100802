//! What must stay secret is nowhere in what advent prints, logs or packs, whatever it is told to do.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::cli::{Cli, Run};
use crate::support::local::{LocalCloud, article, shipped_article};
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::python::{Boto, free_port, python};

/// What Lambda might answer to variables that it does not take.
const ECHO: &str = "1 validation error detected: Value '{SLACK_TOKEN=planted-token-93ab, \
    SLACK_SIGNING_SECRET=planted-signing-7c1f}' at 'environment.variables' failed";

/// Variables and what they are set to, as nothing else reads.
const PLANTED: [(&str, &str); 5] = [
    ("SLACK_SIGNING_SECRET", "planted-signing-7c1f"),
    ("SLACK_TOKEN", "planted-token-93ab"),
    ("AWS_SECRET_ACCESS_KEY", "planted-key-d04e"),
    ("AWS_SESSION_TOKEN", "planted-session-55e8"),
    ("AWS_SECURITY_TOKEN", "planted-security-1b6c"),
];

/// The signing secret of the second `up`.
const CHANGED: &str = "planted-signing-changed-08d2";

fn planted(cli: Cli) -> Cli {
    let cli = cli.env("RUST_LOG", "trace");
    PLANTED.iter().fold(cli, |cli, (name, value)| cli.env(name, value))
}

#[track_caller]
fn no_secret_in(what: &str, bytes: &[u8]) {
    for secret in PLANTED.iter().map(|(_, secret)| *secret).chain([CHANGED]) {
        for form in [secret.to_owned(), STANDARD.encode(secret)] {
            let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{what} shows {secret}");
        }
    }
}

/// Runs a command plain and with `--json`; neither may show a secret.
#[track_caller]
fn twice<const N: usize>(cli: &Cli, args: [&str; N]) -> [Run; 2] {
    let runs = [cli.run(args), cli.clone().arg("--json").run(args)];
    for run in &runs {
        no_secret_in(&format!("the output of {args:?}"), run.stdout.as_bytes());
        no_secret_in(&format!("what {args:?} says"), run.stderr.as_bytes());
    }
    runs
}

/// Whatever is kept as text about a local cloud. Its databases are the cloud itself.
#[track_caller]
fn no_secret_in_logs(folder: &Path) {
    let mut logs = 0;
    for entry in fs::read_dir(folder).expect("its folder") {
        let path = entry.expect("an entry").path();
        // The owner's own file, which nobody else can read.
        if path.ends_with("key.json") {
            continue;
        }
        if path.extension().is_some_and(|of| of == "log" || of == "json") {
            no_secret_in(&path.display().to_string(), &fs::read(&path).expect("a file"));
            logs += 1;
        }
    }
    assert!(logs >= 1, "nothing was looked at");
}

#[test]
fn no_command_shows_a_secret() {
    let (cloud, folder) = (LocalCloud::new(), article());
    let advent = planted(cloud.cli(&folder));
    let changed = advent.clone().env("SLACK_SIGNING_SECRET", CHANGED);
    for cli in [&advent, &changed] {
        for args in [&["plan"][..], &["up"], &["up"], &["plan"], &["status"]] {
            for run in twice(cli, [args[0]]) {
                assert!(run.code == Some(0) || args[0] == "plan", "{}", run.stderr);
            }
        }
        // What is signed with the secret is believed, so the function has it.
        for run in twice(cli, ["say", "some words"]) {
            assert_eq!(run.code, Some(0), "{}", run.stderr);
        }
        twice(cli, ["logs"]);
    }
    // Signed with what is not right any more.
    for run in twice(&advent, ["say", "some words"]) {
        assert_eq!(run.code, Some(1), "{}", run.stdout);
    }
    twice(&changed, ["url"]);
    twice(&changed, ["local", "env"]);
    let place = tempfile::TempDir::new().expect("a folder for the executable");
    let packed = place.path().join("advent");
    let out = packed.to_str().expect("a path in UTF-8");
    twice(&changed, ["pack", "--out", out]);
    no_secret_in("the packed executable", &fs::read(&packed).expect("it is written"));
    twice(&changed.clone().program(&packed).arg("--yes"), ["up"]);
    twice(&changed, ["build", "--out", place.path().to_str().expect("a path in UTF-8")]);
    for entry in fs::read_dir(place.path()).expect("the zips") {
        let path = entry.expect("a zip").path();
        no_secret_in(&path.display().to_string(), &fs::read(&path).expect("a file"));
    }
    no_secret_in_logs(&cloud.dir());
    twice(&changed, ["down", "--yes"]);
}

#[test]
fn no_failure_shows_a_secret() {
    let (cloud, folder) = (LocalCloud::with_secret("planted-key-d04e"), shipped_article());
    let running = cloud.start();
    let proxy = Proxy::start(&cloud.url().expect("it runs"));
    let advent = planted(Cli::new(&folder).endpoint(&proxy.url));
    let commands = [&["up"][..], &["plan"], &["status"], &["down", "--yes"], &["logs"]];
    let fail = |cli: &Cli| {
        for args in commands {
            let runs = match *args {
                [one] => twice(cli, [one]),
                [one, two] => twice(cli, [one, two]),
                _ => unreachable!(),
            };
            drop(runs);
        }
    };
    for fault in [
        Fault::Error(403, "AccessDenied", "User: arn:aws:iam::1:user/u is not authorized"),
        Fault::Error(403, "ExpiredToken", "The security token included in the request is expired"),
        Fault::Error(400, "ValidationException", "something is wrong"),
    ] {
        proxy.heal();
        proxy.inject(Rule::any(fault));
        fail(&advent);
    }
    // Services say what they were sent. The owner's key has no session.
    let owner = advent.clone().without_env("AWS_SESSION_TOKEN");
    proxy.heal();
    let echo = proxy.inject(Rule::operation(
        "lambda",
        "CreateFunction",
        Fault::Error(400, "InvalidParameterValueException", ECHO),
    ));
    for run in twice(&owner, ["up"]) {
        assert_eq!(run.code, Some(1), "{}", run.stdout);
    }
    assert!(echo.struck() > 0);
    proxy.heal();
    fail(&planted(Cli::new(&folder).endpoint(&format!("http://127.0.0.1:{}", free_port()))));
    fail(&planted(Cli::new(&folder).endpoint("not a URL")));

    let broken = tempfile::TempDir::new().expect("a folder");
    let manifest = fs::read_to_string(folder.join("advent.toml")).expect("the manifest");
    for (from, to) in [
        ("token = \"SLACK_TOKEN\"", "token = 5"),
        ("[function.sns_logger]", "[function.sns_logger"),
        ("topic = \"awsadvent\"", "topic = \"${env.SLACK_TOKEN}\""),
    ] {
        let wrong = manifest.replace(from, to);
        assert_ne!(wrong, manifest);
        fs::write(broken.path().join("advent.toml"), wrong).expect("a manifest");
        fail(&planted(Cli::new(broken.path()).endpoint(&proxy.url)));
    }
    no_secret_in_logs(&cloud.dir());
    no_secret_in("the local cloud's log", running.stderr_so_far().as_bytes());
    no_secret_in("the local cloud's output", running.stdout_so_far().as_bytes());
    owner.ok(["down", "--yes"]);
}

/// Values that functions have, and this operator's environment and advent.toml have not.
const KEPT: [&str; 3] = ["kept\"token\"93ab", "kept-signing-7c1f", "added-by-somebody-d04e"];

/// Lambda's own error for an environment that is too large gives back all of it.
#[test]
fn what_only_the_function_knows_is_hidden_too() {
    let Some(python) = python() else { return };
    let (cloud, folder) = (LocalCloud::with_secret("test"), shipped_article());
    let _running = cloud.start();
    let proxy = Proxy::start(&cloud.url().expect("it runs"));
    let cli = Cli::new(&folder).endpoint(&proxy.url);
    cli.clone().env("SLACK_TOKEN", KEPT[0]).env("SLACK_SIGNING_SECRET", KEPT[1]).ok(["up"]);
    let lambda = Boto::new(python, &proxy.url);
    let function = json!({ "FunctionName": "aws_advent" });
    let found = lambda.call("lambda", "get_function_configuration", function);
    let mut variables = found["Environment"]["Variables"].clone();
    assert_eq!(variables["SLACK_TOKEN"], KEPT[0]);
    variables["ADDED"] = KEPT[2].into();
    let changed =
        json!({ "FunctionName": "aws_advent", "Environment": { "Variables": variables } });
    lambda.call("lambda", "update_function_configuration", changed);

    let measured = |text: &str| {
        format!(
            "Lambda was unable to configure your environment variables because the environment \
             variables you have provided exceeded the 4KB limit. String measured: {text}"
        )
    };
    let percent = KEPT[0].replace('"', "%22");
    let debug = format!("{{SLACK_TOKEN={}, X={:?}, Y={percent}}}", KEPT[0], KEPT[0]);
    for text in [variables.to_string(), debug, STANDARD.encode(variables.to_string())] {
        proxy.heal();
        let message: &'static str = measured(&text).leak();
        let fault = Fault::Error(400, "InvalidParameterValueException", message);
        let rule = Rule::operation("lambda", "UpdateFunctionConfiguration", fault);
        let struck = proxy.inject(rule);
        for cli in [&cli, &cli.clone().arg("--json")] {
            let run = cli.run(["up"]);
            assert_eq!(run.code, Some(1), "{}", run.stderr);
            let shown = run.stdout + &run.stderr;
            assert!(shown.contains("String measured: ") && shown.contains("(hidden)"), "{shown}");
            for secret in KEPT {
                let json = serde_json::Value::from(secret).to_string();
                for form in [secret, json.trim_matches('"'), &percent, &STANDARD.encode(secret)] {
                    assert!(!shown.contains(form), "it shows {form}: {shown}");
                }
            }
        }
        assert!(struck.struck() > 0);
    }
    proxy.heal();
    cli.ok(["down", "--yes"]);
}

#[test]
fn an_open_endpoint_is_said() {
    let (cloud, folder) = (LocalCloud::new(), article());
    let open = cloud.cli(&folder).without_env("SLACK_TOKEN").without_env("SLACK_SIGNING_SECRET");
    for command in ["up", "status"] {
        open.ok([command]).says("everyone");
    }
    for variable in ["SLACK_TOKEN", "SLACK_SIGNING_SECRET"] {
        let closed = open.clone().env(variable, "secret");
        let up = closed.ok(["up"]);
        let status = open.ok(["status"]);
        for run in [up, status] {
            assert!(!(run.stdout + &run.stderr).contains("everyone"), "{variable}");
        }
        open.clone().env(variable, "").ok(["up"]).says("everyone");
    }
    open.ok(["down", "--yes"]);
}
