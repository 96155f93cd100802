//! Several at once: stages in one local cloud, and local clouds on one machine.

use serde_json::{Value, json};

use crate::support::cli::{Cli, Run};
use crate::support::local::{LocalCloud, article};

/// Names of what a command reported, without what belongs to another resource or is named after
/// its parts.
fn names(document: &Value) -> Vec<String> {
    let resources = document["resources"].as_array().expect("resources are an array");
    resources
        .iter()
        .filter(|resource| !["permission", "subscription"].contains(&text(&resource["kind"])))
        .map(|resource| format!("{} {}", text(&resource["kind"]), text(&resource["name"])))
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

#[track_caller]
fn done(run: Run) -> Value {
    let document = run.code(0).last_json();
    assert_eq!(document["outcome"], "done", "{document}");
    document
}

fn said(advent: &Cli, what: &str) -> Value {
    advent.ok(["say", what, "--json"]).json()["text"].clone()
}

#[test]
fn two_stages_share_a_local_cloud_and_nothing_else() {
    let (cloud, folder) = (LocalCloud::new(), article());
    let one = cloud.cli(&folder);
    let blue = one.clone().arg("--stage").arg("blue");
    // Both at once, and neither finds a local cloud running.
    let (first, second) = (one.spawn(["up", "--json"]), blue.spawn(["up", "--json"]));
    let (first, second) = (done(first.wait()), done(second.wait()));
    assert_ne!(first["url"], second["url"]);
    let (first, second) = (names(&first), names(&second));
    assert!(second.contains(&"table table-blue".to_owned()), "{second:?}");
    assert!(second.contains(&"function sns_logger-blue".to_owned()), "{second:?}");
    assert!(first.iter().all(|name| !second.contains(name)), "{first:?} {second:?}");

    assert_eq!(said(&one, "a word"), "a: 1\nword: 1");
    cloud.wait_for_counts("table", &[("a", 11), ("word", 11)]);
    assert_eq!(said(&blue, "word"), "word: 1");
    cloud.wait_for_counts("table-blue", &[("word", 11)]);
    assert_eq!(cloud.counts("table").len(), 2);

    let url = cloud.url();
    let down = done(one.run(["down", "--yes", "--json"]));
    assert_eq!(names(&down).len(), first.len());
    assert_eq!((cloud.url(), url.is_some()), (url, true), "the local cloud goes on");
    one.run(["plan"]).code(2);
    let status = blue.ok(["status", "--json"]).json();
    assert_eq!((&status["stage"], &status["in_sync"]), (&json!("blue"), &json!(true)));
    assert_eq!(said(&blue, "word"), "word: 12");
    cloud.wait_for_counts("table-blue", &[("word", 22)]);

    done(blue.run(["down", "--yes", "--json"]));
    assert_eq!(cloud.url(), None, "the last one stops it");
}

#[test]
fn two_local_clouds_know_nothing_of_each_other() {
    let (here, there, folder) = (LocalCloud::new(), LocalCloud::new(), article());
    let (one, other) = (here.cli(&folder), there.cli(&folder));
    done(one.run(["up", "--json"]));
    assert_eq!(there.url(), None);
    // The same names, free over there.
    let plan = other.run(["plan", "--json"]).code(2).json();
    let actions = plan["resources"].as_array().expect("resources are an array");
    assert!(actions.iter().all(|resource| resource["action"] == "create"), "{plan}");
    done(other.run(["up", "--json"]));
    assert_ne!(here.url(), there.url());

    assert_eq!(said(&one, "word"), "word: 1");
    here.wait_for_counts("table", &[("word", 11)]);
    there.wait_for_counts("table", &[]);
    assert_eq!(said(&other, "word"), "word: 1");
    there.wait_for_counts("table", &[("word", 11)]);

    done(one.run(["down", "--yes", "--json"]));
    assert_eq!(here.url(), None);
    assert_eq!(said(&other, "word"), "word: 12");
    done(other.run(["down", "--yes", "--json"]));
    assert_eq!(there.url(), None);
}
