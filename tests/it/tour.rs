//! The article's application from its first `up` to its `down`, as a newcomer goes through it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::{Cli, Run};
use crate::support::local::{LocalCloud, article, eventually};
use crate::support::proxy::Proxy;
use crate::support::python::python;
use crate::support::world::World;

/// Everything that the article's application consists of.
const RESOURCES: usize = 17;
const TEXT: &str = "awsadvent some words";

/// Every word with the same count, as the bot answers and as the table counts.
fn answer(count: u64) -> String {
    format!("awsadvent: {count}\nsome: {count}\nwords: {count}")
}

fn table(count: u64) -> [(&'static str, u64); 3] {
    [("awsadvent", count), ("some", count), ("words", count)]
}

/// The answer to the words must be this count.
#[track_caller]
fn say(advent: &Cli, count: u64) {
    let said = advent.ok(["say", TEXT, "--json"]).json();
    assert_eq!((&said["status"], &said["text"]), (&json!(200), &json!(answer(count))), "{said}");
    assert!(said["ms"].is_u64(), "{said}");
}

/// All resources went well, each with this action.
#[track_caller]
fn all(run: &Run, action: &str) -> Value {
    let document = run.last_json();
    assert_eq!(document["outcome"], "done", "{document}");
    let steps = document["resources"].as_array().expect("resources are an array");
    assert_eq!(steps.len(), RESOURCES, "{document}");
    for step in steps {
        assert_eq!((&step["action"], &step["outcome"]), (&json!(action), &json!("done")), "{step}");
    }
    document
}

#[test]
fn the_article() {
    let (cloud, folder) = (LocalCloud::new(), article());
    let advent = cloud.cli(&folder);
    let up = all(&advent.ok(["up", "--json"]), "create");
    let url = up["url"].as_str().expect("a URL").to_owned();
    assert!(url.ends_with("/aws_advent"), "{url}");

    say(&advent, 1);
    cloud.wait_for_counts("table", &table(11));
    say(&advent, 12);
    cloud.wait_for_counts("table", &table(22));

    let words = eventually("both messages are logged", || {
        let words = logged(&advent.ok(["logs", "sns_logger", "--json"]));
        (words.len() >= 6).then_some(words)
    });
    assert_eq!(words, ["awsadvent", "some", "words", "awsadvent", "some", "words"]);

    let status = advent.ok(["status", "--json"]).json();
    assert_eq!(status["in_sync"], true, "{status}");
    assert_eq!((&status["stack"], &status["stage"]), (&json!("awsadvent"), &json!("default")));
    assert_eq!((&status["url"], &status["endpoint"]), (&json!(url), &json!(cloud.url())));
    for resource in status["resources"].as_array().expect("resources are an array") {
        assert_eq!((&resource["action"], &resource["changes"]), (&json!("keep"), &json!([])));
    }
    advent.ok(["plan"]);

    advent.run(["down"]).code(2).says("--yes");
    assert_eq!(cloud.counts("table").len(), 3, "what was refused deleted nothing");
    let down = all(&advent.ok(["down", "--yes", "--json"]), "delete");
    assert_eq!(down["url"], Value::Null);
    assert_eq!(cloud.url(), None, "an empty local cloud is stopped");
    advent.ok(["down", "--yes"]);
    advent.run(["say", TEXT]).code(1).says("is not up");
    advent.run(["plan"]).code(2);
}

/// The words in the log of `sns_logger`, without what Lambda logs around them.
fn logged(run: &Run) -> Vec<String> {
    let events = run.json();
    let events = events["events"].as_array().expect("events are an array");
    let word = |event: &Value| {
        assert_eq!(event["function"], "sns_logger", "{event}");
        let line: Value = serde_json::from_str(event["message"].as_str()?.trim()).ok()?;
        Some(line["word"].as_str()?.to_owned())
    };
    events.iter().filter_map(word).collect()
}

/// An executable that carries the article's application as the local cloud gets it.
#[track_caller]
fn packed(cloud: &LocalCloud, folder: &Path) -> (TempDir, PathBuf) {
    let place = TempDir::new().expect("a folder for the executable");
    let program = place.path().join("advent");
    let out = program.to_str().expect("a path in UTF-8");
    let document = cloud.cli(folder).ok(["pack", "--out", out, "--json"]).json();
    assert_eq!(document["functions"], json!(["aws_advent", "sns_logger", "sns_multiplier"]));
    let bytes = program.metadata().expect("it is written").len();
    assert_eq!(document["bytes"], bytes);
    (place, program)
}

#[test]
fn a_second_up_writes_nothing() {
    let (cloud, folder) = (LocalCloud::with_secret("test"), article());
    // What an executable carries is the same with `--local` and without.
    let (elsewhere, packed) = packed(&cloud, &folder);
    cloud.cli(elsewhere.path()).program(&packed).ok(["up", "--yes"]);
    let proxy = Proxy::start(&cloud.url().expect("it runs"));
    // Through the wire that is counted, as to any other endpoint.
    let advent = Cli::new(elsewhere.path()).program(&packed).endpoint(&proxy.url);
    all(&advent.ok(["up", "--json"]), "keep");
    let requests = proxy.take();
    assert!(requests.len() > RESOURCES, "the proxy saw too little:\n{requests}");
    assert_eq!(requests.mutating(), [""; 0], "\n{requests}");
    advent.ok(["plan"]);
    advent.ok(["status"]);
    assert_eq!(proxy.take().mutating(), [""; 0]);
}

#[test]
fn data_and_address_survive_a_restart() {
    let (cloud, folder) = (LocalCloud::new(), article());
    let advent = cloud.cli(&folder);
    let url = all(&advent.ok(["up", "--json"]), "create")["url"].clone();
    say(&advent, 1);
    cloud.wait_for_counts("table", &table(11));
    cloud.stop();
    assert_eq!(cloud.url(), None);

    let foreground = cloud.start();
    say(&advent, 12);
    cloud.wait_for_counts("table", &table(22));
    cloud.stop();
    foreground.wait().code(0);

    // Any command starts it again.
    say(&advent, 23);
    let status = advent.ok(["status", "--json"]).json();
    assert_eq!((&status["in_sync"], &status["url"]), (&json!(true), &url));
    cloud.wait_for_counts("table", &table(33));
}

#[test]
fn a_packed_executable_needs_nothing_else() {
    let (cloud, folder) = (LocalCloud::new(), article());
    let empty = TempDir::new().expect("an empty folder");
    let (_elsewhere, packed) = packed(&cloud, &folder);

    // No cargo, no shell: an empty search path.
    let advent = cloud.cli(empty.path()).program(&packed).env("PATH", "");
    advent.run(["up"]).code(2).says("which this executable carries").says("--yes");
    all(&advent.ok(["up", "--yes", "--json"]), "create");
    say(&advent, 1);
    cloud.wait_for_counts("table", &table(11));
    say(&advent, 12);
    all(&advent.ok(["up", "--json"]), "keep");
    // The source and the executable that carries it are the same application.
    assert_eq!(cloud.cli(&folder).ok(["status", "--json"]).json()["in_sync"], true);
    all(&advent.ok(["down", "--yes", "--json"]), "delete");
    assert_eq!(cloud.url(), None);
    let left = empty.path().read_dir().expect("the folder is there").count();
    assert_eq!(left, 0, "the folder is as empty as it was");
}

#[test]
fn another_client_sees_what_the_article_made() {
    let Some(python) = python() else { return };
    let (cloud, folder) = (LocalCloud::new(), article());
    let advent = cloud.cli(&folder);
    advent.ok(["up"]);
    let boto = cloud.boto(python);
    let world = World::read(&boto).0;

    assert_eq!(names(&world["tables"]), ["table"]);
    let words = &world["tables"]["table"];
    assert_eq!(words["KeySchema"], json!([{ "AttributeName": "word", "KeyType": "HASH" }]));
    assert_eq!(words["billing"], "PAY_PER_REQUEST");

    let topic = "arn:aws:sns:us-east-1:000000000000:awsadvent";
    assert_eq!(names(&world["topics"]), [topic]);
    let function = |name: &str| format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
    let subscribed = ["sns_logger", "sns_multiplier"].map(|name| {
        json!({ "Protocol": "lambda", "Endpoint": function(name), "RawMessageDelivery": "false" })
    });
    assert_eq!(world["topics"][topic]["subscriptions"], json!(subscribed));

    let functions = ["aws_advent", "sns_logger", "sns_multiplier"];
    assert_eq!(names(&world["functions"]), functions);
    assert_eq!(names(&world["log_groups"]), functions.map(|name| format!("/aws/lambda/{name}")));
    let front = &world["functions"]["aws_advent"];
    assert_eq!(front["Runtime"], "provided.al2023");
    assert_eq!(front["environment"]["DYNAMO_TABLE"], "table");
    assert_eq!(front["environment"]["SNS_TOPIC_ARN"], topic);
    let zips = TempDir::new().expect("a folder for the zips");
    let out = zips.path().to_str().expect("a path in UTF-8");
    let built = advent.ok(["build", "--out", out, "--json"]).json();
    for zip in built["functions"].as_array().expect("functions are an array") {
        let name = zip["function"].as_str().expect("a name");
        assert_eq!(world["functions"][name]["CodeSha256"], zip["sha256"], "{name}");
    }

    let role = &world["roles"]["aws_advent_lambda_dynamo-us-east-1"];
    assert_eq!(front["Role"], role["Arn"]);
    let publish = &role["policies"]["aws_advent_lambda_dynamo_snspublish"]["Statement"][0];
    assert_eq!((&publish["Action"], &publish["Resource"]), (&json!("sns:Publish"), &json!(topic)));
    assert_eq!(names(&world["roles"]).len(), 3);

    assert_eq!(world["apis"].as_array().map(Vec::len), Some(1));
    let api = &world["apis"][0];
    assert_eq!((&api["Name"], &api["ProtocolType"]), (&json!("aws_advent"), &json!("HTTP")));
    let target = &api["routes"]["ANY /aws_advent"]["target"];
    assert_eq!(target["PayloadFormatVersion"], "2.0");
    assert_eq!(target["IntegrationUri"], function("aws_advent"));
    let throttle = &api["stages"]["$default"]["DefaultRouteSettings"];
    assert_eq!(
        (&throttle["ThrottlingRateLimit"], &throttle["ThrottlingBurstLimit"]),
        (&json!(10.0), &json!(20))
    );

    for (kind, things) in world.as_object().expect("a world is an object") {
        let things: Vec<_> = match things {
            Value::Object(things) => things.values().collect(),
            things => things.as_array().into_iter().flatten().collect(),
        };
        for thing in things {
            let tags = &thing["tags"];
            assert_eq!(tags["advent:stack"], "awsadvent", "{kind}: {thing}");
            assert_eq!(tags["advent:stage"], "default", "{kind}: {thing}");
        }
    }

    // What another client publishes is counted as well, mangled by nobody.
    let message = json!({ "TopicArn": topic, "Message": "a+b %41 a+b" });
    boto.call("sns", "publish", message);
    cloud.wait_for_counts("table", &[("a+b", 20), ("%41", 10)]);

    advent.ok(["down", "--yes"]);
    assert_eq!(cloud.url(), None);
    let running = cloud.start();
    let boto = cloud.boto(python);
    World::read(&boto).assert_empty("after down");
    cloud.stop();
    running.wait().code(0);
}

fn names(things: &Value) -> Vec<String> {
    things.as_object().expect("things by name").keys().cloned().collect()
}
