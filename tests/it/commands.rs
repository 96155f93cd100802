//! What commands say of themselves: where they act, what they carry, and what to type next.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::cli::Cli;
use crate::support::local::LocalCloud;
use crate::support::project::Project;
use crate::support::proxy::Proxy;
use crate::support::python::python;
use crate::support::rig::packed;

/// The small project, its front declared to be called by Slack.
fn called_by_slack() -> Project {
    let project = Project::new();
    project.edit(
        "route = \"ANY /front\"",
        "route = \"ANY /front\"\nslack = { token = \"FRONT_TOKEN\", bot_token = \"FRONT_BOT\" }",
    );
    project
}

#[test]
fn hints_lead_to_the_same_stage() {
    let (cloud, project) = (LocalCloud::with_secret("test"), called_by_slack());
    let blue = cloud.cli(project.path()).arg("--stage").arg("blue");
    let commands = [&["say", "hi"][..], &["logs", "front"]];
    for args in commands {
        let run = blue.run([args[0], args[1]]).code(1);
        assert!(run.stderr.contains(" up --local --stage blue`"), "{}", run.stderr);
        let error = blue.run([args[0], args[1], "--json"]).code(1).json();
        let hint = error["error"]["hint"].as_str().expect("a hint");
        assert!(hint.contains(" up --local --stage blue`"), "{hint}");
    }
    let url = cloud.url().expect("it runs");
    let elsewhere = Cli::new(project.path()).arg("--endpoint-url").arg(&url);
    let elsewhere = elsewhere.arg("--region").arg("eu-west-1");
    let hint = format!(" up --endpoint-url {url} --region eu-west-1`");
    for args in commands {
        elsewhere.run([args[0], args[1]]).code(1).says(&hint);
    }
    // A command that means the local cloud is not told where else to go.
    cloud.stop();
    let run = elsewhere.run(["local", "env"]).code(1);
    assert!(run.stderr.contains(" up --region eu-west-1 --local`"), "{}", run.stderr);
    assert!(run.stderr.contains(" local start`"), "{}", run.stderr);
}

#[test]
fn what_an_executable_carries_is_said_and_asked_for() {
    let (cloud, empty) = (LocalCloud::new(), TempDir::new().expect("a folder"));
    let small = cloud.cli(empty.path()).program(packed());
    let carried = "the application small (back, front; ";
    for args in ["--version", "--help", "version"] {
        let run = Cli::new(empty.path()).program(packed()).ok([args]);
        assert!(run.stdout.contains(carried), "{args}: {}", run.stdout);
        let run = Cli::new(empty.path()).program(packed()).ok([args, "--json"]);
        if args == "--help" {
            assert!(run.stdout.contains(carried), "{args}: {}", run.stdout);
        } else {
            assert_eq!(run.json()["carries"]["functions"][1], "front", "{args}: {}", run.stdout);
            let plain = Cli::new(empty.path()).ok(["--json", args]).json();
            assert!(plain["carries"].is_null() && plain["advent"].is_string(), "{plain}");
        }
    }
    let place = || format!("the local cloud at {}, stage default", cloud.url().expect("it runs"));
    let refused = small.run(["up"]).code(2).says(carried);
    let asked =
        format!("deploy the application small, which this executable carries, in {}", place());
    assert!(refused.stderr.contains(&asked), "{}", refused.stderr);
    assert!(refused.stderr.contains("pass --yes"), "{}", refused.stderr);
    assert_eq!(small.run(["plan", "--json"]).code(2).json()["in_sync"], false);

    let up = small.ok(["deploy", "--yes"]);
    let at =
        |text: &str| up.stderr.find(text).unwrap_or_else(|| panic!("no {text}: {}", up.stderr));
    assert!(at(&format!("small in {}", place())) < at("created in"), "{}", up.stderr);
    let name = packed().display();
    assert!(up.stderr.contains(&format!("{name} logs --local --follow")), "{}", up.stderr);
    assert!(up.stderr.contains(&format!("{name} down --local")), "{}", up.stderr);
    // Nothing is said of callers that were not declared.
    assert!(up.stderr.contains("curl --include http://"), "{}", up.stderr);
    assert!(up.stderr.contains("does not know who may call front"), "{}", up.stderr);
    for unknown in ["Slack", "verified", " say "] {
        assert!(!up.stderr.contains(unknown), "{unknown}: {}", up.stderr);
    }
    small.run(["say", "hi"]).code(2).says("declares Slack").says("curl");
    small.ok(["diff"]);
    // What changes nothing is not asked for.
    let document = small.ok(["apply", "--json"]).last_json();
    let where_to = ["stage", "account", "region"].map(|key| document[key].clone());
    assert_eq!(where_to, ["default", "000000000000", "us-east-1"], "{document}");
    assert_eq!(document["callers"][0]["verified"], serde_json::Value::Null, "{document}");

    let refused = small.run(["destroy"]).code(2);
    let asked = format!("existing resources of small in {}", place());
    assert!(refused.stderr.contains(&asked), "{}", refused.stderr);
    small.ok(["delete", "--yes"]);
}

#[test]
fn nothing_but_a_file_is_packed_onto() {
    let empty = TempDir::new().expect("a folder");
    let small = Cli::new(empty.path()).program(packed());
    let folder = empty.path().to_str().expect("a path in UTF-8");
    for out in [folder, "/dev/null"] {
        small.run(["pack", "--out", out]).code(2).says("is not a file").says("--out FILE");
    }
    assert!(!fs::metadata("/dev/null").expect("a device").is_file());
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_is_a_path() {
    use std::os::unix::ffi::OsStrExt as _;
    let empty = TempDir::new().expect("a folder");
    let small = Cli::new(empty.path()).program(packed());
    let out = OsStr::from_bytes(b"x\xff");
    for command in ["build", "pack"] {
        let out = if command == "pack" { OsStr::from_bytes(b"p\xff") } else { out };
        let run = |more: &[&str]| {
            let args = [OsStr::new(command), OsStr::new("--out"), out];
            let args = args.into_iter().chain(more.iter().map(OsStr::new));
            small.command(args).output().expect("it runs")
        };
        let refused = run(&["--json"]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stdout).contains("UTF-8"), "{refused:?}");
        assert!(!empty.path().join(out).exists());
        let done = run(&[]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert!(empty.path().join(out).exists());
    }
    assert!(empty.path().join(out).join("front.zip").is_file());
    let cloud = small.local(&empty.path().join(OsStr::from_bytes(b"cloud\xff")));
    cloud.run(["plan"]).code(2).says("is not UTF-8");
}

#[cfg(unix)]
#[test]
fn a_secret_that_cannot_be_meant_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let (cloud, project) = (LocalCloud::new(), called_by_slack());
    project.edit("GREETING = \"hello\"", "GREETING = \"hello\", KEY = { secret = \"MY_KEY\" }");
    let cli = cloud.cli(project.path());
    let bad: [(&str, &[u8]); 7] = [
        ("FRONT_TOKEN", b"shhh-planted\n"),
        ("FRONT_TOKEN", b" shhh-planted"),
        ("FRONT_BOT", b"shhh-pla nted"),
        ("FRONT_BOT", b"shhh-planted\xff"),
        ("MY_KEY", b"shhh-planted\r\n"),
        ("MY_KEY", b"shhh-\x07planted"),
        ("MY_KEY", b"\xffshhh-planted"),
    ];
    for (variable, value) in bad {
        let cli = cli.clone().env(variable, OsStr::from_bytes(value));
        for command in ["up", "plan"] {
            let run = cli.run([command]).code(2).says(variable);
            assert!(!(run.stdout + &run.stderr).contains("shhh"), "{variable} is shown");
        }
    }
    cli.env("FRONT_TOKEN", "shhh \n").run(["say", "hi"]).code(1).says("is not up");
}

#[test]
fn a_declared_caller_is_spoken_for() {
    let (cloud, project) = (LocalCloud::new(), called_by_slack());
    let source = project.path().join("functions/front/src/main.rs");
    let text = fs::read_to_string(&source).expect("the function");
    assert!(text.contains("200"), "{text}");
    fs::write(&source, text.replace("200", "201")).expect("the function");
    let open = cloud.cli(project.path());
    open.ok(["up"]).says("everyone who knows the URL").says("set FRONT_TOKEN");
    let run = open.ok(["status"]);
    assert!(!run.stdout.contains("verified"), "{}", run.stdout);
    let closed = open.clone().env("FRONT_TOKEN", "a-token");
    closed.ok(["up"]).says("verified by front").says("set FRONT_BOT").says("say --local");
    // The function got it by the name that it is declared to have.
    open.ok(["status"]).says("verified by front");
    let bot = closed.clone().env("FRONT_BOT", "xoxb-token").ok(["up"]);
    assert!(!bot.stderr.contains("silently"), "{}", bot.stderr);
    let said = closed.ok(["say", "hi", "--json"]).json();
    assert_eq!(said["status"], 201, "{said}");
    closed.ok(["say", "hi", "--path", "/front"]);
    let lost = closed.run(["say", "hi", "--path", "/frnt"]).code(2).says("/front");
    assert!(lost.took < Duration::from_secs(5), "{:?}", lost.took);
    open.ok(["down", "--yes"]);
}

/// A shell that finds the binary as `advent`, with everything set that could mislead.
fn shell(folder: &Path, cloud: &LocalCloud, shell: &str, real: &str) -> Cli {
    let home = folder.join("home");
    fs::create_dir_all(home.join(".aws")).expect("a home");
    let config = "[default]\nregion = eu-west-3\nignore_configured_endpoint_urls = true\n";
    fs::write(home.join(".aws/config"), config).expect("a configuration");
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).expect("a folder");
    drop(fs::remove_file(programs.join("advent")));
    #[cfg(unix)]
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_advent"), programs.join("advent"))
        .expect("a link");
    let own = std::env::var_os("PATH").unwrap_or_default();
    let path = [programs].into_iter().chain(std::env::split_paths(&own));
    let mislead = [
        ("AWS_PROFILE", "nobody"),
        ("AWS_DEFAULT_PROFILE", "nobody"),
        ("AWS_SESSION_TOKEN", "of another"),
        ("AWS_ENDPOINT_URL", real),
        ("AWS_ENDPOINT_URL_DYNAMODB", real),
        ("AWS_ENDPOINT_URL_STS", real),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ];
    let cli = Cli::new(folder)
        .program(Path::new(shell))
        .without_env("AWS_REGION")
        .env("HOME", &home)
        .env("PATH", std::env::join_paths(path).expect("a search path"))
        .env("ADVENT_LOCAL_DIR", cloud.dir());
    mislead.iter().fold(cli, |cli, (name, value)| cli.env(name, value))
}

#[test]
fn a_shell_that_evaluates_the_environment_reaches_the_local_cloud_or_none() {
    let Some(python) = python() else { return };
    let (cloud, folder) = (LocalCloud::new(), TempDir::new().expect("a folder"));
    let running = cloud.start();
    let url = cloud.url().expect("it runs");
    // It stands for AWS: whatever comes here went astray.
    let real = Proxy::start(&url);
    let boto = "import boto3, sys; \
                sys.stdout.write(boto3.client('sts').get_caller_identity()['Account'] + '\\n'); \
                sys.stdout.write(str(boto3.client('dynamodb').list_tables()['TableNames']))";
    let aws =
        format!("{} sts get-caller-identity --query Account", python.program("aws").display());
    let python = python.program("python");
    let python = python.display();
    for program in ["/bin/sh", "/bin/bash"] {
        if !Path::new(program).exists() {
            continue;
        }
        let shell = shell(folder.path(), &cloud, program, &real.url);
        let script = format!("eval \"$(advent local env)\" && {aws} && {python} -c \"{boto}\"");
        let run = shell.run(["-c", &script]).code(0);
        assert_eq!(run.stdout, "\"000000000000\"\n000000000000\n[]", "{}", run.stderr);
    }
    cloud.stop();
    running.wait().code(0);
    let shell = shell(folder.path(), &cloud, "/bin/sh", &real.url);
    let run = shell.run(["-c", "eval \"$(advent local env)\" && echo went on"]).code(1);
    for wrong in ["local env --bogus", "--bogus local env", "local evn"] {
        let line = format!("eval \"$(advent {wrong})\" && echo went on || echo $AWS_ENDPOINT_URL");
        let run = shell.run(["-c", &line]).code(0).says("http");
        assert!(!run.stdout.contains("went on"), "{wrong}: {}", run.stdout);
    }
    assert_eq!(run.stdout, "", "{}", run.stderr);
    assert!(run.stderr.contains("no local cloud runs here"), "{}", run.stderr);
    let run = shell.run(["-c", &format!("eval \"$(advent local env)\"; {aws} || echo nowhere")]);
    assert!(run.stdout.ends_with("nowhere\n"), "{} {}", run.stdout, run.stderr);
    assert!(run.stderr.contains("no-local-cloud-runs"), "{}", run.stderr);
    // A mistake in the manifest is no way to the real account either.
    fs::write(folder.path().join("advent.toml"), "name = 5").expect("a manifest");
    let shell = shell.without_env("ADVENT_LOCAL_DIR");
    shell.run(["-c", "eval \"$(advent local env)\" && echo went on"]).code(1).says("name");
    assert_eq!(real.take().len(), 0, "something went astray");
}
