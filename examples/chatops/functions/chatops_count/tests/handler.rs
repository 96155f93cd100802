//! Whole events in, whole answers out, on a real `DynamoDB` engine.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use chatops_count::Function;
use common::{
    counter::Counter,
    slack::Secrets,
    testing::{Table, context, in_base64, nowhere, post_event},
};
use lambda_runtime::LambdaEvent;

const FORM: &str = "application/x-www-form-urlencoded";

async fn say(function: &Function, body: &str) -> (i64, String) {
    let event = LambdaEvent::new(in_base64(post_event(FORM, body)), context());
    let response = function.handle(event).await.expect("an answer");
    let body = response.body.expect("a body");
    (response.status_code, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn counts_and_answers() {
    let table = Table::new("word").await;
    let counter = Counter::new(table.client.clone(), table.name);
    let mut function = Function { secrets: Secrets::default(), counter };
    for count in 1..=2 {
        let (status, body) = say(&function, "text=deploy+the+deploy").await;
        assert_eq!(status, 200);
        assert_eq!(body, format!(r#"{{"text":"deploy: {}\nthe: {count}"}}"#, 2 * count));
    }
    let slack = "team_id=T&channel_id=C&user_id=U&timestamp=1.2&text=once";
    assert_eq!(say(&function, slack).await, say(&function, slack).await);
    assert_eq!(table.count("once").await, 1);
    assert_eq!(say(&function, "").await.0, 200);

    function.secrets.token = Some("token".into());
    assert_eq!(say(&function, slack).await.0, 401);
    function.counter = Counter::new(aws_sdk_dynamodb::Client::new(&nowhere().await), "table");
    assert_eq!(say(&function, &format!("{slack}&token=token")).await.0, 503);
}
