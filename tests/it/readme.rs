//! The console blocks of the READMEs, run as they are written.
//!
//! A block opens with ```` ```console ````. A line that begins with `$ ` is a command, what follows
//! it is what it prints: a line `...` stands for any number of lines, `[..]` or `…` for any text
//! within one. `cargo run --` is the built binary, and so is `advent`. A block is not run if its
//! fence says `console,ignore` or an HTML comment is right before it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::cli::Cli;
use crate::support::local::{LocalCloud, article, example};

/// What a person takes between two commands; functions that react to the first have run by then.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    /// Lines that it must print.
    prints: Vec<String>,
    /// Of the command, from 1.
    line: usize,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before = "";
    // `Some(run)` within a block.
    let mut block = None;
    for (index, line) in text.lines().enumerate() {
        match (block, line.strip_prefix("```")) {
            (None, Some(fence)) => block = Some(fence == "console" && !before.ends_with("-->")),
            (Some(_), Some("")) => block = None,
            (Some(true), _) => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    let (command, prints) = (command.to_owned(), Vec::new());
                    steps.push(Step { command, prints, line: index + 1 });
                }
                (None, Some(step)) => step.prints.push(line.to_owned()),
                (None, None) => panic!("line {}: output without a command", index + 1),
            },
            _ => {}
        }
        if !line.trim().is_empty() {
            before = line;
        }
    }
    steps
}

/// Whether the output is what was written. Nothing written is no promise.
fn matches(wanted: &[String], printed: &[&str]) -> bool {
    fn lines(wanted: &[String], printed: &[&str]) -> bool {
        match (wanted, printed) {
            ([], []) => true,
            ([any, rest @ ..], _) if any == "..." => {
                (0..=printed.len()).any(|skip| lines(rest, &printed[skip..]))
            }
            ([first, wanted @ ..], [line, printed @ ..]) => {
                text(&first.replace('…', "[..]"), line) && lines(wanted, printed)
            }
            _ => false,
        }
    }
    fn text(wanted: &str, printed: &str) -> bool {
        match wanted.split_once("[..]") {
            None => wanted == printed,
            Some((begin, rest)) => printed.strip_prefix(begin).is_some_and(|printed| {
                let ends = printed.char_indices().map(|(end, _)| end).chain([printed.len()]);
                ends.into_iter().any(|end| text(rest, &printed[end..]))
            }),
        }
    }
    wanted.is_empty() || lines(wanted, printed)
}

/// Runs the blocks of `README.md` in `folder`, in a local cloud of their own.
fn run(folder: &Path) {
    let cloud = LocalCloud::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_advent"));
    let programs = TempDir::new().expect("a folder for the binary");
    link(binary, &programs.path().join("advent"));
    let own = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> =
        [programs.path().to_owned()].into_iter().chain(std::env::split_paths(&own)).collect();
    // A newcomer's machine: no AWS configuration.
    let shell = Cli::new(folder)
        .program(Path::new("/bin/sh"))
        .env("PATH", std::env::join_paths(path).expect("a search path"))
        .env("ADVENT_LOCAL_DIR", cloud.dir())
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .without_env("AWS_REGION");
    let readme = folder.join("README.md");
    let text = fs::read_to_string(&readme).expect("a README");
    let steps = steps(&text);
    assert!(steps.len() > 2, "{} shows too little: {steps:?}", readme.display());
    if steps.iter().any(|step| step.command.starts_with("curl ")) && !has_curl() {
        return;
    }
    for step in &steps {
        let Step { command, prints, line } = step;
        let script = format!("exec 2>&1\n{}", command.replace("cargo run -- ", "advent "));
        let mut shell = shell.clone();
        if command.contains("$URL") {
            let status = cloud.cli(folder).ok(["status", "--json"]).json();
            shell = shell.env("URL", status["url"].as_str().expect("a URL"));
        }
        let ended = shell.run(["-c", &script]);
        let printed: Vec<_> = ended.stdout.lines().map(str::trim_end).collect();
        let (place, lines) = (format!("{}:{line}", readme.display()), printed.join("\n"));
        assert_eq!(ended.code, Some(0), "{place}: `{command}` printed:\n{lines}");
        let wanted = prints.join("\n");
        assert!(
            matches(prints, &printed),
            "{place}: `{command}` printed:\n{lines}\n\nand not, as is written:\n{wanted}"
        );
        std::thread::sleep(PAUSE);
    }
    assert_eq!(cloud.url(), None, "{} ends with everything taken down", readme.display());
}

/// Says loudly that a README cannot be run, or fails where `CI` is `true`.
fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if !found {
        let notice = "SKIPPED: a README whose commands need curl";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{notice}");
        // Not `eprintln!`, which the test harness swallows when a test passes.
        drop(writeln!(io::stderr(), "{notice}"));
    }
    found
}

#[cfg(unix)]
fn link(binary: &Path, name: &Path) {
    std::os::unix::fs::symlink(binary, name).expect("a link to the binary");
}

#[cfg(not(unix))]
fn link(binary: &Path, name: &Path) {
    fs::copy(binary, name.with_extension("exe")).expect("a copy of the binary");
}

#[test]
fn the_readme_is_true() {
    run(&article());
}

#[test]
fn the_readme_of_chatops_is_true() {
    run(&example("chatops"));
}

#[test]
fn the_readme_of_onboarding_is_true() {
    run(&example("onboarding"));
}

#[test]
fn blocks_are_told_apart() {
    let text = "\
text
```console
$ one
a
b
$ two
```
```sh
$ three
```
<!-- needs an account -->
```console
$ four
```

```console,ignore
$ five
```
```console
$ six
```
";
    let step = |command: &str, prints: &[&str], line| Step {
        command: command.to_owned(),
        prints: prints.iter().map(|&line| line.to_owned()).collect(),
        line,
    };
    let wanted = [step("one", &["a", "b"], 3), step("two", &[], 6), step("six", &[], 20)];
    assert_eq!(steps(text), wanted);
}

#[test]
fn output_is_compared_loosely_but_compared() {
    let check = |wanted: &[&str], printed: &[&str]| {
        let wanted: Vec<_> = wanted.iter().map(|&line| line.to_owned()).collect();
        matches(&wanted, printed)
    };
    assert!(check(&[], &["whatever"]));
    assert!(check(&["a", "...", "c"], &["a", "c"]));
    assert!(check(&["a", "...", "c"], &["a", "b", "b", "c"]));
    assert!(check(&["up in [..] s", "…/x"], &["up in 1.2 s", "http://y/x"]));
    assert!(!check(&["a", "...", "c"], &["a", "b"]));
    assert!(!check(&["a"], &["a", "b"]));
    assert!(!check(&["a", "b"], &["a"]));
    assert!(!check(&["up in [..] s"], &["up in 1.2 ms"]));
    assert!(check(&["..."], &[]), "any number may be none");
}
