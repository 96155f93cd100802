//! Refusals of what is not TOML.

use super::refuses;

#[test]
fn empty_file() {
    refuses(
        "",
        "the manifest lacks `name`
 --> advent.toml:1:1
  |
1 |
  | ^",
        r#"Add `name = "my-app"`: the stack's name, with which the names of all its parts begin."#,
    );
}

#[test]
fn only_a_comment() {
    refuses(
        "# nothing yet
",
        "the manifest lacks `name`
 --> advent.toml:1:1
  |
1 | # nothing yet
  | ^",
        r#"Add `name = "my-app"`: the stack's name, with which the names of all its parts begin."#,
    );
}

#[test]
fn unquoted_string() {
    refuses(
        "name = awsadvent
",
        "not valid TOML: string values must be quoted, expected literal string
 --> advent.toml:1:8
  |
1 | name = awsadvent
  |        ^^^^^^^^^",
        "Put it in quotes.",
    );
}

#[test]
fn unclosed_string() {
    refuses(
        r#"name = "awsadvent
"#,
        r#"not valid TOML: invalid basic string, expected `"`
 --> advent.toml:1:18
  |
1 | name = "awsadvent
  |                  ^"#,
        r#"Close the string with `"` on its own line."#,
    );
}

#[test]
fn unclosed_header() {
    refuses(
        r#"name = "x"
[table.words
key = "word"
"#,
        "not valid TOML: unclosed table, expected `]`
 --> advent.toml:2:13
  |
2 | [table.words
  |             ^",
        "",
    );
}

#[test]
fn key_twice() {
    refuses(
        r#"name = "x"
name = "y"
"#,
        r#"not valid TOML: duplicate key
 --> advent.toml:2:1
  |
2 | name = "y"
  | ^^^^"#,
        "Leave one of them out: a key or table stands once.",
    );
}

#[test]
fn table_twice() {
    refuses(
        r#"name = "x"
[topic.a]
[topic.a]
"#,
        "not valid TOML: duplicate key
 --> advent.toml:3:8
  |
3 | [topic.a]
  |        ^",
        "Leave one of them out: a key or table stands once.",
    );
}

#[test]
fn after_wide_characters() {
    refuses(
        r#"name = "x"
note = "🦀é"; more
"#,
        r#"not valid TOML: unexpected key or value, expected newline, `#`
 --> advent.toml:2:12
  |
2 | note = "🦀é"; more
  |             ^"#,
        "",
    );
}

#[test]
fn byte_order_mark() {
    refuses(
        "\u{feff}name = 1\n",
        "`name` in the manifest must be a string, not an integer
 --> advent.toml:1:8
  |
1 | name = 1
  |        ^",
        "Put it in quotes.",
    );
}

#[test]
fn carriage_returns() {
    refuses(
        "name = \"x\"\r\n\r\nnam = 1\r\n",
        "unknown key `nam` in the manifest
 --> advent.toml:3:1
  |
3 | nam = 1
  | ^^^",
        "Did you mean `name`? The keys here are `name`, `account`, `region`, `stage`, `permissions_boundary`, `tags`, `log_retention_days`, `table`, `topic`, `http_api` and `function`.",
    );
}

#[test]
fn control_characters() {
    refuses(
        r#"name = "x"
"ke\u001by" = 1
"#,
        r#"unknown key `ke\u{1b}y` in the manifest
 --> advent.toml:2:1
  |
2 | "ke\u001by" = 1
  | ^^^^^^^^^^^"#,
        "The keys here are `name`, `account`, `region`, `stage`, `permissions_boundary`, `tags`, `log_retention_days`, `table`, `topic`, `http_api` and `function`.",
    );
}
