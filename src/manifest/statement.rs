//! Parsing and checking a function's `[[function.ID.statement]]`s: IAM statements of the
//! author's own.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Result, did_you_mean, quoted};
use super::keys;
use super::reference::Ids;
use super::section::{Item, Section, SpannedStr};

/// The statements as IAM JSON objects, their references not replaced yet.
pub(super) fn parse(function: &Section<'_>, ids: &Ids<'_>) -> Result<Vec<Json>> {
    let Some((key, item)) = function.get("statement") else { return Ok(Vec::new()) };
    let name = function.title.trim_matches(['[', ']']);
    let title = format!("[[{name}.statement]]");
    let DeValue::Array(items) = item.get_ref() else {
        return Err(Diagnostic::new(key.span(), format!("{title} must be an array of tables"))
            .hint(format!("Write it with two brackets: `{title}`.")));
    };
    items.iter().map(|item| statement(&title, item, ids)).collect()
}

fn statement<'a>(title: &str, item: &'a Item<'a>, ids: &Ids<'_>) -> Result<Json> {
    let section = Section::declared(&keys::STATEMENT, title.to_owned(), item.span(), item)?;
    let effect = match section.string("effect")? {
        None => "Allow",
        Some(effect) if ["Allow", "Deny"].contains(effect.get_ref()) => effect.into_inner(),
        Some(effect) => {
            let what = format!("{} is not an effect", quoted(effect.get_ref()));
            let guess = did_you_mean(effect.get_ref(), ["Allow", "Deny"]);
            return Err(Diagnostic::new(effect.span(), what)
                .hint(format!("{guess}An effect is `Allow`, which is the default, or `Deny`.")));
        }
    };
    let actions = section.strings("actions")?;
    if actions.is_empty() {
        return Err(section.lacks("actions"));
    }
    actions.iter().try_for_each(action)?;
    let resources = section.strings("resources")?;
    if resources.is_empty() {
        return Err(section.lacks("resources"));
    }
    resources.iter().try_for_each(|resource| check_resource(resource, ids))?;
    let list =
        |words: &[SpannedStr<'_>]| words.iter().map(|word| json!(word.get_ref())).collect::<Json>();
    Ok(json!({ "Effect": effect, "Action": list(&actions), "Resource": list(&resources) }))
}

fn action(action: &SpannedStr<'_>) -> Result<()> {
    let legal = |text: &str| {
        let wild = |c: char| c.is_ascii_alphanumeric() || c == '*' || c == '?';
        text == "*"
            || text.split_once(':').is_some_and(|(service, name)| {
                let named = |c: char| c.is_ascii_alphanumeric() || c == '-';
                !service.is_empty()
                    && service.chars().all(named)
                    && !name.is_empty()
                    && name.chars().all(wild)
            })
    };
    if legal(action.get_ref()) {
        return Ok(());
    }
    let what = format!("{} is not an action", quoted(action.get_ref()));
    Err(Diagnostic::new(action.span(), what)
        .hint("An action is a service, a colon and an operation, as `s3:GetObject` or `s3:*`."))
}

fn check_resource(resource: &SpannedStr<'_>, ids: &Ids<'_>) -> Result<()> {
    ids.resource(resource)?;
    let text = *resource.get_ref();
    if let Some(odd) = text.chars().find(|c| c.is_control() || u32::from(*c) > 0xff) {
        let what = format!("a policy cannot have the character {odd:?}");
        return Err(Diagnostic::new(resource.span(), what)
            .hint("IAM takes Latin-1 only, without control characters. Cover it with `*`."));
    }
    if text == "*" || text.starts_with("arn:") || text.starts_with("${") {
        return Ok(());
    }
    Err(Diagnostic::new(resource.span(), format!("{} is not a resource", quoted(text)))
        .hint("A resource is an ARN, `*`, or a reference such as `${table.ID.arn}`."))
}
