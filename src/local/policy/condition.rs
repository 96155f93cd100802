//! The `Condition` element of a statement (IAM User Guide, "IAM JSON policy elements: Condition
//! operators").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::wildcard::matches;
use super::{Doubt, texts};

type Context = BTreeMap<String, Vec<String>>;

/// Keys that AWS leaves out of requests like all those to this cloud, so that to miss them says
/// something: no VPC, no MFA device, no federation, no
/// service that calls on. What a service knows to be absent it tells without values. A trailing
/// `*` stands for anything.
const ABSENT: [&str; 18] = [
    "aws:calledvia*",
    "aws:chatbotsourcearn",
    "aws:ec2instancesourceprivateipv4",
    "aws:ec2instancesourcevpc",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principaltag/*",
    "aws:referer",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:username",
    "aws:vpcsourceip",
];

/// The operators that hold where another does not. No other has such a twin.
const NEGATED: [(&str, &str); 8] = [
    ("StringNotEquals", "StringEquals"),
    ("StringNotEqualsIgnoreCase", "StringEqualsIgnoreCase"),
    ("StringNotLike", "StringLike"),
    ("NumericNotEquals", "NumericEquals"),
    ("DateNotEquals", "DateEquals"),
    ("NotIpAddress", "IpAddress"),
    ("ArnNotEquals", "ArnEquals"),
    ("ArnNotLike", "ArnLike"),
];

/// Whether all conditions hold.
///
/// # Errors
/// None is known not to hold, but of one nobody here knows: its operator, its key or its value.
pub fn hold(block: &Value, context: &Context, variables: Option<&Context>) -> Result<bool, Doubt> {
    if block.is_null() {
        return Ok(true);
    }
    let unreadable = || Err(Doubt("a Condition that is no object".to_owned()));
    let Some(block) = block.as_object() else { return unreadable() };
    let mut doubt = None;
    for (operator, keys) in block {
        let Some(keys) = keys.as_object() else { return unreadable() };
        for (key, wanted) in keys {
            match one(operator, key, wanted, context, variables) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => doubt = Some(why),
            }
        }
    }
    doubt.map_or(Ok(true), Err)
}

/// A pattern with its policy variables (`${aws:username}`, `${*}`) filled in, if it may have any.
///
/// # Errors
/// A variable that this cloud does not know, or that has no value and no default: what AWS would
/// have put there is not known.
pub fn substitute<'p>(
    pattern: &'p str,
    variables: Option<&Context>,
) -> Result<Cow<'p, str>, Doubt> {
    let Some(context) = variables.filter(|_| pattern.contains("${")) else {
        return Ok(Cow::Borrowed(pattern));
    };
    let mut result = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(start) = rest.find("${") {
        result.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else { break };
        let (name, default) = match rest[start + 2..start + length].split_once(',') {
            Some((name, default)) => (name, Some(default.trim().trim_matches('\''))),
            None => (&rest[start + 2..start + length], None),
        };
        let name = name.trim();
        let told = values(context, name);
        match (told.and_then(|values| values.first()), default) {
            (Some(value), _) => result.push_str(value),
            // The characters themselves. Nothing here can hold a literal asterisk, so that they may
            // as well match nothing else.
            (None, None) if matches!(name, "*" | "?" | "$") => {
                result.push_str(&rest[start..=start + length]);
            }
            (None, Some(default)) if told.is_some() || is_absent(name) => result.push_str(default),
            (None, _) => return Err(Doubt(format!("the variable ${{{name}}}"))),
        }
        rest = &rest[start + length + 1..];
    }
    result.push_str(rest);
    Ok(Cow::Owned(result))
}

fn values<'c>(context: &'c Context, key: &str) -> Option<&'c Vec<String>> {
    context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, values)| values)
}

fn is_absent(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ABSENT.iter().any(|absent| match absent.strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == *absent,
    })
}

fn one(
    operator: &str,
    key: &str,
    wanted: &Value,
    context: &Context,
    variables: Option<&Context>,
) -> Result<bool, Doubt> {
    let unknown = || Doubt(format!("the condition operator {operator}"));
    let illegal = |value: &str| Doubt(format!("the value {value} of the condition key {key}"));
    let told = values(context, key);
    let actual = told.filter(|values| !values.is_empty());
    if told.is_none() && !is_absent(key) {
        return Err(Doubt(format!("the condition key {key}")));
    }
    let (set, operator) = match operator.split_once(':') {
        Some((set @ ("ForAllValues" | "ForAnyValue"), operator)) => (Some(set), operator),
        Some(_) => return Err(unknown()),
        None => (None, operator),
    };
    if operator == "Null" && set.is_none() {
        let mut holds = false;
        for wanted in scalars(wanted) {
            let missing: bool =
                wanted.to_ascii_lowercase().parse().map_err(|_| illegal(&wanted))?;
            holds |= missing == actual.is_none();
        }
        return Ok(holds);
    }
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let (operator, negated) = match NEGATED.iter().find(|(negated, _)| *negated == operator) {
        Some((_, negates)) => (*negates, true),
        None => (operator, false),
    };
    let compare = comparison(operator).ok_or_else(unknown)?;
    let wanted = scalars(wanted).map(|text| Ok(substitute(&text, variables)?.into_owned()));
    let wanted: Vec<String> = wanted.collect::<Result<_, _>>()?;
    // What is not legal is not known to be anything, whatever the request says.
    for wanted in &wanted {
        if compare(wanted, wanted).is_none() && legal(operator, wanted).is_none() {
            return Err(illegal(wanted));
        }
    }
    let fits = |actual: &String| {
        let equals = |wanted: &String| compare(wanted, actual).unwrap_or(false);
        wanted.iter().any(equals) != negated
    };
    Ok(match (actual, set) {
        (None, Some("ForAllValues")) => true,
        (None, Some(_)) => if_exists,
        (None, None) => if_exists || negated,
        (Some(actual), Some("ForAllValues")) => actual.iter().all(fits),
        (Some(actual), _) => actual.iter().any(fits),
    })
}

/// The values of a condition key; numbers and booleans may stand without quotes.
fn scalars(value: &Value) -> impl Iterator<Item = String> {
    super::one_or_many(value).filter_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => texts(value).next().map(ToOwned::to_owned),
    })
}

/// Whether a policy's value may stand behind an operator, where comparing it with itself says not.
fn legal(operator: &str, wanted: &str) -> Option<()> {
    (operator == "IpAddress").then(|| network(wanted)).flatten().map(drop)
}

/// Compares what is wanted with what is; `None` if one of them is not what the operator compares.
type Comparison = fn(&str, &str) -> Option<bool>;

/// What an operator compares; of a negated one, what it negates.
fn comparison(operator: &str) -> Option<Comparison> {
    fn numbers(wanted: &str, actual: &str) -> Option<(f64, f64)> {
        let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        Some((number(actual)?, number(wanted)?))
    }
    fn dates(wanted: &str, actual: &str) -> Option<(OffsetDateTime, OffsetDateTime)> {
        Some((date(actual)?, date(wanted)?))
    }
    fn truth(text: &str) -> Option<bool> {
        text.to_ascii_lowercase().parse().ok()
    }
    fn arn(wanted: &str, actual: &str) -> bool {
        // Each of the first five parts matches by itself: a `*` does not reach over a colon.
        let mut pairs = wanted.splitn(6, ':').zip(actual.splitn(6, ':'));
        wanted.splitn(6, ':').count() == actual.splitn(6, ':').count()
            && pairs.all(|(wanted, actual)| matches(wanted, actual))
    }
    #[expect(clippy::float_cmp, reason = "a policy's equality of numbers is exact")]
    Some(match operator {
        "StringEquals" => |w, a| Some(w == a),
        "StringEqualsIgnoreCase" => |w, a| Some(w.eq_ignore_ascii_case(a)),
        "StringLike" => |w, a| Some(matches(w, a)),
        "ArnEquals" | "ArnLike" => |w, a| Some(arn(w, a)),
        "Bool" => |w, a| Some(truth(w)? == truth(a)?),
        "BinaryEquals" => |w, a| Some(STANDARD.decode(w).ok()? == STANDARD.decode(a).ok()?),
        "NumericEquals" => |w, a| numbers(w, a).map(|(a, w)| a == w),
        "NumericLessThan" => |w, a| numbers(w, a).map(|(a, w)| a < w),
        "NumericLessThanEquals" => |w, a| numbers(w, a).map(|(a, w)| a <= w),
        "NumericGreaterThan" => |w, a| numbers(w, a).map(|(a, w)| a > w),
        "NumericGreaterThanEquals" => |w, a| numbers(w, a).map(|(a, w)| a >= w),
        "DateEquals" => |w, a| dates(w, a).map(|(a, w)| a == w),
        "DateLessThan" => |w, a| dates(w, a).map(|(a, w)| a < w),
        "DateLessThanEquals" => |w, a| dates(w, a).map(|(a, w)| a <= w),
        "DateGreaterThan" => |w, a| dates(w, a).map(|(a, w)| a > w),
        "DateGreaterThanEquals" => |w, a| dates(w, a).map(|(a, w)| a >= w),
        "IpAddress" => |w, a| Some(is_within(a.parse().ok()?, network(w)?)),
        _ => return None,
    })
}

/// A moment as policies have it: in the forms of ISO 8601 that W3C chose (NOTE-datetime: a year, a
/// month, a day, a minute, a second), or in seconds since the epoch. Four digits are a year.
fn date(text: &str) -> Option<OffsetDateTime> {
    let year = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(seconds) = text.parse().ok().filter(|_| !year) {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    let full = match text.len() {
        4 => format!("{text}-01-01T00:00:00Z"),
        7 => format!("{text}-01T00:00:00Z"),
        10 => format!("{text}T00:00:00Z"),
        _ => match text.split_at_checked(16) {
            // To the minute.
            Some((minute, zone)) if !zone.starts_with(':') => format!("{minute}:00{zone}"),
            _ => text.to_owned(),
        },
    };
    OffsetDateTime::parse(&full, &Rfc3339).ok()
}

/// An address and how many of its first bits count, as CIDR has it.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

fn is_within(address: IpAddr, (network, bits): (IpAddr, u32)) -> bool {
    let bits_of = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let differing = bits_of(address) ^ bits_of(network);
    address.is_ipv4() == network.is_ipv4() && differing.leading_zeros() >= bits
}
