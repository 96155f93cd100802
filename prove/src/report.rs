//! What is left of a run: a report for people, and one for programs with every request and answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use advent::aws::record::redacted;
use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::advent::Ran;
use crate::findings::{Finding, Verdict};
use crate::sweep::{Inventory, Thing};

/// Everything that is reported.
#[derive(Serialize)]
pub struct Run<'a> {
    pub id: &'a str,
    /// `AWS`, `the local cloud` or an address.
    pub cloud: &'a str,
    pub region: &'a str,
    pub version: &'a str,
    pub arch: &'a str,
    pub quick: bool,
    pub interrupted: bool,
    pub seconds: u64,
    pub findings: &'a [Finding],
    pub commands: &'a [Ran],
    /// What the last sweep had to delete.
    pub swept: &'a [Thing],
    /// What was there in the end.
    pub left: &'a Inventory,
}

/// The lines of a record.
pub fn entries(record: &Path) -> Vec<Value> {
    let text = fs::read_to_string(record).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Writes `report.md` and `report.json` into the folder.
pub fn write(folder: &Path, run: &Run<'_>, probes: &Path) -> Result<[PathBuf; 2]> {
    let mut requests = Vec::new();
    let own = ("prove", probes);
    let commands = run.commands.iter().map(|ran| (ran.command.as_str(), ran.record.as_path()));
    for (by, record) in commands.chain([own]) {
        for mut entry in entries(record) {
            entry["by"] = by.into();
            requests.push(entry);
        }
    }
    requests.sort_by_key(|entry| entry["at"].as_u64());
    let mut document = serde_json::to_value(run)?;
    document["requests"] = json!(requests);
    let paths = ["report.md", "report.json"].map(|name| folder.join(name));
    // Once more, over everything: what a command said has not gone through the record.
    fs::write(&paths[0], redacted(&markdown(run, &requests)))?;
    fs::write(&paths[1], serde_json::to_string_pretty(&clean(document))?)?;
    Ok(paths)
}

/// Every text of a document, without what is not for everyone.
fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => redacted(&text).into(),
        Value::Array(items) => items.into_iter().map(clean).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, clean(value))).collect())
        }
        other => other,
    }
}

fn markdown(run: &Run<'_>, requests: &[Value]) -> String {
    let mut text = String::new();
    let count = |verdict| run.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let _ = writeln!(
        text,
        "# What advent {} found on {}\n\n\
         Run {}, Region {}, {}, {} s{}{}. {} held, {} differ, {} could not be tried. Left behind: {}.\n\
         Account ids are replaced by 111111111111, secrets by `(hidden)`. Every request and answer is in \
         `report.json`.\n",
        run.version,
        run.cloud,
        run.id,
        run.region,
        run.arch,
        run.seconds,
        if run.quick { ", quick" } else { "" },
        if run.interrupted { ", INTERRUPTED" } else { "" },
        count(Verdict::Held),
        count(Verdict::Differs),
        count(Verdict::Untried),
        run.left.told(),
    );
    for verdict in [Verdict::Differs, Verdict::Untried, Verdict::Held] {
        let findings = run.findings.iter().filter(|finding| finding.verdict == verdict);
        for (index, finding) in findings.enumerate() {
            if index == 0 {
                let _ = writeln!(text, "## {}\n", heading(verdict));
            }
            let _ = writeln!(
                text,
                "**{}** ({:.1} s): {}  \nExpected: {}.  \nSeen: {}\n",
                finding.id,
                std::time::Duration::from_millis(finding.ms).as_secs_f32(),
                finding.question,
                finding.expected,
                finding.seen.replace('\n', " "),
            );
        }
    }
    let _ = writeln!(
        text,
        "## Commands\n\n| command | exit code | time | requests | of them write |\n|---|---|---|---|---|"
    );
    for ran in run.commands {
        let code = ran.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let _ = writeln!(
            text,
            "| `{}` | {code} | {} | {} | {} |",
            ran.command,
            ran.seconds(),
            ran.requests,
            ran.writes.len()
        );
    }
    let _ = writeln!(
        text,
        "\n## Requests\n\n| operation | how many | fastest, median, slowest in ms | refusals |\n|---|---|---|---|"
    );
    for (operation, mut all) in by_operation(requests) {
        all.times.sort_unstable();
        let at = |index: usize| all.times.get(index).copied().unwrap_or_default();
        let refusals: Vec<_> =
            all.refusals.iter().map(|(what, count)| format!("{count} x {what}")).collect();
        let _ = writeln!(
            text,
            "| {operation} | {} | {}, {}, {} | {} |",
            all.times.len(),
            at(0),
            at(all.times.len() / 2),
            at(all.times.len().saturating_sub(1)),
            refusals.join("; "),
        );
    }
    if !run.swept.is_empty() {
        let _ = writeln!(text, "\n## Deleted by the last sweep\n");
        for thing in run.swept {
            let _ = writeln!(text, "- {thing}");
        }
    }
    text
}

fn heading(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Differs => "Differs from what was expected",
        Verdict::Untried => "Could not be tried",
        Verdict::Held => "Held",
    }
}

#[derive(Default)]
struct Operation {
    times: Vec<u64>,
    refusals: BTreeMap<String, usize>,
}

fn by_operation(requests: &[Value]) -> BTreeMap<String, Operation> {
    let mut operations = BTreeMap::<_, Operation>::new();
    for entry in requests {
        let service = entry["service"].as_str().unwrap_or("?");
        let operation = shape(entry["operation"].as_str().unwrap_or_default());
        let operation = operations.entry(format!("{service} {operation}")).or_default();
        operation.times.push(entry["ms"].as_u64().unwrap_or_default());
        let status = entry["status"].as_u64();
        if status.is_none_or(|status| status >= 400) {
            let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            *operation.refusals.entry(status).or_default() += 1;
        }
    }
    operations
}

/// `GET /v2/apis/a1b2c3/routes` as one operation, whatever the ids: every second part is one.
fn shape(operation: &str) -> String {
    let Some((method, path)) = operation.split_once(" /") else { return operation.to_owned() };
    let path = path.split('?').next().unwrap_or_default();
    let parts = path
        .split('/')
        .enumerate()
        .map(|(index, part)| if index > 0 && index % 2 == 0 { "{}" } else { part });
    format!("{method} /{}", parts.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_same_whatever_their_ids() {
        assert_eq!(shape("GET /v2/apis/a1/routes/r2?x=1"), "GET /v2/apis/{}/routes/{}");
        assert_eq!(shape("POST /2015-03-31/functions"), "POST /2015-03-31/functions");
        assert_eq!(shape("CreateTable"), "CreateTable");
    }
}
