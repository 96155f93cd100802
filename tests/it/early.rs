//! What AWS refuses for seconds after a creation or deletion, and what it leaves out of an answer.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::local::Local;
use crate::support::proxy::{
    Answer, Fault, Imitation, Operation, Proxy, Rule, unknown, without_tags,
};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig};

const ROLE: &str = "small-front-us-east-1";
const FRONT: &str = "small-front";
const LOG_GROUP: &str = "/aws/lambda/small-front";

#[test]
fn writes_to_what_was_just_created_wait_until_it_is_known() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();
    for young in [Duration::from_millis(100), Duration::from_secs(2)] {
        rig.proxy.imitate(Imitation { young, ..Imitation::default() });
        let run = rig.people.ok(["up"]);
        let said = run.stderr.contains("to be known everywhere");
        assert!(said, "nothing is said of the wait: {}", run.stderr);
        // Nobody else was there, and nothing had to be looked at again.
        assert!(!run.stderr.contains("looking again"), "{}", run.stderr);
        clean.assert_same(&rig.world(), "after up");
        rig.assert_down("young");
    }
}

/// It has been there for long: somebody has deleted it, or the service is at fault.
#[test]
fn what_stays_unknown_is_not_waited_for_long_nor_put_down_to_another_run() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let clean = rig.world();
    let policy = rig.boto.call("lambda", "get_policy", json!({ "FunctionName": FRONT }));
    let policy: serde_json::Value =
        serde_json::from_str(policy["Policy"].as_str().expect("a policy")).expect("JSON");
    let statement = json!({ "FunctionName": FRONT, "StatementId": policy["Statement"][0]["Sid"] });
    rig.boto.call("lambda", "remove_permission", statement);

    let begun = Instant::now();
    let early = move |operation: &Operation| {
        operation.name == "AddPermission" && begun.elapsed() < Duration::from_secs(6)
    };
    rig.proxy.inject(Rule::new(early, Fault::Answer(unknown)));
    let run = rig.people.ok(["up"]);
    assert!(run.stderr.contains("not as it had been read: looking again"), "{}", run.stderr);
    assert!(!run.stderr.contains("another run"), "{}", run.stderr);
    clean.assert_same(&rig.world(), "after up");
    rig.proxy.heal();
    rig.assert_down("at last");
}

/// Not found for ever: by an API that is read all the same, and by one that is gone.
#[test]
fn an_api_that_no_write_finds_is_given_up_in_bounded_time() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let api = rig.boto.call("apigatewayv2", "get_apis", json!({}))["Items"][0]["ApiId"].clone();
    let routes = rig.boto.call("apigatewayv2", "get_routes", json!({ "ApiId": api }));
    let route = json!({ "ApiId": api, "RouteId": routes["Items"][0]["RouteId"] });
    rig.boto.call("apigatewayv2", "delete_route", route);
    let lost = Rule::operation("apigateway", "CreateRoute", Fault::Answer(unknown));
    let lost = rig.proxy.inject(lost);
    rig.proxy.take();
    let begun = Instant::now();
    let run = rig.people.run(["up"]).code(1);
    let (took, records) = (begun.elapsed(), rig.proxy.take());
    assert!(run.stderr.contains("lets the HTTP API small ("), "{}", run.stderr);
    assert!(run.stderr.contains("finds nothing to change"), "{}", run.stderr);
    assert!(took < Duration::from_secs(14), "{took:?}");
    assert!((10..60).contains(&lost.struck()), "{} tries", lost.struck());
    // Read when it began and once more, and looked at after each try was given up.
    assert_eq!(records.count("apigateway", "GetApis"), 2, "{records}");
    assert_eq!(records.count("apigateway", "GetRoutes"), 4, "{records}");
    assert_eq!(records.count("apigateway", "CreateApi"), 0, "{records}");
    rig.proxy.heal();
    rig.assert_down("at last");
}

#[test]
fn rights_that_hang_on_tags_are_waited_for_and_no_others() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let clean = rig.clean();
    rig.proxy.imitate(Imitation { untagged: Duration::from_secs(1), ..Imitation::default() });
    let run = rig.people.ok(["up"]);
    assert!(run.stderr.contains("waiting for the tags of"), "{}", run.stderr);
    clean.assert_same(&rig.world(), "after up");
    rig.proxy.heal();

    // What was there before is not denied for its age.
    rig.boto.call("logs", "delete_retention_policy", json!({ "logGroupName": LOG_GROUP }));
    let denied = Rule::operation("logs", "PutRetentionPolicy", Fault::Answer(Answer::denied));
    let denied = rig.proxy.inject(denied);
    let run = rig.people.run(["up"]).code(1);
    assert!(run.stderr.contains("logs:PutRetentionPolicy"), "{}", run.stderr);
    assert_eq!(denied.struck(), 1, "{}", run.stderr);
    rig.proxy.heal();
    rig.assert_down("at last");
}

/// What this run has made and nobody knows a while later is gone: no wait for minutes.
#[test]
fn what_was_made_and_stays_unknown_is_an_error_soon() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let unread = [
        [("lambda", "AddPermission")].as_slice(),
        &[("dynamodb", "DescribeTable"), ("lambda", "GetFunction")],
    ];
    for operations in unread {
        for (service, operation) in operations {
            rig.proxy.inject(Rule::operation(service, operation, Fault::Answer(unknown)));
        }
        let begun = Instant::now();
        let run = rig.people.run(["up"]).code(1);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(110), "{took:?}\n{}", run.stderr);
        assert!(run.stderr.contains(FRONT), "{}", run.stderr);
        rig.proxy.heal();
    }
    rig.cli.ok(["up"]);
    rig.assert_down("at last");
}

#[test]
fn a_topic_of_a_deleted_ones_name_is_created_and_really_subscribed() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.proxy.imitate(Imitation {
        stale_tag: Duration::from_secs(1),
        vanishing: Duration::from_secs(2),
        ..Imitation::default()
    });
    rig.cli.ok(["up"]);
    let clean = rig.world();
    rig.cli.ok(["down"]);
    let run = rig.people.ok(["up"]);
    assert!(run.stderr.contains("waiting for SNS to forget"), "{}", run.stderr);
    assert!(run.stderr.contains("waiting for the subscription to be listed"), "{}", run.stderr);
    clean.assert_same(&rig.world(), "after up");
    rig.proxy.heal();
    rig.assert_up(&clean, "up again");

    // A list that is no list of ARNs.
    let subscriptions =
        Rule::operation("sns", "ListSubscriptionsByTopic", Fault::Rewrite(without_arns));
    rig.proxy.inject(subscriptions);
    rig.proxy.take();
    rig.cli.ok(["down"]);
    let records = rig.proxy.take();
    assert_eq!(records.count("sns", "Unsubscribe"), 0, "{records}");
    rig.world().assert_empty("after down");
}

fn without_arns(_: &Operation, mut answer: Answer) -> Answer {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let (open, close) = ("<SubscriptionArn>", "</SubscriptionArn>");
    if let (Some(begin), Some(end)) = (body.find(open), body.find(close)) {
        answer.body =
            format!("{}PendingConfirmation{}", &body[..begin + open.len()], &body[end..]).into();
    }
    answer
}

#[test]
fn what_may_not_be_read_is_said_and_is_nobody_elses() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let clean = rig.world();
    let silent = |_: &Operation, mut answer: Answer| {
        let mut body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        body.as_object_mut().expect("an object").remove("Tags");
        answer.body = body.to_string().into();
        answer
    };
    let denied = || Rule::operation("lambda", "ListTags", Fault::Answer(Answer::denied));
    for rewrite in [without_tags as fn(&Operation, Answer) -> Answer, silent] {
        rig.proxy.inject(Rule::operation("lambda", "GetFunction", Fault::Rewrite(rewrite)));
        rig.proxy.inject(denied());
        rig.proxy.take();
        for command in ["up", "plan", "status", "down"] {
            let run = rig.people.run([command]).code(1);
            assert!(run.stderr.contains("lambda:ListTags"), "{command}: {}", run.stderr);
            assert!(!run.stderr.contains("not made by advent"), "{command}: {}", run.stderr);
        }
        assert_eq!(rig.proxy.take().mutating(), [""; 0]);
        rig.proxy.heal();
    }

    let unreadable = Rule::new(
        |operation| operation.is("lambda", "GetFunction") && operation.subject == FRONT,
        Fault::Rewrite(without_environment),
    );
    rig.proxy.inject(unreadable);
    let plan = rig.people.run(["plan"]);
    assert!(plan.stdout.contains("could not be read: it needs kms:Decrypt"), "{plan:?}");
    assert!(!plan.stdout.contains("GREETING"), "{plan:?}");
    let drift = json!({ "FunctionName": FRONT, "MemorySize": 512 });
    rig.boto.call("lambda", "update_function_configuration", drift);
    let run = rig.people.run(["up"]).code(1);
    assert!(run.stderr.contains("kms:Decrypt"), "{}", run.stderr);
    // The memory is repaired, the environment kept.
    clean.assert_same(&rig.world(), "after up");
    rig.assert_down("with an unreadable environment");
}

/// Services leave tags out of answers that lag, or of who may not read them.
#[test]
fn what_an_answer_has_no_tags_of_is_asked_for_its_tags() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let clean = rig.world();
    for (service, call, tags, action) in [
        ("iam", "GetRole", "ListRoleTags", "iam:ListRoleTags"),
        ("apigateway", "GetApis", "GetTags", "apigateway:GetTags"),
    ] {
        rig.proxy.inject(Rule::operation(service, call, Fault::Rewrite(untagged)));
        rig.proxy.take();
        rig.cli.ok(["up"]);
        let records = rig.proxy.take();
        assert_eq!(records.mutating(), [""; 0], "{call}");
        assert!(records.count(service, tags) > 0, "{call}: {records}");
        assert_eq!(rig.cli.ok(["status"]).json()["in_sync"], true, "{call}");
        rig.proxy.inject(Rule::operation(service, tags, Fault::Answer(Answer::denied)));
        for command in ["up", "plan", "down"] {
            let run = rig.people.run([command]).code(1).says(action);
            assert!(!run.stderr.contains("not made by advent"), "{command}: {}", run.stderr);
        }
        clean.assert_same(&rig.world(), call);
        rig.proxy.heal();
    }
    // Of what the index has tags of, an answer without any is not the last word.
    for (service, call) in [
        ("dynamodb", "ListTagsOfResource"),
        ("sns", "ListTagsForResource"),
        ("logs", "ListTagsForResource"),
    ] {
        rig.proxy.inject(Rule::operation(service, call, Fault::Rewrite(untagged)).at(0));
    }
    let run = rig.people.ok(["down"]);
    assert!(!run.stderr.contains("not made by advent"), "{}", run.stderr);
    rig.world().assert_empty("after down");
}

/// An answer in JSON or XML, whichever, without the tags in it. A role leaves them out, a list of tags
/// is an empty list.
fn untagged(operation: &Operation, mut answer: Answer) -> Answer {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                for (key, value) in members {
                    match value {
                        _ if !key.eq_ignore_ascii_case("tags") => strip(value),
                        serde_json::Value::Array(list) => list.clear(),
                        serde_json::Value::Object(map) => map.clear(),
                        _ => {}
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    if let Ok(mut body) = serde_json::from_slice(&answer.body) {
        strip(&mut body);
        answer.body = body.to_string().into();
        answer.headers.remove("x-amz-crc32");
        return answer;
    }
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let (Some(begin), Some(end)) = (body.find("<Tags>"), body.find("</Tags>")) else {
        return answer;
    };
    let left = if operation.name == "GetRole" { "" } else { "<Tags/>" };
    answer.body = format!("{}{left}{}", &body[..begin], &body[end + "</Tags>".len()..]).into();
    answer
}

fn without_environment(_: &Operation, mut answer: Answer) -> Answer {
    let mut body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    if let Some(environment) = body.pointer_mut("/Configuration/Environment") {
        *environment = json!({ "Error": {
            "ErrorCode": "AccessDeniedException",
            "Message": "Lambda was unable to decrypt your environment variables because the KMS \
                        access was denied.",
        }});
    }
    answer.body = body.to_string().into();
    answer
}

#[test]
fn a_role_that_was_made_again_is_set_again() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.proxy.imitate(Imitation::default());
    rig.cli.ok(["up"]);
    let clean = rig.world();
    let remake = || {
        let names = rig.boto.call("iam", "list_role_policies", json!({ "RoleName": ROLE }));
        for name in names["PolicyNames"].as_array().expect("names") {
            let with = json!({ "RoleName": ROLE, "PolicyName": name });
            rig.boto.call("iam", "delete_role_policy", with);
        }
        rig.boto.call("iam", "delete_role", json!({ "RoleName": ROLE }));
        // The function must be older than the role, by their times in seconds.
        std::thread::sleep(Duration::from_millis(2100));
    };
    remake();
    rig.cli.ok(["up"]);
    assert_eq!(rig.proxy.ungranted(), [""; 0], "its invocations fail");
    rig.assert_up(&clean, "after the role was made again");

    assert!(others(&rig).is_empty(), "{:?}", others(&rig));

    // Killed while the function has the other role: it may be another run's, until it is old.
    remake();
    let at = |fault| Rule::operation("lambda", "UpdateFunctionConfiguration", fault).at(0);
    assert_eq!(rig.kill_in_place("up", at).code, None);
    let other = others(&rig);
    assert_eq!(other.len(), 1);
    let run = rig.people.ok(["up"]).says(&other[0]).says("left for now");
    assert_eq!(run.stderr.matches("left for now").count(), 1, "{}", run.stderr);
    assert_eq!(others(&rig), other, "it is not this run's");
    assert_eq!(rig.cli.ok(["status"]).json()["in_sync"], true);
    assert_eq!(rig.proxy.ungranted(), [""; 0], "its invocations fail");
    // A second run uses it too, and leaves it to who made it.
    remake();
    rig.cli.ok(["up"]);
    assert_eq!(others(&rig), other, "it is not this run's either");
    assert_eq!(rig.proxy.ungranted(), [""; 0], "its invocations fail");
    rig.proxy.inject(Rule::operation("iam", "ListRoles", Fault::Rewrite(made_long_ago)));
    rig.assert_up(&clean, "once it is old");
    rig.proxy.heal_faults();

    // That the role which it has already is no change is what is imitated.
    remake();
    let through = Boto::new(python, &rig.proxy.url);
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" },
        "Action": "sts:AssumeRole"
    }]});
    let with = json!({ "RoleName": ROLE, "AssumeRolePolicyDocument": trust.to_string() });
    through.call("iam", "create_role", with);
    let function = rig.boto.call("lambda", "get_function", json!({ "FunctionName": FRONT }));
    let role = &function["Configuration"]["Role"];
    let same = json!({ "FunctionName": FRONT, "Role": role });
    drop(through.try_call("lambda", "update_function_configuration", same));
    assert_eq!(rig.proxy.ungranted(), [FRONT]);
}

/// Names of the empty roles that functions have for a moment.
fn others(rig: &Rig) -> Vec<String> {
    let roles = rig.boto.call("iam", "list_roles", json!({ "PathPrefix": "/advent/" }));
    let names = roles["Roles"].as_array().expect("roles").iter();
    let names = names.map(|role| role["RoleName"].as_str().expect("a name").to_owned());
    names.filter(|name| name.contains("+other")).collect()
}

/// `ListRoles` with roles of last year.
fn made_long_ago(_: &Operation, mut answer: Answer) -> Answer {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let mut parts = body.split("<CreateDate>");
    let mut old = parts.next().expect("a beginning").to_owned();
    for part in parts {
        let (_, rest) = part.split_once("</CreateDate>").expect("an end");
        old = format!("{old}<CreateDate>2025-01-01T00:00:00Z</CreateDate>{rest}");
    }
    answer.body = old.into();
    answer
}

#[test]
fn another_ttl_attribute_is_set_in_two_runs() {
    let Some(python) = python() else { return };
    let local = Local::start();
    let proxy = Proxy::start(&local.url);
    let cli = Cli::new(local.project.path()).endpoint(&proxy.url).arg("--yes");
    let boto = Boto::new(python, &local.url);
    let ttl = || {
        let described =
            boto.call("dynamodb", "describe_time_to_live", json!({ "TableName": "small-items" }));
        described["TimeToLiveDescription"]["AttributeName"].clone()
    };
    local.project.edit("key = \"id\"", "key = \"id\"\nttl = \"first\"");
    cli.ok(["up"]);
    assert_eq!(ttl(), "first");

    local.project.edit("ttl = \"first\"", "ttl = \"second\"");
    let plan = cli.run(["plan"]);
    assert!(plan.stdout.contains("off; second up to an hour later"), "{plan:?}");
    let run = cli.run(["up"]).code(1);
    assert!(run.stderr.contains("items no longer expire by first"), "{}", run.stderr);
    assert_eq!(ttl(), json!(null));

    let ending = |_: &Operation, mut answer: Answer| {
        let description = json!({ "TimeToLiveStatus": "DISABLING", "AttributeName": "first" });
        answer.body = json!({ "TimeToLiveDescription": description }).to_string().into();
        answer.headers.remove("x-amz-crc32");
        answer
    };
    proxy.inject(Rule::operation("dynamodb", "DescribeTimeToLive", Fault::Rewrite(ending)));
    proxy.take();
    let run = cli.run(["up"]).code(1);
    assert!(run.stderr.contains("first is still being switched off"), "{}", run.stderr);
    assert_eq!(proxy.take().mutating(), [""; 0], "{}", run.stderr);
    proxy.heal();

    let message = "Time to live has been modified multiple times within a fixed interval";
    let early = Fault::Error(400, "ValidationException", message);
    let early = proxy.inject(Rule::operation("dynamodb", "UpdateTimeToLive", early));
    let run = cli.run(["up"]).code(1);
    assert!(run.stderr.contains("it was changed within the last hour"), "{}", run.stderr);
    assert_eq!(early.struck(), 1);
    proxy.heal();

    cli.ok(["up"]);
    assert_eq!(ttl(), "second");
    cli.ok(["down"]);
}
