//! What is printed, word for word, but for the times.

mod fake;
mod pictures;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use serde_json::json;

use self::fake::{Fake, Terminal, applied, planned, report, stripped};
use super::style::Paint;
use super::*;
use crate::engine::{Change, Diff, Found, Goal, Stack};
use crate::failure::Failure;

const SILENT: Duration = Duration::from_hours(1);

fn options(json: bool, quiet: bool) -> Options {
    Options { json, quiet, color: false }
}

fn denied() -> Error {
    Failure::new("lambda:CreateFunction on web: AccessDenied")
        .hint("the operator needs lambda:CreateFunction")
        .into()
}

fn change(field: &str, from: &str, to: &str) -> Change {
    Change { field: field.into(), from: from.into(), to: to.into() }
}

/// One of each: made, noted, failed, never begun, kept, and one that is not ours.
fn troubled() -> Stack<()> {
    let mut stack = Stack::default();
    stack.add("table.words", Fake::<'t'>::missing("words"));
    let role = stack.add("role.web", Fake::<'r'>::missing("web-us-east-1"));
    let mut web = Fake::<'f'>::missing("web");
    web.note = Some("waiting for the role to be assumable");
    web.error = Some(denied);
    let web = stack.add_with("function.web", web, role, |()| ());
    stack.add_with("permission.web", Fake::<'p'>::missing("web-route"), web, |()| ());
    stack.add("topic.kept", Fake::<'o'>::ours("kept"));
    stack
}

#[tokio::test]
async fn off_a_terminal_everything_is_a_line() {
    let terminal = Terminal::new(100);
    let report = report(options(false, false), &terminal, false, SILENT);
    applied(&troubled(), Goal::Up, &report).await;
    report.note("not everything succeeded");
    assert_eq!(
        terminal.redacted(),
        "\
table words: creating
role web-us-east-1: creating
table words: created in T
role web-us-east-1: created in T
function web: creating
function web: waiting for the role to be assumable
function web: creating failed after T
  lambda:CreateFunction on web: AccessDenied
  hint: the operator needs lambda:CreateFunction
1 failed, 1 not begun, 2 of 4 done
not everything succeeded
"
    );
    assert_eq!(terminal.results(), "");
}

#[tokio::test]
async fn on_a_terminal_what_is_done_stays_and_the_rest_goes() {
    let terminal = Terminal::new(100);
    let report = report(options(false, false), &terminal, true, SILENT);
    report.begin("reading the cloud");
    tokio::time::sleep(BRIEF * 2).await;
    terminal.shows("reading the cloud");
    report.end();
    report.note("read");
    let mut stack = troubled();
    let mut slow = Fake::<'f'>::missing("slow");
    slow.pause = FRAME * 10;
    stack.add("function.slow", slow);
    let watch = async {
        tokio::time::sleep(FRAME * 5).await;
        terminal.text()
    };
    let ((), meanwhile) = tokio::join!(applied(&stack, Goal::Up, &report), watch);
    assert!(meanwhile.contains("slow           creating"), "{meanwhile}");
    assert!(meanwhile.contains("2/5"), "{meanwhile}");
    assert_eq!(
        terminal.redacted(),
        "\
reading the cloud  T
read

✓ table       words          created  T
✓ role        web-us-east-1  created  T
✗ function    web            failed  T
    lambda:CreateFunction on web: AccessDenied
    hint: the operator needs lambda:CreateFunction
✓ function    slow           created  T
1 failed, 1 not begun, 3 of 5 done
"
    );
}

#[tokio::test]
async fn silence_is_broken() {
    for json in [false, true] {
        let terminal = Terminal::new(100);
        let report = report(options(json, false), &terminal, false, Duration::from_millis(50));
        let mut stack = Stack::default();
        let mut web = Fake::<'f'>::missing("web");
        web.pause = Duration::from_millis(500);
        stack.add("function.web", web);
        report.begin("building the functions");
        report.progress(&Progress::Compiling { done: 3, total: 9, krate: "syn" });
        terminal.shows("still building");
        report.end();
        applied(&stack, Goal::Up, &report).await;
        let text = terminal.text();
        assert!(text.contains("still building the functions (0 s, 3 of 9 crates)\n"), "{text}");
        assert!(text.contains("still creating function web (0 s)\n"), "{text}");
        assert_eq!(text.contains("function web: created"), !json, "{text}");
        let lines = text.lines().count();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(terminal.text().lines().count(), lines, "it goes on when all is over");
    }
}

#[tokio::test]
async fn quiet_leaves_warnings_failures_and_results() {
    for live in [false, true] {
        let terminal = Terminal::new(100);
        let report = report(options(false, true), &terminal, live, Duration::from_millis(20));
        report.begin("reading the cloud");
        tokio::time::sleep(Duration::from_millis(150)).await;
        report.progress(&Progress::Output("warning: unused"));
        report.end();
        report.note("nothing to see");
        let stack = troubled();
        report.plan(&planned(&stack, Goal::Up).await);
        applied(&stack, Goal::Up, &report).await;
        report.warn("the clock is wrong");
        report.done("up", &[], &[]);
        report.data("https://example.com");
        report.error(&Failure::new("that was it").into());
        assert_eq!(terminal.results(), "https://example.com\n");
        let text = terminal.redacted();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("hint: the operator needs"), "{text}");
        assert!(text.ends_with("warning: the clock is wrong\nerror: that was it\n"), "{text}");
    }
}

#[tokio::test]
async fn json_is_one_document_and_no_text() {
    let terminal = Terminal::new(100);
    let report = report(options(true, false), &terminal, false, SILENT);
    report.begin("building the functions");
    report.end();
    let stack = troubled();
    report.plan(&planned(&stack, Goal::Up).await);
    applied(&stack, Goal::Up, &report).await;
    report.done("up", &[("URL", "https://example.com".into())], &["say".into()]);
    report.document(&json!({ "outcome": "failed" }));
    assert!(!report.can_ask(), "a program is not asked");
    report.error(&Failure::new("after the document").into());
    assert_eq!(terminal.results(), "{\"outcome\":\"failed\",\"version\":1}\n");
    assert_eq!(terminal.text(), "error: after the document\n");
}

#[test]
fn an_error_becomes_the_document() {
    let terminal = Terminal::new(100);
    let report = report(options(true, false), &terminal, false, SILENT);
    report.begin("starting the local cloud");
    let error = Failure::refused("port 80 is taken").hint("another --port").source("in use");
    report.error(&error.into());
    let document: Value = serde_json::from_str(&terminal.results()).unwrap();
    let expected = json!({
        "error": { "message": "port 80 is taken: in use", "hint": "another --port", "exit": 2 },
        "version": 1,
    });
    assert_eq!(document, expected);
    assert_eq!(terminal.text(), "");
}

#[test]
fn an_error_ends_what_moves() {
    let terminal = Terminal::new(60);
    let report = report(options(false, false), &terminal, true, SILENT);
    report.begin("starting the local cloud");
    terminal.shows("starting the local cloud");
    report.error(&Failure::new("it does not start").into());
    thread::sleep(FRAME * 2);
    assert_eq!(terminal.text(), "error: it does not start\n");
}

#[test]
fn a_phase_is_told_once() {
    let terminal = Terminal::new(60);
    let report = report(options(false, false), &terminal, false, SILENT);
    for _ in 0..3 {
        report.begin("waiting");
    }
    report.report(Event::Noted { id: "table.words", text: "being deleted" });
    report.begin("building");
    report.progress(&Progress::Output("warning: unused variable"));
    report.progress(&Progress::Packed { function: "web", bytes: 1_640_000 });
    report.end();
    report.begin("building again");
    report.progress(&Progress::Cached);
    report.progress(&Progress::Packed { function: "web", bytes: 1_640_000 });
    report.end();
    assert_eq!(
        terminal.text(),
        "waiting\ntable.words: being deleted\nbuilding\nwarning: unused variable\n\
         packed web: 1.6 MB\nbuilding again\n"
    );
}

#[test]
fn nobody_is_asked_off_a_terminal() {
    let terminal = Terminal::new(60);
    let report = report(options(false, false), &terminal, false, SILENT);
    assert!(!report.can_ask() && !report.ask("delete all?"));
    assert_eq!(terminal.text(), "");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    use std::io::ErrorKind;
    for (kind, errors) in [(ErrorKind::BrokenPipe, 0), (ErrorKind::StorageFull, 1)] {
        let terminal = Terminal::new(60);
        let report = report(options(false, false), &terminal, false, SILENT);
        terminal.break_results(kind);
        assert!(!report.is_closed());
        report.data("one");
        report.data("two");
        assert!(report.is_closed());
        assert_eq!(report.is_lost(), errors > 0);
        assert_eq!(terminal.text().matches("error: ").count(), errors, "{kind}");
    }
}

/// Tasks report at the same time as the phases' thread draws.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_shared_among_tasks() {
    let terminal = Terminal::new(80);
    let report = Arc::new(report(options(false, false), &terminal, true, SILENT));
    report.begin("reading the cloud");
    let tasks = (0..8).map(|task| {
        let report = report.clone();
        tokio::spawn(async move {
            for line in 0..20 {
                report.report(Event::Noted { id: "table.words", text: "waiting" });
                report.note(&format!("{task} {line}"));
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    report.end();
    let text = terminal.text();
    let lines: std::collections::BTreeSet<_> = text.lines().collect();
    for task in 0..8 {
        for line in 0..20 {
            assert!(lines.contains(format!("{task} {line}").as_str()), "{task} {line}:\n{text}");
        }
    }
}

#[test]
fn colours_change_no_letter() {
    let paint = Paint { on: true };
    let rows = [("URL", "https://example.com".to_owned())];
    let coloured = summary::text("up", &rows, &["advent down".into()], paint);
    let plain = summary::text("up", &rows, &["advent down".into()], Paint { on: false });
    assert_ne!(coloured, plain);
    assert_eq!(stripped(&coloured), plain);
}
