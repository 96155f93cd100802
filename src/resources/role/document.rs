//! Policy documents: as IAM writes them, and when two say the same.

use serde_json::Value;

/// IAM hands policies out URL-encoded; what is no JSON differs from every policy.
pub(super) fn parse(document: &str) -> Value {
    let decoded = percent_encoding::percent_decode_str(document).decode_utf8_lossy();
    serde_json::from_str(&decoded).unwrap_or(Value::String(document.to_owned()))
}

/// A policy with lists of one written as one, and lists in order: what IAM takes as equal.
pub(super) fn normal(policy: &Value) -> Value {
    match policy {
        Value::Array(items) if items.len() == 1 => normal(&items[0]),
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(normal).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), normal(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_compared_by_what_they_say() {
        let a = json!({ "Statement": [{ "Action": ["b", "a"], "Resource": "x" }] });
        let b = json!({ "Statement": { "Resource": ["x"], "Action": ["a", "b"] } });
        assert_eq!(normal(&a), normal(&b));
        assert_ne!(normal(&a), normal(&json!({ "Statement": { "Resource": "y" } })));
    }

    #[test]
    fn documents_come_url_encoded_or_not() {
        assert_eq!(parse("%7B%22a%22%3A%201%7D"), json!({ "a": 1 }));
        assert_eq!(parse(r#"{"a": 1}"#), json!({ "a": 1 }));
    }
}
