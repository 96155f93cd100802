//! The rules, one function each.

use super::rust::{code, words};
use super::{Finding, Source};

/// Lines that a Rust file may have.
const MAX_LINES: usize = 500;
/// Lines that ARCHITECTURE.md may have.
const MAX_ARCHITECTURE: usize = 150;
/// How a test that only `cargo xtask torture` runs is marked.
const TORTURE: &str = "minutes: cargo xtask torture";
/// What the engine may use of this crate.
const ENGINE_MAY_USE: [&str; 3] = ["engine", "failure", "trace"];
/// What is left of work that is not done.
const MARKERS: [&str; 6] = ["TODO", "FIXME", "todo!(", "unimplemented!(", "<<<<<<< ", ">>>>>>> "];
/// What is left of the machine it was done on.
const HOMES: [&str; 2] = ["/root/", "/Users/"];
/// Commands that a text of advent's may name.
const COMMANDS: [&str; 10] =
    ["up", "plan", "status", "down", "say", "logs", "build", "pack", "local", "policy"];
/// What stands above `aws` in this crate.
const AWS_KNOWS_NOT: [&str; 5] = ["resources", "stack", "manifest", "commands", "ownership"];
/// What would say whose a thing is.
const JUDGEMENTS: [&str; 5] =
    ["Found::Ours", "Found::Foreign", "STACK_TAG", "STAGE_TAG", ".is_distrusted("];
/// This file names what it forbids.
const SELF: &str = "xtask/src/tidy/rules.rs";

/// Checks all files; `exists` says whether a path from the root is there.
pub(super) fn check(sources: &[Source], exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        unfinished(source, &mut findings);
        if source.path.rsplit_once('.').is_some_and(|(_, kind)| kind == "rs") {
            let code = code(&source.text);
            layout(source, &mut findings);
            attributes(source, &code, &mut findings);
            borders(source, &code, &mut findings);
            commands(source, &mut findings);
        }
        if source.path.ends_with("Cargo.toml") {
            versions(source, sources, &mut findings);
        }
    }
    architecture(sources, exists, &mut findings);
    findings
}

fn found(source: &Source, line: usize, what: impl Into<String>) -> Finding {
    Finding { path: source.path.clone(), line, what: what.into() }
}

fn layout(source: &Source, findings: &mut Vec<Finding>) {
    if !source.text.starts_with("//! ") {
        findings.push(found(source, 1, "opens without a `//!` line that says what belongs in it"));
    }
    if source.path.ends_with("/mod.rs") {
        findings.push(found(source, 0, "is a mod.rs; name it after its module, beside the folder"));
    }
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        findings.push(found(source, 0, format!("has {lines} lines, more than {MAX_LINES}")));
    }
}

fn attributes(source: &Source, code: &str, findings: &mut Vec<Finding>) {
    for (index, (line, written)) in code.lines().zip(source.text.lines()).enumerate() {
        let line: String = line.split_whitespace().collect();
        if line.contains("#[allow") || line.contains("#![allow") {
            let what = "`allow` hides what `#[expect(..., reason = \"...\")]` would keep in sight";
            findings.push(found(source, index + 1, what));
        }
        if line.contains("#[ignore") && !written.contains(TORTURE) {
            findings.push(found(source, index + 1, "a test that is ignored tests nothing"));
        }
    }
}

/// Who may know of whom.
fn borders(source: &Source, code: &str, findings: &mut Vec<Finding>) {
    let within = |module: &str| {
        source.path == format!("src/{module}.rs")
            || source.path.starts_with(&format!("src/{module}/"))
    };
    if !source.path.starts_with("src/") {
        return;
    }
    let mut push = |line, what: String| findings.push(found(source, line, what));
    if within("engine") {
        for (line, word) in words(code) {
            if word.starts_with("aws_") || ["clap", "indicatif"].contains(&word) {
                push(line, format!("the engine names `{word}`"));
            }
        }
        for (line, module) in crate_uses(code) {
            if !ENGINE_MAY_USE.contains(&module) {
                push(line, format!("the engine uses `crate::{module}`"));
            }
        }
    }
    if !within("report") && source.path != "src/main.rs" {
        for (index, line) in code.lines().enumerate() {
            let prints = ["println!", "print!", "eprintln!", "eprint!", "dbg!"]
                .into_iter()
                .any(|print| contains_word(line, print))
                || ["stdout()", "stderr()"].into_iter().any(|call| contains_word(line, call));
            if prints {
                push(index + 1, "only src/report and src/main.rs print".into());
            }
        }
    }
    let production = production(code);
    if !within("local") {
        for (line, word) in words(production) {
            if ["axum", "TcpListener"].contains(&word) {
                push(line, format!("only src/local serves HTTP, but this names `{word}`"));
            }
        }
    }
    if within("resources") || within("stack") || within("commands") {
        for (index, line) in production.lines().enumerate() {
            if let Some(call) = JUDGEMENTS.into_iter().find(|call| line.contains(call)) {
                push(index + 1, format!("only src/ownership.rs says whose a thing is: `{call}`"));
            }
        }
    }
    if within("aws") {
        for (line, module) in crate_uses(production) {
            if AWS_KNOWS_NOT.contains(&module) {
                push(line, format!("aws knows no kind, but uses `crate::{module}`"));
            }
        }
    }
    if within("resources") {
        for (line, word) in words(production) {
            if ["local", "is_local", "Local"].contains(&word) {
                push(line, format!("resources never ask whether the cloud is local: `{word}`"));
            }
        }
    }
}

/// `report` completes the commands in a text with the options that were given, if it can tell them
/// from other words: they stand in back quotes.
fn commands(source: &Source, findings: &mut Vec<Finding>) {
    let is_test = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
    if !source.path.starts_with("src/") || is_test {
        return;
    }
    for (index, line) in production(&source.text).lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (at, named) in line.match_indices("advent ") {
            let command = line[at + named.len()..].split(|c: char| !c.is_alphanumeric()).next();
            let names = command.is_some_and(|command| COMMANDS.contains(&command));
            let part = line[..at].ends_with(|c: char| c.is_alphanumeric() || "_/".contains(c));
            if names && !part && !line[..at].ends_with('`') {
                let what = "names a command of advent's without back quotes around it, so that it \
                            would lack the options that were given";
                findings.push(found(source, index + 1, what));
            }
        }
    }
}

/// Code without the tests at its end.
fn production(code: &str) -> &str {
    code.find("#[cfg(test)]").map_or(code, |end| &code[..end])
}

/// The modules `x` of all `crate::x`.
fn crate_uses(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, line)| {
        line.split("crate::").skip(1).filter_map(move |rest| {
            let (_, module) = words(rest).next()?;
            rest.starts_with(module).then_some((index + 1, module))
        })
    })
}

/// Whether `what` stands in a line, not as part of a longer word or as a method's name.
fn contains_word(line: &str, what: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + what.len()..].chars().next();
        before.is_none_or(|c| !in_word(c) && c != '.')
            && !(what.ends_with(in_word) && after.is_some_and(in_word))
    })
}

/// Versions stand in the workspace's table only.
fn versions(source: &Source, sources: &[Source], findings: &mut Vec<Finding>) {
    let manifest = match source.text.parse::<toml::Table>() {
        Ok(manifest) => manifest,
        Err(error) => {
            findings.push(found(source, 0, format!("is not TOML: {}", error.message())));
            return;
        }
    };
    // A workspace of its own has no table to take them from.
    if source.path != "Cargo.toml" && manifest.contains_key("workspace") {
        return;
    }
    let root = sources.iter().find(|source| source.path == "Cargo.toml");
    let shared = root.and_then(|root| root.text.parse::<toml::Table>().ok());
    let shared =
        shared.as_ref().and_then(|root| root.get("workspace")?.get("dependencies")?.as_table());
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = manifest.get(kind).and_then(toml::Value::as_table) else {
            continue;
        };
        for (name, value) in dependencies {
            let own = value.is_str() || value.get("version").is_some();
            // What the root package alone uses needs no second line in the same file.
            let known = shared.is_some_and(|shared| shared.contains_key(name));
            if own && (source.path != "Cargo.toml" || known) {
                let what = format!(
                    "`{name}` has a version of its own; put it into [workspace.dependencies] and \
                     say `{name}.workspace = true`"
                );
                findings.push(found(source, line_of(&source.text, name), what));
            }
        }
    }
}

fn line_of(text: &str, start: &str) -> usize {
    text.lines().position(|line| line.starts_with(start)).map_or(0, |index| index + 1)
}

/// Leftovers.
fn unfinished(source: &Source, findings: &mut Vec<Finding>) {
    if source.path == SELF || source.path.ends_with("Cargo.lock") {
        return;
    }
    for (index, line) in source.text.lines().enumerate() {
        for marker in MARKERS {
            if contains_word(line, marker) {
                findings.push(found(source, index + 1, format!("`{marker}` is left")));
            }
        }
        for home in HOMES {
            if contains_word(line, home) {
                findings.push(found(source, index + 1, format!("names a home folder, {home}")));
            }
        }
    }
}

/// ARCHITECTURE.md is short, and true at least in the paths it names.
fn architecture(sources: &[Source], exists: &dyn Fn(&str) -> bool, findings: &mut Vec<Finding>) {
    let Some(source) = sources.iter().find(|source| source.path == "ARCHITECTURE.md") else {
        let path = "ARCHITECTURE.md".into();
        findings.push(Finding { path, line: 0, what: "is missing".into() });
        return;
    };
    let lines = source.text.lines().count();
    if lines > MAX_ARCHITECTURE {
        findings.push(found(source, 0, format!("has {lines} lines, not {MAX_ARCHITECTURE}")));
    }
    let named = named_paths(&source.text);
    for (line, path) in &named {
        // A file may be named as what it is in a folder of the same line.
        let folders = named.iter().filter(|(other, name)| other == line && name.ends_with('/'));
        let mut places = folders.map(|(_, folder)| format!("{folder}{path}"));
        if !exists(path) && !exists(&format!("src/{path}")) && !places.any(|place| exists(&place)) {
            let line = *line;
            findings.push(found(source, line, format!("names {path}, which does not exist")));
        }
    }
}

/// Paths in back quotes, and in trees drawn by indentation in fenced blocks.
fn named_paths(text: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut fenced = false;
    let mut folders: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            // Only a block without a language can be a tree.
            fenced = !fenced && line.trim() == "```";
            folders.clear();
        } else if fenced {
            let indent = line.len() - line.trim_start().len();
            let Some(name) = line.split_whitespace().next().filter(|name| is_path(name)) else {
                continue;
            };
            folders.retain(|(outer, _)| *outer < indent);
            let path: String = folders.iter().map(|(_, folder)| folder.as_str()).collect();
            paths.push((index + 1, path + name));
            if name.ends_with('/') {
                folders.push((indent, name.into()));
            }
        } else {
            let quoted = line.split('`').skip(1).step_by(2).filter(|name| is_path(name));
            paths.extend(quoted.map(|name| (index + 1, name.to_owned())));
        }
    }
    paths
}

/// A file with a known ending, or a folder with `/` at its end. `foo` stands for any name.
fn is_path(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let known = [".rs", ".toml", ".md", ".yml", ".lock", "/"];
    name.len() > 1
        && name.chars().all(plain)
        && known.iter().any(|end| name.ends_with(end))
        && name != ".rs"
        && !name.starts_with('/')
        && !name.starts_with("foo")
        && !name.contains("mod.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let mut sources: Vec<_> = files
            .iter()
            .map(|&(path, text)| Source { path: path.into(), text: text.into() })
            .collect();
        if !files.iter().any(|(path, _)| *path == "ARCHITECTURE.md") {
            sources.push(Source { path: "ARCHITECTURE.md".into(), text: String::new() });
        }
        let exists = |path: &str| {
            let path = path.trim_end_matches('/');
            files.iter().any(|(known, _)| known.starts_with(path))
        };
        check(&sources, &exists).iter().map(ToString::to_string).collect()
    }

    /// The only finding for one file.
    fn finding(path: &str, text: &str) -> String {
        let found = findings(&[(path, text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn tidy_files_pass() {
        let engine = "//! E.\nuse crate::failure::Failure; // aws_sdk, println!\nlet x = \"clap\";";
        let main = "//! M.\nfn main() { println!(\"#[allow(x)]\") }";
        let report = "//! R.\nwriteln!(std::io::stdout(), \"\")";
        let resource = "//! R.\nfn f() {}\n#[cfg(test)]\nmod tests { use crate::local; }";
        let files = [
            ("src/engine.rs", engine),
            ("src/main.rs", main),
            ("src/report/json.rs", report),
            ("src/resources/topic.rs", resource),
            ("src/local/gateway.rs", "//! G.\nuse axum::Router;"),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());
    }

    #[test]
    fn layout_is_held() {
        assert!(finding("src/a.rs", "fn a() {}").starts_with("src/a.rs:1: opens without"));
        assert!(finding("src/a/mod.rs", "//! A.").contains("mod.rs"));
        let long = "//! A.\n".to_owned() + &"\n".repeat(500);
        assert!(finding("src/a.rs", &long).contains("501 lines"));
    }

    #[test]
    fn allowed_and_ignored_are_found() {
        assert!(finding("tests/a.rs", "//! A.\n\n#[allow(dead_code)]").contains(":3: `allow`"));
        assert!(finding("src/a.rs", "//! A.\n#![allow(dead_code)]").contains("`allow`"));
        assert!(finding("src/a.rs", "//! A.\n#[ignore]\nfn a() {}").contains("ignored"));
        let marked = format!("//! A.\n#[ignore = {TORTURE:?}]\nfn a() {{}}");
        assert_eq!(findings(&[("src/a.rs", &marked)]), [""; 0]);
    }

    #[test]
    fn borders_are_held() {
        for (path, code, found) in [
            ("src/engine/plan.rs", "use aws_sdk_sns::Client;", "names `aws_sdk_sns`"),
            ("src/engine.rs", "use clap::Parser;", "names `clap`"),
            ("src/engine.rs", "use crate::resources::table;", "`crate::resources`"),
            ("src/stack.rs", "println!();", "only src/report"),
            ("src/stack.rs", "std::io::stderr().lock();", "only src/report"),
            ("src/aws/retry.rs", "use axum::Router;", "only src/local serves"),
            ("src/resources/table.rs", "if target.is_local() {}", "never ask"),
            ("src/resources/table.rs", "Ok(Found::Ours(state))", "only src/ownership.rs"),
            ("src/stack/orphans.rs", "tags.get(STACK_TAG)", "only src/ownership.rs"),
            ("src/aws/connect.rs", "use crate::resources::table;", "aws knows no kind"),
        ] {
            let finding = finding(path, &format!("//! X.\n{code}\n"));
            assert!(finding.contains(found), "{path}: {finding}");
        }
        assert!(findings(&[("src/a.rs", "//! X.\ncommand.stdout(x); child.stderr()")]).is_empty());
    }

    #[test]
    fn commands_stand_in_back_quotes() {
        let quoted = "//! X.\n// advent up\nlet x = \"`advent up`, `advent say \\\"x\\\"`\";\n\
            const X: &str = \"another advent does\";\n#[cfg(test)]\nlet x = \"advent up\";";
        assert_eq!(findings(&[("src/a.rs", quoted), ("src/a/tests.rs", quoted)]), [""; 0]);
        let bare = "//! X.\nlet x = \"call advent up again\";";
        assert!(finding("src/a.rs", bare).starts_with("src/a.rs:2: names a command"));
    }

    #[test]
    fn versions_stand_in_one_table() {
        let root = "[workspace.dependencies]\nserde = \"1\"\n[dependencies]\ntoml = \"1\"\n";
        let member = "[dependencies]\nserde.workspace = true\nother = { path = \"x\" }\n";
        assert!(findings(&[("Cargo.toml", root), ("functions/a/Cargo.toml", member)]).is_empty());
        let wrong = "[dependencies]\nserde = \"1\"\n[dev-dependencies]\nx = { version = \"1\" }";
        let found = findings(&[("Cargo.toml", root), ("functions/a/Cargo.toml", wrong)]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("functions/a/Cargo.toml:2: `serde`"));
        let twice = root.to_owned() + "serde = \"1\"\n";
        assert_eq!(findings(&[("Cargo.toml", &twice)]).len(), 1);
    }

    #[test]
    fn leftovers_are_found() {
        assert!(finding("README.md", "see TODO").contains("`TODO`"));
        assert!(finding("src/a.rs", "//! A.\nfn a() { todo!() }").contains("todo!("));
        assert!(finding("x.md", "cd /Users/somebody/advent").contains("home folder"));
        assert!(findings(&[("x.md", "https://x.org/Users/y and TODOS")]).is_empty());
    }

    #[test]
    fn architecture_is_short_and_true() {
        let text = "See `src/a.rs`, `gone.rs` and `foo.rs`.\n```\nsrc/    code\n  a.rs  it\n  b/    no\n    c.rs\n```\n```sh\nx.rs\n```\n";
        let found = findings(&[("ARCHITECTURE.md", text), ("src/a.rs", "//! A.")]);
        let expected = ["gone.rs", "src/b/", "src/b/c.rs"];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, path) in found.iter().zip(expected) {
            assert!(found.contains(&format!("names {path},")), "{found}");
        }
        let long = "\n".repeat(151);
        assert!(finding("ARCHITECTURE.md", &long).contains("151 lines"));
        assert!(!check(&[], &|_| true).is_empty(), "it must exist");
    }
}
