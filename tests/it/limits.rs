//! AWS's limits and protections: refused before the first write, or kept to.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http;
use crate::support::local::Local;
use crate::support::proxy::{Answer, Fault, Operation, Proxy, Record, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig};

const FRONT: &str = "small-front";

/// The small project's manifest with other settings of `front`.
fn manifest(front: &str) -> String {
    format!("name = \"small\"\n[function.front]\n{front}\n")
}

fn routes(keys: impl IntoIterator<Item = String>) -> String {
    let keys: Vec<_> = keys.into_iter().map(|key| json!(key).to_string()).collect();
    format!("route = [{}]", keys.join(", "))
}

/// Statement ids and sources of `front`'s resource policy.
fn statements(boto: &Boto<'_>) -> Vec<(String, String)> {
    let answer = boto.call("lambda", "get_policy", json!({ "FunctionName": FRONT }));
    let policy: Value =
        serde_json::from_str(answer["Policy"].as_str().expect("a policy")).expect("a policy");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let statement = |statement: &Value| {
        let source = &statement["Condition"]["ArnLike"]["AWS:SourceArn"];
        (text(&statement["Sid"]), text(source))
    };
    policy["Statement"].as_array().expect("statements").iter().map(statement).collect()
}

fn api(boto: &Boto<'_>) -> Value {
    boto.call("apigatewayv2", "get_apis", json!({}))["Items"][0].clone()
}

#[track_caller]
fn answers(boto: &Boto<'_>, paths: &[&str]) {
    let url = api(boto)["ApiEndpoint"].as_str().expect("an address").to_owned();
    for path in paths {
        let answer = http::get(&format!("{url}{path}")).expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[test]
fn few_routes_have_a_statement_each_and_many_share_one() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    let cli = local.cli.clone().arg("--json");
    let few = ["$default", "GET /users/{id}/posts", "ANY /files/{path+}", "POST /users/{other}"];
    local.project.write("advent.toml", &manifest(&routes(few.map(str::to_owned))));
    cli.ok(["up"]);
    answers(&boto, &["/users/7/posts", "/files/a/b", "/whatever", "/"]);
    let api_id = api(&boto)["ApiId"].as_str().expect("an id").to_owned();
    let source = |end: &str| format!("arn:aws:execute-api:us-east-1:000000000000:{api_id}/*{end}");
    let sources: BTreeSet<_> = statements(&boto).into_iter().map(|(_, source)| source).collect();
    let exact = ["/$default", "/GET/users/*/posts", "/*/files/*", "/POST/users/*"].map(source);
    assert_eq!(sources, BTreeSet::from(exact));

    // With a route goes its statement.
    let fewer = &few[..3];
    local.project.write("advent.toml", &manifest(&routes(fewer.iter().map(|&it| it.to_owned()))));
    cli.ok(["up", "--yes"]);
    let sources: BTreeSet<_> = statements(&boto).into_iter().map(|(_, source)| source).collect();
    let exact = ["/$default", "/GET/users/*/posts", "/*/files/*"].map(source);
    assert_eq!(sources, BTreeSet::from(exact));

    let many = (0..298).map(|number| format!("GET /some/where/{number}"));
    let many: Vec<_> = many.chain(["$default".to_owned(), "ANY /{path+}".to_owned()]).collect();
    local.project.write("advent.toml", &manifest(&routes(many)));
    // The routes that go are asked for, and not what they no longer need.
    let refused = cli.run(["up"]).code(2).says("delete route ");
    assert!(!refused.stdout.contains("permission"), "{}", refused.stdout);
    cli.ok(["up", "--yes"]);
    assert_eq!(statements(&boto), [("advent-routes".to_owned(), source(""))]);
    answers(&boto, &["/some/where/0", "/some/where/297", "/some/where/else", "/"]);
    assert_eq!(cli.ok(["status"]).json()["in_sync"], true);
    cli.ok(["down", "--yes"]);
}

/// How the statements of `front` changed: added, or removed.
fn changes(operations: &[Operation]) -> Vec<&str> {
    let names = operations.iter().map(|operation| operation.name.as_str());
    names.filter(|name| matches!(*name, "AddPermission" | "RemovePermission")).collect()
}

#[test]
fn stacks_with_a_statement_for_every_route_move_over() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    let keys: Vec<_> = (0..70).map(|n| format!("GET /some/where/{n}/{{id}}")).collect();
    local.project.write("advent.toml", &manifest(&routes(keys.clone())));
    local.cli.ok(["up"]);
    let proxy = Proxy::start(&local.url);
    let cli = Cli::new(local.project.path()).endpoint(&proxy.url);
    let api_id = api(&boto)["ApiId"].as_str().expect("an id").to_owned();
    let add = |number: usize, sid: String| {
        let path = format!("{api_id}/*/GET/some/where/{number}/{{id}}");
        let with = json!({
            "FunctionName": FRONT, "StatementId": sid, "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": format!("arn:aws:execute-api:us-east-1:000000000000:{path}"),
        });
        boto.try_call("lambda", "add_permission", with)
    };
    // With room for another statement, and without: then the one of a route that is gone makes it.
    for full in [false, true] {
        let with = json!({ "FunctionName": FRONT, "StatementId": "advent-routes" });
        boto.call("lambda", "remove_permission", with);
        if full {
            add(1000, "advent-route-gone-0123456789".to_owned()).expect("added");
        }
        let mut there = 0;
        while there < if full { 70 } else { 30 } {
            let sid = format!("advent-route-GET--some-where-{there}--id-{there:08x}");
            if let Err(error) = add(there, sid) {
                assert_eq!(error.code, "PolicyLengthExceededException");
                break;
            }
            there += 1;
        }
        // Until not even a short one fits.
        for filler in (0..).take_while(|_| full) {
            let with = json!({
                "FunctionName": FRONT, "StatementId": format!("x{filler}"),
                "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com",
            });
            if boto.try_call("lambda", "add_permission", with).is_err() {
                break;
            }
        }
        let before = statements_of_any(&boto);
        proxy.take();
        cli.ok(["up"]);
        let operations: Vec<_> =
            proxy.take().0.into_iter().filter(Record::wrote).map(|r| r.operation).collect();
        let changes = changes(&operations);
        let first = changes.iter().position(|name| *name == "AddPermission").expect("added");
        assert_eq!(first, usize::from(full), "{changes:?}");
        let after = statements_of_any(&boto);
        let ours = |sids: &[String]| -> Vec<String> {
            sids.iter().filter(|sid| sid.starts_with("advent-")).cloned().collect()
        };
        assert_eq!(ours(&after), ["advent-routes"]);
        assert_eq!(after.len() - 1, before.len() - ours(&before).len(), "somebody else's stay");
    }
    local.cli.ok(["down", "--yes"]);
}

fn statements_of_any(boto: &Boto<'_>) -> Vec<String> {
    let answer = boto.call("lambda", "get_policy", json!({ "FunctionName": FRONT }));
    let policy: Value =
        serde_json::from_str(answer["Policy"].as_str().expect("a policy")).expect("a policy");
    let sid = |statement: &Value| statement["Sid"].as_str().expect("an id").to_owned();
    policy["Statement"].as_array().expect("statements").iter().map(sid).collect()
}

/// A list of APIs with one of ours that was deleted, and that nothing else knows.
fn with_ghost(_: &Operation, mut answer: Answer) -> Answer {
    let mut body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let ghost = json!({
        "apiId": "ghost12345", "name": "small", "protocolType": "HTTP",
        "apiEndpoint": "http://127.0.0.1:9", "createdDate": "2026-01-01T00:00:00Z",
        "routeSelectionExpression": "$request.method $request.path",
        "tags": { "advent:stack": "small", "advent:stage": "default" },
    });
    body["items"].as_array_mut().expect("APIs").push(ghost);
    answer.body = body.to_string().into();
    answer
}

#[test]
fn an_api_that_is_listed_and_gone_is_missing() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.proxy.inject(Rule::operation("apigateway", "GetApis", Fault::Rewrite(with_ghost)));
    let status = rig.cli.ok(["status"]).json();
    let missing = |status: &Value| {
        let all = status["resources"].as_array().expect("resources");
        all.iter().any(|r| r["id"] == "http_api" && r["action"] == "create")
    };
    assert!(missing(&status), "{status:#}");
    let run = rig.people.ok(["up"]);
    assert!(!run.stderr.contains("another run"), "{run:?}");
    assert_eq!(rig.cli.ok(["status"]).json()["in_sync"], true);
    rig.proxy.take();
    rig.cli.ok(["up"]);
    assert_eq!(rig.proxy.take().mutating(), [""; 0]);
    rig.cli.ok(["down"]);
    rig.world().assert_empty("after down");
}

#[test]
fn a_region_without_http_apis_is_named_before_the_first_write() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let message = "HTTP APIs are not available in this AWS region";
    let fault = Fault::Error(400, "BadRequestException", message);
    rig.proxy.inject(Rule::operation("apigateway", "GetApis", fault));
    rig.people.run(["up"]).code(2).says("the Region us-east-1 has no HTTP APIs");
    assert_eq!(rig.proxy.take().mutating(), [""; 0]);
    // Some answer as if they had some.
    rig.proxy.heal();
    let fault = Fault::Error(400, "BadRequestException", message);
    rig.proxy.inject(Rule::operation("apigateway", "CreateApi", fault));
    rig.people
        .run(["up"])
        .code(1)
        .says("the Region us-east-1 has no HTTP APIs")
        .says("removes what was already created");
    rig.proxy.heal();
    // As some others do, in JSON that is none.
    let broken = |operation: &Operation| {
        let message = "1 validation error detected: Value 'arn:aws:lambda:us-east-1:1:function:'";
        let mut answer = Answer::error(operation, 400, "", message);
        let body = format!("{{\"message\": \"{}\"}}", message.replace('\'', "\\'"));
        answer.headers.remove("x-amzn-errortype");
        answer.body = body.into();
        answer
    };
    rig.proxy.take();
    rig.proxy.inject(Rule::operation("apigateway", "GetApis", Fault::Answer(broken)));
    rig.people.run(["up"]).code(2).says("does not answer as one that has HTTP APIs");
    assert_eq!(rig.proxy.take().mutating(), [""; 0]);
    rig.proxy.heal();
    rig.cli.ok(["down"]);
}

/// `DescribeLogGroups` with every group protected.
fn protected(_: &Operation, mut answer: Answer) -> Answer {
    let mut body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    for group in body["logGroups"].as_array_mut().expect("groups") {
        group["deletionProtectionEnabled"] = true.into();
    }
    answer.body = body.to_string().into();
    answer
}

#[test]
fn what_is_protected_is_refused_before_anything_is_deleted() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let protect = |on: bool| {
        let with = json!({ "TableName": "small-items", "DeletionProtectionEnabled": on });
        rig.boto.call("dynamodb", "update_table", with);
    };
    protect(true);
    rig.proxy.inject(Rule::operation("logs", "DescribeLogGroups", Fault::Rewrite(protected)));
    let before = rig.world();
    rig.proxy.take();
    rig.people
        .run(["down"])
        .code(2)
        .says("table small-items is protected")
        .says("log group /aws/lambda/small-back is protected")
        .says("aws dynamodb update-table --table-name small-items --no-deletion-protection-enabled")
        .says("aws logs put-log-group-deletion-protection")
        .says("--region us-east-1 --endpoint-url http://127.0.0.1");
    assert_eq!(rig.proxy.take().mutating(), [""; 0]);
    before.assert_same(&rig.world(), "refused");
    rig.cli.ok(["up"]);
    rig.proxy.heal();
    protect(false);
    rig.cli.ok(["down"]);
    rig.world().assert_empty("after down");
}

#[test]
fn what_aws_would_refuse_is_refused_from_the_manifest() {
    let local = Local::start();
    let proxy = Proxy::start(&local.url);
    let cli = Cli::new(local.project.path()).endpoint(&proxy.url);
    let cli = cli.env("LARGE", "x".repeat(4000));
    let statements = (0..60).fold(String::new(), |mut text, number| {
        writeln!(
            text,
            "[[function.front.statement]]\nactions = [\"s3:GetObject\", \"s3:PutObject\"]\n\
             resources = [\"arn:aws:s3:::a-bucket-with-quite-a-long-name-{number}/*\", \
             \"arn:aws:s3:::another-bucket-with-quite-a-long-name-{number}/*\"]"
        )
        .expect("text");
        text
    });
    let topics: Vec<_> = (0..70).map(|number| format!("news{number}")).collect();
    let declared: Vec<_> = topics.iter().map(|id| format!("[topic.{id}]")).collect();
    let long = "t".repeat(250);
    let cases = [
        (manifest(&statements), "advent.toml:165:", "IAM takes 10240"),
        (
            manifest(&format!(
                "environment = {{ AA = {{ secret = \"LARGE\" }}, BB = {} }}",
                json!("B".repeat(90))
            )),
            "advent.toml:3:1",
            "Lambda takes 4096",
        ),
        (
            format!("{}{}", manifest(&format!("topic = {}", json!(topics))), declared.join("\n")),
            "advent.toml:3:9",
            "20480",
        ),
        (
            manifest(&routes((0..301).map(|number| format!("GET /{number}")))),
            "advent.toml:3:9",
            "quota is 300",
        ),
    ];
    for (text, place, hint) in cases {
        local.project.write("advent.toml", &text);
        for command in ["up", "plan"] {
            proxy.take();
            let run = cli.run([command]).code(2).says(place).says(hint);
            assert!(!run.stderr.contains("xxxx"), "the secret is shown: {run:?}");
            let asked = proxy.take();
            assert_eq!(asked.len(), asked.count("sts", "GetCallerIdentity"), "{asked}");
        }
        // Half of it may be there, made by an earlier version.
        cli.ok(["down", "--yes"]);
    }
    // Names that only the stage makes too long.
    let named = format!("[table.items]\nname = \"{long}\"\nkey = \"id\"\n");
    local.project.write("advent.toml", &format!("name = \"small\"\n{named}"));
    proxy.take();
    for command in ["up", "status", "down", "plan"] {
        let run = cli.run([command, "--stage", "abcdefghijklmnop"]).code(2);
        run.says("advent.toml:3:8").says("has 267 characters").says("AWS takes 255");
    }
    assert_eq!(proxy.take().len(), 0, "nothing was contacted");
}
