//! What is done about each property that AWS shows of a resource: one table for the code, the
//! documentation and the tests.

use serde_json::{Map, Value};

use crate::aws::ApiError;
use crate::engine::{Unread, Watched};

/// Why a property is watched that nothing but a person can have set.
pub const HAND: &str = "advent.toml has no word for it: set manually, and left as it is";

/// What a call tells of a kind of resource.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The call: `lambda:GetFunction`.
    pub call: &'static str,
    /// Where in its answer the properties are: `Table`, `items[]`; empty: everywhere.
    pub root: &'static str,
    /// Every member of the answer, or the structure that it is in, is one of these; the longest
    /// path that fits decides.
    pub properties: &'static [Property],
}

/// A member of an answer, by the names that it has on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Below the [`root`](Look::root): `VpcConfig.SubnetIds`.
    pub path: &'static str,
    pub treatment: Treatment,
    pub why: &'static str,
    alarm: Option<(Option<&'static str>, &'static str)>,
}

/// What is done about a property that is not as `up` makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is drift: `diff` names it by a field that begins so, and `up` repairs it.
    Ours(&'static str),
    /// It is shown and left alone.
    Watched(Usual),
    /// Nobody is told.
    Ignored,
    /// What the resource is found by, or how far it has come: nothing that could drift.
    Identity,
}

/// What a property is where nobody has touched it. `{name}` stands for the resource's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usual {
    /// Absent: even an empty value says something.
    Absent,
    /// Absent or empty: no text, no entry, no, zero.
    Nothing,
    /// Absent or one of these.
    Any(&'static [&'static str]),
}

pub const fn ours(path: &'static str, field: &'static str, why: &'static str) -> Property {
    Property { path, treatment: Treatment::Ours(field), why, alarm: None }
}

pub const fn watched(path: &'static str, usual: Usual, why: &'static str) -> Property {
    Property { path, treatment: Treatment::Watched(usual), why, alarm: None }
}

pub const fn ignored(path: &'static str, why: &'static str) -> Property {
    Property { path, treatment: Treatment::Ignored, why, alarm: None }
}

pub const fn identity(path: &'static str, why: &'static str) -> Property {
    Property { path, treatment: Treatment::Identity, why, alarm: None }
}

impl Property {
    /// It is urgent, whatever it is.
    #[must_use]
    pub const fn alarming(self, what: &'static str) -> Self {
        Self { alarm: Some((None, what)), ..self }
    }

    /// It is urgent if it is this.
    #[must_use]
    pub const fn alarming_if(self, value: &'static str, what: &'static str) -> Self {
        Self { alarm: Some((Some(value), what)), ..self }
    }

    /// Why it is urgent, and for which value only.
    pub fn alarm(&self) -> Option<String> {
        let (only, what) = self.alarm?;
        Some(only.map_or_else(|| what.to_owned(), |only| format!("if {only}, {what}")))
    }

    fn notice(&self, label: &str, value: &Value, name: &str) -> Option<Watched> {
        let Treatment::Watched(usual) = self.treatment else { return None };
        let found = text(value);
        let usual = match usual {
            Usual::Absent if value.is_null() => return None,
            Usual::Nothing if is_empty(value) => return None,
            Usual::Absent | Usual::Nothing => None,
            Usual::Any(usual) => {
                let usual: Vec<_> = usual.iter().map(|it| it.replace("{name}", name)).collect();
                if is_empty(value) || usual.contains(&found) {
                    return None;
                }
                usual.into_iter().next()
            }
        };
        let alarm = self.alarm.filter(|(only, _)| only.is_none_or(|only| only == found));
        let alarm = alarm.map(|(_, what)| what.to_owned());
        Some(Watched { property: format!("{label}{}", self.path), found, usual, alarm })
    }
}

impl Look {
    /// What is done about a member: that of the longest path that it is, or is in.
    pub fn of(&self, member: &str) -> Option<&Property> {
        let plain = member.replace("[]", "");
        let within = |path: &str| {
            plain == path || plain.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        };
        let fits = self.properties.iter().filter(|property| within(property.path));
        fits.max_by_key(|property| property.path.len())
    }

    /// What of an answer's part at the [`root`](Self::root) is not as usual. `label` stands before
    /// the names of the properties.
    pub fn notices(&self, label: &str, part: &Value, name: &str) -> Vec<Watched> {
        let notice = |property: &Property| property.notice(label, at(part, property.path), name);
        self.properties.iter().filter_map(notice).collect()
    }
}

/// Answers a read that a deployment does not hang on: denied, or unknown to the endpoint, it is no
/// error, but what it would have told is unread.
///
/// # Errors
/// Whatever says nothing of the right to read: faults, throttling that does not end.
pub fn optional<T>(
    what: &str,
    answer: Result<T, ApiError>,
    unread: &mut Vec<Unread>,
) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.is_denied() => {
            let why = format!("it needs the right {}", error.operation);
            unread.push(Unread { what: what.to_owned(), why });
            Ok(None)
        }
        // What a Region or an emulator does not know nobody can have set there.
        Err(error) if is_unknown_call(&error) => Ok(None),
        // What we make of an answer ourselves has no status: it is no refusal.
        Err(error)
            if error.status.is_some()
                && !error.is_fault()
                && !error.is_throttling()
                && !error.is_clock() =>
        {
            let why = format!("{} is refused here", error.operation);
            unread.push(Unread { what: what.to_owned(), why });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_unknown_call(error: &ApiError) -> bool {
    let codes = ["UnknownOperation", "NotImplemented", "UnsupportedOperation", "InvalidAction"];
    matches!(error.status, Some(404 | 405 | 501)) || codes.iter().any(|code| error.is(code))
}

/// A member by its path.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    if path.is_empty() {
        return value;
    }
    path.split('.').fold(value, |value, name| &value[name])
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}

/// As people read it: texts bare, structures without what is empty in them.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => without_empty(value).to_string(),
    }
}

fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let full = members.iter().filter(|(_, value)| !is_empty(value));
            Value::Object(
                full.map(|(name, it)| (name.clone(), without_empty(it))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}
