//! Functions that misbehave: nothing else goes down, and what happened can be seen.

use std::time::{Duration, Instant};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, InvocationType};
use serde_json::{Value, json};

use super::Here;
use super::functions::{call, create};

/// How a function that cannot answer fails.
struct Fault {
    name: &'static str,
    /// Of the function's environment.
    variables: &'static [(&'static str, &'static str)],
    event: Value,
    /// `errorType` of the answer, part of its message, and part of what is logged.
    kind: &'static str,
    message: &'static str,
    logged: &'static str,
}

fn faults() -> Vec<Fault> {
    let fault = |name, event: Value, kind, message, logged| Fault {
        name,
        variables: &[],
        event,
        kind,
        message,
        logged,
    };
    let crash_at_start = Fault {
        variables: &[("INIT", "crash")],
        ..fault("at-start", json!({}), "Runtime.ExitError", "exit status 3", "cannot start")
    };
    let refused_to_start = Fault {
        variables: &[("INIT", "error")],
        ..fault("refuses", json!({}), "Init.Bad", "no config", "exit status 1")
    };
    let timeout = "Task timed out after 1.00 seconds";
    vec![
        crash_at_start,
        refused_to_start,
        fault(
            "crashes",
            json!({"do": "crash"}),
            "Runtime.ExitError",
            "exit status 7",
            "about to crash",
        ),
        fault(
            "killed",
            json!({"do": "kill"}),
            "Runtime.ExitError",
            "signal: killed",
            "signal: killed",
        ),
        fault("hangs", json!({"do": "sleep", "seconds": 60}), "Sandbox.Timedout", timeout, timeout),
        fault("deaf", json!({"do": "deaf"}), "Sandbox.Timedout", timeout, timeout),
        fault("leaves", json!({"do": "child", "hang": true}), "Sandbox.Timedout", timeout, timeout),
        fault("floods", json!({"do": "flood"}), "Sandbox.Timedout", timeout, timeout),
        fault(
            "too-big",
            json!({"do": "big", "bytes": 7_000_000}),
            "Function.ResponseSizeTooLarge",
            "exceeded maximum allowed payload size",
            "REPORT RequestId",
        ),
        fault(
            "asks",
            json!({"do": "ask again"}),
            "Runtime.ExitError",
            "without providing a reason",
            "answer the invocation before asking for the next one",
        ),
    ]
}

impl Here {
    async fn log_group(&self, function: &str) {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.operator());
        let name = format!("/aws/lambda/{function}");
        logs.create_log_group().log_group_name(name).send().await.unwrap();
    }

    /// Waits until a function's log has a line with this part.
    async fn logged(&self, function: &str, part: &str) {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.operator());
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let group = format!("/aws/lambda/{function}");
            let found = logs.filter_log_events().log_group_name(group);
            let found = found.filter_pattern(format!("\"{}\"", part.replace('"', "\\\"")));
            // A page may be empty, and another come after it.
            let mut pages = found.into_paginator().send();
            while let Some(page) = pages.next().await {
                if !page.unwrap().events().is_empty() {
                    return;
                }
            }
            assert!(Instant::now() < patience, "{function} has not logged {part}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn event(&self, function: &str, event: &Value) {
        let kind = InvocationType::Event;
        let call = self.lambda().invoke().function_name(function).invocation_type(kind);
        call.payload(Blob::new(event.to_string())).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_function_does_it_fails_alone_and_visibly() {
    let here = Here::start();
    here.role().await;
    here.retry_after(Duration::from_millis(10));
    here.create_function("good", &[]).await;
    let lambda = here.lambda();
    let faults = faults();
    for Fault { name, variables, kind, .. } in &faults {
        here.log_group(name).await;
        let timeout = if *kind == "Sandbox.Timedout" { 1 } else { 30 };
        let environment = variables
            .iter()
            .fold(Environment::builder(), |of, (name, value)| of.variables(*name, *value));
        let made = create(&lambda, name).timeout(timeout).environment(environment.build());
        made.send().await.unwrap();
    }
    // All at once, so that each would take the others down.
    let bad = faults.iter().map(|fault| async {
        here.event(fault.name, &fault.event).await;
        let (answer, failed) = call(&lambda, fault.name, fault.event.clone()).await;
        let name = fault.name;
        assert_eq!(failed.as_deref(), Some("Unhandled"), "{name}: {answer}");
        assert_eq!(answer["errorType"], fault.kind, "{name}: {answer}");
        let message = answer["errorMessage"].as_str().unwrap();
        assert!(message.contains(fault.message), "{name}: {message}");
        here.logged(name, fault.logged).await;
    });
    let good = async {
        for number in 0..50 {
            assert_eq!(call(&lambda, "good", json!(number)).await, (json!(number), None));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(futures::future::join_all(bad), good);

    // The events have been tried three times, and are kept where `advent status` shows them.
    let patience = Instant::now() + Duration::from_secs(20);
    while here.failed().len() < faults.len() {
        assert!(Instant::now() < patience, "{:?}", here.failed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for event in here.failed() {
        let of = |fault: &&Fault| event["function"] == fault.name;
        let fault = faults.iter().find(of).unwrap();
        assert_eq!((&event["attempts"], &event["event"]), (&json!(3), &fault.event));
        assert_eq!(event["condition"], "RetriesExhausted");
        assert_eq!(event["response"]["errorType"], fault.kind);
    }
    // And it works again, as soon as it is not made to fail.
    for fault in faults.iter().filter(|fault| fault.variables.is_empty()) {
        assert_eq!(call(&lambda, fault.name, json!("again")).await, (json!("again"), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_question_takes_no_invocation() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    let (path, text) = here.record();
    let lambda = here.lambda();
    let event = json!({"do": "ask twice", "file": text});
    assert_eq!(call(&lambda, "f", event.clone()).await, (event, None));
    let statuses = super::functions::lines(&path, 1).await;
    assert_eq!(statuses, [json!(403)]);
    for number in 0..5 {
        assert_eq!(call(&lambda, "f", json!(number)).await, (json!(number), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_to_the_runtime_api_is_refused() {
    let here = Here::start();
    here.role().await;
    let lambda = here.lambda();
    create(&lambda, "f").timeout(600).send().await.unwrap();
    let times = u64::from(crate::fuzz::config(300).cases);
    let event = json!({"do": "noise", "seed": 4, "times": times});
    let (statuses, failed) = call(&lambda, "f", event).await;
    assert_eq!(failed, None, "{statuses}");
    let statuses = statuses.as_array().unwrap();
    assert_eq!(statuses.len() as u64, times);
    let refused = |status: &&Value| (400..500).contains(&status.as_u64().unwrap());
    // What may be said during an invocation: that the initialisation had failed.
    let accepted = statuses.iter().filter(|status| **status == 202).count();
    assert_eq!(statuses.iter().filter(refused).count() + accepted, statuses.len(), "{statuses:?}");
    assert_eq!(call(&lambda, "f", json!("again")).await, (json!("again"), None));
}
