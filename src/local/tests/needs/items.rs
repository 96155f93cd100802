//! Conditions on items and attributes: told by what the engine reads, and by nothing else.

use serde_json::{Value, json};

use super::super::{Here, create_role};
use super::{Asked, ask, ask_raw, denied};

const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/table";

fn asked(operation: &str, more: &Value) -> Asked {
    let mut asked = Asked::new("dynamodb", &format!("D.{operation}"), more);
    let lists = ["Batch", "Transact", "Execute"];
    if !lists.iter().any(|start| operation.starts_with(start)) {
        asked.fields.insert("TableName".to_owned(), json!("table"));
    }
    asked
}

/// A table with an item that anybody may see, and one that not, and a role for each policy.
async fn with_items(roles: &[(&str, Value)]) -> Here {
    let here = Here::start();
    let table = json!({"BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "word", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "word", "KeyType": "HASH"}]});
    let item = |word: &str| json!({"Item": {"word": {"S": word}, "count": {"N": "1"}, "secret": {"S": "s"}}});
    for (operation, fields) in
        [("CreateTable", table), ("PutItem", item("a")), ("PutItem", item("b"))]
    {
        let (status, text) = ask(&here, None, &asked(operation, &fields)).await;
        assert_eq!(status, 200, "{text}");
    }
    for (role, statements) in roles {
        create_role(&here.operator(), role, json!({"Statement": statements})).await;
    }
    here
}

fn allow(condition: &Value) -> Value {
    json!({"Effect": "Allow", "Action": "dynamodb:*", "Resource": [TABLE, format!("{TABLE}/*")],
        "Condition": condition})
}

async fn check(here: &Here, role: &str, may: bool, requests: Vec<(&str, Value)>) {
    for (operation, more) in requests {
        let request = asked(operation, &more);
        let (status, text) = ask(here, Some(role), &request).await;
        assert_eq!(denied(&text), !may, "{role}: {request:?}: {text}");
        assert!(!may || status == 200, "{role}: {request:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leading_keys_are_those_of_the_items_that_are_meant() {
    let policy = allow(&json!({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["a"]}}));
    let here = with_items(&[("r", policy)]).await;
    let key = |word: &str| json!({"word": {"S": word}});
    let query = |expression: &str| {
        let used = [":a", ":b"].into_iter().filter(|name| expression.contains(name));
        let values: Value = used.map(|name| (name.to_owned(), json!({"S": name[1..]}))).collect();
        json!({"KeyConditionExpression": expression, "ExpressionAttributeValues": values})
    };
    let with_key = |mut value: Value| {
        value["Key"] = key("a");
        value["Item"] = key("a");
        value["Keys"] = json!([key("a")]);
        value
    };
    let mut of_index = query("word = :b");
    of_index["IndexName"] = json!("i");
    let legacy = |word: &str| {
        let condition = json!({"ComparisonOperator": "EQ", "AttributeValueList": [{"S": word}]});
        json!({"KeyConditions": {"word": condition}})
    };
    let statement = || with_key(json!({"Statement": "SELECT * FROM \"table\""}));
    let get = |words: &[&str]| {
        let keys: Vec<_> = words.iter().map(|word| key(word)).collect();
        json!({"RequestItems": {"table": {"Keys": keys}}})
    };
    let put =
        |word: &str| json!({"RequestItems": {"table": [{"PutRequest": {"Item": key(word)}}]}});
    let transact = |kind: &str, member: &str, word: &str| {
        let mut part = json!({"TableName": "table", "Key": key("a"), "Item": key("a")});
        part[member] = key(word);
        json!({"TransactItems": [{ kind: part }]})
    };
    check(
        &here,
        "r",
        true,
        vec![
            ("GetItem", json!({"Key": key("a")})),
            ("PutItem", json!({"Item": key("a"), "Key": key("b")})),
            ("Query", query("word = :a")),
            ("Query", legacy("a")),
            ("BatchGetItem", get(&["a"])),
            ("BatchWriteItem", put("a")),
            ("TransactGetItems", transact("Get", "Item", "b")),
            ("TransactWriteItems", transact("Put", "Key", "b")),
        ],
    )
    .await;
    check(
        &here,
        "r",
        false,
        vec![
            ("GetItem", json!({"Key": key("b"), "Item": key("a")})),
            ("PutItem", json!({"Item": key("b"), "Key": key("a")})),
            ("UpdateItem", json!({"Key": key("b"), "Item": key("a")})),
            ("DeleteItem", json!({"Key": key("b"), "Item": key("a")})),
            ("Scan", json!({})),
            ("Scan", with_key(json!({}))),
            ("Query", with_key(query("word = :b"))),
            ("Query", with_key(legacy("b"))),
            ("Query", with_key(of_index)),
            ("Query", with_key(query("word = :b AND word = :a"))),
            ("ExecuteStatement", statement()),
            ("BatchExecuteStatement", with_key(json!({"Statements": [statement()]}))),
            ("ExecuteTransaction", with_key(json!({"TransactStatements": [statement()]}))),
            ("BatchGetItem", get(&["a", "b"])),
            ("BatchWriteItem", put("b")),
            ("TransactGetItems", transact("Get", "Key", "b")),
            ("TransactWriteItems", transact("Put", "Item", "b")),
            ("TransactWriteItems", transact("Delete", "Key", "b")),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_all_that_are_named_in_any_way_that_counts() {
    let only =
        allow(&json!({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["word", "count"]}}));
    let named = json!({"ForAnyValue:StringEquals": {"dynamodb:Attributes": ["secret"]}});
    let mut deny = allow(&named);
    deny["Effect"] = json!("Deny");
    let none = allow(&json!({"Null": {"dynamodb:Attributes": "true"}}));
    let but = json!([allow(&json!({})), deny]);
    let here = with_items(&[("only", only), ("but", but), ("none", none)]).await;
    let key = json!({"word": {"S": "a"}});
    let equals = json!({"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]});
    let word = json!({"word": equals});
    let secret = json!({"secret": equals});
    let expected = json!({"secret": {"Exists": false}});
    let list =
        |names: [&str; 1]| json!({"AttributesToGet": names, "Key": key, "KeyConditions": word});
    let batch = |names: [&str; 1]| json!({"RequestItems": {"table": {"Keys": [key], "AttributesToGet": names}}});
    let sql =
        |what: &str| json!({"Statement": format!("SELECT {what} FROM \"table\" WHERE word = 'a'")});
    for role in ["only", "but"] {
        check(
            &here,
            role,
            true,
            vec![
                ("GetItem", list(["count"])),
                ("GetItem", json!({"Key": key, "Expected": expected, "ScanFilter": secret})),
                ("Query", list(["count"])),
                ("Scan", json!({"AttributesToGet": ["count"]})),
                ("BatchGetItem", batch(["count"])),
                ("PutItem", json!({"Item": key, "AttributeUpdates": secret})),
            ],
        )
        .await;
        check(
            &here,
            role,
            false,
            vec![
                ("GetItem", list(["secret"])),
                ("Query", list(["secret"])),
                ("Scan", json!({"AttributesToGet": ["secret"]})),
                ("BatchGetItem", batch(["secret"])),
                ("Scan", json!({"ScanFilter": secret})),
                ("Query", json!({"KeyConditions": word, "QueryFilter": secret})),
                ("PutItem", json!({"Item": key, "Expected": expected})),
                ("DeleteItem", json!({"Key": key, "Expected": expected})),
                (
                    "UpdateItem",
                    json!({"Key": key, "AttributeUpdates": {"secret": {"Action": "DELETE"}}}),
                ),
                // What a statement names is not known, be it what it may.
                ("ExecuteStatement", sql("secret")),
                ("ExecuteStatement", sql("\"count\"")),
                ("BatchExecuteStatement", json!({"Statements": [sql("secret")]})),
                ("ExecuteTransaction", json!({"TransactStatements": [sql("secret")]})),
            ],
        )
        .await;
    }
    check(&here, "none", false, vec![("ExecuteStatement", sql("*")), ("GetItem", list(["count"]))])
        .await;
    check(&here, "none", true, vec![("DescribeTable", json!({})), ("Scan", json!({}))]).await;
}

/// By an ARN of whatever form, or twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_the_same_however_it_is_named() {
    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": TABLE});
    let all = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}, deny]);
    let here = with_items(&[("r", all)]).await;
    let engines = "arn:aws:dynamodb:dynoxide:000000000000:table/table";
    // Elsewhere in the request is an ARN of this Region, so that ARNs become names.
    let get = |table: &str| json!({"TransactItems": [{"Get": {"TableName": table, "Key": {"word": {"S": TABLE}}}}]});
    check(
        &here,
        "r",
        false,
        vec![
            ("TransactGetItems", get("table")),
            ("TransactGetItems", get(TABLE)),
            ("TransactGetItems", get(engines)),
            ("GetItem", json!({"Key": {"word": {"S": "a"}}, "IndexName": "i"})),
            ("TagResource", json!({"ResourceArn": engines, "Tags": []})),
        ],
    )
    .await;
    let twice = format!("{}", json!({"TableName": "table", "Key": {"word": {"S": "a"}}}));
    for body in [
        twice.replace("{\"Key", "{\"TableName\": \"other\", \"Key"),
        twice.replace("\"table\"}", "\"table\", \"TableName\": \"other\"}"),
    ] {
        let (_, text) = ask_raw(&here, Some("r"), &asked("GetItem", &json!({})), body).await;
        assert!(denied(&text) || text.contains("not found"), "{text}");
    }
    for elsewhere in ["arn:aws:dynamodb:eu-west-1:000000000000:table/table", "x/table/stream/y"] {
        for (operation, member) in
            [("ListTagsOfResource", "ResourceArn"), ("DescribeStream", "StreamArn")]
        {
            let request = asked(operation, &json!({ member: elsewhere }));
            let (status, text) = ask(&here, Some("r"), &request).await;
            assert!(status == 400 && text.contains("of this Region"), "{request:?}: {text}");
        }
    }
}
