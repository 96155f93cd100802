//! What somebody changed by hand, dropped from the manifest, or owns under one of our names.

use serde_json::{Value, json};

use crate::support::cli::Run;
use crate::support::local::Local;
use crate::support::project::Project;
use crate::support::python::{Boto, python};
use crate::support::world::World;

const FRONT: &str = "small-front";
const FRONT_ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:small-front";
const BACK_ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:small-back";
const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:000000000000:small-news";
const ROLE: &str = "small-front-us-east-1";
const LOG_GROUP: &str = "/aws/lambda/small-front";

/// A way to make the cloud differ, the resource that does then, and the field that `status` names,
/// or the action if it is not an update, or `deletes` and the part that goes.
pub type Drift = (fn(&Boto<'_>), &'static str, &'static str);

fn function(boto: &Boto<'_>, mut setting: Value) {
    setting["FunctionName"] = FRONT.into();
    boto.call("lambda", "update_function_configuration", setting);
}

fn trust(service: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole"
    }]})
    .to_string()
}

fn put_policy(boto: &Boto<'_>, name: &str) {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:*", "Resource": "*"
    }]});
    let policy = policy.to_string();
    let with = json!({ "RoleName": ROLE, "PolicyName": name, "PolicyDocument": policy });
    boto.call("iam", "put_role_policy", with);
}

fn first_policy(boto: &Boto<'_>) -> String {
    let names = boto.call("iam", "list_role_policies", json!({ "RoleName": ROLE }));
    names["PolicyNames"][0].as_str().expect("an inline policy").to_owned()
}

fn statement(boto: &Boto<'_>, function: &str) -> String {
    let answer = boto.call("lambda", "get_policy", json!({ "FunctionName": function }));
    let policy: Value =
        serde_json::from_str(answer["Policy"].as_str().expect("a policy")).expect("a policy");
    policy["Statement"][0]["Sid"].as_str().expect("an id").to_owned()
}

fn remove_permission(boto: &Boto<'_>, function: &str) {
    let sid = statement(boto, function);
    let with = json!({ "FunctionName": function, "StatementId": sid });
    boto.call("lambda", "remove_permission", with);
}

/// What the only API has of something, and the API's id.
fn of_api(boto: &Boto<'_>, method: &str) -> (String, Value) {
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    let id = apis["Items"][0]["ApiId"].as_str().expect("an API").to_owned();
    let parts = boto.call("apigatewayv2", method, json!({ "ApiId": id }));
    (id, parts["Items"][0].clone())
}

fn update_stage(boto: &Boto<'_>, setting: &Value) {
    let (api, _) = of_api(boto, "get_stages");
    let mut with = json!({ "ApiId": api, "StageName": "$default" });
    with.as_object_mut().expect("an object").extend(setting.as_object().expect("one").clone());
    boto.call("apigatewayv2", "update_stage", with);
}

fn integration(boto: &Boto<'_>, api: &str) -> Value {
    let with = json!({
        "ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": BACK_ARN,
        "PayloadFormatVersion": "2.0"
    });
    boto.call("apigatewayv2", "create_integration", with)
}

pub const DRIFTS: [Drift; 27] = [
    (|b| function(b, json!({ "MemorySize": 512 })), "function.front", "memory"),
    (|b| function(b, json!({ "Timeout": 77 })), "function.front", "timeout"),
    (
        |b| function(b, json!({ "Environment": { "Variables": { "GREETING": "bye" } } })),
        "function.front",
        "environment GREETING",
    ),
    (
        |b| {
            let variables = json!({ "GREETING": "hello", "MORE": "x" });
            function(b, json!({ "Environment": { "Variables": variables } }));
        },
        "function.front",
        "environment MORE",
    ),
    (
        |b| {
            let zip = Project::archive(b"other");
            let with = json!({ "FunctionName": FRONT, "ZipFile": zip });
            b.call("lambda", "update_function_code", with);
        },
        "function.front",
        "code",
    ),
    (
        |b| {
            let with = json!({ "logGroupName": LOG_GROUP, "retentionInDays": 3 });
            b.call("logs", "put_retention_policy", with);
        },
        "log_group.front",
        "expiry",
    ),
    (
        |b| {
            b.call("logs", "delete_retention_policy", json!({ "logGroupName": LOG_GROUP }));
        },
        "log_group.front",
        "expiry",
    ),
    (
        |b| {
            let with = json!({ "RoleName": ROLE, "PolicyDocument": trust("ec2.amazonaws.com") });
            b.call("iam", "update_assume_role_policy", with);
        },
        "role.front",
        "trust policy",
    ),
    (
        |b| {
            let with = json!({ "RoleName": ROLE, "PolicyName": first_policy(b) });
            b.call("iam", "delete_role_policy", with);
        },
        "role.front",
        "policy ",
    ),
    (|b| put_policy(b, &first_policy(b)), "role.front", "policy "),
    (|b| put_policy(b, "by-hand"), "role.front", "deletes inline policy by-hand"),
    (
        |b| {
            let with = json!({ "TopicArn": TOPIC_ARN });
            let all = b.call("sns", "list_subscriptions_by_topic", with);
            let arn = &all["Subscriptions"][0]["SubscriptionArn"];
            b.call("sns", "unsubscribe", json!({ "SubscriptionArn": arn }));
        },
        "subscription.back.news",
        "create",
    ),
    (|b| remove_permission(b, "small-back"), "permission.back.news", "create"),
    (|b| remove_permission(b, FRONT), "permission.front.ANY_/front", "create"),
    (
        |b| {
            let sid = statement(b, "small-back");
            remove_permission(b, "small-back");
            let with = json!({
                "FunctionName": "small-back", "StatementId": sid, "SourceArn": "arn:aws:sns:us-east-1:000000000000:else",
                "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"
            });
            b.call("lambda", "add_permission", with);
        },
        "permission.back.news",
        "source",
    ),
    (
        |b| {
            let with = json!({
                "FunctionName": FRONT, "StatementId": "advent-by-hand",
                "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"
            });
            b.call("lambda", "add_permission", with);
        },
        "orphan.permission.small-front.advent-by-hand",
        "delete",
    ),
    (
        |b| {
            let with =
                json!({ "TopicArn": TOPIC_ARN, "Protocol": "lambda", "Endpoint": FRONT_ARN });
            b.call("sns", "subscribe", with);
        },
        "orphan.subscription.small-news.small-front",
        "delete",
    ),
    (
        |b| {
            let (api, route) = of_api(b, "get_routes");
            let id = integration(b, &api)["IntegrationId"].as_str().expect("an id").to_owned();
            let target = format!("integrations/{id}");
            let with = json!({ "ApiId": api, "RouteId": route["RouteId"], "Target": target });
            b.call("apigatewayv2", "update_route", with);
        },
        "http_api",
        "route ANY /front",
    ),
    (
        |b| {
            let (api, route) = of_api(b, "get_routes");
            let with = json!({ "ApiId": api, "RouteId": route["RouteId"] });
            b.call("apigatewayv2", "delete_route", with);
        },
        "http_api",
        "route ANY /front",
    ),
    (
        |b| {
            let (api, integration) = of_api(b, "get_integrations");
            let target =
                format!("integrations/{}", integration["IntegrationId"].as_str().expect("an id"));
            let with = json!({ "ApiId": api, "RouteKey": "GET /by-hand", "Target": target });
            b.call("apigatewayv2", "create_route", with);
        },
        "http_api",
        "deletes route GET /by-hand",
    ),
    (
        |b| {
            let throttle = json!({ "ThrottlingRateLimit": 500.0, "ThrottlingBurstLimit": 900 });
            update_stage(b, &json!({ "DefaultRouteSettings": throttle }));
        },
        "http_api",
        "throttle",
    ),
    (
        |b| {
            let spec = json!({ "Enabled": false, "AttributeName": "expires" });
            let with = json!({ "TableName": "small-items", "TimeToLiveSpecification": spec });
            b.call("dynamodb", "update_time_to_live", with);
        },
        "table.items",
        "ttl",
    ),
    (
        |b| {
            b.call("dynamodb", "delete_table", json!({ "TableName": "small-items" }));
        },
        "table.items",
        "create",
    ),
    (
        |b| {
            b.call("sns", "delete_topic", json!({ "TopicArn": TOPIC_ARN }));
        },
        "topic.news",
        "create",
    ),
    (
        |b| {
            b.call("logs", "delete_log_group", json!({ "logGroupName": LOG_GROUP }));
        },
        "log_group.front",
        "create",
    ),
    (
        |b| {
            b.call("lambda", "delete_function", json!({ "FunctionName": FRONT }));
        },
        "function.front",
        "create",
    ),
    (
        |b| {
            let (api, _) = of_api(b, "get_routes");
            b.call("apigatewayv2", "delete_api", json!({ "ApiId": api }));
        },
        "http_api",
        "create",
    ),
];

fn resource<'a>(document: &'a Value, id: &str) -> &'a Value {
    let all = document["resources"].as_array().expect("resources");
    all.iter().find(|resource| resource["id"] == id).unwrap_or_else(|| panic!("{id}: {document:#}"))
}

/// What a step deletes besides.
fn deletes(step: &Value) -> Vec<String> {
    let text = |part: &Value| format!("{} {}", part["kind"], part["name"]).replace('"', "");
    step["deletes"].as_array().expect("a list").iter().map(text).collect()
}

#[test]
fn every_drift_is_named_and_repaired() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    local.project.edit("key = \"id\"", "key = \"id\"\nttl = \"expires\"");
    local.cli.ok(["up"]);
    let clean = World::read(&boto);
    for (index, (drift, id, field)) in DRIFTS.into_iter().enumerate() {
        let what = format!("drift {index}, {id}: {field}");
        drift(&boto);
        let drifted = World::read(&boto);
        assert_ne!(drifted, clean, "{what} made no difference");
        let status = local.cli.ok(["status", "--json"]).json();
        assert_eq!(status["in_sync"], false, "{what}: {status:#}");
        let found = resource(&status, id);
        if matches!(field, "create" | "delete") {
            assert_eq!(found["action"], field, "{what}: {found:#}");
        } else if let Some(part) = field.strip_prefix("deletes ") {
            assert_eq!(found["action"], "update", "{what}: {found:#}");
            assert!(deletes(found).iter().any(|it| it.starts_with(part)), "{what}: {found:#}");
        } else {
            assert_eq!(found["action"], "update", "{what}: {found:#}");
            let changes = found["changes"].as_array().expect("changes");
            let named =
                |change: &Value| change["field"].as_str().is_some_and(|f| f.starts_with(field));
            assert!(changes.iter().any(named), "{what}: {found:#}");
        }
        if field == "delete" || !deletes(found).is_empty() {
            World::refused(&boto, &local.cli, ["up"]);
        }
        local.cli.ok(["up", "--yes"]);
        clean.assert_same(&World::read(&boto), &format!("{what}, after up"));
        local.cli.run(["plan"]).code(0);
    }
    local.cli.ok(["down", "--yes"]);
}

/// Refused without --yes, with nothing changed; done with it.
fn asks(local: &Local, boto: &Boto<'_>, more: &[&str]) -> Run {
    let refused = World::refused(boto, &local.cli, ["up"]);
    let mut cli = local.cli.clone();
    for arg in more {
        cli = cli.arg(arg);
    }
    cli.ok(["up", "--yes"]);
    local.cli.run(["plan"]).code(0);
    refused
}

#[test]
fn what_the_manifest_no_longer_has_is_deleted_if_allowed() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    local.cli.ok(["up"]);
    let World(world) = World::read(&boto);
    assert_eq!(world["functions"].as_object().map(serde_json::Map::len), Some(2));

    local.project.edit("[function.back]\ntopic = \"news\"", "");
    asks(&local, &boto, &[]);
    let World(world) = World::read(&boto);
    for kind in ["functions", "roles", "log_groups"] {
        assert_eq!(world[kind].as_object().map(serde_json::Map::len), Some(1), "{kind}: {world:#}");
    }
    assert_eq!(world["topics"][TOPIC_ARN]["subscriptions"], json!([]));

    local.project.edit("[topic.news]", "");
    local.project.edit("publish = { TOPIC = \"news\" }", "");
    asks(&local, &boto, &[]);
    assert_eq!(World::read(&boto).0["topics"], json!({}));

    let item = json!({ "TableName": "small-items", "Item": { "id": { "S": "precious" } } });
    boto.call("dynamodb", "put_item", item);
    local.project.edit("[table.items]\nkey = \"id\"", "");
    local.project.edit("update = { TABLE = \"items\" }", "");
    asks(&local, &boto, &[]).says("small-items").says("permanently deletes");
    assert_eq!(World::read(&boto).0["tables"], json!({}));

    local.project.edit("route = \"ANY /front\"", "");
    asks(&local, &boto, &[]);
    let World(world) = World::read(&boto);
    assert_eq!((&world["apis"], &world["functions"][FRONT]["policy"]), (&json!([]), &json!([])));

    local.cli.ok(["down", "--yes"]);
}

#[test]
fn a_table_is_replaced_only_by_name() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    local.cli.ok(["up"]);
    let before = World::read(&boto);
    local.project.edit("key = \"id\"", "key = \"other\"");
    for args in [["up", "--json"], ["up", "--yes"]] {
        local.cli.run(args).code(2).says("--replace small-items");
        World::read(&boto).assert_same(&before, "refused");
    }
    local.cli.ok(["up", "--yes", "--replace", "small-items"]);
    let World(world) = World::read(&boto);
    assert_eq!(world["tables"]["small-items"]["KeySchema"][0]["AttributeName"], "other");
    local.cli.run(["plan"]).code(0);
    local.cli.ok(["down", "--yes"]);
}
