//! A document with a list in it that may not fit into memory.

use std::sync::atomic::Ordering;

use anyhow::Error;
use serde_json::{Value, json};

use super::{Report, VERSION, errors};

/// A document with a list in it, written as it comes: a line each.
pub struct List<'a> {
    report: &'a Report,
    /// Its quoted name, until something was written.
    begin: Option<String>,
}

impl List<'_> {
    pub fn push(&mut self, item: &Value) {
        let text = self.begin.take().map_or_else(
            || format!(",{item}"),
            |name| {
                self.report.shared.document_written.store(true, Ordering::Relaxed);
                format!("{{\"version\":{VERSION},{name}:[\n{item}")
            },
        );
        self.report.data(&text);
    }

    /// It ends here, complete or with why it is not.
    pub fn end(self, error: Option<&Error>) {
        let end = error.map_or_else(
            || "]}".to_owned(),
            |error| format!("],\"error\":{}}}", errors::document(error)["error"]),
        );
        match (self.begin, error) {
            // The error is the document.
            (Some(_), Some(_)) => {}
            (Some(name), None) => {
                self.report.shared.document_written.store(true, Ordering::Relaxed);
                self.report.data(&format!("{{\"version\":{VERSION},{name}:[]}}"));
            }
            (None, _) => self.report.data(&end),
        }
    }
}

impl Report {
    /// The one document of `--json` where it is a list that may not fit into memory.
    pub fn list(&self, name: &str) -> List<'_> {
        List { report: self, begin: Some(json!(name).to_string()) }
    }
}
