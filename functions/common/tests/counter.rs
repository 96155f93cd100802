//! What the engine in process never says: conflicts, throttling, half-answered reads, from a scripted endpoint.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{
    counter::{Counter, Earlier, Marker},
    testing::scripted,
};
use serde_json::{Value, json};

type Answers = Arc<Mutex<VecDeque<(u16, Value)>>>;

async fn counter(answers: impl Into<VecDeque<(u16, Value)>>) -> (Counter, Answers, Calls) {
    let answers = Arc::new(Mutex::new(answers.into()));
    let calls = Calls::default();
    let (script, seen) = (answers.clone(), calls.clone());
    let config = scripted(move |body| {
        seen.lock().expect("a lock").push(serde_json::from_str(body).expect("JSON"));
        script.lock().expect("a lock").pop_front().expect("another answer")
    })
    .await;
    (Counter::new(aws_sdk_dynamodb::Client::new(&config), "table"), answers, calls)
}

type Calls = Arc<Mutex<Vec<Value>>>;

fn cancelled(reasons: &[Value]) -> (u16, Value) {
    let error = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    (400, json!({"__type": error, "Message": "cancelled", "CancellationReasons": reasons}))
}

fn words(words: &[&str]) -> Vec<(String, u64)> {
    words.iter().map(|word| ((*word).to_owned(), 1)).collect()
}

fn marker() -> Marker {
    Marker::new("test", "1", Duration::from_mins(1))
}

#[tokio::test]
async fn a_conflict_passes() {
    let none = json!({"Code": "None"});
    let (counter, answers, calls) = counter([
        cancelled(&[none.clone(), json!({"Code": "TransactionConflict"})]),
        cancelled(&[json!({"Code": "ThrottlingError"}), none]),
        (400, json!({"__type": "TransactionInProgressException", "Message": "wait"})),
        (200, json!({})),
    ])
    .await;
    let added = counter.add(&words(&["a"]), 10, Some(&marker())).await.expect("added");
    assert_eq!(added, None);
    assert!(answers.lock().expect("a lock").is_empty());
    let calls = calls.lock().expect("a lock");
    let update = &calls[3]["TransactItems"][1]["Update"];
    assert_eq!(update["UpdateExpression"], "ADD #c :n");
    assert_eq!(update["ExpressionAttributeNames"], json!({"#c": "count"}));
    assert_eq!(update["ExpressionAttributeValues"], json!({":n": {"N": "10"}}));
}

#[tokio::test]
async fn the_marker_tells_what_happened_before() {
    let item = json!({"word": {"S": "seen test 1 0"}, "published": {"BOOL": true}, "signatures": {"SS": ["v0"]}});
    let seen = json!({"Code": "ConditionalCheckFailed", "Item": item});
    let (counter, _, _) = counter([cancelled(&[seen, json!({"Code": "None"})])]).await;
    let earlier = counter.add(&words(&["a"]), 1, Some(&marker())).await.expect("seen");
    let signatures = vec!["v0".to_owned()];
    let wanted = Earlier { counted: true, published: true, signatures, ..Earlier::default() };
    assert_eq!(earlier, Some(wanted));
}

#[tokio::test]
async fn what_does_not_pass_is_an_error() {
    let wrong = json!({"Code": "ValidationError", "Message": "Type mismatch"});
    let denied = json!({"__type": "AccessDeniedException", "Message": "not authorized"});
    let (counter, answers, _) =
        counter([cancelled(&[json!({"Code": "None"}), wrong]), cancelled(&[]), (400, denied)])
            .await;
    for _ in 0..3 {
        counter.add(&words(&["a"]), 1, Some(&marker())).await.expect_err("an error");
    }
    assert!(answers.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn ninety_nine_words_and_a_marker_are_a_transaction() {
    let (counter, _, calls) = counter(vec![(200, json!({})); 3]).await;
    let many: Vec<_> = (0..199).map(|n| (n.to_string(), 1)).collect();
    counter.add(&many, 1, Some(&marker())).await.expect("added");
    let calls = calls.lock().expect("a lock");
    let mut sizes: Vec<_> =
        calls.iter().map(|call| call["TransactItems"].as_array().expect("actions").len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 100, 100]);
}

#[tokio::test]
async fn a_read_goes_on_until_all_is_read() {
    let item = |word: &str, count: &str| json!({"word": {"S": word}, "count": {"N": count}});
    let open = json!({"table": {"Keys": [{"word": {"S": "b"}}], "ConsistentRead": true}});
    let (counter, _, calls) = counter([
        (200, json!({"Responses": {"table": [item("a", "1")]}, "UnprocessedKeys": open})),
        (200, json!({"Responses": {"table": [item("b", "12")]}, "UnprocessedKeys": {}})),
    ])
    .await;
    let counts = counter.read(&words(&["a", "b", "c"])).await.expect("read");
    assert_eq!(counts, HashMap::from([("a".into(), "1".into()), ("b".into(), "12".into())]));
    let calls = calls.lock().expect("a lock");
    assert_eq!(calls[0]["RequestItems"]["table"]["ConsistentRead"], true);
    assert_eq!(calls[1]["RequestItems"], open);
}
