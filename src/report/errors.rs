//! Errors for the person who reads them, and for the program.

use anyhow::Error;
use serde_json::{Value, json};

use super::style::Paint;
use super::text;
use crate::aws::advice;
use crate::aws::denial::Denial;
use crate::failure::Failure;

/// Why a command failed, and what to do about it.
pub(super) fn text(error: &Error, paint: Paint) -> String {
    let mut messages = messages(error);
    let first = messages.remove(0);
    let mut lines = vec![format!("{} {}", paint.red("error:"), first.trim_end())];
    let blocks = blocks(&messages, error, paint);
    lines.extend(blocks.iter().map(|block| text::indented(block, "  ")));
    lines.join("\n")
}

/// Why work on a resource failed: all of it below a line that names the resource.
pub(super) fn details(error: &Error, indent: &str, paint: Paint) -> String {
    let mut messages = messages(error);
    let first = messages.remove(0);
    let mut lines = vec![first];
    lines.extend(blocks(&messages, error, paint));
    lines.iter().map(|line| text::indented(line, indent)).collect::<Vec<_>>().join("\n")
}

/// What `--json` answers instead of its document.
pub(super) fn document(error: &Error) -> Value {
    let mut document = json!({
        "error": {
            "message": messages(error).join(": "),
            "hint": advice::hint(error),
            "exit": Failure::of(error).map_or(1, |failure| failure.exit),
        }
    });
    if let Some(denial) = Denial::of(error) {
        document["error"]["denied"] = denial.document();
    }
    document
}

/// Completes the commands that a document names where advent itself speaks in it.
pub(super) fn complete(document: &mut Value, completed: &dyn Fn(&str) -> String) {
    /// Keys below which no text is an application's or a user's.
    const OWN: [&str; 5] = ["error", "hint", "next", "notes", "warnings"];
    match document {
        Value::Object(entries) => {
            for (key, value) in entries {
                if OWN.contains(&key.as_str()) {
                    complete_all(value, completed);
                } else {
                    complete(value, completed);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| complete(item, completed)),
        _ => {}
    }
}

fn complete_all(value: &mut Value, completed: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = completed(text),
        Value::Array(items) => items.iter_mut().for_each(|item| complete_all(item, completed)),
        Value::Object(entries) => {
            entries.values_mut().for_each(|value| complete_all(value, completed));
        }
        _ => {}
    }
}

fn blocks(causes: &[String], error: &Error, paint: Paint) -> Vec<String> {
    let cause = |cause: &String| {
        // A compiler's output speaks for itself.
        let speaks = cause.contains('\n');
        if speaks { cause.clone() } else { format!("{} {cause}", paint.dim("caused by:")) }
    };
    let mut blocks: Vec<_> = causes.iter().map(cause).collect();
    blocks.extend(advice::hint(error).map(|hint| format!("{} {hint}", paint.cyan("hint:"))));
    blocks
}

/// What the chain says, outermost first, without what is said already. Never empty.
fn messages(error: &Error) -> Vec<String> {
    let mut messages: Vec<String> = vec![error.to_string()];
    for cause in error.chain().skip(1).map(ToString::to_string) {
        let cause = cause.trim_end();
        if !cause.is_empty() && !messages.iter().any(|message| message.contains(cause)) {
            messages.push(cause.to_owned());
        }
    }
    messages
}
