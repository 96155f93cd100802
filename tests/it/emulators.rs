//! The emulators themselves: what a test may rely on, tried without advent.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http;
use crate::support::project::Project;
use crate::support::python::{Boto, Python, python};
use crate::support::world::World;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

#[test]
fn a_fresh_emulator_is_empty_and_a_used_one_again() {
    let Some(python) = python() else { return };
    for start in [Python::moto, Python::ministack] {
        let url = {
            let server = start(python);
            let boto = Boto::new(python, &server.url);
            World::read(&boto).assert_empty("at first");
            boto.call("sns", "create_topic", json!({ "Name": "news" }));
            assert_eq!(World::read(&boto).summary(), "1 topics");
            server.url.clone()
        };
        let server = start(python);
        World::read(&Boto::new(python, &server.url)).assert_empty(&format!("after {url}"));
    }
}

#[test]
fn ministack_runs_a_native_function_behind_a_route_and_a_topic() {
    let Some(python) = python() else { return };
    let server = python.ministack();
    let boto = Boto::new(python, &server.url);
    let project = Project::new();
    let role = boto.call(
        "iam",
        "create_role",
        json!({
            "RoleName": "worker", "AssumeRolePolicyDocument": TRUST
        }),
    );
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let role = text(&role["Role"]["Arn"]);
    let logs = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"
    }]});
    boto.call(
        "iam",
        "put_role_policy",
        json!({
            "RoleName": "worker", "PolicyName": "logs", "PolicyDocument": logs.to_string()
        }),
    );
    boto.call("logs", "create_log_group", json!({ "logGroupName": "/aws/lambda/front" }));
    let zip = STANDARD.encode(project.zip("front"));
    let function = boto.call(
        "lambda",
        "create_function",
        json!({
            "FunctionName": "front", "Runtime": "provided.al2023", "Handler": "bootstrap",
            "Role": role, "Code": { "ZipFile": { "base64": zip } },
            "Environment": { "Variables": { "GREETING": "hello" } },
        }),
    );
    let function = text(&function["FunctionArn"]);
    let invoked = boto.call(
        "lambda",
        "invoke",
        json!({
            "FunctionName": "front", "Payload": "{}"
        }),
    );
    assert!(text(&invoked["Payload"]).contains("front-1 hello"), "{invoked}");

    let api =
        boto.call("apigatewayv2", "create_api", json!({ "Name": "web", "ProtocolType": "HTTP" }));
    let api = text(&api["ApiId"]);
    let integration = boto.call(
        "apigatewayv2",
        "create_integration",
        json!({
            "ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": function,
            "PayloadFormatVersion": "2.0",
        }),
    );
    let target = format!("integrations/{}", text(&integration["IntegrationId"]));
    boto.call(
        "apigatewayv2",
        "create_route",
        json!({
            "ApiId": api, "RouteKey": "ANY /front", "Target": target
        }),
    );
    boto.call(
        "apigatewayv2",
        "create_stage",
        json!({
            "ApiId": api, "StageName": "$default", "AutoDeploy": true
        }),
    );
    let url = format!("{}/_aws/execute-api/{api}/$default/front", server.url);
    let answer = http::post(&url, "text/plain", b"words").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "front-1 hello"));

    let topic = boto.call("sns", "create_topic", json!({ "Name": "news" }));
    let topic = text(&topic["TopicArn"]);
    boto.call(
        "sns",
        "subscribe",
        json!({
            "TopicArn": topic, "Protocol": "lambda", "Endpoint": function
        }),
    );
    boto.call("sns", "publish", json!({ "TopicArn": topic, "Message": "by way of the topic" }));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let events = boto.call(
            "logs",
            "filter_log_events",
            json!({
                "logGroupName": "/aws/lambda/front"
            }),
        );
        if events.to_string().contains("by way of the topic") {
            break;
        }
        assert!(Instant::now() < deadline, "no log: {events}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_binary_runs_in_a_clean_environment() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let cli = Cli::new(folder.path());
    let run = cli.run(["--version"]);
    assert_ne!(run.code, None, "{}", run.stderr);
}
