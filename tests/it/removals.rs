//! What `up` and `down` delete besides: in the plan, in its count, asked for, and nothing more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::local::Local;
use crate::support::proxy::{Answer, Fault, Operation, Proxy, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::Rig;
use crate::support::world::World;

/// All APIs, as they are listed.
fn apis(boto: &Boto<'_>) -> Vec<Value> {
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    apis["Items"].as_array().expect("a list").clone()
}

fn id(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_else(|| panic!("no {key}: {of:#}")).to_owned()
}

fn parts(boto: &Boto<'_>, api: &str, method: &str) -> Vec<Value> {
    let parts = boto.call("apigatewayv2", method, json!({ "ApiId": api }));
    parts["Items"].as_array().expect("a list").clone()
}

/// `plan` shows this and counts so many deletions, `up` refuses without --yes and changes nothing.
fn announced(cli: &Cli, boto: &Boto<'_>, part: &str, count: usize) {
    let plan = cli.run(["plan"]).code(2);
    plan.says(&format!("- {part}")).says(&format!("{count} to delete"));
    World::refused(boto, cli, ["up"]).says(part);
}

#[test]
fn what_somebody_added_to_the_api_goes_only_if_allowed() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    local.cli.ok(["up"]);
    let clean = World::read(&boto);
    let api = id(&apis(&boto)[0], "ApiId");
    let other = "arn:aws:lambda:us-east-1:000000000000:function:other";
    let with = json!({
        "ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": other,
        "PayloadFormatVersion": "2.0"
    });
    let added = id(&boto.call("apigatewayv2", "create_integration", with), "IntegrationId");
    let part = format!("integration {added} -> other");
    announced(&local.cli, &boto, &part, 1);
    // Together with what is repaired unasked.
    let throttle = json!({ "ThrottlingRateLimit": 500.0, "ThrottlingBurstLimit": 900 });
    let with = json!({ "ApiId": api, "StageName": "$default", "DefaultRouteSettings": throttle });
    boto.call("apigatewayv2", "update_stage", with);
    announced(&local.cli, &boto, &part, 1);
    local.cli.ok(["up", "--yes"]);
    assert_eq!(parts(&boto, &api, "get_integrations").len(), 1);
    clean.assert_same(&World::read(&boto), "repaired");
    local.cli.run(["plan"]).code(0);
}

#[test]
fn of_two_apis_the_one_that_lives_stays() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    // The first one is older. It is not ours until the second one lives.
    let with = json!({ "Name": "small", "ProtocolType": "HTTP" });
    let older = id(&boto.call("apigatewayv2", "create_api", with.clone()), "ApiId");
    local.cli.run(["up"]).code(2).says("http api small exists");
    let delete = json!({ "ApiId": older });
    let rename = json!({ "ApiId": older, "Name": "elsewhere" });
    boto.call("apigatewayv2", "update_api", rename);
    std::thread::sleep(Duration::from_millis(1100));
    local.cli.ok(["up"]);
    let all = apis(&boto);
    let ours = all.iter().find(|api| api["Name"] == "small").expect("ours");
    let (live, tags) = (id(ours, "ApiId"), ours["Tags"].clone());
    let arn = format!("arn:aws:apigateway:us-east-1::/apis/{older}");
    boto.call("apigatewayv2", "tag_resource", json!({ "ResourceArn": arn, "Tags": tags }));

    announced(&local.cli, &boto, &format!("duplicate {older}"), 1);
    local.cli.ok(["up", "--yes"]);
    let left: Vec<_> = apis(&boto).iter().map(|api| id(api, "ApiId")).collect();
    assert_eq!(left, [live.as_str()]);
    local.cli.run(["plan"]).code(0);

    // `down` names it as well.
    let mut twin = with;
    twin["Tags"] = tags;
    let younger = id(&boto.call("apigatewayv2", "create_api", twin), "ApiId");
    local.cli.run(["down"]).code(2).says(&format!("duplicate {younger} of http api small"));
    assert_eq!(apis(&boto).len(), 2);
    local.cli.ok(["down", "--yes"]);
    let refused = boto.try_call("apigatewayv2", "get_api", delete);
    assert!(refused.is_err(), "{refused:?}");
}

/// The log groups as they will be in a month.
fn a_month_old(_: &Operation, mut answer: Answer) -> Answer {
    let mut body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    for group in body["logGroups"].as_array_mut().into_iter().flatten() {
        let made = group["creationTime"].as_i64().expect("a time");
        group["creationTime"] = json!(made - 30 * 86_400_000);
    }
    answer.body = body.to_string().into();
    answer
}

#[test]
fn a_shorter_expiry_deletes_what_is_older_only_if_allowed() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    let proxy = Proxy::start(&local.url);
    let cli = Cli::new(local.project.path()).endpoint(&proxy.url);
    cli.ok(["up"]);
    let clean = World::read(&boto);
    let group = "/aws/lambda/small-front";
    let retention = |days: i32| {
        let with = json!({ "logGroupName": group, "retentionInDays": days });
        boto.call("logs", "put_retention_policy", with);
    };
    let part = "log events older than 14 days";
    // In a new group there is nothing so old.
    retention(90);
    let plan = cli.run(["plan"]).code(2);
    assert!(!plan.stdout.contains(part), "{}", plan.stdout);
    proxy.inject(Rule::operation("logs", "DescribeLogGroups", Fault::Rewrite(a_month_old)));
    announced(&cli, &boto, part, 1);
    // As it is when nobody has set one.
    boto.call("logs", "delete_retention_policy", json!({ "logGroupName": group }));
    announced(&cli, &boto, part, 1);
    // A longer one deletes nothing.
    retention(3);
    cli.ok(["up"]);
    clean.assert_same(&World::read(&boto), "with a longer expiry");
}

#[test]
fn what_an_emulator_lets_be_there_twice_is_there_once_in_the_end() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    let clean = {
        rig.cli.ok(["up"]);
        rig.world()
    };
    let boto = &rig.boto;
    let api = id(&apis(boto)[0], "ApiId");
    let route = parts(boto, &api, "get_routes")[0].clone();
    let with = json!({ "ApiId": api, "RouteKey": route["RouteKey"], "Target": route["Target"] });
    boto.call("apigatewayv2", "create_route", with);
    let policy = boto.call("lambda", "get_policy", json!({ "FunctionName": "small-back" }));
    let policy: Value = serde_json::from_str(&id(&policy, "Policy")).expect("a policy");
    let with = json!({
        "FunctionName": "small-back", "StatementId": policy["Statement"][0]["Sid"],
        "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com",
        "SourceArn": policy["Statement"][0]["Condition"]["ArnLike"]["AWS:SourceArn"],
    });
    boto.call("lambda", "add_permission", with);
    assert_ne!(rig.world(), clean, "moto refuses what it accepted");

    let plan = rig.people.run(["plan"]).code(2);
    plan.says("- duplicate route").says("statements of this id: 2 -> 1").says("1 to delete");
    rig.assert_up(&clean, "doubled");
    rig.assert_down("doubled");
}
