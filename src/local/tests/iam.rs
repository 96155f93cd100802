//! Roles through AWS's client.

use aws_sdk_iam::Client;
use aws_sdk_iam::types::Tag;
use serde_json::json;

use super::*;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test]
async fn a_role_lives_and_survives_a_restart() {
    let here = Here::start();
    let iam = Client::new(&here.operator());
    let made = iam
        .create_role()
        .role_name("r")
        .path("/advent/")
        .description("a <b> & c")
        .assume_role_policy_document(TRUST)
        .tags(tag("advent:stack", "s"))
        .send()
        .await
        .unwrap()
        .role
        .unwrap();
    assert_eq!(made.arn(), "arn:aws:iam::000000000000:role/advent/r");
    let policy =
        json!({"Statement": {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}});
    let put = iam.put_role_policy().role_name("r").policy_name("p");
    put.policy_document(policy.to_string()).send().await.unwrap();
    iam.tag_role().role_name("r").tags(tag("a", "b")).send().await.unwrap();
    iam.untag_role().role_name("r").tag_keys("advent:stack").send().await.unwrap();

    let here = here.restarted();
    let iam = Client::new(&here.operator());
    let role = iam.get_role().role_name("r").send().await.unwrap().role.unwrap();
    assert_eq!(role.role_id(), made.role_id());
    assert_eq!(role.description(), Some("a <b> & c"));
    assert_eq!(role.tags(), [tag("a", "b")]);
    let encoded = role.assume_role_policy_document().unwrap();
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
    assert_eq!(decoded, TRUST);
    let names = iam.list_role_policies().role_name("r").send().await.unwrap().policy_names;
    assert_eq!(names, ["p"]);
    let listed = iam.list_roles().path_prefix("/advent/").send().await.unwrap().roles;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].tags().is_empty());
    let attached = iam.list_attached_role_policies().role_name("r").send().await.unwrap();
    assert!(attached.attached_policies().is_empty());

    assert_eq!(
        refusal(iam.delete_role().role_name("r").send().await),
        (
            "DeleteConflict".to_owned(),
            "Cannot delete entity, must delete policies first.".to_owned()
        )
    );
    iam.delete_role_policy().role_name("r").policy_name("p").send().await.unwrap();
    iam.delete_role().role_name("r").send().await.unwrap();
    assert_eq!(
        refusal(iam.get_role().role_name("r").send().await),
        ("NoSuchEntity".to_owned(), "The role with name r cannot be found.".to_owned())
    );
}

#[tokio::test]
async fn what_iam_refuses() {
    let here = Here::start();
    let iam = Client::new(&here.operator());
    let create = |name: &str, trust: &str| {
        iam.create_role().role_name(name).assume_role_policy_document(trust).send()
    };
    create("r", TRUST).await.unwrap();
    assert_eq!(
        refusal(create("R", TRUST).await),
        ("EntityAlreadyExists".to_owned(), "Role with name R already exists.".to_owned())
    );
    assert_eq!(refusal(create("a b", TRUST).await).0, "ValidationError");
    assert_eq!(refusal(create("s", "{").await).0, "MalformedPolicyDocument");
    let twice = iam
        .create_role()
        .role_name("s")
        .assume_role_policy_document(TRUST)
        .tags(tag("a", "1"))
        .tags(tag("A", "2"));
    assert_eq!(refusal(twice.send().await).0, "InvalidInput");
    let absent = iam.get_role_policy().role_name("r").policy_name("q").send().await;
    assert_eq!(
        refusal(absent),
        ("NoSuchEntity".to_owned(), "The role policy with name q cannot be found.".to_owned())
    );
    let long = json!({"Statement": {"Effect": "Allow", "Action": "a:b", "Resource": "*", "Sid": "x".repeat(10_300)}});
    let put =
        iam.put_role_policy().role_name("r").policy_name("p").policy_document(long.to_string());
    assert_eq!(refusal(put.send().await).0, "LimitExceeded");
    assert!(iam.list_role_policies().role_name("r").send().await.unwrap().policy_names.is_empty());
}

#[tokio::test]
async fn lists_come_in_pages() {
    let here = Here::start();
    let iam = Client::new(&here.operator());
    for name in ["a", "b", "c"] {
        iam.create_role().role_name(name).assume_role_policy_document(TRUST).send().await.unwrap();
    }
    let first = iam.list_roles().max_items(2).send().await.unwrap();
    assert!(first.is_truncated());
    let second = iam.list_roles().marker(first.marker().unwrap()).send().await.unwrap();
    let names: Vec<_> = first
        .roles()
        .iter()
        .chain(second.roles())
        .map(|role| role.role_name().to_owned())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(!second.is_truncated());
}

#[tokio::test]
async fn a_boundary_must_exist_and_bounds_what_a_role_may() {
    let here = Here::start();
    let iam = Client::new(&here.operator());
    let arn = "arn:aws:iam::000000000000:policy/team/bounds";
    let create = || {
        let role = iam.create_role().role_name("r").assume_role_policy_document(TRUST);
        role.permissions_boundary(arn).send()
    };
    let missing = format!("Scope ARN: {arn} does not exist or is not attachable.");
    assert_eq!(refusal(create().await), ("NoSuchEntity".to_owned(), missing));
    let allow = |action: &str| {
        json!({"Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}).to_string()
    };
    let policy = iam.create_policy().policy_name("bounds").path("/team/");
    let made = policy.policy_document(allow("iam:List*")).send().await.unwrap();
    assert_eq!(made.policy().and_then(|policy| policy.arn()), Some(arn));
    create().await.unwrap();
    let put = iam.put_role_policy().role_name("r").policy_name("p");
    put.policy_document(allow("iam:*")).send().await.unwrap();
    let found = iam.get_role().role_name("r").send().await.unwrap().role.unwrap();
    let bounds = found.permissions_boundary().and_then(|set| set.permissions_boundary_arn());
    assert_eq!(bounds, Some(arn));
    assert_eq!(refusal(iam.delete_policy().policy_arn(arn).send().await).0, "DeleteConflict");

    let here = here.restarted();
    let (iam, bounded) = (Client::new(&here.operator()), Client::new(&here.function("r")));
    bounded.list_roles().send().await.unwrap();
    let (code, why) = refusal(bounded.get_role().role_name("r").send().await);
    assert_eq!(code, "AccessDenied");
    let end = "because no permissions boundary allows the iam:GetRole action";
    assert!(why.ends_with(end), "{why}");
    iam.delete_role_permissions_boundary().role_name("r").send().await.unwrap();
    bounded.get_role().role_name("r").send().await.unwrap();
    let put = iam.put_role_permissions_boundary().role_name("r");
    put.permissions_boundary(arn).send().await.unwrap();
    refusal(bounded.get_role().role_name("r").send().await);
    let absent = iam.put_role_permissions_boundary().role_name("r");
    refusal(absent.permissions_boundary("arn:aws:iam::aws:policy/None").send().await);
}
