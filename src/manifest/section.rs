//! Typed access to one table of a TOML document, every value with its place.

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Result, did_you_mean, listed, quoted};
use super::keys::{Key, ROOT, Table, Takes};

type SpannedKey<'a> = Spanned<Cow<'a, str>>;
pub(super) type Item<'a> = Spanned<DeValue<'a>>;
/// A string of the author's with its place.
pub(super) type SpannedStr<'a> = Spanned<&'a str>;

pub(super) struct Section<'a> {
    /// As its author would write it: `[table.words]`.
    pub(super) title: String,
    /// Where it is named.
    pub(super) at: Range<usize>,
    entries: &'a DeTable<'a>,
    /// What may stand in it; nothing where its author chooses the keys.
    keys: &'static [Key],
}

impl<'a> Section<'a> {
    /// The document itself.
    pub(super) fn root(entries: &'a DeTable<'a>) -> Self {
        Self { title: ROOT.title.to_owned(), at: 0..0, entries, keys: ROOT.keys }
    }

    /// Such a table without anything in it.
    pub(super) fn empty(table: &'static Table, entries: &'a DeTable<'a>) -> Self {
        Self { title: table.title.to_owned(), at: 0..0, entries, keys: table.keys }
    }

    /// What `item` holds, if it is such a table and nothing else stands in it.
    pub(super) fn declared(
        table: &'static Table,
        title: String,
        at: Range<usize>,
        item: &'a Item<'a>,
    ) -> Result<Self> {
        let section = Self { keys: table.keys, ..Self::new(title, at, item, table.title)? };
        section.only_declared()?;
        Ok(section)
    }

    /// What `item` holds, if it is a table. `example` is how to write one.
    pub(super) fn new(
        title: String,
        at: Range<usize>,
        item: &'a Item<'a>,
        example: &str,
    ) -> Result<Self> {
        match item.get_ref() {
            DeValue::Table(entries) => Ok(Self { title, at, entries, keys: &[] }),
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

    /// Refuses keys that are not declared.
    pub(super) fn only_declared(&self) -> Result<()> {
        let known = || self.keys.iter().map(|key| key.name);
        for (key, _) in self.entries() {
            let written = key.get_ref().as_ref();
            if self.key(written).is_none() {
                let hint = did_you_mean(written, known());
                let keys =
                    if self.keys.len() == 1 { "The only key here is" } else { "The keys here are" };
                return Err(Diagnostic::new(
                    key.span(),
                    format!("unknown key {} in {}", quoted(written), self.title),
                )
                .hint(format!("{hint}{keys} {}.", listed(known()))));
            }
        }
        Ok(())
    }

    /// What is declared of a key.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Keys and values as they follow one another in the file.
    pub(super) fn entries(&self) -> Vec<(&'a SpannedKey<'a>, &'a Item<'a>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    pub(super) fn get(&self, key: &str) -> Option<(&'a SpannedKey<'a>, &'a Item<'a>)> {
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

    /// A string of which the key's rule holds.
    pub(super) fn text(&self, key: &str) -> Result<Option<SpannedStr<'a>>> {
        let text = self.string(key)?;
        if let (Some(text), Some(Takes::Text(Some(rule)))) =
            (&text, self.key(key).map(|key| &key.takes))
        {
            rule.check(text)?;
        }
        Ok(text)
    }

    /// The same of a key that is required.
    pub(super) fn required(&self, key: &str) -> Result<SpannedStr<'a>> {
        match self.text(key)? {
            Some(text) => Ok(text),
            None => Err(self.lacks(key)),
        }
    }

    /// What is written, or else the key's default.
    pub(super) fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key).map(|(_, item)| (item.get_ref(), item.span())) {
            None => Ok(self.default(key)),
            Some((DeValue::Boolean(value), _)) => Ok(*value),
            Some((other, at)) => Err(self.wrong_type(key, "true or false", other, at)),
        }
    }

    /// A whole number within the key's range, or else its default.
    pub(super) fn whole(&self, key: &str) -> Result<i32> {
        let Some((_, item)) = self.get(key) else { return Ok(self.default(key)) };
        let DeValue::Integer(number) = item.get_ref() else {
            return Err(self.wrong_type(key, "a whole number", item.get_ref(), item.span()));
        };
        let (range, unit) = match self.key(key).map(|key| &key.takes) {
            Some(&Takes::Whole(least, most, unit) | &Takes::OneOf(&[least, .., most], unit)) => {
                (least..=most, unit)
            }
            _ => (i32::MIN..=i32::MAX, ""),
        };
        let number = whole(number).and_then(|number| i32::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Ok(number);
        }
        let bounds = match (range.start(), range.end()) {
            (least, &i32::MAX) => format!("at least {least}"),
            (least, most) => format!("{least} to {most}"),
        };
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        Err(self.out_of_range(key, item, &format!("{bounds}{unit}")))
    }

    /// A number greater than 0, whole or not, or else the key's default.
    pub(super) fn positive(&self, key: &str) -> Result<f64> {
        let Some((_, item)) = self.get(key) else { return Ok(self.default(key)) };
        let number = match item.get_ref() {
            DeValue::Integer(number) => {
                whole(number).and_then(|number| i32::try_from(number).ok()).map(f64::from)
            }
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            other => return Err(self.wrong_type(key, "a number", other, item.span())),
        };
        match number.filter(|number| number.is_finite() && *number > 0.0) {
            Some(number) => Ok(number),
            None => Err(self.out_of_range(key, item, "a number greater than 0")),
        }
    }

    /// The default of a key that has one.
    fn default<T: FromStr + Default>(&self, key: &str) -> T {
        let declared = self.key(key).and_then(|key| key.default.parse().ok());
        debug_assert!(declared.is_some(), "{key} has no default that can be read");
        declared.unwrap_or_default()
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

    /// That `key`, which is required, is missing.
    pub(super) fn lacks(&self, key: &str) -> Diagnostic {
        let missing = Diagnostic::new(self.at.clone(), format!("{} lacks `{key}`", self.title));
        match self.key(key) {
            Some(Key { example: Some(example), doc, .. }) => {
                missing.hint(format!("Add `{key} = {example}`: {doc}."))
            }
            _ => missing,
        }
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
