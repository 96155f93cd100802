//! The other applications of this repository: brought up, used over HTTP, taken down.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http;
use crate::support::local::{LocalCloud, eventually, example};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// Brings the application up and gives the address that is to be used, and the kinds of what it
/// consists of.
fn up(advent: &Cli) -> (String, BTreeSet<String>) {
    let up = advent.ok(["up", "--json"]).last_json();
    assert_eq!(up["outcome"], "done", "{up}");
    let kind = |resource: &Value| resource["kind"].as_str().expect("a kind").to_owned();
    let resources = up["resources"].as_array().expect("resources are an array");
    (up["url"].as_str().expect("a URL").to_owned(), resources.iter().map(kind).collect())
}

fn down(advent: &Cli, cloud: &LocalCloud) {
    let down = advent.ok(["down", "--yes", "--json"]).last_json();
    assert_eq!(down["outcome"], "done", "{down}");
    assert_eq!(cloud.url(), None, "nothing is left, so the local cloud is stopped");
}

#[test]
fn chatops_counts_without_a_topic() {
    let cloud = LocalCloud::new();
    let advent = cloud.cli(&example("chatops"));
    let (url, kinds) = up(&advent);
    assert!(!kinds.contains("topic") && !kinds.contains("subscription"), "{kinds:?}");

    advent.ok(["say", "deploy the website"]).says("deploy: 1\nthe: 1\nwebsite: 1");
    let form = b"text=deploy+the+API%21&trigger_word=deploy&user_name=ada";
    let answer = http::post(&url, "application/x-www-form-urlencoded", form).expect("an answer");
    let text = "deploy: 2\nthe: 2\nAPI!: 1";
    assert_eq!((answer.status, &answer.json()["text"]), (200, &json!(text)));
    cloud.wait_for_counts(
        "chatops-words",
        &[("deploy", 2), ("the", 2), ("website", 1), ("API!", 1)],
    );
    down(&advent, &cloud);
}

#[test]
fn chatops_with_a_secret_listens_to_slack_only() {
    let cloud = LocalCloud::new();
    let open = cloud.cli(&example("chatops"));
    let (url, _) = up(&open);
    let signed = open.clone().env("SLACK_SIGNING_SECRET", SECRET);
    let plan = signed.run(["plan", "--json"]).code(2);
    assert!(!plan.stdout.contains(SECRET) && !plan.stderr.contains(SECRET), "a secret is shown");
    up(&signed);

    signed.ok(["say", "deploy"]).says("deploy: 1");
    open.run(["say", "deploy"]).code(1).says("401");
    let form = b"text=deploy&trigger_word=deploy";
    let answer = http::post(&url, "application/x-www-form-urlencoded", form).expect("an answer");
    assert_eq!(answer.status, 401, "{}", answer.text());
    // Whoever has no secret at hand does not open the endpoint with another `up`.
    up(&open);
    open.run(["say", "deploy"]).code(1).says("401");
    assert_eq!(cloud.counts("chatops-words").get("deploy"), Some(&1));
    down(&open, &cloud);
}

#[test]
fn onboarding_creates_three_accounts() {
    let cloud = LocalCloud::new();
    let advent = cloud.cli(&example("onboarding"));
    let (url, _) = up(&advent);
    assert!(url.ends_with("/users"), "{url}");
    let join = |user: &Value| {
        let body = json!({ "user": user }).to_string();
        http::post(&url, "application/json", body.as_bytes()).expect("an answer")
    };
    let show = |user: &str| http::get(&format!("{url}?user={user}")).expect("an answer");

    assert_eq!(show("ada").status, 404);
    let joined = join(&json!("ada"));
    assert_eq!((joined.status, joined.json()), (202, json!({ "user": "ada" })));
    let accounts = |user: &str| {
        let shown = show(user).json();
        (shown.as_object().is_some_and(|shown| shown.len() == 4)).then_some(shown)
    };
    let ada = json!({
        "user": "ada",
        "chat": "@ada",
        "code": "https://code.example.com/~ada",
        "mail": "ada@example.com",
    });
    assert_eq!(eventually("ada has three accounts", || accounts("ada")), ada);

    // Once more changes nothing, and somebody else gets accounts of their own.
    assert_eq!(join(&json!("ada")).status, 202);
    assert_eq!(join(&json!("grace-h")).status, 202);
    let grace = eventually("grace has three accounts", || accounts("grace-h"));
    assert_eq!(grace["chat"], "@grace_h");
    assert_eq!(accounts("ada"), Some(ada));
    assert_eq!(cloud.items("onboarding-users").len(), 2);

    assert_eq!(join(&json!("Ada Lovelace")).status, 400);
    assert_eq!(join(&Value::Null).status, 400);
    assert_eq!(http::send("DELETE", &url, &[], b"").expect("an answer").status, 404);
    down(&advent, &cloud);
}
