//! Lists that never end are errors, and soon.

use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::support::proxy::{Answer, Fault, Operation, Rule};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

/// Lists, each with its token for the next page; in XML below this element.
const LISTS: [(&str, &str, &str, &str); 9] = [
    ("tagging", "GetResources", "PaginationToken", ""),
    ("apigateway", "GetApis", "nextToken", ""),
    ("apigateway", "GetIntegrations", "nextToken", ""),
    ("apigateway", "GetRoutes", "nextToken", ""),
    ("iam", "ListRoles", "Marker", "ListRolesResult"),
    ("iam", "ListRolePolicies", "Marker", "ListRolePoliciesResult"),
    ("iam", "ListAttachedRolePolicies", "Marker", "ListAttachedRolePoliciesResult"),
    ("sns", "ListSubscriptionsByTopic", "NextToken", "ListSubscriptionsByTopicResult"),
    ("logs", "FilterLogEvents", "nextToken", ""),
];

fn with(operation: &Operation, answer: Answer, token: &str) -> Answer {
    let list = LISTS.iter().find(|list| (list.0, list.1) == (&operation.service, &operation.name));
    let (_, _, key, element) = *list.expect("one of the lists");
    // A server that knows no such token refuses it; the one that is meant here goes on, with pages
    // that have nothing in them.
    let text = match answer.status.is_success() {
        true => String::from_utf8_lossy(&answer.body).into_owned(),
        false if element.is_empty() => {
            json!({ "items": [], "events": [], "ResourceTagMappingList": [] }).to_string()
        }
        false => {
            let response = format!("{}Response", operation.name);
            let none = "<Subscriptions/><AttachedPolicies/><PolicyNames/><Roles/>";
            format!("<{response}><{element}>{none}</{element}></{response}>")
        }
    };
    let body = if element.is_empty() {
        let mut body: Value = serde_json::from_str(&text).expect("JSON");
        body[key] = json!(token);
        body.to_string()
    } else {
        text.replace(&format!("</{element}>"), &format!("<{key}>{token}</{key}></{element}>"))
    };
    let mut answer = Answer { body: Bytes::from(body), status: StatusCode::OK, ..answer };
    answer.headers.remove("content-length");
    answer
}

fn the_same(operation: &Operation, answer: Answer) -> Answer {
    with(operation, answer, "again")
}

fn empty(operation: &Operation, answer: Answer) -> Answer {
    with(operation, answer, "")
}

#[test]
fn a_list_without_an_end_is_noticed_at_its_second_page() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.people.ok(["up"]);
    for (service, operation, ..) in LISTS {
        for (rewrite, pages) in [(the_same as fn(&Operation, Answer) -> Answer, 2), (empty, 1)] {
            // So says the tagging API that there is nothing more.
            if service == "tagging" && pages == 1 {
                continue;
            }
            rig.proxy.heal();
            rig.proxy.inject(Rule::operation(service, operation, Fault::Rewrite(rewrite)));
            rig.proxy.take();
            let begun = Instant::now();
            let command = if service == "logs" { "logs" } else { "status" };
            let run = rig.people.run([command]);
            let asked = rig.proxy.take();
            let text = format!("{operation}: {}{}\n{asked}", run.stdout, run.stderr);
            // An answer that failed is asked for again by whoever needs it: of the subscriptions
            // that is each of two, and who looks for stray ones.
            let count = asked.count(service, operation);
            assert!((1..=3 * pages).contains(&count), "{text}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{text}");
            assert!(run.stderr.contains("the list has no end"), "{text}");
        }
    }
    rig.proxy.heal();
    rig.people.ok(["down"]);
}

/// The role whose lists have a second page.
const ROLE: &str = "small-front-us-east-1";

/// Lists, each with the element that it is in and what is on its second page; on the first is nothing.
const SECOND: [(&str, &str, &str); 3] = [
    (
        "ListAttachedRolePolicies",
        "AttachedPolicies",
        "<member><PolicyName>AdministratorAccess</PolicyName>\
         <PolicyArn>arn:aws:iam::aws:policy/AdministratorAccess</PolicyArn></member>",
    ),
    ("ListRolePolicies", "PolicyNames", "<member>theirs</member>"),
    (
        "ListInstanceProfilesForRole",
        "InstanceProfiles",
        "<member><Path>/</Path><InstanceProfileName>one</InstanceProfileName>\
         <InstanceProfileId>AIPA1</InstanceProfileId>\
         <Arn>arn:aws:iam::000000000000:instance-profile/one</Arn>\
         <CreateDate>2026-01-01T00:00:00Z</CreateDate><Roles/></member>",
    ),
];

fn first_page(operation: &Operation) -> Answer {
    page(operation, "", "<IsTruncated>true</IsTruncated><Marker>two</Marker>")
}

fn second_page(operation: &Operation) -> Answer {
    let list = SECOND.iter().find(|list| list.0 == operation.name).expect("one of the lists");
    page(operation, list.2, "<IsTruncated>false</IsTruncated>")
}

fn page(operation: &Operation, members: &str, rest: &str) -> Answer {
    let name = &operation.name;
    let list = SECOND.iter().find(|list| list.0 == name).expect("one of the lists");
    let list = format!("<{0}>{members}</{0}>", list.1);
    let body =
        format!("<{name}Response><{name}Result>{list}{rest}</{name}Result></{name}Response>");
    Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
}

/// IAM may answer fewer than there are, and says so (IAM API Reference, `IsTruncated`).
#[test]
fn what_is_on_a_second_page_counts() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let deny = json!({ "Effect": "Deny", "Action": "s3:*", "Resource": "*" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [deny] }).to_string();
    let with = json!({ "RoleName": ROLE, "PolicyName": "theirs", "PolicyDocument": policy });
    rig.boto.call("iam", "put_role_policy", with);
    let before = rig.world();
    for (list, command, said) in [
        ("ListAttachedRolePolicies", "plan", "policy/AdministratorAccess"),
        ("ListRolePolicies", "plan", "policy theirs"),
        ("ListInstanceProfilesForRole", "down", "--instance-profile-name one"),
    ] {
        let is_it = move |asked: &Operation| asked.is("iam", list) && asked.subject == ROLE;
        rig.proxy.inject(Rule::new(is_it, Fault::Answer(first_page)).at(0));
        rig.proxy.inject(Rule::new(is_it, Fault::Answer(second_page)));
        rig.people.run([command]).code(2).says(said);
        rig.proxy.heal();
        before.assert_same(&rig.world(), list);
    }
    rig.assert_down("at last");
}
