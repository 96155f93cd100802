//! `prove` from outside, on a local cloud of its own.
#![expect(clippy::expect_used, reason = "a test may end in a panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// In an environment in which nothing of this machine's owner is found.
fn prove(out: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prove"));
    command
        .args(args)
        .args(["--quick", "--out"])
        .arg(out)
        .env("AWS_CONFIG_FILE", out.join("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", out.join("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("SLACK_TOKEN", "a-secret-of-somebody")
        .stdin(Stdio::null());
    for name in ["AWS_ENDPOINT_URL", "AWS_PROFILE", "SLACK_SIGNING_SECRET"] {
        command.env_remove(name);
    }
    command.output().expect("prove runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_tour_and_the_points_are_reported_and_nothing_is_left() {
    let folder = TempDir::new().expect("a folder for the report");
    let output = prove(folder.path(), &["--local", "--yes"]);
    let said = said(&output);
    let text = fs::read_to_string(folder.path().join("report.json")).unwrap_or_default();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no report: {said}"));
    assert_eq!(report["left"]["things"], serde_json::json!([]), "{said}");
    assert_eq!(report["left"]["blind"], serde_json::json!([]), "{said}");
    let verdict = |id: &str| {
        let findings = report["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["id"] == id);
        found.unwrap_or_else(|| panic!("nothing about {id}: {said}"))["verdict"].as_str()
    };
    for id in [
        "tour-up",
        "tour-up-again",
        "tour-say",
        "tour-logs",
        "tour-drift",
        "tour-down",
        "tour-down-again",
        "topic-tags",
        "apigateway-conflicts",
        "function-again",
        "log-lag",
    ] {
        assert_eq!(verdict(id), Some("held"), "{id}: {said}");
    }
    // The local cloud has no sessions.
    assert_eq!(verdict("tag-rights"), Some("untried"), "{said}");

    let requests = report["requests"].as_array().expect("requests");
    let recorded = |by: &str, operation: &str| {
        requests.iter().any(|request| {
            request["by"].as_str().is_some_and(|command| command.starts_with(by))
                && request["operation"] == operation
                && request["status"] == 200
                && !request["answer"].is_null()
        })
    };
    assert!(recorded("advent up", "CreateTable") && recorded("prove", "CreateTopic"), "{said}");
    let markdown = fs::read_to_string(folder.path().join("report.md")).expect("a report");
    for (text, place) in [(&text, "report.json"), (&markdown, "report.md")] {
        // The local cloud's account, also behind an escape such as `%22`; ids of events are longer.
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let account = numbers.find(|run| run.len() <= 16 && run.ends_with("000000000000"));
        assert_eq!(account, None, "{place} contains the account");
        // The operator's secret, the code, the key.
        for secret in ["a-secret-of-somebody", "UEsDB", "advent-local/"] {
            assert!(!text.contains(secret), "{place} contains {secret}");
        }
    }
    assert!(text.contains("(hidden)") && text.contains("111111111111"), "nothing was replaced");
    assert!(markdown.contains("**topic-tags**"), "{markdown}");
}

#[test]
fn without_a_terminal_it_refuses_before_anything_is_created() {
    let folder = TempDir::new().expect("a folder for the report");
    let output = prove(folder.path(), &["--local"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--yes") && said(&output).contains("USD"), "{}", said(&output));
    assert!(!folder.path().join("report.json").exists());
}
