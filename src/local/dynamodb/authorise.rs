//! Which permissions an operation of DynamoDB needs, and on what.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dynoxide::Database;
use serde_json::Value;

use super::super::call::Call;
use super::super::cloud::Cloud;
use super::super::error::AwsError;
use super::partiql::{self, Statement};

/// One thing that the caller's policies must allow.
struct Need<'b> {
    action: &'static str,
    /// A table's name or ARN; none for an operation on all of them.
    table: Option<Cow<'b, str>>,
    index: Option<Cow<'b, str>>,
    /// The part of the request that is about it.
    part: &'b Value,
}

/// Checks a function's call against its role. A transaction needs what each of its parts needs.
pub fn check(cloud: &Cloud, engine: &Database, call: &Call, body: &Value) -> Result<(), AwsError> {
    let mut keys: BTreeMap<String, Option<String>> = BTreeMap::new();
    for need in needs(&call.operation, body)? {
        let mut resource = match need.table.as_deref() {
            None => "*".to_owned(),
            Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
            Some(name) => call.arn("dynamodb", &format!("table/{name}")),
        };
        if let Some(index) = &need.index {
            resource = format!("{resource}/index/{index}");
        }
        let action = if need.action.is_empty() { call.operation.as_str() } else { need.action };
        let mut context = context(&call.operation, action, need.part);
        if let Some(table) = need.table.as_deref()
            && let Some(key) = keys
                .entry(table.to_owned())
                .or_insert_with(|| partition_key(engine, table))
                .as_deref()
        {
            let leading = leading_keys(key, need.part);
            if !leading.is_empty() {
                context.push(("dynamodb:LeadingKeys", leading));
            }
        }
        cloud.authorise_with(call, &format!("dynamodb:{action}"), &resource, &context)?;
    }
    Ok(())
}

fn needs<'b>(operation: &str, body: &'b Value) -> Result<Vec<Need<'b>>, AwsError> {
    let of = |action, part: &'b Value| Need {
        action,
        table: part["TableName"].as_str().map(Cow::from),
        index: part["IndexName"].as_str().map(Cow::from),
        part,
    };
    let by_arn = |key: &str| Need {
        action: "",
        table: body[key].as_str().map(Cow::from),
        index: None,
        part: body,
    };
    let items = |name: &str| body[name].as_array().into_iter().flatten();
    Ok(match operation {
        "TransactWriteItems" => items("TransactItems")
            .flat_map(|item| item.as_object().into_iter().flatten())
            .map(|(kind, part)| {
                let action = match kind.as_str() {
                    "Put" => "PutItem",
                    "Update" => "UpdateItem",
                    "Delete" => "DeleteItem",
                    _ => "ConditionCheckItem",
                };
                of(action, part)
            })
            .collect(),
        "TransactGetItems" => {
            items("TransactItems").map(|item| of("GetItem", &item["Get"])).collect()
        }
        "BatchGetItem" | "BatchWriteItem" => body["RequestItems"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(table, part)| {
                let table = Some(Cow::from(table.as_str()));
                Need { action: "", table, index: None, part }
            })
            .collect(),
        "ExecuteStatement" => vec![statement(body)?],
        "BatchExecuteStatement" => items("Statements").map(statement).collect::<Result<_, _>>()?,
        "ExecuteTransaction" => {
            items("TransactStatements").map(statement).collect::<Result<_, _>>()?
        }
        "TagResource" | "UntagResource" | "ListTagsOfResource" => vec![by_arn("ResourceArn")],
        "DescribeStream" | "GetShardIterator" => vec![by_arn("StreamArn")],
        _ => vec![of("", body)],
    })
}

/// The need of a `PartiQL` statement. One that cannot be read is refused: what it would do is not
/// known to be allowed.
fn statement(part: &Value) -> Result<Need<'_>, AwsError> {
    let text = part["Statement"].as_str().unwrap_or_default();
    let Some(Statement { action, table, index }) = partiql::read(text) else {
        return Err(AwsError::new(
            400,
            "ValidationException",
            "Statement wasn't well formed, can't be processed: the table could not be found in it",
        ));
    };
    Ok(Need { action, table: Some(table.into()), index: index.map(Cow::from), part })
}

/// The condition keys of DynamoDB that the request alone tells.
fn context(operation: &str, action: &str, part: &Value) -> Vec<(&'static str, Vec<String>)> {
    let mut context = Vec::new();
    if operation.starts_with("Transact") {
        context.push(("dynamodb:EnclosingOperation", vec![operation.to_owned()]));
    }
    if let Some(values) = part["ReturnValues"].as_str() {
        context.push(("dynamodb:ReturnValues", vec![values.to_owned()]));
    } else if matches!(action, "PutItem" | "UpdateItem" | "DeleteItem") {
        context.push(("dynamodb:ReturnValues", vec!["NONE".to_owned()]));
    }
    if let Some(select) = part["Select"].as_str() {
        context.push(("dynamodb:Select", vec![select.to_owned()]));
    }
    let attributes = attributes(part);
    if !attributes.is_empty() {
        context.push(("dynamodb:Attributes", attributes));
    }
    context
}

/// The name of a table's partition key.
fn partition_key(engine: &Database, table: &str) -> Option<String> {
    let name = table.rsplit_once(":table/").map_or(table, |(_, name)| name);
    let schema = engine.get_table_metadata(name).ok()??.key_schema;
    let schema: Value = serde_json::from_str(&schema).ok()?;
    let hash = schema.as_array()?.iter().find(|element| element["KeyType"] == "HASH")?;
    hash["AttributeName"].as_str().map(ToOwned::to_owned)
}

/// The partition keys of the items that a request names. Those of `PartiQL` and of indexes are not
/// known here.
fn leading_keys(key: &str, part: &Value) -> Vec<String> {
    // Those of one item, of BatchGetItem and of BatchWriteItem.
    if part["IndexName"].is_null()
        && let Some(wanted) = wanted_key(key, part).and_then(|value| value.as_object())
    {
        return wanted
            .values()
            .next()
            .and_then(Value::as_str)
            .map(str::to_owned)
            .into_iter()
            .collect();
    }
    let one = [&part["Key"], &part["Item"]];
    let many = part["Keys"].as_array().into_iter().flatten();
    let writes = part
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|write| [&write["PutRequest"]["Item"], &write["DeleteRequest"]["Key"]]);
    one.into_iter()
        .chain(many)
        .chain(writes)
        .filter_map(|item| item[key].as_object()?.values().next()?.as_str())
        .map(ToOwned::to_owned)
        .collect()
}

/// The partition key that a query is for, with its type.
fn wanted_key<'b>(key: &str, part: &'b Value) -> Option<&'b Value> {
    let Some(expression) = part["KeyConditionExpression"].as_str() else {
        return part["KeyConditions"][key]["AttributeValueList"].get(0);
    };
    let sign = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '#' | ':');
    expression.match_indices('=').find_map(|(at, _)| {
        let before = expression[..at].trim_end();
        let name = &before[before.trim_end_matches(sign).len()..];
        let after = expression[at + 1..].trim_start();
        let value = &after[..after.find(|c| !sign(c)).unwrap_or(after.len())];
        let real = part["ExpressionAttributeNames"][name].as_str().unwrap_or(name);
        (real == key).then(|| &part["ExpressionAttributeValues"][value])
    })
}

/// The top-level attributes that a request names.
fn attributes(part: &Value) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for member in ["Key", "Item", "AttributeUpdates", "Expected"] {
        found.extend(part[member].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    }
    for member in [
        "UpdateExpression",
        "ConditionExpression",
        "ProjectionExpression",
        "KeyConditionExpression",
        "FilterExpression",
    ] {
        if let Some(expression) = part[member].as_str() {
            for name in names(expression) {
                let real = part["ExpressionAttributeNames"][name].as_str().unwrap_or(name);
                found.insert(real.to_owned());
            }
        }
    }
    found.into_iter().collect()
}

/// The first elements of the paths in an expression.
fn names(expression: &str) -> Vec<&str> {
    const WORDS: [&str; 8] = ["SET", "ADD", "REMOVE", "DELETE", "AND", "OR", "NOT", "BETWEEN"];
    let part_of_name =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '#' | ':' | '.' | '[' | ']');
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(part_of_name) {
        let token = &rest[start..];
        let end = token.find(|c| !part_of_name(c)).unwrap_or(token.len());
        rest = &token[end..];
        let name = token[..end].split(['.', '[']).next().unwrap_or_default();
        let word = WORDS.iter().chain(&["IN"]).any(|word| name.eq_ignore_ascii_case(word));
        let function = rest.trim_start().starts_with('(');
        if !word && !function && !name.is_empty() && !name.starts_with(':') {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_transaction_needs_what_its_parts_need() {
        let body = json!({"TransactItems": [
            {"Put": {"TableName": "t", "Item": {"word": {"S": "a"}}}},
            {"Update": {"TableName": "u", "Key": {"word": {"S": "a"}}}},
        ]});
        let found: Vec<_> = needs("TransactWriteItems", &body)
            .unwrap()
            .into_iter()
            .map(|need| (need.action, need.table.unwrap()))
            .collect();
        assert_eq!(found, [("PutItem", "t".into()), ("UpdateItem", "u".into())]);
    }

    #[test]
    fn a_query_names_its_key() {
        let query = |expression: &str| {
            json!({
                "KeyConditionExpression": expression,
                "ExpressionAttributeNames": {"#k": "word"},
                "ExpressionAttributeValues": {":v": {"S": "a"}, ":w": {"S": "b"}},
            })
        };
        for text in ["word = :v", "#k=:v", "(word = :v) AND n < :w", "n = :w AND #k = :v"] {
            assert_eq!(leading_keys("word", &query(text)), ["a"], "{text}");
        }
        let legacy = json!({"KeyConditions": {"word": {"AttributeValueList": [{"S": "a"}]}}});
        assert_eq!(leading_keys("word", &legacy), ["a"]);
        let mut of_index = query("word = :v");
        of_index["IndexName"] = "i".into();
        assert!(leading_keys("word", &of_index).is_empty(), "another key may be meant");
        assert!(leading_keys("word", &query("n = :v")).is_empty());
    }

    #[test]
    fn expressions_name_their_attributes() {
        let part = json!({
            "Key": {"word": {"S": "a"}},
            "UpdateExpression": "ADD #c :n SET a.b = if_not_exists(x[0], :z)",
            "ConditionExpression": "attribute_not_exists(y) AND z IN (:n)",
            "ExpressionAttributeNames": {"#c": "count"},
        });
        assert_eq!(attributes(&part), ["a", "count", "word", "x", "y", "z"]);
    }
}
