//! Whole events in, counts in a real `DynamoDB` engine out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use common::{
    counter::Counter,
    testing::{Table, context, nowhere, sns_event},
};
use futures::future::join_all;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use sns_multiplier::Function;

#[path = "handler/any.rs"]
mod any;
#[path = "../../../src/fuzz.rs"]
mod fuzz;

const ID: &str = "95df01b4-ee98-5cb9-9903-4c221d41eb5e";

async fn world() -> (Table, Function) {
    let table = Table::new("word").await;
    let counter = Counter::new(table.client.clone(), table.name);
    (table, Function { counter: Some(counter) })
}

async fn deliver(function: &Function, event: &Value) -> Result<(), common::Error> {
    function.handle(LambdaEvent::new(event.clone(), context())).await
}

#[tokio::test]
async fn adds_ten_per_occurrence_of_the_words_as_published() {
    let (table, function) = world().await;
    let event = sns_event(&[(ID, "a b a &+%#= text=x+y 🎉"), ("other", "a")]);
    deliver(&function, &event).await.expect("done");
    assert_eq!(table.count("a").await, 30);
    for word in ["b", "&+%#=", "text=x+y", "🎉"] {
        assert_eq!(table.count(word).await, 10, "{word}");
    }
}

#[tokio::test]
async fn a_message_delivered_again_adds_nothing() {
    let (table, function) = world().await;
    let words: Vec<_> = (0..250).map(|n| format!("w{n}")).collect();
    let event = sns_event(&[(ID, &words.join(" "))]);
    for delivered in join_all((0..10).map(|_| deliver(&function, &event))).await {
        delivered.expect("done");
    }
    deliver(&function, &event).await.expect("done");
    for word in &words {
        assert_eq!(table.count(word).await, 10, "{word}");
    }
}

#[tokio::test]
async fn a_message_published_again_adds_nothing() {
    let (table, function) = world().await;
    for id in [ID, "another"] {
        let mut event = sns_event(&[(id, "a")]);
        event["Records"][0]["Sns"]["MessageAttributes"] =
            json!({"id": {"Type": "String", "Value": "the publisher's"}});
        deliver(&function, &event).await.expect("done");
    }
    assert_eq!(table.count("a").await, 10);
}

#[tokio::test]
async fn different_messages_all_count() {
    let (table, function) = world().await;
    let events: Vec<_> = (0..20).map(|n| sns_event(&[(&format!("{ID}{n}"), "a")])).collect();
    for delivered in join_all(events.iter().map(|event| deliver(&function, event))).await {
        delivered.expect("done");
    }
    assert_eq!(table.count("a").await, 200);
}

#[tokio::test]
async fn a_crash_is_made_good_by_the_next_delivery() {
    let (table, function) = world().await;
    for micros in (0..15_000).step_by(750) {
        let event = sns_event(&[(&format!("{ID}{micros}"), &format!("w{micros}"))]);
        let time = Duration::from_micros(micros);
        let _ = tokio::time::timeout(time, deliver(&function, &event)).await;
        deliver(&function, &event).await.expect("done");
        assert_eq!(table.count(&format!("w{micros}")).await, 10);
    }
}

/// Ninety-nine words and a marker are one transaction: a crash can come between two of them.
#[tokio::test]
async fn a_crash_between_two_transactions_is_made_good() {
    let (table, function) = world().await;
    let words: Vec<_> = (0..250).map(|n| format!("w{n}")).collect();
    let event = sns_event(&[(ID, &words.join(" "))]);
    // A word whose count is no number stops the second transaction only.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = table.client.put_item().table_name(table.name).item("word", text("w140"));
    item.item("count", text("many")).send().await.expect("put");
    for _ in 0..2 {
        deliver(&function, &event).await.expect_err("not all can be added");
    }
    let delete = table.client.delete_item().table_name(table.name).key("word", text("w140"));
    delete.send().await.expect("deleted");
    // The function starts anew, twice, and both get the event at once.
    let anew = || Function { counter: Some(Counter::new(table.client.clone(), table.name)) };
    let (one, other) = (anew(), anew());
    let (one, other) = futures::join!(deliver(&one, &event), deliver(&other, &event));
    one.expect("done");
    other.expect("done");
    for word in &words {
        assert_eq!(table.count(word).await, 10, "{word}");
    }
}

/// SNS tries for 23 days, and Lambda for six hours more.
#[tokio::test]
async fn a_message_is_known_for_as_long_as_it_may_come_again() {
    let (table, function) = world().await;
    deliver(&function, &sns_event(&[(ID, "a")])).await.expect("done");
    let keys = table.keys().await;
    let marker = keys.iter().find(|key| key.contains(ID)).expect("a marker");
    let expires = table.get(marker, "expires").await.expect("a time");
    let expires = UNIX_EPOCH + Duration::from_secs(expires.parse().expect("seconds"));
    assert!(expires > SystemTime::now() + Duration::from_hours(24 * 24));
    let other = world().await;
    deliver(&other.1, &sns_event(&[(ID, marker)])).await.expect("done");
    assert_eq!(other.0.count(marker).await, 0, "no word is a marker");
}

#[tokio::test]
async fn what_cannot_be_added_is_an_error_so_that_it_comes_again() {
    let (_table, mut function) = world().await;
    assert!(deliver(&function, &json!({"Records": [{"Sns": {}}]})).await.is_err());
    function.counter = Some(Counter::new(aws_sdk_dynamodb::Client::new(&nowhere().await), "table"));
    let event = sns_event(&[(ID, "a")]);
    assert!(deliver(&function, &event).await.is_err());
    function.counter = None;
    let error = deliver(&function, &event).await.expect_err("no table");
    assert!(error.to_string().contains("DYNAMO_TABLE"));
}

#[tokio::test]
async fn nothing_to_count_is_done() {
    let (table, function) = world().await;
    let long = "x".repeat(2049);
    for text in ["", " ", &long] {
        deliver(&function, &sns_event(&[(ID, text)])).await.expect("done");
    }
    deliver(&function, &json!({"Records": []})).await.expect("done");
    assert!(table.keys().await.is_empty());
}
