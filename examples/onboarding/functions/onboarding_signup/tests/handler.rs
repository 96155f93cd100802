//! Whole events in, whole answers out, on a real `DynamoDB` engine.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use common::{
    sns::Topic,
    testing::{Sns, TOPIC, Table, context, post_event},
};
use lambda_runtime::LambdaEvent;
use onboarding_signup::Function;
use serde_json::{Value, json};

async fn send(function: &Function, event: Value) -> (i64, Value) {
    let response = function.handle(LambdaEvent::new(event, context())).await.expect("an answer");
    let body = response.body.expect("a body").to_vec();
    (response.status_code, serde_json::from_slice(&body).expect("JSON"))
}

fn joins(body: &str) -> Value {
    post_event("application/json", body)
}

fn asks(user: &str) -> Value {
    let mut event = post_event("", "");
    event["requestContext"]["http"]["method"] = json!("GET");
    event["queryStringParameters"] = json!({ "user": user });
    event
}

#[tokio::test]
async fn stores_and_tells() {
    let table = Table::new("user").await;
    let sns = Sns::new().await;
    let function = Function {
        users: table.client.clone().into(),
        table: table.name.into(),
        joined: Topic::new(sns.client(), TOPIC),
    };
    assert_eq!(send(&function, asks("ada")).await.0, 404);
    sns.fail(1);
    assert_eq!(send(&function, joins(r#"{"user":"ada"}"#)).await.0, 503);
    assert_eq!(sns.published().len(), 0);
    assert_eq!(send(&function, joins(r#"{"user":"ada"}"#)).await, (202, json!({"user": "ada"})));
    assert_eq!(sns.published()[0].text, "ada");
    assert_eq!(send(&function, asks("ada")).await, (200, json!({"user": "ada"})));

    for wrong in ["", "{", "{}", r#"{"user":1}"#, r#"{"user":""}"#, r#"{"user":"A b"}"#] {
        assert_eq!(send(&function, joins(wrong)).await.0, 400, "{wrong}");
    }
    assert_eq!(send(&function, asks("")).await.0, 404);
    let mut delete = joins("");
    delete["requestContext"]["http"]["method"] = json!("DELETE");
    assert_eq!(send(&function, delete).await.0, 405);
    assert_eq!(table.keys().await, ["ada"]);
}
