//! `advent policy`: with exactly what it prints each command succeeds, and with less it fails.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::{Cli, Run};
use crate::support::project::Project;
use crate::support::proxy::{Answer, Fault, Operation, Operator, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig, pack};

const PATH: &str = "/advent/small/default/us-east-1/";
const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/bounds";
const ROLE: &str = "small-front-us-east-1";
const BACK_ROLE: &str = "small-back-us-east-1";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:small-news";
/// Only where the answer about the role has no tags.
const ROLE_TAGS: &str = "iam:ListRoleTags";
const FRONT: &str = "arn:aws:lambda:us-east-1:000000000000:function:small-front";

/// The small project with something of everything that takes rights.
fn rig() -> Option<(TempDir, Rig)> {
    let python = python()?;
    let folder = TempDir::new().expect("a folder for the executable");
    let project = Project::new();
    project.edit("key = \"id\"", "key = \"id\"\nttl = \"expires\"");
    let bounded = format!("name = \"small\"\npermissions_boundary = \"{BOUNDARY}\"");
    project.edit("name = \"small\"", &bounded);
    let rig = Rig::of(python, Backend::Local, &pack(&project, folder.path()));
    make_boundary(&rig.boto);
    Some((folder, rig))
}

fn make_boundary(boto: &Boto<'_>) {
    let all = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "*", "Resource": "*"
    }]});
    let with = json!({ "PolicyName": "bounds", "PolicyDocument": all.to_string() });
    boto.call("iam", "create_policy", with);
}

fn policy(cli: &Cli, command: &str) -> Value {
    cli.ok(["policy", command]).json()
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        one => vec![one.clone()],
    });
    actions.map(|action| action.as_str().expect("an action").to_owned()).collect()
}

/// The policy without one of its actions.
fn without(policy: &Value, action: &str) -> Value {
    let mut less = policy.clone();
    for statement in less["Statement"].as_array_mut().expect("statements") {
        statement["Action"].as_array_mut().expect("actions").retain(|own| own != action);
    }
    less
}

/// Runs with these rights. Returns the run and the actions that were checked.
fn with(rig: &Rig, policy: &Value, command: &str) -> (Run, BTreeSet<String>) {
    rig.proxy.enforce(Operator::new(policy.clone(), PATH));
    let run = rig.people.run([command]);
    let operator = rig.proxy.trust().expect("an operator");
    (run, operator.checked)
}

/// Changes by hand of every kind that `up` repairs in place.
fn drift(boto: &Boto<'_>) {
    let memory = json!({ "FunctionName": "small-front", "MemorySize": 512 });
    boto.call("lambda", "update_function_configuration", memory);
    let code = json!({ "FunctionName": "small-back", "ZipFile": Project::archive(b"other") });
    boto.call("lambda", "update_function_code", code);
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole"
    }]});
    let trust = json!({ "RoleName": ROLE, "PolicyDocument": trust.to_string() });
    boto.call("iam", "update_assume_role_policy", trust);
    boto.call("iam", "delete_role_permissions_boundary", json!({ "RoleName": ROLE }));
    let more = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:*", "Resource": "*"
    }]});
    let more =
        json!({ "RoleName": ROLE, "PolicyName": "hand", "PolicyDocument": more.to_string() });
    boto.call("iam", "put_role_policy", more);
    let stray = json!({ "TopicArn": TOPIC, "Protocol": "lambda", "Endpoint": FRONT });
    boto.call("sns", "subscribe", stray);
    let stray = json!({
        "FunctionName": "small-front", "StatementId": "advent-by-hand",
        "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"
    });
    boto.call("lambda", "add_permission", stray);
    let apis = boto.call("apigatewayv2", "get_apis", json!({}));
    let api = &apis["Items"][0]["ApiId"];
    boto.call("apigatewayv2", "update_api", json!({ "ApiId": api, "Name": "other" }));
    let route = json!({ "ApiId": api, "RouteKey": "GET /by-hand" });
    boto.call("apigatewayv2", "create_route", route);
    let group = json!({ "logGroupName": "/aws/lambda/small-front", "retentionInDays": 3 });
    boto.call("logs", "put_retention_policy", group);
    let billing = json!({
        "TableName": "small-items", "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": { "ReadCapacityUnits": 1, "WriteCapacityUnits": 1 }
    });
    boto.call("dynamodb", "update_table", billing);
}

/// Deletes the other function's role: once it is made again, its function must be given another for
/// a moment.
fn remake_role(boto: &Boto<'_>) {
    let role = json!({ "RoleName": BACK_ROLE });
    let names = boto.call("iam", "list_role_policies", role.clone());
    for name in names["PolicyNames"].as_array().expect("names") {
        let with = json!({ "RoleName": BACK_ROLE, "PolicyName": name });
        boto.call("iam", "delete_role_policy", with);
    }
    boto.call("iam", "delete_role", role);
    // The function must be older than the role, by their times in seconds.
    std::thread::sleep(std::time::Duration::from_millis(2100));
}

/// Somebody attaches a policy while a role is being deleted.
fn attach_meanwhile(rig: &Rig) {
    let conflict =
        Fault::Error(409, "DeleteConflict", "Cannot delete entity, must detach all policies");
    let of_front = |it: &Operation| it.name == "DeleteRole" && it.subject == ROLE;
    rig.proxy.inject(Rule::new(of_front, conflict).at(0));
    attach(rig);
}

/// Somebody has attached a policy to the first function's role.
fn attach(rig: &Rig) {
    fn attached(_: &Operation) -> Answer {
        let operation = Operation {
            service: "iam".into(),
            name: String::new(),
            subject: String::new(),
            access_key: String::new(),
            mutating: false,
        };
        let xml = "<ListAttachedRolePoliciesResponse><ListAttachedRolePoliciesResult>\
                   <AttachedPolicies><member><PolicyName>p</PolicyName><PolicyArn>arn:aws:iam::aws:\
                   policy/ReadOnlyAccess</PolicyArn></member></AttachedPolicies><IsTruncated>false\
                   </IsTruncated></ListAttachedRolePoliciesResult>\
                   </ListAttachedRolePoliciesResponse>";
        Answer { body: xml.into(), ..Answer::error(&operation, 200, "", "") }
    }
    fn detached(operation: &Operation) -> Answer {
        let xml = "<DetachRolePolicyResponse></DetachRolePolicyResponse>";
        Answer { body: xml.into(), ..Answer::error(operation, 200, "", "") }
    }
    let answer = Fault::Answer(attached);
    let of_front = |it: &Operation| it.name == "ListAttachedRolePolicies" && it.subject == ROLE;
    rig.proxy.inject(Rule::new(of_front, answer).at(0));
    rig.proxy.inject(Rule::operation("iam", "DetachRolePolicy", Fault::Answer(detached)));
}

/// Each command with exactly its own policy; all of which is made use of.
#[test]
fn each_command_succeeds_with_its_policy_and_needs_all_of_it() {
    let Some((_folder, rig)) = rig() else { return };
    let up = policy(&rig.cli, "up");
    let (run, mut checked) = with(&rig, &up, "up");
    run.code(0);
    for command in ["status", "plan"] {
        let status = policy(&rig.cli, command);
        let (run, checked) = with(&rig, &status, command);
        run.code(0);
        // In step as the index says it is, some things are not looked at again.
        let unasked = ["dynamodb:ListTagsOfResource", "sns:ListTagsForResource"];
        let mut asked = actions(&status);
        asked.retain(|action| checked.contains(action) || !unasked.contains(&action.as_str()));
        asked.remove("logs:ListTagsForResource");
        asked.remove(ROLE_TAGS);
        assert_eq!(asked, checked, "{command}");
    }
    let logs = policy(&rig.cli, "logs");
    let (run, asked) = with(&rig, &logs, "logs");
    run.code(0);
    assert_eq!(asked, actions(&logs));
    assert_eq!(actions(&policy(&rig.cli, "say")), BTreeSet::from(["apigateway:GET".to_owned()]));

    drift(&rig.boto);
    remake_role(&rig.boto);
    attach(&rig);
    let (run, more) = with(&rig, &up, "up");
    rig.proxy.heal();
    let run = run.code(0);
    assert!(!run.stderr.contains("is left"), "{}", run.stderr);
    checked.extend(more);
    rig.cli.run(["plan"]).code(0);
    checked.insert(ROLE_TAGS.to_owned());
    assert_eq!(checked, actions(&up), "up");

    let down = policy(&rig.cli, "down");
    attach_meanwhile(&rig);
    let (run, mut checked) = with(&rig, &down, "down");
    run.code(0);
    checked.insert(ROLE_TAGS.to_owned());
    assert_eq!(checked, actions(&down), "down");
    rig.world().assert_empty("after down with the rights for it");

    // What is printed for all is what is printed for each.
    let all = actions(&rig.cli.ok(["policy"]).json());
    let each = ["up", "status", "down", "logs", "say"].map(|command| policy(&rig.cli, command));
    assert_eq!(all, each.iter().flat_map(actions).collect());
}

/// Without `action` a command fails, or where it can go on warns, and says which action it was.
#[track_caller]
fn names(rig: &Rig, policy: &Value, command: &str, action: &str) {
    let (run, _) = with(rig, &without(policy, action), command);
    // What was left out of a search is no reason to do nothing.
    let searched = ["tag:GetResources", "iam:ListRoles"].contains(&action);
    // Nor is what is only looked at.
    let watched = [
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:GetResourcePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:ListInstanceProfilesForRole",
        "lambda:ListFunctionUrlConfigs",
        "sns:GetSubscriptionAttributes",
        "sns:GetTopicAttributes",
    ];
    // But a policy that somebody attached must go before a role does.
    let needed = command == "down" && action == "iam:ListAttachedRolePolicies";
    let searched = searched || watched.contains(&action) && !needed;
    assert_eq!(run.code == Some(0), searched, "{command} without {action}: {run:?}");
    run.says(action);
}

/// One of each mechanism: what a call needs itself, what it needs besides, of each protocol.
const SOME: [&str; 8] = [
    "dynamodb:CreateTable",
    "dynamodb:TagResource",
    "sns:TagResource",
    "iam:PassRole",
    "iam:TagRole",
    "lambda:TagResource",
    "apigateway:PUT",
    "logs:TagResource",
];

#[test]
fn what_is_missing_is_named() {
    let Some((_folder, rig)) = rig() else { return };
    let up = policy(&rig.cli, "up");
    for action in SOME {
        names(&rig, &up, "up", action);
        rig.cli.ok(["down"]);
    }
    rig.cli.ok(["up"]);
    // In step by the index, tags are not asked for; and Lambda does not refuse, but leaves them out.
    let status = policy(&rig.cli, "status");
    for action in actions(&status).into_iter().filter(|action| !action.contains("Tags")) {
        names(&rig, &status, "status", &action);
    }
    let logs = policy(&rig.cli, "logs");
    names(&rig, &logs, "logs", "logs:FilterLogEvents");
    rig.cli.ok(["down"]);
}

#[test]
#[ignore = "minutes: cargo xtask torture"]
fn whatever_is_missing_is_named() {
    let Some((_folder, rig)) = rig() else { return };
    let up = policy(&rig.cli, "up");
    let (run, mut created) = with(&rig, &up, "up");
    run.code(0);
    // Sent along with the look for a role; the answers mean nothing while there is none.
    let speculative = ["iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies"];
    created.retain(|action| !speculative.contains(&&**action));
    for action in created.iter().filter(|action| *action != "lambda:ListTags") {
        rig.cli.ok(["down"]);
        names(&rig, &up, "up", action);
    }
    rig.cli.ok(["up"]);
    // The one is asked only where tags are missing, the other only leaves an empty role behind.
    let unasked = [ROLE_TAGS, "iam:DeleteRole"];
    for action in actions(&up).difference(&created).filter(|action| !unasked.contains(&&***action))
    {
        drift(&rig.boto);
        if action == "iam:DetachRolePolicy" {
            attach(&rig);
        }
        names(&rig, &up, "up", action);
        rig.cli.ok(["up"]);
    }
    let down = policy(&rig.cli, "down");
    let unasked = ["lambda:ListTags", ROLE_TAGS];
    for action in actions(&down).iter().filter(|action| !unasked.contains(&&***action)) {
        rig.cli.ok(["up"]);
        rig.proxy.heal();
        attach_meanwhile(&rig);
        names(&rig, &down, "down", action);
        rig.proxy.heal();
    }
    rig.cli.ok(["down"]);
}

#[test]
fn the_policy_is_legal_and_as_tight_as_names_are() {
    let Some(python) = python() else { return };
    let folder = TempDir::new().expect("a folder");
    let project = Project::new();
    let cli = Cli::new(project.path()).without_env("AWS_ACCESS_KEY_ID");
    let cli = cli.without_env("AWS_SECRET_ACCESS_KEY").env("AWS_EC2_METADATA_DISABLED", "true");
    // Without credentials, for an account that is told.
    let told = cli.clone().without_env("AWS_REGION").arg("--account").arg("123456789012");
    let policy = told.ok(["policy", "--region", "cn-north-1", "--stage", "dev"]).json();
    let text = policy.to_string();
    for arn in [
        "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/small-items-dev",
        "arn:aws-cn:sns:cn-north-1:123456789012:small-news-dev",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:small-back-dev",
        "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/aws/lambda/small-back-dev",
        "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/aws/lambda/small-back-dev:*",
        "arn:aws-cn:iam::123456789012:role/advent/small/dev/cn-north-1/*",
        "arn:aws-cn:apigateway:cn-north-1::/apis/*",
    ] {
        assert!(text.contains(&format!("\"{arn}\"")), "{arn}: {policy:#}");
    }
    // AWS knows no resources for these (Service Authorization Reference).
    let everything = [
        "iam:ListRoles",
        "logs:DescribeLogGroups",
        "sns:GetSubscriptionAttributes",
        "sns:Unsubscribe",
        "tag:GetResources",
    ];
    for statement in policy["Statement"].as_array().expect("statements") {
        if statement["Resource"].as_array().expect("resources").contains(&json!("*")) {
            assert_eq!(statement["Action"], json!(everything));
        }
    }
    let short = told.ok(["policy", "--region", "us-east-1", "--by-prefix"]).json().to_string();
    assert!(short.contains("function:small-*") && !short.contains("small-back"), "{short}");

    // Neither credentials nor account: said, and `*` in their place.
    let run = cli.ok(["policy", "up"]).says("the account is not known").says("--account ID");
    assert!(run.json().to_string().contains("arn:aws:dynamodb:us-east-1:*:table/small-items"));
    cli.clone().run(["policy", "--account", "12"]).code(2).says("12 digits");
    cli.run(["policy", "--local"]).code(2).says("asks no operator");

    // What a function's role must allow, if somebody else makes it.
    let role = told.ok(["policy", "--region", "us-east-1", "--function", "front"]).json();
    let all = actions(&role);
    for action in ["dynamodb:UpdateItem", "sns:Publish", "logs:PutLogEvents"] {
        assert!(all.contains(action), "{role:#}");
    }
    told.run(["policy", "--function", "none"]).code(2).says("front");

    // Another's parser takes all of it.
    let moto = python.moto();
    let boto = Boto::new(python, &moto.url);
    for (index, policy) in [policy, role].iter().enumerate() {
        let name = format!("p{index}");
        let with = json!({ "PolicyName": name, "PolicyDocument": policy.to_string() });
        boto.call("iam", "create_policy", with);
    }
    drop(folder);
}

#[test]
fn a_policy_that_is_too_large_is_said_to_be() {
    let project = Project::new();
    let many = (0..60)
        .map(|n| format!("[topic.topic-with-a-long-name-{n}]\n"))
        .collect::<Vec<_>>()
        .concat();
    project.edit("[topic.news]\n", &format!("[topic.news]\n{many}"));
    let cli = Cli::new(project.path()).arg("--account").arg("123456789012");
    cli.ok(["policy"]).says("IAM takes 6144").says("--by-prefix");
    let run = cli.ok(["policy", "--by-prefix"]);
    assert!(!run.stderr.contains("6144"), "{}", run.stderr);
}
