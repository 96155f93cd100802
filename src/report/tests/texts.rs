//! Plans, states, errors and summaries as text.

use super::*;

const PLAIN: Paint = Paint { on: false };

/// One of each action.
async fn motley() -> Plan {
    let mut stack = Stack::default();
    let mut words = Fake::<'t'>::ours("words");
    words.diff = Diff::Replace(vec![change("key", "id", "word")]);
    words.data = Some("all its items (about 12)");
    stack.add("table.words", words);
    stack.add("topic.kept", Fake::<'o'>::ours("kept"));
    let mut foreign = Fake::<'o'>::missing("news");
    foreign.found = Found::Foreign("it has no tag advent:stack".into());
    stack.add("topic.news", foreign);
    let role = stack.add("role.web", Fake::<'r'>::missing("web-us-east-1"));
    stack.add_with("function.web", Fake::<'f'>::ours("web"), role, |()| ());
    let mut log = Fake::<'f'>::ours("log");
    log.diff = Diff::Update(vec![
        change("memory", "128", "256"),
        change("environment NOTE", "none", "two\nlines"),
    ]);
    stack.add("function.log", log);
    let mut old = Fake::<'l'>::ours("/aws/lambda/old");
    old.data = Some("the logs in it");
    stack.prune("log_group.old", old);
    stack.prune("log_group.gone", Fake::<'l'>::missing("/aws/lambda/gone"));
    planned(&stack, Goal::Up).await
}

#[tokio::test]
async fn a_plan_says_what_is_done_to_what() {
    assert_eq!(
        plan::text(&motley().await, None, PLAIN),
        r"-/+ table      words  (must be replaced)
        key: id -> word
        permanently deletes all its items (about 12)
  ! topic      news  (foreign: it has no tag advent:stack)
  + role       web-us-east-1
  ~ function   web  (known after apply)
  ~ function   log
        memory: 128 -> 256
        environment NOTE: none -> two\nlines
  - log group  /aws/lambda/old  (no longer in advent.toml)
        permanently deletes the logs in it

Plan: 1 to create, 2 to update, 1 to replace, 1 to delete. 1 unchanged. 1 foreign."
    );
}

#[tokio::test]
async fn plans_without_changes_say_so() {
    let mut stack = Stack::default();
    stack.add("topic.kept", Fake::<'o'>::ours("kept"));
    let text = plan::text(&planned(&stack, Goal::Up).await, None, PLAIN);
    assert_eq!(text, "No changes: the stack is as advent.toml says.");
    let text = plan::text(&planned(&stack, Goal::Down).await, None, PLAIN);
    assert_eq!(text, "  - topic  kept\n\nPlan: 1 to delete.");
    let mut stack = Stack::default();
    stack.add("topic.gone", Fake::<'o'>::missing("gone"));
    let text = plan::text(&planned(&stack, Goal::Down).await, None, PLAIN);
    assert_eq!(text, "Nothing to delete.");
    let text = plan::text(&planned(&stack, Goal::Up).await, None, PLAIN);
    assert_eq!(text, "  + topic  gone\n\nPlan: 1 to create, 0 to update, 0 to delete.");
}

#[test]
fn what_differs_in_long_values_is_seen() {
    let policy = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Action":"{action}"}}]}}{}"#,
            "x".repeat(99)
        )
    };
    let long = change("policy", &policy("dynamodb:GetItem"), &policy("dynamodb:UpdateItem"));
    for width in [20, 60, 80, 120] {
        let text = plan::change(&long, "    ", Some(width), PLAIN);
        let lines: Vec<_> = text.lines().collect();
        let [field, from, to] = lines[..] else { panic!("{text}") };
        assert_eq!(field, "    policy:");
        assert!(from.starts_with("      - …") && from.contains("dynamodb:GetI"), "{text}");
        assert!(to.starts_with("      + …") && to.contains("dynamodb:Upda"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() < width.max(42)), "{width}: {text}");
    }
    let line = plan::change(&long, "", None, PLAIN);
    assert_eq!(line, format!("policy: {} -> {}", long.from, long.to));
    let short = change("memory", "128", &"9".repeat(200));
    let text = plan::change(&short, "", Some(60), PLAIN);
    assert!(text.starts_with("memory:\n  - 128\n  + 999") && text.ends_with('…'), "{text}");
}

#[tokio::test]
async fn a_status_says_what_is_in_step() {
    let header = [("stack", "shop".to_owned()), ("URL", "https://example.com/x".to_owned())];
    assert_eq!(
        status::text(&header, &motley().await, None, PLAIN),
        r"stack  shop
URL    https://example.com/x

~  table      words            drifted  (must be replaced)
     key: id -> word
✓  topic      kept             in sync
✗  topic      news             foreign  (it has no tag advent:stack)
✗  role       web-us-east-1    missing
~  function   web              unsure  (what it needs is missing)
~  function   log              drifted
     memory: 128 -> 256
     environment NOTE: none -> two\nlines
~  log group  /aws/lambda/old  orphan  (no longer in advent.toml)

7 resources: 1 in sync, 1 missing, 2 drifted, 1 unsure, 1 foreign, 1 orphan"
    );
}

#[tokio::test]
async fn remarks_do_not_wrap() {
    let text = status::text(&[], &motley().await, Some(60), PLAIN);
    let rows = text.lines().filter(|line| !line.contains(" resources: "));
    assert!(rows.into_iter().all(|line| line.chars().count() < 60), "{text}");
    assert!(text.contains("(must be replaced)") && text.contains("orphan\n"), "{text}");
}

#[tokio::test]
async fn colours_of_plan_and_status_change_no_letter() {
    let (motley, paint) = (motley().await, Paint { on: true });
    let header = [("stack", "shop".to_owned())];
    assert_eq!(stripped(&plan::text(&motley, None, paint)), plan::text(&motley, None, PLAIN));
    assert_eq!(
        stripped(&status::text(&header, &motley, None, paint)),
        status::text(&header, &motley, None, PLAIN)
    );
}

#[test]
fn errors_say_what_why_and_what_to_do() {
    let error = anyhow::Error::from(Failure::new("the zip is too big").hint("strip it"))
        .context("failed to ship `web`");
    assert_eq!(
        errors::text(&error, PLAIN),
        "error: failed to ship `web`\n  caused by: the zip is too big\n  hint: strip it"
    );
}

#[test]
fn a_compilers_words_stay_as_they_are() {
    let compiler = "error[E0425]: no `x`\n --> src/main.rs:1:1\n\n1 | x\n  | ^\n";
    let error = Failure::new("`web` does not compile").source(compiler).hint("fix it").into();
    assert_eq!(
        errors::text(&error, PLAIN),
        "error: `web` does not compile\n  error[E0425]: no `x`\n   --> src/main.rs:1:1\n\n  \
         1 | x\n    | ^\n  hint: fix it"
    );
}

#[test]
fn nothing_is_said_twice() {
    let cause = std::io::Error::other("connection refused");
    let error = anyhow::Error::new(cause)
        .context("sns:CreateTopic on news: connection refused")
        .context("failed to create topic news");
    assert_eq!(
        errors::details(&error, "  ", PLAIN),
        "  failed to create topic news\n  caused by: sns:CreateTopic on news: connection refused"
    );
}

#[test]
fn a_summary_ends_with_what_to_do_next() {
    let rows = [("where", "account 1".to_owned()), ("URL", "https://example.com".to_owned())];
    let next = ["paste the URL into Slack".to_owned(), "advent say \"hello\"".to_owned()];
    assert_eq!(
        summary::text("shop is up", &rows, &next, PLAIN),
        "✓ shop is up\n\n  where  account 1\n  URL    https://example.com\n\nnext:\n  \
         paste the URL into Slack\n  advent say \"hello\""
    );
    assert_eq!(summary::text("shop is down", &[], &[], PLAIN), "✓ shop is down");
}

#[test]
fn questions_end_with_what_an_answer_is() {
    assert_eq!(text::question("delete 3 resources?", PLAIN), "delete 3 resources? [y/N] ");
    assert_eq!(
        text::question("delete 3 resources?\nlost:\n  a\n", PLAIN),
        "delete 3 resources?\nlost:\n  a\n\ngo ahead? [y/N] "
    );
    for yes in ["y\n", "Y", " yes \r\n", "YES"] {
        assert!(text::is_yes(yes), "{yes}");
    }
    for no in ["", "\n", "n", "no", "yesterday", "ja"] {
        assert!(!text::is_yes(no), "{no}");
    }
}

#[test]
fn numbers_are_short() {
    let durations = [
        (0, "0 ms"),
        (949, "949 ms"),
        (950, "0.9 s"),
        (1_240, "1.2 s"),
        (59_940, "59.9 s"),
        (59_960, "1m 00s"),
        (125_000, "2m 05s"),
    ];
    for (ms, expected) in durations {
        assert_eq!(text::duration(Duration::from_millis(ms)), expected, "{ms}");
    }
    let sizes = [
        (740, "740 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_640_000, "1.6 MB"),
        (52_428_800, "52.4 MB"),
    ];
    for (bytes, expected) in sizes {
        assert_eq!(text::bytes(bytes), expected, "{bytes}");
    }
    assert_eq!(text::column("naïve → name", 8), "naïve →…");
    assert_eq!(text::column("日本", 6), "日本  ");
}
