//! References such as `${table.words.name}` in values and in statements.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Value;
use super::diagnostic::{Diagnostic, Result, did_you_mean, listed, quoted};
use super::section::SpannedStr;

/// Ids of everything that can be referred to.
pub(super) struct Ids<'a> {
    pub(super) tables: BTreeSet<&'a str>,
    pub(super) topics: BTreeSet<&'a str>,
    pub(super) functions: BTreeSet<&'a str>,
}

const KINDS: [&str; 3] = ["table", "topic", "function"];

impl Ids<'_> {
    fn of(&self, kind: &str) -> &BTreeSet<&str> {
        match kind {
            "table" => &self.tables,
            "topic" => &self.topics,
            _ => &self.functions,
        }
    }

    /// Refuses an `id` that no `[kind.id]` declares.
    pub(super) fn check(&self, kind: &str, id: &str, at: Range<usize>) -> Result<()> {
        let ids = self.of(kind);
        if ids.contains(id) {
            return Ok(());
        }
        let guess = did_you_mean(id, ids.iter());
        let other = KINDS.into_iter().find(|other| self.of(other).contains(id));
        let hint = match other {
            Some(other) => format!("{} is a {other}; a {kind} is needed here. ", quoted(id)),
            None if guess.is_empty() => String::new(),
            None => guess,
        };
        let declared = match ids.len() {
            0 => format!("No {kind} is declared: add one as `[{kind}.ID]`."),
            1 => format!("The only {kind} is {}.", listed(ids)),
            _ => format!("The {kind}s are {}.", listed(ids)),
        };
        Err(Diagnostic::new(at, format!("there is no {kind} {}", quoted(id)))
            .hint(format!("{hint}{declared}")))
    }

    /// The value of an environment variable: a literal or one reference.
    pub(super) fn value(&self, text: &SpannedStr<'_>) -> Result<Value> {
        let written = *text.get_ref();
        for (place, inside) in pieces(written) {
            let whole = place == (0..written.len());
            if whole && inside.contains('.') {
                return self.reference(inside, text.span());
            }
            if is_reference(inside) {
                return Err(if whole {
                    malformed(inside, text.span())
                } else {
                    let what = "a reference must be the whole value";
                    Diagnostic::new(text.span(), what).hint(format!(
                        "Give {} a variable of its own and join the two in the function.",
                        quoted(&written[place])
                    ))
                });
            }
        }
        Ok(Value::Literal(written.to_owned()))
    }

    /// Checks the references in a resource of a statement. IAM's own variables pass.
    pub(super) fn resource(&self, text: &SpannedStr<'_>) -> Result<()> {
        for (_, inside) in pieces(text.get_ref()) {
            // `${aws:username}`, `${*}`, `${?}` and `${$}` are IAM's.
            if !inside.contains(':') && !["*", "?", "$"].contains(&inside) {
                self.reference(inside, text.span())?;
            }
        }
        Ok(())
    }

    fn reference(&self, inside: &str, at: Range<usize>) -> Result<Value> {
        let parts: Vec<&str> = inside.split('.').collect();
        let &[kind, id, attribute] = parts.as_slice() else { return Err(malformed(inside, at)) };
        if !KINDS.contains(&kind) {
            return Err(malformed(inside, at));
        }
        self.check(kind, id, at.clone())?;
        value(kind, id, attribute).ok_or_else(|| {
            let known: &[&str] = if kind == "function" { &["name"] } else { &["name", "arn"] };
            let guess = did_you_mean(attribute, known);
            let takes = listed(known.iter().map(|known| format!("${{{kind}.{id}.{known}}}")));
            Diagnostic::new(at, format!("a {kind} has no {}", quoted(attribute)))
                .hint(format!("{guess}What can be referred to is {takes}."))
        })
    }
}

fn malformed(inside: &str, at: Range<usize>) -> Diagnostic {
    let kind = inside.split('.').next().unwrap_or_default();
    let guess = if KINDS.contains(&kind) { String::new() } else { did_you_mean(kind, KINDS) };
    Diagnostic::new(at, format!("{} refers to nothing", quoted(&format!("${{{inside}}}")))).hint(
        format!(
            "{guess}A reference is `${{table.ID.name}}`, `${{table.ID.arn}}`, \
             `${{topic.ID.name}}`, `${{topic.ID.arn}}` or `${{function.ID.name}}`."
        ),
    )
}

fn is_reference(inside: &str) -> bool {
    inside.split_once('.').is_some_and(|(kind, _)| KINDS.contains(&kind))
}

/// Every `${…}` with its place and what it holds.
fn pieces(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find("${")?;
        let end = start + text[start..].find('}')?;
        from = end + 1;
        Some((start..from, &text[start + 2..end]))
    })
}

fn value(kind: &str, id: &str, attribute: &str) -> Option<Value> {
    let id = id.to_owned();
    Some(match (kind, attribute) {
        ("table", "name") => Value::TableName(id),
        ("table", "arn") => Value::TableArn(id),
        ("topic", "name") => Value::TopicName(id),
        ("topic", "arn") => Value::TopicArn(id),
        ("function", "name") => Value::FunctionName(id),
        _ => return None,
    })
}

/// `text`, a resource of a statement, with its references replaced by what `resolve` says.
///
/// `resolve` is never given a literal or a secret. IAM's own variables stay as they are.
pub(super) fn expand(text: &str, mut resolve: impl FnMut(&Value) -> String) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut from = 0;
    for (place, inside) in pieces(text) {
        let mut parts = inside.splitn(3, '.');
        let reference = (|| value(parts.next()?, parts.next()?, parts.next()?))();
        if let Some(reference) = reference {
            expanded.push_str(&text[from..place.start]);
            expanded.push_str(&resolve(&reference));
            from = place.end;
        }
    }
    expanded.push_str(&text[from..]);
    expanded
}
