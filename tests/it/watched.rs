//! What somebody sets by hand that advent.toml does not speak of, on an emulator that others wrote.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::support::proxy::{Answer, Fault, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig};

const FRONT: &str = "small-front";
const ROLE: &str = "small-front-us-east-1";

fn topic(boto: &Boto<'_>) -> String {
    let topics = boto.call("sns", "list_topics", json!({}));
    topics["Topics"][0]["TopicArn"].as_str().expect("a topic").to_owned()
}

fn set_topic(boto: &Boto<'_>, name: &str, value: &str) {
    let with = json!({ "TopicArn": topic(boto), "AttributeName": name, "AttributeValue": value });
    boto.call("sns", "set_topic_attributes", with);
}

fn api(boto: &Boto<'_>) -> String {
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    apis["Items"][0]["ApiId"].as_str().expect("an API").to_owned()
}

/// ARN of a managed policy that allows everything.
fn managed(boto: &Boto<'_>, name: &str) -> String {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "*", "Resource": "*"
    }]});
    let with = json!({ "PolicyName": name, "PolicyDocument": policy.to_string() });
    let made = boto.call("iam", "create_policy", with);
    made["Policy"]["Arn"].as_str().expect("an ARN").to_owned()
}

/// By hand, then the resource, a property of which status speaks, and whether loudly.
type Watched = (fn(&Boto<'_>), &'static str, &'static str, bool);

const WATCHED: [Watched; 11] = [
    (
        |b| {
            let arn = managed(b, "bounds");
            let with = json!({ "RoleName": ROLE, "PermissionsBoundary": arn });
            b.call("iam", "put_role_permissions_boundary", with);
        },
        "role.front",
        "PermissionsBoundary",
        false,
    ),
    (
        |b| {
            let with = json!({ "FunctionName": FRONT, "ReservedConcurrentExecutions": 5 });
            b.call("lambda", "put_function_concurrency", with);
        },
        "function.front",
        "Concurrency.ReservedConcurrentExecutions",
        false,
    ),
    (
        |b| {
            let with = json!({
                "FunctionName": FRONT, "StatementId": "open", "Principal": "*",
                "Action": "lambda:InvokeFunction"
            });
            b.call("lambda", "add_permission", with);
        },
        "function.front",
        "permission open",
        true,
    ),
    (
        |b| {
            let subscriptions = b.call("sns", "list_subscriptions", json!({}));
            let with = json!({
                "SubscriptionArn": subscriptions["Subscriptions"][0]["SubscriptionArn"],
                "AttributeName": "FilterPolicy", "AttributeValue": "{\"kind\":[\"a\"]}"
            });
            b.call("sns", "set_subscription_attributes", with);
        },
        "subscription.back.news",
        "FilterPolicy",
        true,
    ),
    (
        |b| {
            let with = json!({ "ApiId": api(b), "DisableExecuteApiEndpoint": true });
            b.call("apigatewayv2", "update_api", with);
        },
        "http_api",
        "disableExecuteApiEndpoint",
        true,
    ),
    (
        |b| {
            let cors = json!({ "AllowOrigins": ["*"], "AllowMethods": ["GET"] });
            let with = json!({ "ApiId": api(b), "CorsConfiguration": cors });
            b.call("apigatewayv2", "update_api", with);
        },
        "http_api",
        "corsConfiguration",
        false,
    ),
    (
        |b| {
            let with = json!({ "ApiId": api(b), "StageName": "beta" });
            b.call("apigatewayv2", "create_stage", with);
        },
        "http_api",
        "other stage: stageName",
        false,
    ),
    (
        |b| {
            let policy = json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": "*", "Action": "SNS:Publish", "Resource": topic(b)
            }]});
            set_topic(b, "Policy", &policy.to_string());
        },
        "topic.news",
        "Policy",
        true,
    ),
    (|b| set_topic(b, "KmsMasterKeyId", "alias/aws/sns"), "topic.news", "KmsMasterKeyId", false),
    (
        |b| {
            let on = json!({ "PointInTimeRecoveryEnabled": true });
            let with =
                json!({ "TableName": "small-items", "PointInTimeRecoverySpecification": on });
            b.call("dynamodb", "update_continuous_backups", with);
        },
        "table.items",
        "PointInTimeRecoveryDescription.PointInTimeRecoveryStatus",
        false,
    ),
    (
        |b| {
            let ttl = json!({ "Enabled": true, "AttributeName": "gone" });
            let with = json!({ "TableName": "small-items", "TimeToLiveSpecification": ttl });
            b.call("dynamodb", "update_time_to_live", with);
        },
        "table.items",
        "TimeToLiveStatus",
        true,
    ),
];

fn resource<'a>(document: &'a Value, id: &str) -> &'a Value {
    let all = document["resources"].as_array().expect("resources");
    all.iter().find(|resource| resource["id"] == id).unwrap_or_else(|| panic!("{id}: {document:#}"))
}

#[test]
fn what_is_set_by_hand_is_shown_and_left_alone() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let clean = rig.cli.ok(["status"]).json();
    assert_eq!((&clean["in_sync"], &clean["watched"]), (&json!(true), &json!(0)), "{clean:#}");
    let (mut expected, mut wrong) = (Vec::new(), BTreeSet::new());
    for (set, id, property, loud) in WATCHED {
        set(&rig.boto);
        expected.push((id, property, loud));
        let status = rig.cli.ok(["status"]).json();
        assert_eq!(status["in_sync"], true, "{property}: {status:#}");
        for (id, property, loud) in &expected {
            let watched = resource(&status, id)["watched"].as_array().expect("a list").iter();
            let found = watched.filter(|it| it["property"] == *property).collect::<Vec<_>>();
            if found.len() != 1 || found[0]["alarm"].is_string() != *loud {
                wrong.insert(format!("{id} {property}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The emulator leaves out a 0, as AWS does not.
    let stopped = |answer: Answer| {
        let mut body: Value = serde_json::from_slice(&answer.body).expect("an answer in JSON");
        if let Some(reserved) = body.pointer_mut("/Concurrency/ReservedConcurrentExecutions") {
            *reserved = json!(0);
        }
        Answer { body: Bytes::from(body.to_string()), ..answer }
    };
    rig.proxy.inject(Rule::operation("lambda", "GetFunction", Fault::Edit(Arc::new(stopped))));
    // Nor does it know this call.
    let open = |answer: Answer| {
        let url = json!({
            "FunctionUrl": "https://x.lambda-url.us-east-1.on.aws/", "AuthType": "NONE",
            "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:small-front",
            "CreationTime": "2026-01-01T00:00:00Z", "LastModifiedTime": "2026-01-01T00:00:00Z",
        });
        let body = json!({ "FunctionUrlConfigs": [url] }).to_string();
        Answer { status: StatusCode::OK, body: Bytes::from(body), ..answer }
    };
    let urls = Rule::operation("lambda", "ListFunctionUrlConfigs", Fault::Edit(Arc::new(open)));
    rig.proxy.inject(urls);
    let said = rig.people.ok(["status"]).says("watched differences").says("nothing can invoke it");
    said.says("function URL: AuthType: NONE: everybody may invoke it");
    rig.proxy.heal();
    rig.people.run(["plan"]).code(0).says("but for").says("everybody may invoke it");
    // Nobody's setting is undone.
    let before = rig.cli.ok(["status"]).json();
    rig.proxy.take();
    rig.cli.ok(["up"]);
    assert_eq!(rig.proxy.take().mutating(), [""; 0]);
    assert_eq!(rig.cli.ok(["status"]).json()["watched"], before["watched"]);
    rig.cli.ok(["down"]);
}

#[test]
fn a_policy_that_somebody_attached_and_another_handler_are_repaired() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let made = managed(&rig.boto, "all");
    rig.boto.call("iam", "attach_role_policy", json!({ "RoleName": ROLE, "PolicyArn": made }));
    let with = json!({ "FunctionName": FRONT, "Handler": "other" });
    rig.boto.call("lambda", "update_function_configuration", with);
    let plan = rig.cli.run(["plan"]).code(2).json();
    let names = |id: &str, field: &str| {
        let changes = resource(&plan, id)["changes"].as_array().expect("changes");
        changes.iter().any(|change| change["field"] == field)
    };
    let field = format!("attached policy {made}");
    assert!(names("role.front", &field) && names("function.front", "handler"), "{plan:#}");
    rig.cli.ok(["up"]);
    let with = json!({ "RoleName": ROLE });
    let attached = rig.boto.call("iam", "list_attached_role_policies", with);
    assert_eq!(attached["AttachedPolicies"], json!([]));
    rig.cli.run(["plan"]).code(0);
    rig.cli.ok(["down"]);
}

/// Reads that tell of what is watched, and the resource that is unsure without each.
const OPTIONAL: [(&str, &str, &str); 8] = [
    ("iam", "ListAttachedRolePolicies", "role.front"),
    ("lambda", "ListFunctionUrlConfigs", "function.front"),
    ("sns", "GetTopicAttributes", "topic.news"),
    ("sns", "GetSubscriptionAttributes", "subscription.back.news"),
    ("apigateway", "GetStages", "http_api"),
    ("dynamodb", "DescribeTimeToLive", "table.items"),
    ("dynamodb", "DescribeContinuousBackups", "table.items"),
    ("dynamodb", "GetResourcePolicy", "table.items"),
];

#[test]
fn what_may_not_be_looked_at_stops_nothing_and_is_said() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    for (service, operation, id) in OPTIONAL {
        let code = if service == "sns" { "AuthorizationError" } else { "AccessDeniedException" };
        let fault = Fault::Error(403, code, "not authorized");
        rig.proxy.inject(Rule::operation(service, operation, fault));
        let status = rig.cli.ok(["status"]).json();
        let right = format!("{service}:{operation}");
        let unread = resource(&status, id)["unread"].as_array().expect("a list");
        let said = |it: &Value| it["why"].as_str().is_some_and(|why| why.contains(&right));
        assert!(unread.iter().any(said), "{right}: {status:#}");
        assert_eq!(status["in_sync"], false, "{right}");
        rig.people.ok(["status"]).says("unsure").says(&right);
        rig.cli.ok(["up"]);
        rig.proxy.heal();
    }
    assert_eq!(rig.cli.ok(["status"]).json()["in_sync"], true);
    rig.cli.ok(["down"]);
}
