//! Lists that never end are errors, and soon.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
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
