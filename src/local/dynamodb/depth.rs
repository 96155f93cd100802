//! How deep an expression may be nested: the engine reads them by recursion.

use serde_json::Value;

use crate::local::error::AwsError;

/// Parentheses within one another and negations, together. DynamoDB allows 300 operators side by side.
const DEEPEST: usize = 100;

/// Refuses a request with an expression that would exhaust the engine's stack.
pub fn check(body: &str) -> Result<(), AwsError> {
    // Few requests are worth reading for this.
    if too_deep(body)
        && let Ok(body) = serde_json::from_str(body)
        && let Some(member) = deep_member(&body)
    {
        return Err(AwsError::new(
            400,
            "ValidationException",
            format!("Invalid {member}: The expression is nested more than {DEEPEST} levels deep"),
        ));
    }
    Ok(())
}

fn too_deep(text: &str) -> bool {
    let (mut open, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest + text.to_ascii_uppercase().matches("NOT").count() > DEEPEST
}

fn deep_member(value: &Value) -> Option<&str> {
    match value {
        Value::Array(items) => items.iter().find_map(deep_member),
        Value::Object(members) => members.iter().find_map(|(name, member)| match member {
            Value::String(text) if name.ends_with("Expression") && too_deep(text) => {
                Some(name.as_str())
            }
            member => deep_member(member),
        }),
        _ => None,
    }
}
