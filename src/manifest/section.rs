//! Typed access to one table of a TOML document, every value with its place.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Result, did_you_mean, listed, quoted};

pub(super) type Key<'a> = Spanned<Cow<'a, str>>;
pub(super) type Item<'a> = Spanned<DeValue<'a>>;
/// A string of the author's with its place.
pub(super) type SpannedStr<'a> = Spanned<&'a str>;

pub(super) struct Section<'a> {
    /// As its author would write it: `[table.words]`.
    pub(super) title: String,
    /// Where it is named.
    pub(super) at: Range<usize>,
    entries: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// The document itself.
    pub(super) fn root(entries: &'a DeTable<'a>) -> Self {
        Self { title: String::from("the manifest"), at: 0..0, entries }
    }

    /// What `item` holds, if it is a table. `example` is how to write one.
    pub(super) fn new(
        title: String,
        at: Range<usize>,
        item: &'a Item<'a>,
        example: &str,
    ) -> Result<Self> {
        match item.get_ref() {
            DeValue::Table(entries) => Ok(Self { title, at, entries }),
            DeValue::Array(array) => {
                let at = array.first().map_or(item.span(), Spanned::span);
                Err(Diagnostic::new(at, format!("{title} must be one table, not an array"))
                    .hint(format!("Write it as `{example}`.")))
            }
            other => Err(Diagnostic::new(
                item.span(),
                format!("{title} must be a table, not {}", kind(other)),
            )
            .hint(format!("Write it as `{example}`."))),
        }
    }

    /// Refuses keys that are not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<()> {
        for (key, _) in self.entries() {
            let written = key.get_ref().as_ref();
            if !known.contains(&written) {
                let hint = did_you_mean(written, known);
                let keys =
                    if known.len() == 1 { "The only key here is" } else { "The keys here are" };
                return Err(Diagnostic::new(
                    key.span(),
                    format!("unknown key {} in {}", quoted(written), self.title),
                )
                .hint(format!("{hint}{keys} {}.", listed(known))));
            }
        }
        Ok(())
    }

    /// Keys and values as they follow one another in the file.
    pub(super) fn entries(&self) -> Vec<(&'a Key<'a>, &'a Item<'a>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    pub(super) fn get(&self, key: &str) -> Option<(&'a Key<'a>, &'a Item<'a>)> {
        self.entries.get_key_value(key)
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<SpannedStr<'a>>> {
        self.get(key).map(|(_, item)| self.word(key, item)).transpose()
    }

    /// A string, or an array of strings.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<SpannedStr<'a>>> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some((_, item)) => match item.get_ref() {
                DeValue::Array(items) => items.iter().map(|item| self.word(key, item)).collect(),
                _ => Ok(vec![self.word(key, item)?]),
            },
        }
    }

    fn word(&self, key: &str, item: &'a Item<'a>) -> Result<SpannedStr<'a>> {
        match item.get_ref() {
            DeValue::String(text) => Ok(Spanned::new(item.span(), text.as_ref())),
            other => Err(self.wrong_type(key, "a string", other, item.span())),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let Some((_, item)) = self.get(key) else { return Ok(None) };
        match item.get_ref() {
            DeValue::Boolean(value) => Ok(Some(*value)),
            other => Err(self.wrong_type(key, "true or false", other, item.span())),
        }
    }

    /// A whole number within `range`, which is of `unit`.
    pub(super) fn integer(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<i32>,
        unit: &str,
    ) -> Result<Option<i32>> {
        let Some((_, item)) = self.get(key) else { return Ok(None) };
        let DeValue::Integer(number) = item.get_ref() else {
            return Err(self.wrong_type(key, "a whole number", item.get_ref(), item.span()));
        };
        let number = whole(number).and_then(|number| i32::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Ok(Some(number));
        }
        let bounds = match (range.start(), range.end()) {
            (least, &i32::MAX) => format!("at least {least}"),
            (least, most) => format!("{least} to {most}"),
        };
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        Err(self.out_of_range(key, item, &format!("{bounds}{unit}")))
    }

    /// A number greater than 0, whole or not.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>> {
        let Some((_, item)) = self.get(key) else { return Ok(None) };
        let number = match item.get_ref() {
            DeValue::Integer(number) => {
                whole(number).and_then(|number| i32::try_from(number).ok()).map(f64::from)
            }
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            other => return Err(self.wrong_type(key, "a number", other, item.span())),
        };
        match number.filter(|number| number.is_finite() && *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(self.out_of_range(key, item, "a number greater than 0")),
        }
    }

    fn out_of_range(&self, key: &str, item: &Item<'_>, takes: &str) -> Diagnostic {
        let what = format!("{} in {} is out of range", quoted(key), self.title);
        Diagnostic::new(item.span(), what).hint(format!("It takes {takes}."))
    }

    pub(super) fn wrong_type(
        &self,
        key: &str,
        wanted: &str,
        found: &DeValue<'_>,
        at: Range<usize>,
    ) -> Diagnostic {
        let diagnostic = Diagnostic::new(
            at,
            format!("{} in {} must be {wanted}, not {}", quoted(key), self.title, kind(found)),
        );
        match (wanted, found) {
            ("a string", DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                diagnostic.hint("Put it in quotes.")
            }
            ("a whole number" | "a number" | "true or false", DeValue::String(_)) => {
                diagnostic.hint("Write it without quotes.")
            }
            _ => diagnostic,
        }
    }

    /// That `key` is missing; `why` says what it is good for.
    pub(super) fn lacks(&self, key: &str, example: &str, why: &str) -> Diagnostic {
        Diagnostic::new(self.at.clone(), format!("{} lacks `{key}`", self.title))
            .hint(format!("Add `{key} = {example}`: {why}."))
    }
}

/// As `a string`, `an integer`.
pub(super) fn kind(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

pub(super) fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
