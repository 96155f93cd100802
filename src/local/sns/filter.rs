//! Filter policies of subscriptions (AWS: Amazon SNS message filtering).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Says why a filter policy would not be accepted.
pub fn check(policy: &str) -> Result<(), String> {
    let policy: Value = serde_json::from_str(policy).map_err(|_| "failed to parse JSON.")?;
    let Value::Object(members) = policy else {
        return Err("the policy must be a JSON object".to_owned());
    };
    check_members(&members)
}

fn check_members(members: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in members {
        match value {
            Value::Array(alternatives) if name == "$or" => {
                for alternative in alternatives {
                    let members = alternative.as_object().ok_or("$or must hold objects")?;
                    check_members(members)?;
                }
            }
            Value::Array(conditions) => conditions.iter().try_for_each(check_condition)?,
            Value::Object(inner) => check_members(inner)?,
            _ => return Err(format!("\"{name}\" must be an object or an array")),
        }
    }
    Ok(())
}

fn check_condition(condition: &Value) -> Result<(), String> {
    let Value::Object(members) = condition else {
        return if condition.is_array() { Err("unexpected array".into()) } else { Ok(()) };
    };
    let mut operators = members.iter();
    let (Some((operator, value)), None) = (operators.next(), operators.next()) else {
        return Err("a condition has exactly one operator".to_owned());
    };
    let fits = match operator.as_str() {
        "prefix" | "suffix" | "equals-ignore-case" => value.is_string(),
        "exists" => value.is_boolean(),
        "anything-but" => !value.is_null(),
        "numeric" => bounds(value).is_some(),
        _ => return Err(format!("Unrecognized match type {operator}")),
    };
    if fits { Ok(()) } else { Err(format!("{operator} has a value of the wrong kind")) }
}

/// Whether a subscription with these attributes wants a message.
pub fn accepts(
    subscription: &BTreeMap<String, String>,
    attributes: &Map<String, Value>,
    text: &str,
) -> bool {
    let Some(policy) = subscription.get("FilterPolicy") else { return true };
    let Ok(Value::Object(policy)) = serde_json::from_str(policy) else { return false };
    if subscription.get("FilterPolicyScope").is_some_and(|scope| scope == "MessageBody") {
        return match serde_json::from_str(text) {
            Ok(Value::Object(body)) => members_match(&policy, &body),
            _ => false,
        };
    }
    let values = attributes.iter().map(|(name, attribute)| (name.clone(), value_of(attribute)));
    members_match(&policy, &values.collect())
}

/// A message attribute as the JSON that a policy is compared with.
fn value_of(attribute: &Value) -> Value {
    let text = attribute["Value"].as_str().unwrap_or_default();
    match attribute["Type"].as_str() {
        Some("Number" | "String.Array") => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        _ => text.into(),
    }
}

fn members_match(policy: &Map<String, Value>, message: &Map<String, Value>) -> bool {
    policy.iter().all(|(name, wanted)| match wanted {
        Value::Array(alternatives) if name == "$or" => alternatives
            .iter()
            .filter_map(Value::as_object)
            .any(|alternative| members_match(alternative, message)),
        Value::Array(conditions) => {
            conditions.iter().any(|condition| matches(condition, message.get(name)))
        }
        Value::Object(inner) => match message.get(name) {
            Some(Value::Object(value)) => members_match(inner, value),
            Some(Value::Array(values)) => {
                values.iter().filter_map(Value::as_object).any(|value| members_match(inner, value))
            }
            _ => members_match(inner, &Map::new()),
        },
        _ => false,
    })
}

fn matches(condition: &Value, value: Option<&Value>) -> bool {
    if let Some(exists) = condition.get("exists") {
        return exists == &Value::Bool(value.is_some());
    }
    match value {
        None => false,
        Some(Value::Array(values)) => match condition.get("anything-but") {
            Some(_) => values.iter().all(|value| matches_one(condition, value)),
            None => values.iter().any(|value| matches_one(condition, value)),
        },
        Some(value) => matches_one(condition, value),
    }
}

fn matches_one(condition: &Value, value: &Value) -> bool {
    let Value::Object(operator) = condition else { return equal(condition, value) };
    let Some((operator, wanted)) = operator.iter().next() else { return false };
    let both = value.as_str().zip(wanted.as_str());
    match operator.as_str() {
        "prefix" => both.is_some_and(|(value, wanted)| value.starts_with(wanted)),
        "suffix" => both.is_some_and(|(value, wanted)| value.ends_with(wanted)),
        "equals-ignore-case" => {
            both.is_some_and(|(value, wanted)| value.to_lowercase() == wanted.to_lowercase())
        }
        "anything-but" => match wanted {
            Value::Array(several) => !several.iter().any(|one| equal(one, value)),
            Value::Object(_) => !matches_one(wanted, value),
            one => !equal(one, value),
        },
        "numeric" => value.as_f64().zip(bounds(wanted)).is_some_and(|(value, bounds)| {
            bounds.iter().all(|(operator, bound)| match *operator {
                "=" => (value - bound).abs() < f64::EPSILON,
                "<" => value < *bound,
                "<=" => value <= *bound,
                ">" => value > *bound,
                _ => value >= *bound,
            })
        }),
        _ => false,
    }
}

fn equal(wanted: &Value, value: &Value) -> bool {
    match (wanted.as_f64(), value.as_f64()) {
        (Some(wanted), Some(value)) => (wanted - value).abs() < f64::EPSILON,
        _ => wanted == value,
    }
}

/// `[">", 0, "<=", 5]` as pairs.
fn bounds(numeric: &Value) -> Option<Vec<(&str, f64)>> {
    let parts = numeric.as_array().filter(|parts| !parts.is_empty() && parts.len() % 2 == 0)?;
    parts
        .chunks(2)
        .map(|pair| {
            let operator = pair[0].as_str().filter(|o| matches!(*o, "=" | "<" | "<=" | ">" | ">="));
            Some((operator?, pair[1].as_f64()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepted(policy: &Value, message: &Value) -> bool {
        assert_eq!(check(&policy.to_string()), Ok(()), "{policy}");
        let subscription = BTreeMap::from([
            ("FilterPolicy".to_owned(), policy.to_string()),
            ("FilterPolicyScope".to_owned(), "MessageBody".to_owned()),
        ]);
        accepts(&subscription, &Map::new(), &message.to_string())
    }

    #[test]
    fn conditions_are_alternatives_and_members_must_all_fit() {
        let policy = json!({"kind": ["a", {"prefix": "b"}], "n": [{"numeric": [">", 0, "<=", 5]}]});
        assert!(accepted(&policy, &json!({"kind": "a", "n": 5})));
        assert!(accepted(&policy, &json!({"kind": "bc", "n": 0.5, "more": 1})));
        assert!(!accepted(&policy, &json!({"kind": "c", "n": 1})));
        assert!(!accepted(&policy, &json!({"kind": "a", "n": 0})));
        assert!(!accepted(&policy, &json!({"kind": "a"})));
        assert!(accepted(&json!({"x": [{"exists": false}]}), &json!({})));
        assert!(accepted(&json!({"x": [{"anything-but": ["a", "b"]}]}), &json!({"x": "c"})));
        assert!(!accepted(&json!({"x": [{"anything-but": {"prefix": "a"}}]}), &json!({"x": "ab"})));
        assert!(accepted(&json!({"a": {"b": [1]}}), &json!({"a": {"b": 1.0}})));
        assert!(accepted(&json!({"$or": [{"a": [1]}, {"b": [2]}]}), &json!({"b": 2})));
        assert!(accepted(&json!({"a": [{"equals-ignore-case": "X"}, null]}), &json!({"a": "x"})));
    }

    #[test]
    fn message_attributes_are_compared_by_their_type() {
        let subscription = BTreeMap::from([(
            "FilterPolicy".to_owned(),
            json!({"n": [3], "l": ["b"]}).to_string(),
        )]);
        let attributes = json!({
            "n": {"Type": "Number", "Value": "3.0"},
            "l": {"Type": "String.Array", "Value": "[\"a\",\"b\"]"},
        });
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        assert!(accepts(&subscription, &attributes, "text"));
        assert!(!accepts(&subscription, &Map::new(), "text"));
        assert!(accepts(&BTreeMap::new(), &Map::new(), "text"));
    }

    #[test]
    fn a_wrong_policy_is_refused() {
        for policy in
            ["x", "[]", r#"{"a": 1}"#, r#"{"a": [{"like": "x"}]}"#, r#"{"a": [{"numeric": [1]}]}"#]
        {
            assert!(check(policy).is_err(), "{policy}");
        }
    }
}
