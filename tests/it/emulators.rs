//! The emulators themselves: what a test may rely on, tried without advent.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http;
use crate::support::local::shipped_article;
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

/// The repository's own application.
fn article(endpoint: &str) -> Cli {
    Cli::new(&shipped_article()).endpoint(endpoint)
}

#[test]
fn another_client_sees_in_moto_what_up_has_made() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let boto = Boto::new(python, &moto.url);
    let cli = article(&moto.url);
    cli.ok(["up"]);
    let World(world) = World::read(&boto);
    let own = json!({ "advent:stack": "awsadvent", "advent:stage": "default" });

    let table = &world["tables"]["table"];
    assert_eq!(table["KeySchema"], json!([{ "AttributeName": "word", "KeyType": "HASH" }]));
    assert_eq!((&table["billing"], &table["ttl"]), (&"PAY_PER_REQUEST".into(), &"expires".into()));
    assert_eq!(table["tags"], own);

    let topic_arn = "arn:aws:sns:us-east-1:123456789012:awsadvent";
    let topic = &world["topics"][topic_arn];
    assert_eq!(topic["tags"], own);
    let arn = |function| format!("arn:aws:lambda:us-east-1:123456789012:function:{function}");
    let subscribed = topic["subscriptions"].as_array().expect("subscriptions");
    for (subscription, function) in subscribed.iter().zip(["sns_logger", "sns_multiplier"]) {
        assert_eq!(subscription["Protocol"], "lambda");
        assert_eq!(subscription["Endpoint"], arn(function));
    }
    assert_eq!(subscribed.len(), 2);

    let settings = [
        ("aws_advent", "aws_advent_lambda_dynamo", 256, 10),
        ("sns_multiplier", "awsadvent-sns_multiplier", 256, 30),
        ("sns_logger", "awsadvent-sns_logger", 256, 10),
    ];
    for (name, role, memory, timeout) in settings {
        let (function, role) = (&world["functions"][name], format!("{role}-us-east-1"));
        assert_eq!(function["Runtime"], "provided.al2023", "{name}");
        assert_eq!(function["Role"], world["roles"][&role]["Arn"], "{name}");
        assert_eq!(function["MemorySize"], memory, "{name}");
        assert_eq!(function["Timeout"], timeout, "{name}");
        assert_eq!(function["tags"], own, "{name}");
        let role = &world["roles"][&role];
        assert_eq!(role["Path"], "/advent/awsadvent/default/us-east-1/", "{name}");
        assert_eq!(role["attached"], json!([]), "{name}");
        assert_eq!(role["tags"], own, "{name}");
        let trusted = &role["trust"]["Statement"][0]["Principal"]["Service"];
        assert_eq!(trusted, "lambda.amazonaws.com", "{name}");
        let group = &world["log_groups"][format!("/aws/lambda/{name}")];
        assert_eq!(*group, json!({ "retention": 14, "tags": own }), "{name}");
    }
    let functions = &world["functions"];
    let environment = json!({ "DYNAMO_TABLE": "table", "SNS_TOPIC_ARN": topic_arn });
    assert_eq!(functions["aws_advent"]["environment"], environment);
    assert_eq!(functions["sns_multiplier"]["environment"], json!({ "DYNAMO_TABLE": "table" }));
    assert_eq!(functions["sns_logger"]["environment"], json!({}));

    // Each may do what its links say, and nothing else.
    let policies = &world["roles"]["aws_advent_lambda_dynamo-us-east-1"]["policies"];
    let publish = &policies["aws_advent_lambda_dynamo_snspublish"]["Statement"];
    assert_eq!(publish[0]["Action"], "sns:Publish");
    assert_eq!(publish[0]["Resource"], topic_arn);
    let actions = allowed(policies);
    let table = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"];
    assert!(table.iter().all(|action| actions.contains(&(*action).to_owned())), "{actions:?}");
    assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
    let logger = allowed(&world["roles"]["awsadvent-sns_logger-us-east-1"]["policies"]);
    assert_eq!(logger, ["logs:CreateLogStream", "logs:PutLogEvents"]);

    for (function, service, source) in [
        ("aws_advent", "apigateway.amazonaws.com", "/*/*/aws_advent"),
        ("sns_multiplier", "sns.amazonaws.com", topic_arn),
        ("sns_logger", "sns.amazonaws.com", topic_arn),
    ] {
        let statements = functions[function]["policy"].as_array().expect("a policy");
        assert_eq!(statements.len(), 1, "{function}");
        assert_eq!(statements[0]["Principal"]["Service"], service, "{function}");
        let condition = statements[0]["Condition"].to_string();
        assert!(condition.contains(source), "{function}: {condition}");
    }

    let api = &world["apis"][0];
    assert_eq!((&api["Name"], &api["ProtocolType"]), (&"aws_advent".into(), &"HTTP".into()));
    assert_eq!(api["tags"], own);
    let target = &api["routes"]["ANY /aws_advent"]["target"];
    assert_eq!(target["IntegrationUri"], arn("aws_advent"));
    assert_eq!(target["PayloadFormatVersion"], "2.0");
    let stage = &api["stages"]["$default"];
    assert_eq!(stage["AutoDeploy"], true);
    assert_eq!(stage["DefaultRouteSettings"]["ThrottlingRateLimit"], 10.0);
    assert_eq!(stage["DefaultRouteSettings"]["ThrottlingBurstLimit"], 20);

    cli.ok(["down", "--yes"]);
    World::read(&boto).assert_empty("after down");
}

/// Every action that a role's inline policies allow, in order.
fn allowed(policies: &Value) -> Vec<String> {
    let policies = policies.as_object().expect("policies").values();
    let statements =
        policies.flat_map(|policy| policy["Statement"].as_array().expect("statements"));
    let mut actions: Vec<String> = statements
        .flat_map(|statement| match &statement["Action"] {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        })
        .map(|action| action.as_str().expect("an action").to_owned())
        .collect();
    actions.sort();
    actions
}

#[test]
fn the_article_runs_in_ministack_with_its_roles_enforced() {
    let Some(python) = python() else { return };
    let server = python.ministack();
    let boto = Boto::new(python, &server.url);
    let cli = article(&server.url);
    cli.ok(["up"]);
    let say = || cli.ok(["say", "--json", "awsadvent some words"]).json();
    let first = say();
    assert_eq!(first["status"], 200, "{first}\n{}", server.log());
    assert_eq!(counts(&first), ["1", "1", "1"], "{first}");
    // The multiplier adds 10 to each when the topic gets to it.
    let deadline = Instant::now() + Duration::from_secs(30);
    let key = json!({ "TableName": "table", "Key": { "word": { "S": "words" } } });
    while boto.call("dynamodb", "get_item", key.clone())["Item"]["count"]["N"] != "11" {
        assert!(Instant::now() < deadline, "not multiplied:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let second = say();
    assert_eq!(counts(&second), ["12", "12", "12"], "{second}");
    let logged = || {
        let logs = cli.ok(["logs", "sns_logger"]).stdout;
        ["awsadvent", "some", "words"].iter().all(|word| logs.matches(word).count() >= 2)
    };
    while !logged() {
        let group = json!({ "logGroupName": "/aws/lambda/sns_logger" });
        let events = || boto.call("logs", "filter_log_events", group.clone());
        assert!(Instant::now() < deadline, "not logged: {}\n{}", events(), server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    cli.ok(["down", "--yes"]);
    World::read(&boto).assert_empty("after down");
}

/// The numbers in an answer of the bot.
fn counts(said: &Value) -> Vec<&str> {
    let text = said["text"].as_str().expect("a text");
    let digits = text.split(|c: char| !c.is_ascii_digit());
    digits.filter(|number| !number.is_empty()).collect()
}
