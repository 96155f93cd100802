//! The manifest's JSON Schema, for editors, and its reference, for readers: both are checked in.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Table, Takes};

/// The JSON Schema (draft 7, which TOML editors know) of `advent.toml`.
pub fn schema() -> Value {
    let mut schema = table(&keys::ROOT);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("advent.toml");
    schema
}

fn table(table: &Table) -> Value {
    let properties = table.keys.iter().map(|key| (key.name.to_owned(), property(key)));
    let required = table.keys.iter().filter(|key| key.example.is_some()).map(|key| key.name);
    json!({
        "type": "object",
        "description": table.doc,
        "properties": properties.collect::<Map<_, _>>(),
        "required": required.collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Value {
    let mut schema = match &key.takes {
        Takes::Text(None) => json!({ "type": "string" }),
        Takes::Text(Some(rule)) => rule.schema(),
        Takes::Texts => {
            let text = json!({ "type": "string" });
            json!({ "anyOf": [text, { "type": "array", "items": text }] })
        }
        Takes::Flag => json!({ "type": "boolean" }),
        Takes::Whole(least, i32::MAX, _) => json!({ "type": "integer", "minimum": least }),
        Takes::Whole(least, most, _) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Takes::OneOf(values, _) => json!({ "type": "integer", "enum": values }),
        Takes::Positive => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Takes::Grant(_) | Takes::Strings => each(&json!({ "type": "string" })),
        Takes::Environment => {
            let plain = json!({ "type": ["string", "integer", "boolean"] });
            each(&json!({ "anyOf": [plain, table(&keys::SECRET)] }))
        }
        Takes::Table(inner) => table(inner),
        Takes::Tables(inner) => each(&table(inner)),
        Takes::Array(inner) => json!({ "type": "array", "items": table(inner) }),
    };
    let default =
        if key.default.is_empty() { String::new() } else { format!(" (default: {})", key.default) };
    schema["description"] = json!(format!("{}{default}", key.doc));
    if let Ok(default) = serde_json::from_str::<Value>(key.default) {
        schema["default"] = default;
    }
    schema
}

/// A table of values of this kind, whatever their keys.
fn each(value: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

/// All tables and keys, as Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    describe(&keys::ROOT, "`advent.toml`", &mut text);
    text
}

fn describe(table: &Table, heading: &str, text: &mut String) {
    let _ = write!(text, "\n## {heading}\n\n{}\n\n", table.doc);
    text.push_str("| key | takes | default | |\n|---|---|---|---|\n");
    for key in table.keys {
        let default = match (key.example, key.default) {
            (Some(_), _) => "required".to_owned(),
            (None, "") => String::new(),
            (None, default) if default.parse::<f64>().is_ok() || default.starts_with('"') => {
                format!("`{default}`")
            }
            (None, default) => default.to_owned(),
        };
        let cells = [format!("`{}`", key.name), takes(&key.takes), default, key.doc.to_owned()];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for key in table.keys {
        match &key.takes {
            Takes::Table(inner) | Takes::Tables(inner) | Takes::Array(inner) => {
                describe(inner, &format!("`{}`", inner.title), text);
            }
            _ => {}
        }
    }
}

/// What a key takes, in words.
fn takes(takes: &Takes) -> String {
    match takes {
        Takes::Text(None) => "a string".to_owned(),
        Takes::Text(Some(rule)) => format!("a string: {}", rule.says()),
        Takes::Texts => "a string, or an array of strings".to_owned(),
        Takes::Flag => "`true` or `false`".to_owned(),
        Takes::Whole(least, i32::MAX, _) => format!("a whole number, at least {least}"),
        Takes::Whole(least, most, unit) => {
            format!("a whole number, {least} to {most} {unit}").trim_end().to_owned()
        }
        Takes::OneOf(values, unit) => {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            format!("one of {} {unit}", values.join(", "))
        }
        Takes::Positive => "a number greater than 0".to_owned(),
        Takes::Grant(kind) => format!("`{{ VARIABLE = \"{kind} ID\" }}`"),
        Takes::Environment => "`{ VARIABLE = value }`".to_owned(),
        Takes::Strings => "`{ KEY = \"value\" }`".to_owned(),
        Takes::Table(inner) => format!("a table, `{}`", inner.title),
        Takes::Tables(inner) => format!("tables, `{}`", inner.title),
        Takes::Array(inner) => format!("an array of tables, `{}`", inner.title),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file in `docs/`, its part after the mark being what the code says.
    #[track_caller]
    fn is_written(name: &str, head: &str, wanted: &str) {
        let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let wanted = format!("{head}{wanted}");
        if written != wanted && std::env::var_os("ADVENT_WRITE_DOCS").is_some() {
            return std::fs::write(path, wanted).unwrap();
        }
        assert!(written == wanted, "docs/{name} is not what the code says: `cargo xtask docs`");
    }

    #[test]
    fn the_schema_is_written() {
        is_written("advent.schema.json", "", &format!("{:#}\n", schema()));
    }

    #[test]
    fn the_reference_is_written() {
        let head = "# The manifest\n\nWhat may stand in `advent.toml`. Generated from the parser's \
            own declarations by `cargo xtask docs`.\nEditors that know JSON Schema complete it by a \
            line at its head: `#:schema PATH/advent.schema.json`.\n";
        is_written("manifest.md", head, &reference());
    }

    #[test]
    fn defaults_are_of_the_keys_type() {
        fn check(table: &Table) {
            for key in table.keys {
                let fits = match &key.takes {
                    Takes::Flag => key.default.parse::<bool>().is_ok(),
                    Takes::Whole(least, most, _) => {
                        key.default.parse().is_ok_and(|number| (*least..=*most).contains(&number))
                    }
                    Takes::OneOf(values, _) => {
                        key.default.parse().is_ok_and(|number| values.contains(&number))
                    }
                    Takes::Positive => key.default.parse::<f64>().is_ok_and(|it| it > 0.0),
                    Takes::Table(inner) | Takes::Tables(inner) | Takes::Array(inner) => {
                        check(inner);
                        true
                    }
                    _ => true,
                };
                assert!(fits, "{} of {}: {:?}", key.name, table.title, key.default);
            }
        }
        check(&keys::ROOT);
    }
}
