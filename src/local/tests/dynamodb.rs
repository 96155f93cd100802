//! Tables through AWS's client.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, Put, ReturnValue, ScalarAttributeType, Tag,
    TransactWriteItem, Update,
};
use serde_json::json;

use super::*;

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/table";

async fn with_table(here: &Here) -> Client {
    let client = Client::new(&here.operator());
    let key = KeySchemaElement::builder().attribute_name("word").key_type(KeyType::Hash);
    let attribute = AttributeDefinition::builder()
        .attribute_name("word")
        .attribute_type(ScalarAttributeType::S);
    let made = client
        .create_table()
        .table_name("table")
        .key_schema(key.build().unwrap())
        .attribute_definitions(attribute.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .tags(Tag::builder().key("a").value("b").build().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(made.table_description().unwrap().table_arn(), Some(ARN));
    while !matches!(
        client
            .describe_table()
            .table_name("table")
            .send()
            .await
            .unwrap()
            .table()
            .unwrap()
            .table_status(),
        Some(aws_sdk_dynamodb::types::TableStatus::Active)
    ) {}
    client
}

fn word(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn add(
    client: &Client,
    text: &str,
) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
    client
        .update_item()
        .table_name("table")
        .key("word", word(text))
        .update_expression("ADD #c :n")
        .expression_attribute_names("#c", "count")
        .expression_attribute_values(":n", AttributeValue::N("1".to_owned()))
        .return_values(ReturnValue::UpdatedNew)
}

#[tokio::test]
async fn items_survive_a_restart_and_regions_are_apart() {
    let here = Here::start();
    let client = with_table(&here).await;
    let all = futures::future::join_all((0..20).map(|_| add(&client, "ü").send())).await;
    assert!(all.iter().all(Result::is_ok));
    let here = here.restarted();
    let client = Client::new(&here.operator());
    let new = add(&client, "ü").send().await.unwrap().attributes.unwrap();
    assert_eq!(new["count"], AttributeValue::N("21".to_owned()));
    let by_arn = client.get_item().table_name(ARN).key("word", word("ü")).send().await.unwrap();
    assert!(by_arn.item().is_some());
    let tags = client.list_tags_of_resource().resource_arn(ARN).send().await.unwrap();
    assert_eq!(tags.tags().len(), 1);
    let config = here.config("eu-west-1", here.owner());
    let elsewhere = Client::new(&config).list_tables().send().await.unwrap();
    assert!(elsewhere.table_names().is_empty());
}

#[tokio::test]
async fn what_dynamodb_refuses() {
    let here = Here::start();
    let client = with_table(&here).await;
    assert_eq!(refusal(add(&client, "").send().await).0, "ValidationException");
    let literal =
        add(&client, "a").update_expression("ADD count :n").set_expression_attribute_names(None);
    assert!(refusal(literal.send().await).1.contains("reserved keyword: count"));
    let absent = client.list_tags_of_resource().resource_arn(format!("{ARN}2")).send().await;
    assert_eq!(refusal(absent).0, "ResourceNotFoundException");
    let absent = client.describe_table().table_name("absent").send().await;
    assert_eq!(
        refusal(absent),
        (
            "ResourceNotFoundException".to_owned(),
            "Requested resource not found: Table: absent not found".to_owned()
        )
    );
}

/// A transaction that puts a marker, once, and counts.
fn marked(
    client: &Client,
) -> aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder {
    let put = Put::builder()
        .table_name("table")
        .item("word", word("seen 1"))
        .condition_expression("attribute_not_exists(word)");
    let update = Update::builder()
        .table_name("table")
        .key("word", word("a"))
        .update_expression("ADD #c :n")
        .expression_attribute_names("#c", "count")
        .expression_attribute_values(":n", AttributeValue::N("10".to_owned()));
    client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put.build().unwrap()).build())
        .transact_items(TransactWriteItem::builder().update(update.build().unwrap()).build())
}

#[tokio::test]
async fn a_function_may_do_what_its_role_allows() {
    let here = Here::start();
    with_table(&here).await;
    let allow = |actions: serde_json::Value| json!({"Statement": {"Effect": "Allow", "Action": actions, "Resource": ARN}});
    create_role(&here.operator(), "update", allow(json!("dynamodb:UpdateItem"))).await;
    create_role(
        &here.operator(),
        "both",
        allow(json!(["dynamodb:UpdateItem", "dynamodb:PutItem"])),
    )
    .await;
    create_role(&here.operator(), "none", allow(json!("dynamodb:GetItem"))).await;

    let none = Client::new(&here.function("none"));
    assert_eq!(
        refusal(add(&none, "a").send().await),
        (
            "AccessDeniedException".to_owned(),
            format!(
                "User: arn:aws:sts::000000000000:assumed-role/none/f is not authorized to perform: \
                 dynamodb:UpdateItem on resource: {ARN} because no identity-based policy allows \
                 the dynamodb:UpdateItem action"
            )
        )
    );
    let update = Client::new(&here.function("update"));
    add(&update, "a").send().await.unwrap();
    let refused = refusal(marked(&update).send().await);
    assert_eq!(refused.0, "AccessDeniedException");
    assert!(refused.1.contains("dynamodb:PutItem"), "{}", refused.1);
    let both = Client::new(&here.function("both"));
    marked(&both).send().await.unwrap();
    assert_eq!(refusal(marked(&both).send().await).0, "TransactionCanceledException");
    let new = add(&both, "a").send().await.unwrap().attributes.unwrap();
    assert_eq!(new["count"], AttributeValue::N("12".to_owned()));
}

#[tokio::test]
async fn a_transaction_that_is_sent_again_is_not_carried_out_again() {
    let here = Here::start();
    let client = with_table(&here).await;
    let send = |token: &str, by: &str| {
        let update = Update::builder()
            .table_name("table")
            .key("word", word("a"))
            .update_expression("ADD #c :n")
            .expression_attribute_names("#c", "count")
            .expression_attribute_values(":n", AttributeValue::N(by.to_owned()));
        let update = TransactWriteItem::builder().update(update.build().unwrap()).build();
        client.transact_write_items().client_request_token(token).transact_items(update).send()
    };
    send("t", "1").await.unwrap();
    send("t", "1").await.unwrap();
    assert_eq!(refusal(send("t", "2").await).0, "IdempotentParameterMismatchException");
    send("u", "1").await.unwrap();
    // What failed may be sent again: here, first nonsense, then the same token with sense.
    assert_eq!(refusal(send("v", "x").await).0, "ValidationException");
    send("v", "1").await.unwrap();
    assert_eq!(refusal(send(&"w".repeat(37), "1").await).0, "ValidationException");
    let new = add(&client, "a").send().await.unwrap().attributes.unwrap();
    assert_eq!(new["count"], AttributeValue::N("4".to_owned()));
}

#[tokio::test]
async fn a_role_that_is_gone_allows_nothing() {
    let here = Here::start();
    with_table(&here).await;
    let client = Client::new(&here.function("absent"));
    assert_eq!(refusal(add(&client, "a").send().await).0, "AccessDeniedException");
}

#[tokio::test]
async fn a_policy_may_name_keys_and_attributes() {
    let here = Here::start();
    with_table(&here).await;
    let policy = json!({"Statement": {"Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": ARN,
        "Condition": {"ForAllValues:StringEquals": {
            "dynamodb:LeadingKeys": ["a"], "dynamodb:Attributes": ["word", "count"]}}}});
    create_role(&here.operator(), "r", policy).await;
    let client = Client::new(&here.function("r"));
    add(&client, "a").send().await.unwrap();
    assert_eq!(refusal(add(&client, "b").send().await).0, "AccessDeniedException");
    let other =
        add(&client, "a").update_expression("ADD other :n").set_expression_attribute_names(None);
    assert_eq!(refusal(other.send().await).0, "AccessDeniedException");
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (body, code) in [
        ("{", "SerializationException"),
        (r#"{"TableName": 1}"#, "SerializationException"),
        ("{}", "ValidationException"),
        (r#"{"TableName": "table", "Key": {"word": {}}}"#, "ValidationException"),
    ] {
        let here = Here::start();
        let answer = gateway::json(&here, "dynamodb", "DynamoDB_20120810.GetItem", body);
        assert!(answer.contains(code), "{body}: {answer}");
    }
}

/// One request must not exhaust the stack of the whole local cloud.
#[tokio::test(flavor = "multi_thread")]
async fn deep_expressions_are_refused() {
    let here = Here::start();
    with_table(&here).await;
    let key = json!({"word": {"S": "a"}});
    for piece in ["(", "NOT ", "not\t", "NOT (", "size(", "a.", "[", "(a = :a) AND (", "a[0]."] {
        // As deep as may be, and as long as DynamoDB reads expressions at all.
        for times in [50, 100, 4090 / piece.len()] {
            let deep = piece.repeat(times.min(4090 / piece.len()));
            for (target, member) in [
                ("Scan", "FilterExpression"),
                ("Query", "KeyConditionExpression"),
                ("Query", "ProjectionExpression"),
                ("DeleteItem", "ConditionExpression"),
                ("UpdateItem", "UpdateExpression"),
            ] {
                let set = if target == "UpdateItem" { "SET a = " } else { "" };
                let mut body = json!({
                    "TableName": "table", member: format!("{set}{deep}a = :a"),
                    "ExpressionAttributeValues": {":a": {"S": "a"}},
                });
                if target.ends_with("Item") {
                    body["Key"] = key.clone();
                }
                let target = format!("DynamoDB_20120810.{target}");
                let answer = super::gateway::json(&here, "dynamodb", &target, &body.to_string());
                // `NOT NOT a = :a` is right, up to a limit, and so is a path.
                let wrong = piece.contains('(') || (!piece.contains('a') && times > 100);
                let refused = answer.contains("ValidationException");
                assert!(refused || !wrong, "{piece} {target}: {answer}");
            }
        }
    }
    let deep = format!("NOT ({} a = :a){}", "(".repeat(2000), ")".repeat(2000));
    let transaction = json!({"TransactItems": [{"ConditionCheck": {
        "TableName": "table", "Key": key, "ConditionExpression": deep,
    }}]});
    let target = "DynamoDB_20120810.TransactWriteItems";
    let answer = super::gateway::json(&here, "dynamodb", target, &transaction.to_string());
    assert!(answer.contains("Invalid ConditionExpression: The expression is nested"), "{answer}");
}

/// SQLite takes them for one, and the engine would leave half a table.
#[tokio::test]
async fn what_the_engine_cannot_name_is_refused_whole() {
    let here = Here::start();
    let client = with_table(&here).await;
    let create = async |table: &str, indexes: &[&str]| {
        let key = || KeySchemaElement::builder().attribute_name("word").key_type(KeyType::Hash);
        let word = AttributeDefinition::builder()
            .attribute_name("word")
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap();
        let index = |name: &&str| {
            let all = Projection::builder().projection_type(ProjectionType::All).build();
            let index = GlobalSecondaryIndex::builder().index_name(*name).projection(all);
            index.key_schema(key().build().unwrap()).build().unwrap()
        };
        let indexes: Vec<_> = indexes.iter().map(index).collect();
        let create = client
            .create_table()
            .table_name(table)
            .key_schema(key().build().unwrap())
            .attribute_definitions(word)
            .billing_mode(BillingMode::PayPerRequest)
            .set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes));
        let created = create.send().await.map(drop);
        created.map_err(|error| {
            error.into_service_error().meta().message().unwrap_or_default().to_owned()
        })
    };
    for (table, indexes, why) in [
        ("tAble", &[][..], "takes it for `table`"),
        ("_tables", &[], "for itself"),
        ("_CONFIG", &[], "for itself"),
        ("sqlite_items", &[], "for itself"),
        ("indexed", &["one", "ONE"], "takes it for `one`"),
    ] {
        let refused = create(table, indexes).await.unwrap_err();
        assert!(refused.contains(why), "{table}: {refused}");
    }
    create("indexed", &["one", "two"]).await.unwrap();
    let tables = client.list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), ["indexed", "table"]);
}
