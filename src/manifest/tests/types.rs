//! Refusals of values of the wrong type.

use super::refuses;

#[test]
fn name() {
    refuses(
        "name = 2016
",
        "`name` in the manifest must be a string, not an integer
 --> advent.toml:1:8
  |
1 | name = 2016
  |        ^^^^",
        "Put it in quotes.",
    );
}

#[test]
fn table_itself() {
    refuses(
        r#"name = "x"
table = "words"
"#,
        r#"[table] must be a table, not a string
 --> advent.toml:2:9
  |
2 | table = "words"
  |         ^^^^^^^"#,
        "Write it as `[table.ID]`.",
    );
}

#[test]
fn table_without_id() {
    refuses(
        r#"name = "x"
[table]
key = "word"
"#,
        r#"`key` stands in [table] itself, not in a table
 --> advent.toml:3:1
  |
3 | key = "word"
  | ^^^"#,
        "Each table is a table with an id: `[table.ID]`.",
    );
}

#[test]
fn array_of_tables() {
    refuses(
        r#"name = "x"
[[table.words]]
key = "word"
"#,
        "[table.words] must be one table, not an array
 --> advent.toml:2:1
  |
2 | [[table.words]]
  | ^^^^^^^^^^^^^^^",
        "Write it as `[table.ID]`.",
    );
}

#[test]
fn topic_not_a_table() {
    refuses(
        r#"name = "x"
topic.news = "news"
"#,
        r#"`news` stands in [topic] itself, not in a topic
 --> advent.toml:2:7
  |
2 | topic.news = "news"
  |       ^^^^"#,
        "Each topic is a table with an id: `[topic.ID]`.",
    );
}

#[test]
fn http_api() {
    refuses(
        r#"name = "x"
http_api = true
"#,
        "[http_api] must be a table, not a boolean
 --> advent.toml:2:12
  |
2 | http_api = true
  |            ^^^^",
        "Write it as `[http_api]`.",
    );
}

#[test]
fn memory() {
    refuses(
        r#"name = "x"
[function.f]
memory = "256"
"#,
        r#"`memory` in [function.f] must be a whole number, not a string
 --> advent.toml:3:10
  |
3 | memory = "256"
  |          ^^^^^"#,
        "Write it without quotes.",
    );
}

#[test]
fn timeout_with_fraction() {
    refuses(
        r#"name = "x"
[function.f]
timeout = 2.5
"#,
        "`timeout` in [function.f] must be a whole number, not a float
 --> advent.toml:3:11
  |
3 | timeout = 2.5
  |           ^^^",
        "",
    );
}

#[test]
fn throttle_rate() {
    refuses(
        r#"name = "x"
[http_api]
throttle_rate = "10"
"#,
        r#"`throttle_rate` in [http_api] must be a number, not a string
 --> advent.toml:3:17
  |
3 | throttle_rate = "10"
  |                 ^^^^"#,
        "Write it without quotes.",
    );
}

#[test]
fn route() {
    refuses(
        r#"name = "x"
[function.f]
route = ["ANY /f", 5]
"#,
        r#"`route` in [function.f] must be a string, not an integer
 --> advent.toml:3:20
  |
3 | route = ["ANY /f", 5]
  |                    ^"#,
        "Put it in quotes.",
    );
}

#[test]
fn right() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
[function.f]
update = "words"
"#,
        r#"`update` in [function.f] must be a table of variables and tables, not a string
 --> advent.toml:5:10
  |
5 | update = "words"
  |          ^^^^^^^"#,
        r#"Write `update = { VARIABLE = "table ID" }`: the variable tells the function which table it is."#,
    );
}

#[test]
fn right_target() {
    refuses(
        r#"name = "x"
[function.f]
publish = { NEWS = ["news"] }
"#,
        r#"`NEWS` in `publish` in [function.f] must be a string, not an array
 --> advent.toml:3:20
  |
3 | publish = { NEWS = ["news"] }
  |                    ^^^^^^^^"#,
        "",
    );
}

#[test]
fn environment() {
    refuses(
        r#"name = "x"
[function.f]
environment = "A=b"
"#,
        r#"`environment` in [function.f] must be a table, not a string
 --> advent.toml:3:15
  |
3 | environment = "A=b"
  |               ^^^^^"#,
        r#"Write it as `environment = { VARIABLE = "value" }`."#,
    );
}

#[test]
fn variable() {
    refuses(
        r#"name = "x"
[function.f.environment]
RATIO = 0.5
"#,
        "`RATIO` in `environment` in [function.f] must be a string, a whole number, a boolean or a secret, not a float
 --> advent.toml:3:9
  |
3 | RATIO = 0.5
  |         ^^^",
        "Put it in quotes.",
    );
}

#[test]
fn variable_too_large() {
    refuses(
        r#"name = "x"
[function.f.environment]
LARGE = 99999999999999999999
"#,
        "`LARGE` is too large a number
 --> advent.toml:3:9
  |
3 | LARGE = 99999999999999999999
  |         ^^^^^^^^^^^^^^^^^^^^",
        "Put it in quotes.",
    );
}

#[test]
fn one_statement() {
    refuses(
        r#"name = "x"
[function.f.statement]
actions = "s3:GetObject"
"#,
        "[[function.f.statement]] must be an array of tables
 --> advent.toml:2:13
  |
2 | [function.f.statement]
  |             ^^^^^^^^^",
        "Write it with two brackets: `[[function.f.statement]]`.",
    );
}

#[test]
fn default_features() {
    refuses(
        r#"name = "x"
[function.f]
default-features = "false"
"#,
        r#"`default-features` in [function.f] must be true or false, not a string
 --> advent.toml:3:20
  |
3 | default-features = "false"
  |                    ^^^^^^^"#,
        "Write it without quotes.",
    );
}
