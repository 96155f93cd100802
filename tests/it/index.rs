//! The tagging API's index lags: neither what it misses nor what it still has misleads anybody.

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::support::proxy::{Answer, Fault, Operation, Rule};
use crate::support::python::{Boto, python};
use crate::support::rig::{Backend, Rig};
use crate::support::world::World;

const TABLE: &str = "small-items";
const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:000000000000:small-news";
const LOG_GROUP: &str = "/aws/lambda/small-front";

/// Everything that the project ever had, and a table that it dropped long ago.
fn knows_all(_: &Operation, answer: Answer) -> Answer {
    let arn = |rest: &str| format!("arn:aws:{rest}").replace("::", ":us-east-1:000000000000:");
    listing(
        answer,
        &[
            arn("dynamodb::table/small-items"),
            arn("dynamodb::table/small-dropped"),
            TOPIC_ARN.to_owned(),
            arn("logs::log-group:/aws/lambda/small-front"),
            arn("logs::log-group:/aws/lambda/small-back:*"),
        ],
    )
}

fn knows_nothing(_: &Operation, answer: Answer) -> Answer {
    listing(answer, &[])
}

fn listing(answer: Answer, arns: &[String]) -> Answer {
    let list: Vec<_> = arns.iter().map(|arn| json!({ "ResourceARN": arn, "Tags": [] })).collect();
    let body = json!({ "PaginationToken": "", "ResourceTagMappingList": list });
    Answer { body: Bytes::from(body.to_string()), ..answer }
}

fn index(answers: fn(&Operation, Answer) -> Answer) -> Rule {
    Rule::operation("tagging", "GetResources", Fault::Rewrite(answers))
}

/// A kind, how ours goes, how somebody else makes one that looks the same, and how one that does
/// not.
type Taken = (&'static str, &'static str, fn(&Boto<'_>), fn(&Boto<'_>), fn(&Boto<'_>));

fn create_table(boto: &Boto<'_>, name: &str, key: &str) {
    let table = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{ "AttributeName": key, "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": key, "AttributeType": "S" }],
        "Tags": [{ "Key": "owner", "Value": "somebody" }],
    });
    boto.call("dynamodb", "create_table", table);
}

fn create_topic(boto: &Boto<'_>) {
    let tags = json!([{ "Key": "owner", "Value": "somebody" }]);
    boto.call("sns", "create_topic", json!({ "Name": "small-news", "Tags": tags }));
}

fn create_log_group(boto: &Boto<'_>, days: u16) {
    let group = json!({ "logGroupName": LOG_GROUP, "tags": { "owner": "somebody" } });
    boto.call("logs", "create_log_group", group);
    let policy = json!({ "logGroupName": LOG_GROUP, "retentionInDays": days });
    boto.call("logs", "put_retention_policy", policy);
}

const TAKEN: [Taken; 3] = [
    (
        "table",
        TABLE,
        |boto| drop(boto.call("dynamodb", "delete_table", json!({ "TableName": TABLE }))),
        |boto| create_table(boto, TABLE, "id"),
        |boto| create_table(boto, TABLE, "other"),
    ),
    (
        "topic",
        "small-news",
        |boto| drop(boto.call("sns", "delete_topic", json!({ "TopicArn": TOPIC_ARN }))),
        |boto| {
            create_topic(boto);
            boto.call(
                "sns",
                "subscribe",
                json!({
                    "TopicArn": TOPIC_ARN, "Protocol": "lambda",
                    "Endpoint": "arn:aws:lambda:us-east-1:000000000000:function:small-back"
                }),
            );
        },
        create_topic,
    ),
    (
        "log group",
        LOG_GROUP,
        |boto| drop(boto.call("logs", "delete_log_group", json!({ "logGroupName": LOG_GROUP }))),
        |boto| create_log_group(boto, 14),
        |boto| create_log_group(boto, 3),
    ),
];

/// The tables, topics and log groups of a world.
fn taken(world: &World, kind: &str, name: &str) -> Value {
    let kind = format!("{}s", kind.replace(' ', "_"));
    let things = world.0[&kind].as_object().expect("things by name");
    let (_, thing) = things.iter().find(|(key, _)| key.ends_with(name)).expect("it is there");
    thing.clone()
}

#[test]
fn what_the_index_does_not_know_yet_is_not_taken_for_foreign() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let Rig { people: cli, proxy, .. } = &rig;
    proxy.inject(index(knows_nothing));
    cli.ok(["up"]);
    let world = rig.world();
    proxy.take();

    cli.ok(["up"]);
    let records = proxy.take();
    assert_eq!(records.mutating(), [""; 0], "{records}");
    let asked = [("dynamodb", "ListTagsOfResource", 1), ("logs", "ListTagsForResource", 2)];
    for (service, name, times) in asked {
        assert_eq!(records.count(service, name), times, "{records}");
    }
    assert_eq!(records.count("sns", "ListTagsForResource"), 1, "{records}");
    assert_eq!(cli.ok(["status", "--json"]).json()["in_sync"], true);
    world.assert_same(&rig.world(), "with an index that knows nothing");
    cli.ok(["down"]);
    rig.world().assert_empty("after down");
}

#[test]
fn what_the_index_still_knows_is_created_again() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let Rig { people: cli, proxy, boto, .. } = &rig;
    proxy.inject(index(knows_all));
    cli.ok(["up"]);
    let world = rig.world();
    for (kind, name, remove, ..) in TAKEN {
        remove(boto);
        let status = cli.ok(["status", "--json"]).json();
        assert_eq!(status["in_sync"], false, "{kind} {name}: {status:#}");
        cli.ok(["up"]);
        world.assert_same(&rig.world(), &format!("{kind} {name} created again"));
    }
    proxy.take();
    cli.ok(["up"]);
    let records = proxy.take();
    assert_eq!(records.mutating(), [""; 0], "{records}");
    // But for the table that was dropped long ago.
    let asked = records.0.iter().filter(|record| record.operation.name.contains("ListTags"));
    let asked: Vec<_> = asked.map(|record| record.operation.subject.as_str()).collect();
    assert_eq!(asked, ["small-dropped"], "{records}");
}

#[test]
fn a_stranger_that_the_index_takes_for_ours_is_never_written_to() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let Rig { people: cli, proxy, boto, .. } = &rig;
    for (kind, name, remove, same, other) in TAKEN {
        for (looks, make) in [("same", same), ("other", other)] {
            let what = format!("{kind} {name} that looks {looks}");
            cli.ok(["up"]);
            remove(boto);
            make(boto);
            let theirs = rig.world();
            proxy.inject(index(knows_all));
            proxy.take();
            if looks == "same" {
                // Nothing has to be changed, so nobody is asked whose it is.
                cli.ok(["up"]);
            } else {
                cli.run(["up", "--replace", TABLE]).code(2).says(name).says("not made by");
            }
            let records = proxy.take();
            assert_eq!(records.mutating(), [""; 0], "{what}: {records}");
            theirs.assert_same(&rig.world(), &format!("{what}, after up"));

            cli.ok(["down"]).says(name);
            let rest = rig.world();
            // Ours is gone from it: the function that listened.
            let mut was = taken(&theirs, kind, name);
            let mut is = taken(&rest, kind, name);
            for thing in [&mut was, &mut is] {
                thing.as_object_mut().expect("an object").remove("subscriptions");
            }
            assert_eq!(was, is, "{what}, after down");
            proxy.heal();
            remove(boto);
            rig.world().assert_empty(&what);
        }
    }
}

#[test]
fn what_comes_up_under_the_name_meanwhile_is_not_adopted_on_the_index_s_word() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let Rig { people: cli, proxy, boto, .. } = &rig;
    create_table(boto, TABLE, "id");
    let theirs = taken(&rig.world(), "table", TABLE);
    proxy.inject(index(knows_all));
    let unseen = Fault::Error(400, "ResourceNotFoundException", "not there yet");
    proxy.inject(Rule::operation("dynamodb", "DescribeTable", unseen).times(1));
    cli.run(["up"]).code(1).says("the name was taken meanwhile");
    assert_eq!(theirs, taken(&rig.world(), "table", TABLE));
    cli.ok(["down"]).says(TABLE);
    assert_eq!(theirs, taken(&rig.world(), "table", TABLE));
}

#[test]
fn a_leftover_that_only_the_index_takes_for_ours_stays() {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let Rig { people: cli, proxy, boto, .. } = &rig;
    create_table(boto, "small-dropped", "id");
    let theirs = taken(&rig.world(), "table", "small-dropped");
    proxy.inject(index(knows_all));
    cli.ok(["up"]);
    cli.ok(["up"]);
    cli.ok(["down"]);
    assert_eq!(theirs, taken(&rig.world(), "table", "small-dropped"));
}
