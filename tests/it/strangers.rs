//! What somebody else owns under one of our names: refused before the first write, never touched.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::local::Local;
use crate::support::proxy::Proxy;
use crate::support::python::{Boto, python};
use crate::support::rig::Rig;
use crate::support::world::World;

/// A kind as users see it, the name, and how somebody else would make one with these tags.
pub type Stranger = (&'static str, &'static str, fn(&Boto<'_>, &Value));

pub const STRANGERS: [Stranger; 6] = [
    ("table", "small-items", |boto, tags| {
        let mut table = json!({
            "TableName": "small-items", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        });
        if !list(tags).is_empty() {
            table["Tags"] = list(tags).into();
        }
        boto.call("dynamodb", "create_table", table);
    }),
    ("topic", "small-news", |boto, tags| {
        boto.call("sns", "create_topic", json!({ "Name": "small-news", "Tags": list(tags) }));
    }),
    ("role", "small-front-us-east-1", |boto, tags| role(boto, "small-front-us-east-1", tags)),
    ("log group", "/aws/lambda/small-front", |boto, tags| {
        let mut group = json!({ "logGroupName": "/aws/lambda/small-front" });
        if !list(tags).is_empty() {
            group["tags"] = tags.clone();
        }
        boto.call("logs", "create_log_group", group);
    }),
    ("function", "small-front", |boto, tags| {
        role(boto, "theirs", &json!({}));
        let with = json!({
            "FunctionName": "small-front", "Runtime": "provided.al2023", "Handler": "bootstrap",
            "Role": "arn:aws:iam::000000000000:role/theirs", "Tags": tags,
            "Code": { "ZipFile": crate::support::project::Project::archive(b"theirs") },
        });
        boto.call("lambda", "create_function", with);
        // Its policy is theirs too.
        let with = json!({
            "FunctionName": "small-front", "StatementId": "advent-theirs",
            "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"
        });
        boto.call("lambda", "add_permission", with);
    }),
    ("http api", "small", |boto, tags| {
        let with = json!({ "Name": "small", "ProtocolType": "HTTP", "Tags": tags });
        boto.call("apigatewayv2", "create_api", with);
    }),
];

/// `{key: value}` as most services take it.
fn list(tags: &Value) -> Vec<Value> {
    let tags = tags.as_object().expect("tags");
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

fn role(boto: &Boto<'_>, name: &str, tags: &Value) {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" },
        "Action": "sts:AssumeRole"
    }]})
    .to_string();
    let with = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust, "Tags": list(tags) });
    boto.call("iam", "create_role", with);
}

/// Takes everything away, whoever made it.
pub fn empty(boto: &Boto<'_>) {
    let World(world) = World::read(boto);
    let names = |kind: &str| -> Vec<String> {
        world[kind].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
    };
    for name in names("functions") {
        boto.call("lambda", "delete_function", json!({ "FunctionName": name }));
    }
    for name in names("roles") {
        boto.call("iam", "delete_role", json!({ "RoleName": name }));
    }
    for name in names("log_groups") {
        boto.call("logs", "delete_log_group", json!({ "logGroupName": name }));
    }
    for arn in names("topics") {
        boto.call("sns", "delete_topic", json!({ "TopicArn": arn }));
    }
    for name in names("tables") {
        boto.call("dynamodb", "delete_table", json!({ "TableName": name }));
    }
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    for api in apis["Items"].as_array().expect("APIs") {
        boto.call("apigatewayv2", "delete_api", json!({ "ApiId": api["ApiId"] }));
    }
    World::read(boto).assert_empty("emptied");
}

/// Deletes something of ours behind advent's back.
pub fn remove(boto: &Boto<'_>, kind: &str, name: &str) {
    let (service, method, with) = match kind {
        "table" => ("dynamodb", "delete_table", json!({ "TableName": name })),
        "topic" => {
            let arn = format!("arn:aws:sns:us-east-1:000000000000:{name}");
            ("sns", "delete_topic", json!({ "TopicArn": arn }))
        }
        "log group" => ("logs", "delete_log_group", json!({ "logGroupName": name })),
        "function" => ("lambda", "delete_function", json!({ "FunctionName": name })),
        "http api" => {
            let apis = boto.call("apigatewayv2", "get_apis", json!({}));
            ("apigatewayv2", "delete_api", json!({ "ApiId": apis["Items"][0]["ApiId"] }))
        }
        _ => {
            let with = json!({ "RoleName": name });
            let policies = boto.call("iam", "list_role_policies", with.clone());
            for policy in policies["PolicyNames"].as_array().expect("policies") {
                let with = json!({ "RoleName": name, "PolicyName": policy });
                boto.call("iam", "delete_role_policy", with);
            }
            ("iam", "delete_role", with)
        }
    };
    boto.call(service, method, with);
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    let proxy = Proxy::start(&local.url);
    let cli = Cli::new(local.project.path()).endpoint(&proxy.url);
    let owners = [
        (json!({}), "not made by advent"),
        (json!({ "team": "theirs" }), "not made by advent"),
        (json!({ "advent:stack": "small", "advent:stage": "dev" }), "stage dev"),
        (json!({ "advent:stack": "other", "advent:stage": "default" }), "stack other"),
    ];
    for (kind, name, make) in STRANGERS {
        for (tags, whose) in &owners {
            let what = format!("{kind} {name} with {tags}");
            make(&boto, tags);
            let theirs = World::read(&boto);
            proxy.take();

            let run = cli.run(["up", "--yes"]).code(2).says(kind).says(name).says(whose);
            assert!(run.stderr.contains("hint"), "{what}: {}", run.stderr);
            assert_eq!(proxy.take().mutating(), [""; 0], "{what}");
            let status = cli.ok(["status", "--json"]).json();
            assert_eq!(status["in_sync"], false, "{what}: {status:#}");
            let foreign = |r: &&Value| r["foreign"].is_string() && r["name"] == name;
            let resources = status["resources"].as_array().expect("resources");
            assert!(resources.iter().any(|r| foreign(&r)), "{what}: {status:#}");

            cli.run(["down", "--yes"]).code(0).says(name);
            assert_eq!(proxy.take().mutating(), [""; 0], "{what}");
            theirs.assert_same(&World::read(&boto), &format!("{what}, after up and down"));
            empty(&boto);
        }
    }
}

#[test]
fn down_walks_around_a_stranger_in_the_middle() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let boto = local.boto(python);
    let cli = local.cli.clone().arg("--yes");
    for (kind, name, make) in STRANGERS {
        cli.ok(["up"]);
        remove(&boto, kind, name);
        let World(before) = World::read(&boto);
        make(&boto, &json!({ "owner": "somebody" }));
        let World(after) = World::read(&boto);
        local.cli.run(["up", "--yes"]).code(2).says(name);
        World(after.clone()).assert_same(&World::read(&boto), "refused");

        cli.ok(["down"]).says(name);
        let World(rest) = World::read(&boto);
        for (kind, things) in rest.as_object().expect("a world") {
            let was_before = |name: &String| before[kind].get(name).is_some();
            match things {
                // As it was, and nothing of ours besides.
                Value::Object(things) => {
                    for (thing, value) in things {
                        assert!(!was_before(thing), "{kind} {thing} is left");
                        assert_eq!(*value, after[kind][thing], "{kind} {thing}");
                    }
                }
                apis => assert_eq!(
                    *apis,
                    after["apis"].as_array().map_or(json!([]), |all| {
                        all.iter()
                            .filter(|api| api["tags"]["owner"] == "somebody")
                            .cloned()
                            .collect()
                    })
                ),
            }
        }
        assert!(!World(rest.clone()).is_empty(), "{kind} {name} is gone");
        empty(&boto);
    }
}

#[test]
fn what_somebody_attached_to_our_role_does_not_stop_down() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let document = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"
    }]});
    let with = json!({ "PolicyName": "theirs", "PolicyDocument": document.to_string() });
    let policy = rig.boto.call("iam", "create_policy", with)["Policy"]["Arn"].clone();
    let with = json!({ "RoleName": "small-front-us-east-1", "PolicyArn": policy });
    rig.boto.call("iam", "attach_role_policy", with);
    rig.people.ok(["down"]).says("which somebody has attached");
    rig.world().assert_empty("after down");
    // The policy itself is not ours.
    rig.boto.call("iam", "get_policy", json!({ "PolicyArn": policy }));
}
