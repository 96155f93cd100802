//! Who may use a local cloud: whoever has its key, and nobody else on this machine.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::Cli;
use crate::support::local::LocalCloud;
use crate::support::python::{Boto, python};

const SCRIPT: &str = include_str!("keys.py");

/// What AWS's services answer with, by protocol: unsigned, unknown key, and signed otherwise.
fn codes(name: &str) -> (u64, [&'static str; 3]) {
    match name {
        "dynamodb" | "logs" => (
            400,
            [
                r#""__type":"MissingAuthenticationTokenException""#,
                r#""__type":"UnrecognizedClientException""#,
                r#""__type":"InvalidSignatureException""#,
            ],
        ),
        "sns" | "iam" | "sts" => (
            403,
            [
                "<Code>MissingAuthenticationToken</Code>",
                "<Code>InvalidClientTokenId</Code>",
                "<Code>SignatureDoesNotMatch</Code>",
            ],
        ),
        _ => (
            403,
            [
                "MissingAuthenticationTokenException {",
                "UnrecognizedClientException {",
                "InvalidSignatureException {",
            ],
        ),
    }
}

#[test]
fn requests_are_let_in_by_their_signature() {
    let Some(python) = python() else { return };
    let cloud = LocalCloud::new();
    let running = cloud.start();
    let variables = cloud.variables().expect("it runs");
    let mut script = Command::new(python.program("python"));
    script.args(["-c", SCRIPT]).env_clear().env("HOME", "/nonexistent");
    for (name, value) in variables.as_object().expect("variables") {
        script.env(name, value.as_str().expect("a text"));
    }
    let output = script.output().expect("botocore");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: BTreeMap<String, BTreeMap<String, (u64, String)>> =
        serde_json::from_slice(&output.stdout).expect("answers");
    for (name, answers) in &answers {
        let (status, [missing, unknown, mismatch]) = codes(name);
        for (what, (got, text)) in answers {
            let place = format!("{name}, {what}: {got} {text}");
            if name == "presigned" {
                let code = match what.as_str() {
                    "good" => "<Account>000000000000</Account>",
                    "nothing signed" => "<Code>MissingAuthenticationToken</Code>",
                    _ => "<Code>SignatureDoesNotMatch</Code>",
                };
                assert!(text.contains(code), "{place}");
                assert_eq!(*got, if what == "good" { 200 } else { 403 }, "{place}");
                continue;
            }
            let code = match what.as_str() {
                "good" | "a little late" => {
                    // Of the encoded one the function is missing, which is the service's answer.
                    let fits = if name == "encoded" { 404 } else { 200 };
                    assert_eq!(*got, fits, "{place}");
                    continue;
                }
                "unsigned" => missing,
                "unknown key" | "token of nobody" => unknown,
                _ => mismatch,
            };
            assert!(text.contains(code), "{place}");
            assert_eq!(*got, status, "{place}");
            if what == "late" {
                assert!(text.contains("Signature expired: "), "{place}");
            }
        }
    }
    cloud.stop();
    running.wait().code(0);
}

#[test]
fn two_local_clouds_have_keys_of_their_own_and_keep_them() {
    let Some(python) = python() else { return };
    let (one, other) = (LocalCloud::new(), LocalCloud::new());
    let runs = [one.start(), other.start()];
    let keys = [one.access().key, other.access().key];
    assert_ne!(keys[0], keys[1]);
    let mut wrong = one.boto(python);
    wrong.call("sts", "get_caller_identity", json!({}));
    wrong.secret = keys[1].secret_access_key.clone();
    let error = wrong.try_call("sns", "list_topics", json!({})).unwrap_err();
    assert_eq!(error.code, "SignatureDoesNotMatch");
    wrong.key = keys[1].access_key_id.clone();
    let error = wrong.try_call("lambda", "list_functions", json!({})).unwrap_err();
    assert_eq!(error.code, "UnrecognizedClientException");
    let guess = Boto::new(python, &one.access().url);
    let error = guess.try_call("dynamodb", "list_tables", json!({})).unwrap_err();
    assert_eq!(error.code, "UnrecognizedClientException");
    one.stop();
    other.stop();
    for run in runs {
        run.wait().code(0);
    }
    let run = one.start();
    assert_eq!(one.access().key, keys[0]);
    one.stop();
    run.wait().code(0);
}

/// As root this test can be another user; elsewhere it cannot, and says so.
#[test]
fn another_user_of_this_machine_gets_nowhere() {
    if !is_root() {
        return;
    }
    let cloud = LocalCloud::new();
    let running = cloud.start();
    let key = cloud.access().key;
    // Everything about it that may be open is open: only the folder itself is not.
    let folder = TempDir::new().expect("a folder");
    for open in [folder.path(), cloud.dir().parent().expect("a parent")] {
        fs::set_permissions(open, Permissions::from_mode(0o755)).expect("permissions");
    }
    let advent = folder.path().join("advent");
    fs::copy(env!("CARGO_BIN_EXE_advent"), &advent).expect("a copy");
    let other =
        Cli::new(folder.path()).program(Path::new("setpriv")).env("ADVENT_LOCAL_DIR", cloud.dir());
    let other = other.env("HOME", folder.path());
    let as_other = |args: &[&str]| {
        let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
        let output = other.command(user.iter().chain(args)).output().expect("another user");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let file = cloud.dir().join("key.json");
    let (code, out, _) = as_other(&["cat", file.to_str().expect("UTF-8")]);
    assert!(code != Some(0) && out.is_empty(), "{code:?} {out}");
    let advent = advent.to_str().expect("UTF-8");
    for args in [&["local", "env"][..], &["local", "env", "--json"], &["local", "stop"]] {
        let (code, out, err) = as_other(&[&[advent], args].concat());
        assert_eq!(code, Some(2), "{args:?}: {out} {err}");
        let all = format!("{out}{err}");
        assert!(all.contains("cannot be read") && all.contains("only the user who"), "{all}");
        assert!(!all.contains(&key.secret_access_key), "{all}");
    }
    let url = cloud.access().url;
    let simple = "exec 3<>/dev/tcp/${0#http://}; printf 'POST /_advent/stop HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; head -1 <&3";
    let simple = simple.replace("${0#http://}", &url["http://".len()..].replace(':', "/"));
    let (_, out, err) = as_other(&["bash", "-c", &simple]);
    assert!(out.contains("403"), "{out} {err}");
    assert_eq!(cloud.url(), Some(url), "it runs as before");

    // Nor by the port of a function's runtime, which knows no signatures.
    let project = crate::support::local::article();
    let cli = cloud.cli(&project);
    cli.ok(["up"]);
    cli.ok(["say", "hello"]);
    let api = runtime_api(&cloud.dir());
    let ask = format!(
        "exec 3<>/dev/tcp/{}; printf 'POST /2018-06-01/runtime/invocation/x/response HTTP/1.0\\r\\n\
         Host: {api}\\r\\nContent-Length: 0\\r\\n\\r\\n' >&3; head -1 <&3",
        api.replace(':', "/")
    );
    let own = Command::new("bash").args(["-c", &ask]).output().expect("bash");
    assert!(String::from_utf8_lossy(&own.stdout).contains("400"), "{own:?}");
    let (_, out, err) = as_other(&["bash", "-c", &ask]);
    assert!(out.is_empty(), "{out} {err}");
    cli.ok(["down", "--yes"]);
    cloud.stop();
    running.wait().code(0);
}

/// Where a function that this local cloud runs asks for its events.
fn runtime_api(dir: &Path) -> String {
    let code = dir.join("code");
    let variable = |process: fs::DirEntry| {
        let program = fs::read_link(process.path().join("exe")).ok()?;
        let environment = fs::read(process.path().join("environ")).ok()?;
        let variables = environment.split(|byte| *byte == 0);
        let mut variables = variables.filter_map(|variable| std::str::from_utf8(variable).ok());
        let found = variables.find_map(|it| it.strip_prefix("AWS_LAMBDA_RUNTIME_API="))?;
        program.starts_with(&code).then(|| found.to_owned())
    };
    let mut processes = fs::read_dir("/proc").expect("Linux").flatten();
    processes.find_map(variable).expect("a function that runs")
}

/// Whoever keeps the folder could be given the secrets of what is deployed.
#[test]
fn a_local_cloud_in_another_users_folder_is_not_trusted() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let open = Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open.clone()).expect("permissions");
    let advent = folder.path().join("advent");
    fs::copy(env!("CARGO_BIN_EXE_advent"), &advent).expect("a copy");
    let dir = folder.path().join("theirs");
    fs::create_dir(&dir).expect("a folder");
    std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).expect("another owner");
    let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let mut theirs = Command::new("setpriv")
        .args(user)
        .arg(&advent)
        .args(["local", "start", "--dir"])
        .arg(&dir)
        .env("HOME", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("their local cloud");
    let key = dir.join("key.json");
    let up = Instant::now();
    while !dir.join("endpoint.json").exists() {
        assert!(up.elapsed() < Duration::from_secs(30), "it does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    // They let others in, so as to be believed.
    fs::set_permissions(&dir, open.clone()).expect("permissions");
    fs::set_permissions(&key, open).expect("permissions");
    let project = crate::support::local::article();
    let cli = Cli::new(&project).env("ADVENT_LOCAL_DIR", &dir);
    for command in [["up", "--local"], ["status", "--local"], ["local", "env"]] {
        let run = cli.run(command).code(2);
        run.says("belongs to another user");
    }
    theirs.kill().expect("its end");
    drop(theirs.wait());
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// A secret of a function is not to be had without the key, whoever knows where to ask.
#[test]
fn packages_are_had_by_the_url_that_was_given_only() {
    let Some(python) = python() else { return };
    let cloud = LocalCloud::new();
    let folder = crate::support::local::article();
    let cli = cloud.cli(&folder);
    cli.ok(["up"]);
    let boto = cloud.boto(python);
    let function = boto.call("lambda", "get_function", json!({"FunctionName": "sns_logger"}));
    let url = function["Code"]["Location"].as_str().expect("a URL");
    let get = |url: &str| crate::support::http::get(url).expect("an answer");
    assert_eq!(get(url).status, 200);
    assert!(get(url).body.starts_with(b"PK"));
    let bare = url.split('?').next().unwrap_or_default();
    let longer = url.replace("Expires=1", "Expires=2");
    for url in [bare, &longer, &url[..url.len() - 1], &format!("{url}0")] {
        assert_eq!(get(url).status, 403, "{url}");
    }
    let unsigned = format!("{}/2015-03-31/functions/sns_logger/configuration", cloud.access().url);
    assert_eq!(get(&unsigned).status, 403);
    let _: Value = get(&unsigned).json();
    cli.ok(["down", "--yes"]);
}
