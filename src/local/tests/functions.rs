//! Functions: their control plane, their invocation, and what becomes of their events.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, InvocationType, LogType, Runtime,
};
use serde_json::{Value, json};

use super::{Here, TRUST, refusal};
use crate::local::lambda;
use crate::local::lambda::code::tests::zip_of;

const BOOTSTRAP: &[u8] = include_bytes!("../lambda/testing/bootstrap.py");
pub const ROLE: &str = "arn:aws:iam::000000000000:role/runs";

pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:000000000000:function:{name}")
}

impl Here {
    pub fn lambda(&self) -> Client {
        Client::new(&self.operator())
    }

    /// A role that functions can run with, and that may write their logs.
    pub async fn role(&self) {
        let iam = aws_sdk_iam::Client::new(&self.operator());
        iam.create_role()
            .role_name("runs")
            .assume_role_policy_document(TRUST)
            .send()
            .await
            .unwrap();
        let logs = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:*:*:log-group:/aws/lambda/*:*",
        }]});
        iam.put_role_policy()
            .role_name("runs")
            .policy_name("logs")
            .policy_document(logs.to_string())
            .send()
            .await
            .unwrap();
    }

    /// A function that does what its event says, with a role if there is none yet.
    pub async fn create_function(&self, name: &str, variables: &[(&str, &str)]) {
        let mut environment = Environment::builder();
        for (name, value) in variables {
            environment = environment.variables(*name, *value);
        }
        create(&self.lambda(), name).environment(environment.build()).send().await.unwrap();
    }

    /// A file that functions with `RECORD` write their events to, and its path.
    pub fn record(&self) -> (PathBuf, String) {
        let path = self.dir.path().join("record");
        let text = path.to_str().unwrap().to_owned();
        (path, text)
    }

    pub fn retry_after(&self, wait: Duration) {
        lambda::set_retry(self.server.cloud(), wait);
    }

    pub fn failed(&self) -> Vec<Value> {
        lambda::failed_events(self.server.cloud()).unwrap()
    }
}

pub fn create(
    lambda: &Client,
    name: &str,
) -> aws_sdk_lambda::operation::create_function::builders::CreateFunctionFluentBuilder {
    let zip = Blob::new(zip_of(&[("bootstrap", 0o755, BOOTSTRAP)]));
    lambda
        .create_function()
        .function_name(name)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role(ROLE)
        .code(FunctionCode::builder().zip_file(zip).build())
}

pub async fn call(lambda: &Client, name: &str, event: Value) -> (Value, Option<String>) {
    let payload = Blob::new(event.to_string());
    let reply = lambda.invoke().function_name(name).payload(payload).send().await.unwrap();
    let answer = serde_json::from_slice(reply.payload.unwrap().as_ref()).unwrap();
    (answer, reply.function_error)
}

/// An event that nobody waits for the answer of.
async fn queue(lambda: &Client, name: &str, event: Value) {
    let invoke = lambda.invoke().function_name(name).invocation_type(InvocationType::Event);
    invoke.payload(Blob::new(event.to_string())).send().await.unwrap();
}

/// The lines of a file once there are so many, or those that are there after a while.
pub async fn lines(path: &Path, count: usize) -> Vec<Value> {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.len() >= count || Instant::now() > patience {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_lives_changes_and_goes() {
    let here = Here::start();
    here.role().await;
    let lambda = here.lambda();
    let made = create(&lambda, "f")
        .environment(Environment::builder().variables("AA", "1").build())
        .tags("advent:stack", "s")
        .architectures(Architecture::Arm64)
        .send()
        .await
        .unwrap();
    assert_eq!(made.function_arn(), Some(function_arn("f").as_str()));
    assert_eq!((made.timeout(), made.memory_size()), (Some(3), Some(128)));

    let here = here.restarted();
    let lambda = here.lambda();
    let read = lambda.get_function().function_name(function_arn("f")).send().await.unwrap();
    let configuration = read.configuration().unwrap();
    assert_eq!(configuration.code_sha256(), made.code_sha256());
    assert_eq!(configuration.architectures(), [Architecture::Arm64]);
    assert_eq!(read.tags().unwrap()["advent:stack"], "s");

    let (environment, _) = call(&lambda, "f", json!({"do": "environment"})).await;
    assert_eq!(
        (&environment["AA"], &environment["AWS_REGION"]),
        (&json!("1"), &json!("us-east-1"))
    );
    assert_eq!(environment["AWS_ENDPOINT_URL"], here.server.cloud().functions_url);
    assert!(environment["AWS_ACCESS_KEY_ID"].as_str().unwrap().starts_with("ASIA"));
    assert!(environment.get("HOME").is_none(), "{environment}");

    let variables = Environment::builder().variables("AA", "2").build();
    let update = || lambda.update_function_configuration().function_name("f");
    let changed = update().environment(variables).timeout(9).send().await.unwrap();
    assert_eq!(changed.timeout(), Some(9));
    assert_eq!(call(&lambda, "f", json!({"do": "environment"})).await.0["AA"], "2");
    let (code, _) = refusal(update().revision_id("old").timeout(4).send().await);
    assert_eq!(code, "PreconditionFailedException");

    let zip = Blob::new(zip_of(&[("bootstrap", 0o755, b"#!/bin/sh\nexit 5\n")]));
    let code = || lambda.update_function_code().function_name("f").zip_file(zip.clone());
    let dry = code().dry_run(true).send().await.unwrap();
    assert_ne!(dry.code_sha256(), made.code_sha256());
    assert_eq!(call(&lambda, "f", json!({})).await.1, None);
    code().send().await.unwrap();
    let (answer, failed) = call(&lambda, "f", json!({})).await;
    assert_eq!(
        (failed.as_deref(), &answer["errorType"]),
        (Some("Unhandled"), &json!("Runtime.ExitError"))
    );

    lambda.tag_resource().resource(function_arn("f")).tags("b", "c").send().await.unwrap();
    lambda
        .untag_resource()
        .resource(function_arn("f"))
        .tag_keys("advent:stack")
        .send()
        .await
        .unwrap();
    let tags = lambda.list_tags().resource(function_arn("f")).send().await.unwrap();
    assert_eq!(tags.tags().unwrap().keys().collect::<Vec<_>>(), ["b"]);

    lambda.delete_function().function_name("f").send().await.unwrap();
    let (code, text) = refusal(lambda.get_function().function_name("f").send().await);
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(text, format!("Function not found: {}", function_arn("f")));
    let left = std::fs::read_dir(here.dir.path().join("code")).unwrap().count();
    assert_eq!(left, 0, "packages that nobody has are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lambda_would_not_take_is_refused() {
    let here = Here::start();
    let lambda = here.lambda();
    let (code, text) = refusal(create(&lambda, "f").send().await);
    assert_eq!(code, "InvalidParameterValueException");
    assert_eq!(text, "The role defined for the function cannot be assumed by Lambda.");
    let iam = aws_sdk_iam::Client::new(&here.operator());
    let other = TRUST.replace("lambda.", "ec2.");
    iam.create_role().role_name("runs").assume_role_policy_document(other).send().await.unwrap();
    assert_eq!(refusal(create(&lambda, "f").send().await).1, text);
    iam.delete_role().role_name("runs").send().await.unwrap();
    here.role().await;

    let reserved = Environment::builder().variables("AWS_REGION", "x").build();
    let (_, text) = refusal(create(&lambda, "f").environment(reserved).send().await);
    assert!(text.contains("reserved keys") && text.ends_with("AWS_REGION"), "{text}");
    let large = Environment::builder().variables("LARGE", "x".repeat(4096)).build();
    let (_, text) = refusal(create(&lambda, "f").environment(large).send().await);
    assert!(text.contains("exceeded the 4KB limit"), "{text}");
    for (builder, part) in [
        (create(&lambda, "f").timeout(901), "timeout"),
        (create(&lambda, "f").memory_size(64), "memorySize"),
        (create(&lambda, "f.g"), "functionName"),
        (create(&lambda, "f").runtime(Runtime::Python312), "python3.12"),
        (create(&lambda, "f").layers("arn:aws:lambda:r:1:layer:x:1"), "Layers"),
        (
            create(&lambda, "f")
                .code(FunctionCode::builder().zip_file(Blob::new("no zip")).build()),
            "unzip",
        ),
    ] {
        let (_, text) = refusal(builder.send().await);
        assert!(text.contains(part), "{text}");
    }
    create(&lambda, "f").send().await.unwrap();
    let (code, text) = refusal(create(&lambda, "f").send().await);
    assert_eq!(
        (code.as_str(), text.as_str()),
        ("ResourceConflictException", "Function already exist: f")
    );
    let (code, text) = refusal(
        lambda
            .put_function_concurrency()
            .function_name("f")
            .reserved_concurrent_executions(1)
            .send()
            .await,
    );
    assert_eq!(code, "UnknownOperationException");
    assert!(text.contains("lambda:PutFunctionConcurrency"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_kept_statement_by_statement() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    let lambda = here.lambda();
    let (code, _) = refusal(lambda.get_policy().function_name("f").send().await);
    assert_eq!(code, "ResourceNotFoundException");
    let add = |sid: &str| {
        lambda
            .add_permission()
            .function_name("f")
            .statement_id(sid)
            .action("lambda:InvokeFunction")
            .principal("sns.amazonaws.com")
            .source_arn("arn:aws:sns:us-east-1:000000000000:t")
    };
    // All at once: none is lost.
    let sids: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    let added = futures::future::join_all(sids.iter().map(|sid| add(sid).send())).await;
    assert!(added.iter().all(Result::is_ok));
    let (code, text) = refusal(add("s0").send().await);
    assert_eq!(code, "ResourceConflictException");
    assert!(text.starts_with("The statement id (s0) provided already exists."), "{text}");
    let policy = lambda.get_policy().function_name("f").send().await.unwrap();
    let policy: Value = serde_json::from_str(policy.policy().unwrap()).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 8);
    let statement = policy["Statement"][0].clone();
    assert_eq!(statement["Principal"], json!({"Service": "sns.amazonaws.com"}));
    assert_eq!(statement["Resource"], function_arn("f"));
    assert_eq!(
        statement["Condition"],
        json!({"ArnLike": {"AWS:SourceArn": "arn:aws:sns:us-east-1:000000000000:t"}})
    );
    let remove = || lambda.remove_permission().function_name("f").statement_id("s0").send();
    remove().await.unwrap();
    assert_eq!(refusal(remove().await).0, "ResourceNotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_answers_logs_and_is_authorised() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    let logs = aws_sdk_cloudwatchlogs::Client::new(&here.operator());
    logs.create_log_group().log_group_name("/aws/lambda/f").send().await.unwrap();
    let lambda = here.lambda();
    let invoke =
        |event: Value| lambda.invoke().function_name("f").payload(Blob::new(event.to_string()));
    let event = json!({"do": "print", "lines": 2});
    let reply = invoke(event.clone()).log_type(LogType::Tail).send().await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(reply.payload().unwrap().as_ref()).unwrap(), event);
    let tail = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        reply.log_result().unwrap(),
    );
    assert!(String::from_utf8(tail.unwrap()).unwrap().contains("line 1\nEND RequestId"));
    let mut messages = Vec::new();
    for _ in 0..100 {
        let found = logs.filter_log_events().log_group_name("/aws/lambda/f").send().await.unwrap();
        messages = found.events().iter().map(|event| event.message().unwrap().to_owned()).collect();
        if messages.len() >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(messages[1..3], ["line 0", "line 1"]);

    let (code, _) =
        refusal(lambda.invoke().function_name("f").payload(Blob::new("{")).send().await);
    assert_eq!(code, "InvalidRequestContentException");
    let large = "x".repeat(6 * 1024 * 1024);
    let (code, _) = refusal(invoke(json!(large)).send().await);
    assert_eq!(code, "RequestTooLargeException");
    let dry = invoke(json!({})).invocation_type(InvocationType::DryRun).send().await.unwrap();
    assert_eq!(dry.status_code(), 204);

    let as_function = Client::new(&here.function("runs"));
    let (code, text) = refusal(as_function.invoke().function_name("f").send().await);
    assert_eq!(code, "AccessDeniedException");
    assert_eq!(
        text,
        format!(
            "User: arn:aws:sts::000000000000:assumed-role/runs/f is not authorized to perform: \
             lambda:InvokeFunction on resource: {} because no identity-based policy allows the \
             lambda:InvokeFunction action",
            function_arn("f")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_events_are_tried_three_times_and_kept() {
    let here = Here::start();
    here.role().await;
    here.retry_after(Duration::from_millis(50));
    here.create_function("f", &[]).await;
    let (path, text) = here.record();
    let lambda = here.lambda();
    queue(&lambda, "f", json!({"do": "append", "file": text, "n": 1})).await;
    queue(&lambda, "f", json!({"do": "append", "file": text, "n": 2, "fail": true})).await;
    let found = lines(&path, 4).await;
    assert_eq!(found.iter().filter(|event| event["n"] == 1).count(), 1);
    assert_eq!(found.iter().filter(|event| event["n"] == 2).count(), 3);
    let patience = Instant::now() + Duration::from_secs(5);
    while here.failed().is_empty() && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = here.failed();
    assert_eq!(
        (failed.len(), &failed[0]["event"]["n"], &failed[0]["attempts"]),
        (1, &json!(2), &json!(3))
    );
    assert_eq!(failed[0]["condition"], "RetriesExhausted");
    assert_eq!(failed[0]["response"]["errorMessage"], "as told");

    let settings = lambda.put_function_event_invoke_config().function_name("f");
    settings.maximum_retry_attempts(0).send().await.unwrap();
    queue(&lambda, "f", json!({"do": "append", "file": text, "n": 3, "fail": true})).await;
    while here.failed().len() < 2 && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(here.failed()[0]["attempts"], 1);
    let here = here.restarted();
    assert_eq!(here.failed().len(), 2);
    here.lambda().delete_function().function_name("f").send().await.unwrap();
    assert!(here.failed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_do_not_hold_up_others_beside_callers() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    here.create_function("called", &[]).await;
    let (path, text) = here.record();
    let lambda = here.lambda();
    let caller = lambda.clone();
    let waiting = tokio::spawn(async move {
        loop {
            call(&caller, "called", json!({"do": "sleep", "seconds": 0.02})).await;
        }
    });
    // One after another these would take longer than the last is waited for.
    for _ in 0..8 {
        queue(&lambda, "f", json!({"do": "sleep", "seconds": 2})).await;
    }
    queue(&lambda, "f", json!({"do": "append", "file": text})).await;
    assert_eq!(lines(&path, 1).await.len(), 1);
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_survive_a_restart() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    let (path, text) = here.record();
    let lambda = here.lambda();
    // It fails at once and is to be tried again in a minute; the others are queued or running
    // when the local cloud ends.
    for number in 0..20 {
        let event = json!({"do": "append", "file": text, "n": number, "fail": number == 0});
        queue(&lambda, "f", event).await;
    }
    let here = here.restarted();
    lines(&path, 20).await;
    let mut numbers: Vec<u64> =
        lines(&path, 20).await.iter().map(|event| event["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "each at least once");
    assert!(here.failed().is_empty());
}
