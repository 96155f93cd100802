//! Counts words as the article does, one update after another: what `aws_advent` is compared with.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use common::aws::{Aws, variable};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::new(&Aws::from_env()?.config);
    let table = variable("DYNAMO_TABLE").unwrap_or_default();
    run(service_fn(|event: LambdaEvent<Value>| count(&client, &table, event.payload))).await
}

async fn count(client: &Client, table: &str, event: Value) -> Result<Value, Error> {
    let body = event["body"].as_str().unwrap_or_default();
    let text = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "text");
    let text = text.map(|(_, text)| text).unwrap_or_default();
    let mut counts = Vec::new();
    for word in text.split_whitespace() {
        let updated = client
            .update_item()
            .table_name(table)
            .key("word", AttributeValue::S(word.to_owned()))
            .update_expression("ADD #c :n")
            .expression_attribute_names("#c", "count")
            .expression_attribute_values(":n", AttributeValue::N("1".to_owned()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await?;
        let count = updated.attributes.and_then(|mut new| new.remove("count"));
        let count = count.and_then(|count| count.as_n().ok().cloned()).unwrap_or_default();
        counts.push(format!("{word}: {count}"));
    }
    let body = json!({ "text": counts.join("\n") }).to_string();
    Ok(json!({ "statusCode": 200, "body": body }))
}
