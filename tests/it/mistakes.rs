//! Bad input: each gets an error that says what was attempted and why it failed, what to do, and
//! the right exit code, and leaves nothing half-written.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;

use crate::support::cli::{Cli, Run};
use crate::support::local::Local;
use crate::support::project::Project;
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::python::{Boto, free_port, python};
use crate::support::world::World;

/// The error's own parts, apart from one another.
#[track_caller]
fn assert_error(run: Run, code: i32, what: &str, hint: &str) {
    let run = run.code(code);
    assert_eq!(run.stdout, "", "an error belongs on stderr");
    let (error, advice) = run.stderr.split_once("hint:").unwrap_or((&run.stderr, ""));
    assert!(error.contains(what), "no {what:?} in {}", run.stderr);
    // The terminal's width may break it anywhere.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(advice).contains(hint), "no hint {hint:?} in {}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

#[test]
fn without_an_account_it_says_what_to_set_up() {
    let project = Project::new();
    let cli = Cli::new(project.path());
    let gone = format!("http://127.0.0.1:{}", free_port());
    for command in ["up", "status", "down", "plan"] {
        let none =
            cli.clone().without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
        assert_error(none.run([command]), 2, "no AWS credentials were found", "--local");
        let nowhere = cli.clone().without_env("AWS_REGION");
        assert_error(nowhere.run([command]), 2, "no AWS Region is set", "--region");
        let silent = cli.clone().endpoint(&gone);
        assert_error(silent.run([command]), 1, &gone, "AWS_ENDPOINT_URL");
    }
    // A profile that was asked for is never passed over, whatever the environment has.
    for cli in [&cli, &cli.clone().without_env("AWS_ACCESS_KEY_ID")] {
        let run = cli.run(["status", "--profile", "nobody"]);
        assert_error(run, 2, "profile `nobody`", "aws configure");
    }
    let nobody = cli.without_env("AWS_ACCESS_KEY_ID").env("AWS_PROFILE", "nobody");
    assert_error(nobody.run(["status"]), 2, "profile `nobody`", "aws configure");
}

#[test]
fn expired_credentials_are_named() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let project = Project::new();
    let cli = Cli::new(project.path()).endpoint(&proxy.url);
    let message = "The security token included in the request is expired";
    for (code, hint) in [
        ("ExpiredToken", "sign in again"),
        ("ExpiredTokenException", "sign in again"),
        ("InvalidClientTokenId", "these credentials are not accepted there"),
    ] {
        proxy.heal();
        let rule = proxy.inject(Rule::any(Fault::Error(403, code, message)));
        assert_error(cli.run(["up"]), 1, "expired", hint);
        assert_eq!(rule.struck(), 1, "{code} is not worth another attempt");
    }
}

#[test]
fn a_mistake_in_the_manifest_is_pointed_at() {
    let project = Project::new();
    let cli = Cli::new(project.path());
    project.edit("topic = \"news\"", "topic = \"newz\"");
    for command in ["up", "status", "down", "plan", "build"] {
        let run = cli.run([command]).code(2).says("advent.toml:15:9").says("newz").says("news");
        assert_eq!(run.stdout, "");
    }
    fs::remove_file(project.path().join("advent.toml")).expect("the manifest");
    assert_error(cli.run(["up"]), 2, "advent.toml", "");
}

#[test]
fn what_cannot_be_built_is_not_shipped() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let boto = Boto::new(python, &moto.url);
    let project = Project::new();
    let cli = Cli::new(project.path()).endpoint(&moto.url);
    project.write("functions/front/src/main.rs", "fn main() { let text: u8 = \"text\"; }\n");
    let run = cli.run(["up"]).code(1).says("mismatched types").says("front");
    assert_eq!(run.stdout, "");

    // glibc has had this symbol since 2.36, which the runtime lacks.
    let source = "extern \"C\" { fn arc4random() -> u32; }\n\
                  fn main() { println!(\"{}\", unsafe { arc4random() }); }\n";
    project.write("functions/front/src/main.rs", source);
    if cfg!(target_env = "gnu") {
        let run = cli.run(["up"]);
        if run.stderr.contains("undefined") {
            let notice = "SKIPPED: this machine's glibc is too old to be too new";
            drop(writeln!(std::io::stderr(), "{notice}"));
        } else {
            assert_error(run, 1, "it needs glibc 2.36", "zig");
        }
    }
    World::read(&boto).assert_empty("after builds that failed");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("a port").port().to_string();
    let folder = tempfile::TempDir::new().expect("a folder");
    let cli = Cli::new(folder.path()).env("ADVENT_LOCAL_DIR", folder.path().join("local"));
    assert_error(cli.run(["local", "start", "--port", &port]), 1, &port, "port");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // A file where a folder should be, which stops root as well.
    let project = Project::new();
    project.write("file", "");
    let dir = project.path().join("file").join("local");
    let cli = Cli::new(project.path()).local(&dir);
    let run = cli.run(["up"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run:?}");
    run.says("file/local");

    let project = Project::new();
    project.write("target", "");
    let run = Cli::new(project.path()).run(["build"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run:?}");
    run.says("target");
}

#[test]
fn nothing_is_deleted_without_a_word() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    local.cli.ok(["up"]);
    let before = World::read(&boto);
    assert_error(local.cli.run(["down"]), 2, "refused to delete", "--yes");
    before.assert_same(&World::read(&boto), "refused");
    local.cli.ok(["down", "--yes"]);
}
