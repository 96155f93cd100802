//! What `down` cannot finish it does not begin, and what of others goes with ours it says before.

use std::time::Instant;

use hyper::{HeaderMap, StatusCode};
use serde_json::json;

use crate::support::proxy::{Answer, Fault, Operation, Rule};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

const ROLE: &str = "small-front-us-east-1";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:small-news";

#[test]
fn a_role_in_an_instance_profile_is_named_before_anything_is_deleted() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let boto = &rig.boto;
    for name in ["one", "two"] {
        boto.call("iam", "create_instance_profile", json!({ "InstanceProfileName": name }));
        let with = json!({ "InstanceProfileName": name, "RoleName": ROLE });
        boto.call("iam", "add_role_to_instance_profile", with);
    }
    let before = rig.world();
    rig.proxy.take();
    let begun = Instant::now();
    let mut refused = rig.people.run(["down"]).code(2).says(ROLE).says("nothing was changed");
    for name in ["one", "two"] {
        refused = refused.says(&format!(
            "aws iam remove-role-from-instance-profile --instance-profile-name {name} --role-name {ROLE}"
        ));
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_eq!(rig.proxy.take().mutating(), [""; 0]);
    before.assert_same(&rig.world(), "refused");
    for name in ["one", "two"] {
        let with = json!({ "InstanceProfileName": name, "RoleName": ROLE });
        boto.call("iam", "remove_role_from_instance_profile", with);
    }
    rig.assert_down("lifted");
}

/// Without the right to look, it is said that nobody looked, and soon what keeps the role.
#[test]
fn what_could_not_be_looked_at_is_said_and_soon_found_out() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let boto = &rig.boto;
    boto.call("iam", "create_instance_profile", json!({ "InstanceProfileName": "one" }));
    let with = json!({ "InstanceProfileName": "one", "RoleName": ROLE });
    boto.call("iam", "add_role_to_instance_profile", with.clone());
    let denied = Fault::Answer(Answer::denied);
    rig.proxy.inject(Rule::operation("iam", "ListInstanceProfilesForRole", denied));
    let run = rig.people.run(["down"]).code(1).says("iam:ListInstanceProfilesForRole");
    assert!(run.took.as_secs() < 30, "{:?}", run.took);
    let target = format!("--region us-east-1 --endpoint-url {}", rig.proxy.url);
    run.says(&format!(
        "`aws iam remove-role-from-instance-profile --instance-profile-name PROFILE \
         --role-name {ROLE} {target}`"
    ));
    rig.proxy.heal();
    boto.call("iam", "remove_role_from_instance_profile", with);
    rig.assert_down("lifted");
}

/// All that is in the way is named at once.
#[test]
fn a_table_and_a_role_are_named_together() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let boto = &rig.boto;
    let protect = |on: bool| {
        let with = json!({ "TableName": "small-items", "DeletionProtectionEnabled": on });
        boto.call("dynamodb", "update_table", with);
    };
    protect(true);
    boto.call("iam", "create_instance_profile", json!({ "InstanceProfileName": "one" }));
    let with = json!({ "InstanceProfileName": "one", "RoleName": ROLE });
    boto.call("iam", "add_role_to_instance_profile", with.clone());
    let before = rig.world();
    let refused = rig.people.run(["down"]).code(2);
    refused.says("small-items is protected").says(&format!("{ROLE} is protected"));
    before.assert_same(&rig.world(), "refused");
    protect(false);
    boto.call("iam", "remove_role_from_instance_profile", with);
    rig.assert_down("lifted");
}

fn in_a_profile(_: &Operation) -> Answer {
    let body = "<ListInstanceProfilesForRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
        <ListInstanceProfilesForRoleResult><IsTruncated>false</IsTruncated><InstanceProfiles><member>\
        <Path>/</Path><InstanceProfileName>one</InstanceProfileName><InstanceProfileId>AIPA1</InstanceProfileId>\
        <Arn>arn:aws:iam::000000000000:instance-profile/one</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>\
        <Roles/></member></InstanceProfiles></ListInstanceProfilesForRoleResult></ListInstanceProfilesForRoleResponse>";
    Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
}

#[test]
fn a_role_at_another_path_is_replaced() {
    let Some(python) = python() else { return };
    // moto lets a function stay as old as it was when its role is set.
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let clean = rig.world();
    let boto = &rig.boto;
    let role = boto.call("iam", "get_role", json!({ "RoleName": ROLE }));
    let policies = boto.call("iam", "list_role_policies", json!({ "RoleName": ROLE }));
    for name in policies["PolicyNames"].as_array().expect("names") {
        let with = json!({ "RoleName": ROLE, "PolicyName": name });
        boto.call("iam", "delete_role_policy", with);
    }
    boto.call("iam", "delete_role", json!({ "RoleName": ROLE }));
    let with = json!({
        "RoleName": ROLE, "Path": "/elsewhere/", "Tags": role["Role"]["Tags"],
        "AssumeRolePolicyDocument": role["Role"]["AssumeRolePolicyDocument"].to_string(),
    });
    boto.call("iam", "create_role", with);

    let plan = rig.people.run(["plan"]).code(2);
    plan.says("must be replaced").says("path: /elsewhere/ -> /advent/");
    // The strict cloud has no instance profiles; what is asked is answered as IAM does.
    let profile = Fault::Answer(in_a_profile);
    rig.proxy.inject(Rule::operation("iam", "ListInstanceProfilesForRole", profile));
    let before = rig.world();
    let refused = rig.people.run(["up"]).code(2);
    refused.says(&format!("{ROLE} is protected")).says("remove-role-from-instance-profile");
    before.assert_same(&rig.world(), "in an instance profile");
    rig.proxy.heal();
    let begun = Instant::now();
    rig.assert_up(&clean, "at another path");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    rig.assert_down("at another path");
}

#[test]
fn what_others_lose_with_ours_is_said() {
    let Some(python) = python() else { return };
    let rig = Rig::moto(python);
    rig.cli.ok(["up"]);
    let queue = "arn:aws:sqs:us-east-1:123456789012:theirs";
    let with = json!({ "TopicArn": TOPIC, "Protocol": "sqs", "Endpoint": queue });
    rig.boto.call("sns", "subscribe", with);
    let plan = rig.people.run(["plan"]).code(0);
    plan.says(&format!("sqs {queue}")).says("a copy of every message");
    let status = rig.cli.ok(["status"]).json();
    let topic = status["resources"].as_array().expect("resources").iter();
    let topic = topic.clone().find(|it| it["kind"] == "topic").expect("the topic");
    assert_eq!(topic["watched"][0]["found"], format!("sqs {queue}"), "{topic:#}");
    let said = rig.people.ok(["down"]);
    said.says(&format!("- subscription sqs {queue}"));
    rig.world().assert_empty("down");
}
