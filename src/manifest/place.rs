//! Mistakes that show only when stage, account and Region are known: pointing at their place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Source;
use super::diagnostic::Diagnostic;
use super::find::{FILE, shown};
use super::section::{Item, Section};
use crate::failure::Failure;

/// A refusal that shows the place in the manifest's `text`: keys from the root on, items of arrays
/// by their numbers, as far as the text has them.
pub fn refusal(source: &Source, text: &str, place: &[&str], what: &str, hint: &str) -> Failure {
    let path = match source {
        Source::Folder(folder) => shown(&folder.join(FILE)),
        Source::Embedded => FILE.to_owned(),
    };
    let at = DeTable::parse(text).map_or(0..0, |document| {
        let mut at = 0..0;
        let mut section = Some(Section::root(document.get_ref()));
        let mut place = place.iter().copied();
        while let (Some(name), Some(inside)) = (place.next(), section.take()) {
            let Some((key, item)) = inside.get(name) else { break };
            (at, section) = match item.get_ref() {
                DeValue::Table(_) => (key.span(), Section::new(String::new(), 0..0, item, "").ok()),
                DeValue::Array(items) => (within(items, place.next(), key.span(), item), None),
                _ => (item.span(), None),
            };
        }
        at
    });
    Diagnostic::new(at, what).hint(hint).into_failure(text, &path)
}

/// An item of an array; without a number the array if it is written as one, else its key.
fn within(
    items: &[Item<'_>],
    number: Option<&str>,
    key: Range<usize>,
    all: &Item<'_>,
) -> Range<usize> {
    let number = number.and_then(|number| number.parse::<usize>().ok());
    match number.and_then(|number| items.get(number)) {
        Some(item) => item.span(),
        None if items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_))) => key,
        None => Spanned::span(all),
    }
}
