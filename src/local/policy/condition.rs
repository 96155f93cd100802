//! The `Condition` element of a statement.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::texts;
use super::wildcard::matches;

type Context = BTreeMap<String, Vec<String>>;

/// Whether all conditions hold. An operator that is not known never does.
pub fn hold(block: &Value, context: &Context) -> bool {
    let Some(block) = block.as_object() else { return block.is_null() };
    block.iter().all(|(operator, keys)| {
        keys.as_object().is_some_and(|keys| {
            keys.iter().all(|(key, wanted)| one(operator, key, wanted, context))
        })
    })
}

/// A pattern with its policy variables (`${aws:username}`, `${*}`) filled in.
pub fn substitute<'p>(pattern: &'p str, context: &Context) -> Cow<'p, str> {
    if !pattern.contains("${") {
        return Cow::Borrowed(pattern);
    }
    let mut result = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(start) = rest.find("${") {
        result.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else { break };
        let (name, default) = match rest[start + 2..start + length].split_once(',') {
            Some((name, default)) => (name, Some(default.trim().trim_matches('\''))),
            None => (&rest[start + 2..start + length], None),
        };
        match values(context, name.trim()).and_then(|values| values.first()) {
            Some(value) => result.push_str(value),
            // `${*}`, `${?}` and `${$}` are the characters themselves. Nothing here can hold a
            // literal asterisk, so that they may as well match nothing else.
            None => result.push_str(default.unwrap_or(&rest[start..=start + length])),
        }
        rest = &rest[start + length + 1..];
    }
    result.push_str(rest);
    Cow::Owned(result)
}

fn values<'c>(context: &'c Context, key: &str) -> Option<&'c Vec<String>> {
    context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, values)| values)
}

fn one(operator: &str, key: &str, wanted: &Value, context: &Context) -> bool {
    let actual = values(context, key);
    let (set, operator) = match operator.split_once(':') {
        Some((set, operator)) => (Some(set), operator),
        None => (None, operator),
    };
    if operator == "Null" {
        return scalars(wanted).any(|wanted| (wanted == "true") == actual.is_none());
    }
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let wanted: Vec<String> =
        scalars(wanted).map(|text| substitute(&text, context).into_owned()).collect();
    let Some(compare) = comparison(operator) else { return false };
    let negated = operator.contains("Not");
    let fits = |actual: &str| {
        if negated {
            wanted.iter().all(|wanted| !compare(wanted, actual))
        } else {
            wanted.iter().any(|wanted| compare(wanted, actual))
        }
    };
    match (actual, set) {
        (None, Some("ForAllValues")) => true,
        (None, Some("ForAnyValue")) => if_exists,
        (None, _) => if_exists || negated,
        (Some(actual), Some("ForAllValues")) => actual.iter().all(|value| fits(value)),
        (Some(actual), Some("ForAnyValue") | None) => actual.iter().any(|value| fits(value)),
        (Some(_), Some(_)) => false,
    }
}

/// The values of a condition key; numbers and booleans may stand without quotes.
fn scalars(value: &Value) -> impl Iterator<Item = String> {
    super::one_or_many(value).filter_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => texts(value).next().map(ToOwned::to_owned),
    })
}

/// What an operator compares (wanted, actual); of a negated one, what it negates.
fn comparison(operator: &str) -> Option<fn(&str, &str) -> bool> {
    fn numbers(wanted: &str, actual: &str, holds: fn(f64, f64) -> bool) -> bool {
        matches!((wanted.parse(), actual.parse()), (Ok(w), Ok(a)) if holds(a, w))
    }
    fn arn(wanted: &str, actual: &str) -> bool {
        // Each of the first five parts matches by itself: a `*` does not reach over a colon.
        let mut pairs = wanted.splitn(6, ':').zip(actual.splitn(6, ':'));
        wanted.splitn(6, ':').count() == actual.splitn(6, ':').count()
            && pairs.all(|(wanted, actual)| matches(wanted, actual))
    }
    #[expect(clippy::float_cmp, reason = "a policy's equality of numbers is exact")]
    Some(match operator {
        "StringEquals" | "StringNotEquals" => |w, a| w == a,
        "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" | "Bool" => {
            |w, a| w.eq_ignore_ascii_case(a)
        }
        "StringLike" | "StringNotLike" => matches,
        "ArnEquals" | "ArnLike" | "ArnNotEquals" | "ArnNotLike" => arn,
        "NumericEquals" | "NumericNotEquals" => |w, a| numbers(w, a, |a, w| a == w),
        "NumericLessThan" => |w, a| numbers(w, a, |a, w| a < w),
        "NumericLessThanEquals" => |w, a| numbers(w, a, |a, w| a <= w),
        "NumericGreaterThan" => |w, a| numbers(w, a, |a, w| a > w),
        "NumericGreaterThanEquals" => |w, a| numbers(w, a, |a, w| a >= w),
        _ => return None,
    })
}
