//! What an operation of DynamoDB needs, and on what.

use std::collections::{BTreeMap, BTreeSet};

use dynoxide::Database;
use dynoxide::actions::get_shard_iterator::decode_shard_iterator;
use dynoxide::streams::table_arn;
use serde_json::Value;

use super::super::call::ApiCall;
use super::super::error::AwsError;
use super::super::need::Need;
use super::about::{About, Form, Keys, about};
use super::partiql::{self, Statement};

/// What a call needs. A transaction needs what each of its parts needs.
pub fn needs(engine: &Database, call: &ApiCall, body: &Value) -> Result<Vec<Need>, AwsError> {
    let mut asked = Asked { engine, call, keys: BTreeMap::new() };
    let operation = call.operation.as_str();
    let list = |member: &str| body[member].as_array().into_iter().flatten();
    Ok(match about(operation) {
        None => vec![asked.need(operation, None, None)],
        Some(About::All) => vec![asked.plain(None)],
        Some(About::Table) => vec![asked.plain(body["TableName"].as_str())],
        Some(About::Tagged) => match body["ResourceArn"].as_str() {
            None => vec![asked.plain(None)],
            Some(arn) => vec![asked.plain(Some(asked.of_arn("ResourceArn", arn)?))],
        },
        Some(About::Stream) => match body["StreamArn"].as_str() {
            None => vec![asked.plain(None)],
            Some(arn) => {
                let rest = asked.of_arn("StreamArn", arn)?;
                vec![asked.stream(rest.split('/').next().unwrap_or_default())]
            }
        },
        Some(About::Iterator) => {
            let made_for = body["ShardIterator"].as_str().and_then(decode_shard_iterator);
            match made_for {
                Some((table, ..)) => vec![asked.stream(&table)],
                None => vec![asked.plain(None)],
            }
        }
        Some(About::Items(form)) => {
            vec![asked.items(operation, body["TableName"].as_str(), form, body)]
        }
        Some(About::Batch(form)) => body["RequestItems"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(table, part)| asked.items(operation, Some(table), form, part))
            .collect(),
        Some(About::Transaction(kinds)) => {
            let mut needs = Vec::new();
            for item in list("TransactItems") {
                for (kind, action, form) in kinds {
                    let part = &item[kind];
                    if !part.is_null() {
                        needs.push(asked.items(action, part["TableName"].as_str(), *form, part));
                    }
                }
            }
            needs
        }
        Some(About::Statement) => vec![asked.statement(body)?],
        Some(About::Statements(member)) => {
            list(member).map(|part| asked.statement(part)).collect::<Result<_, _>>()?
        }
    })
}

struct Asked<'a> {
    engine: &'a Database,
    call: &'a ApiCall,
    /// The names of the tables' partition keys, as far as they were looked up.
    keys: BTreeMap<String, Option<String>>,
}

impl Asked<'_> {
    fn need(&self, action: &str, table: Option<&str>, index: Option<&str>) -> Need {
        let resource = match (table, index) {
            (None, _) => "*".to_owned(),
            (Some(table), None) => self.call.arn("dynamodb", &format!("table/{table}")),
            (Some(table), Some(index)) => {
                self.call.arn("dynamodb", &format!("table/{table}/index/{index}"))
            }
        };
        Need::new(format!("dynamodb:{action}"), resource)
    }

    /// Of an operation that is about no items.
    fn plain(&self, table: Option<&str>) -> Need {
        let mut need = self.need(&self.call.operation, table.map(|table| self.name(table)), None);
        need.context = ITEMS.map(|key| (key, Vec::new())).into();
        need
    }

    /// A table's name, where it or its ARN may stand. The engine's own ARN means the same.
    fn name<'n>(&self, table: &'n str) -> &'n str {
        self.local(table).unwrap_or(table)
    }

    fn local<'n>(&self, arn: &'n str) -> Option<&'n str> {
        arn.strip_prefix(&self.call.arn("dynamodb", "table/"))
            .or_else(|| arn.strip_prefix(&table_arn("")))
    }

    /// What follows `table/`. The engine does not look at what stands before it.
    fn of_arn<'n>(&self, member: &str, arn: &'n str) -> Result<&'n str, AwsError> {
        self.local(arn).ok_or_else(|| {
            let why = format!("Invalid {member}: {arn} is no table or stream of this Region");
            AwsError::new(400, "ValidationException", why)
        })
    }

    /// About a table's stream: the engine keeps one, and does not look at its label.
    fn stream(&self, table: &str) -> Need {
        let known = self.engine.get_table_metadata(table).ok().flatten();
        let label = known.and_then(|table| table.stream_label).unwrap_or_default();
        self.plain(Some(&format!("{table}/stream/{label}")))
    }

    /// The need of a `PartiQL` statement. One that cannot be read is refused: what it would do is
    /// not known to be allowed. Of items and attributes nothing is known.
    fn statement(&self, part: &Value) -> Result<Need, AwsError> {
        let text = part["Statement"].as_str().unwrap_or_default();
        let Some(Statement { action, table, index }) = partiql::read(text) else {
            return Err(AwsError::new(
                400,
                "ValidationException",
                "Statement wasn't well formed, can't be processed: the table could not be found \
                 in it",
            ));
        };
        let mut need = self.need(action, Some(self.name(&table)), index.as_deref());
        need.context.push(self.enclosing());
        Ok(need)
    }

    fn enclosing(&self) -> (&'static str, Vec<String>) {
        let operation = &self.call.operation;
        let transaction = operation.contains("Transact");
        (
            "dynamodb:EnclosingOperation",
            transaction.then(|| operation.clone()).into_iter().collect(),
        )
    }

    fn items(&mut self, action: &str, table: Option<&str>, form: Form, part: &Value) -> Need {
        let also = |member: &str| form.also.contains(&member).then(|| part[member].as_str());
        let table = table.map(|table| self.name(table));
        let index = also("IndexName").flatten();
        let mut need = self.need(action, table, index);
        let projected = ["ProjectionExpression", "AttributesToGet"].iter().any(|member| {
            (form.expressions.contains(member) || form.also.contains(member))
                && !part[*member].is_null()
        });
        let select = match (also("Select").flatten(), form.keys) {
            (Some(select), _) => Some(vec![select.to_owned()]),
            _ if projected => Some(vec!["SPECIFIC_ATTRIBUTES".to_owned()]),
            // A read that names no attributes: whether that is a `Select` of all is not said.
            _ if form.expressions.contains(&"ProjectionExpression") => None,
            _ => Some(Vec::new()),
        };
        let returns = match (also("ReturnValues"), action) {
            (Some(Some(values)), _) => vec![values.to_owned()],
            (_, "PutItem" | "UpdateItem" | "DeleteItem") => vec!["NONE".to_owned()],
            _ => Vec::new(),
        };
        need.context.push(self.enclosing());
        need.context.push(("dynamodb:ReturnValues", returns));
        need.context.push(("dynamodb:Attributes", attributes(form, part)));
        need.context.extend(select.map(|select| ("dynamodb:Select", select)));
        let leading = table.filter(|_| index.is_none()).and_then(|table| {
            let engine = self.engine;
            let key = self.keys.entry(table.to_owned());
            let key = key.or_insert_with(|| partition_key(engine, table)).as_deref()?;
            leading_keys(key, form.keys, part)
        });
        need.context.extend(leading.map(|keys| ("dynamodb:LeadingKeys", keys)));
        need
    }
}

/// The condition keys that an operation on no items does not have.
const ITEMS: [&str; 4] = [
    "dynamodb:Attributes",
    "dynamodb:EnclosingOperation",
    "dynamodb:ReturnValues",
    "dynamodb:Select",
];

/// The name of a table's partition key.
fn partition_key(engine: &Database, table: &str) -> Option<String> {
    let schema = engine.get_table_metadata(table).ok()??.key_schema;
    let schema: Value = serde_json::from_str(&schema).ok()?;
    let hash = schema.as_array()?.iter().find(|element| element["KeyType"] == "HASH")?;
    hash["AttributeName"].as_str().map(ToOwned::to_owned)
}

/// The partition keys of the items that a request is about; `None` unless all of them are known.
fn leading_keys(key: &str, keys: Keys, part: &Value) -> Option<Vec<String>> {
    let found: Vec<String> = match keys {
        Keys::One(member) => vec![text(&part[member][key])?],
        Keys::Many => {
            part["Keys"].as_array()?.iter().map(|item| text(&item[key])).collect::<Option<_>>()?
        }
        Keys::Writes => {
            let writes = part
                .as_array()?
                .iter()
                .flat_map(|write| [&write["PutRequest"]["Item"], &write["DeleteRequest"]["Key"]]);
            let items = writes.filter(|item| !item.is_null());
            items.map(|item| text(&item[key])).collect::<Option<_>>()?
        }
        Keys::Query => vec![text(wanted_key(key, part)?)?],
        Keys::Nowhere => return None,
    };
    (!found.is_empty()).then_some(found)
}

/// A key's value, if it is written in the one way that a policy may mean.
fn text(value: &Value) -> Option<String> {
    let mut members = value.as_object()?.iter();
    let ((kind, value), None) = (members.next()?, members.next()) else { return None };
    let text = value.as_str()?;
    // `1.0` is the number `1`.
    let plain = |digits: &str| digits == "0" || !digits.starts_with('0');
    let number = || {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && plain(digits)
    };
    (kind == "S" || kind == "B" || number()).then(|| text.to_owned())
}

/// The partition key that a query is for, with its type.
fn wanted_key<'b>(key: &str, part: &'b Value) -> Option<&'b Value> {
    let Some(expression) = part["KeyConditionExpression"].as_str() else {
        let condition = &part["KeyConditions"][key];
        let values = condition["AttributeValueList"].as_array()?;
        return values
            .first()
            .filter(|_| condition["ComparisonOperator"] == "EQ" && values.len() == 1);
    };
    let sign = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '#' | ':');
    let mut found = expression.match_indices('=').filter_map(|(at, _)| {
        let before = expression[..at].trim_end();
        let name = &before[before.trim_end_matches(sign).len()..];
        let after = expression[at + 1..].trim_start();
        let value = &after[..after.find(|c| !sign(c)).unwrap_or(after.len())];
        (real(part, name) == key).then(|| &part["ExpressionAttributeValues"][value])
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// What a name in an expression stands for.
fn real<'b>(part: &'b Value, name: &'b str) -> &'b str {
    let named = name.starts_with('#').then(|| part["ExpressionAttributeNames"][name].as_str());
    named.flatten().unwrap_or(name)
}

/// The top-level attributes that a request names.
fn attributes(form: Form, part: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    let members = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match form.keys {
        Keys::Many => found.extend(list(&part["Keys"]).iter().flat_map(members)),
        Keys::Writes => found.extend(list(part).iter().flat_map(|write| {
            [&write["PutRequest"]["Item"], &write["DeleteRequest"]["Key"]]
                .into_iter()
                .flat_map(members)
        })),
        _ => {}
    }
    for member in form.named {
        found.extend(members(&part[member]));
    }
    if form.also.contains(&"AttributesToGet") {
        let names = list(&part["AttributesToGet"]);
        found.extend(names.iter().filter_map(Value::as_str).map(ToOwned::to_owned));
    }
    for member in form.expressions {
        let expression = part[member].as_str().unwrap_or_default();
        found.extend(names(expression).into_iter().map(|name| real(part, name).to_owned()));
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
    use super::super::about::{GET, UPDATE};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_query_names_its_key() {
        let leading = |part: &Value| leading_keys("word", Keys::Query, part);
        let query = |expression: &str| {
            json!({
                "KeyConditionExpression": expression,
                "ExpressionAttributeNames": {"#k": "word", "n": "word"},
                "ExpressionAttributeValues": {":v": {"S": "a"}, ":w": {"S": "b"}},
            })
        };
        let a = Some(vec!["a".to_owned()]);
        for text in ["word = :v", "#k=:v", "(word = :v) AND n < :w", "n = :w AND #k = :v"] {
            assert_eq!(leading(&query(text)), a, "{text}");
        }
        for text in ["n = :v", "word = :v AND #k = :w", "word >= :v", "word = :x", ""] {
            assert_eq!(leading(&query(text)), None, "{text}");
        }
        let legacy = |operator: &str| {
            let condition = json!({
                "AttributeValueList": [{"S": "a"}], "ComparisonOperator": operator,
            });
            leading(&json!({"KeyConditions": {"word": condition}}))
        };
        assert_eq!((legacy("EQ"), legacy("GE")), (a, None));
    }

    #[test]
    fn a_key_is_known_in_its_one_form_or_not() {
        let one = |value: Value| leading_keys("k", Keys::One("Key"), &json!({"Key": {"k": value}}));
        for (value, known) in [
            (json!({"S": "01"}), true),
            (json!({"N": "10"}), true),
            (json!({"N": "-1"}), true),
            (json!({"N": "0"}), true),
            (json!({"N": "01"}), false),
            (json!({"N": "1.0"}), false),
            (json!({"N": "1e1"}), false),
            (json!({"S": "a", "N": "1"}), false),
            (json!("a"), false),
        ] {
            assert_eq!(one(value.clone()).is_some(), known, "{value}");
        }
        let some = json!({"Keys": [{"k": {"S": "a"}}, {"x": {"S": "b"}}]});
        assert_eq!(leading_keys("k", Keys::Many, &some), None, "one is not known");
    }

    #[test]
    fn expressions_name_their_attributes() {
        let part = json!({
            "Key": {"word": {"S": "a"}},
            "UpdateExpression": "ADD #c :n SET a.b = if_not_exists(x[0], :z)",
            "ConditionExpression": "attribute_not_exists(y) AND z IN (:n)",
            "ExpressionAttributeNames": {"#c": "count", "y": "other"},
            "Expected": {"old": {}}, "Item": {"ignored": {}}, "AttributesToGet": ["ignored"],
        });
        assert_eq!(attributes(UPDATE, &part), ["a", "count", "old", "word", "x", "y", "z"]);
        assert_eq!(attributes(GET, &part), ["ignored", "word"]);
    }
}
