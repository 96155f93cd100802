//! Refusals of references to what is not declared.

use super::refuses;

#[test]
fn table() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
[table.users]
key = "id"
[function.f]
update = { TABLE = "wrods" }
"#,
        r#"there is no table `wrods`
 --> advent.toml:7:20
  |
7 | update = { TABLE = "wrods" }
  |                    ^^^^^^^"#,
        "Did you mean `words`? The tables are `users` and `words`.",
    );
}

#[test]
fn topic() {
    refuses(
        r#"name = "x"
[function.f]
topic = "news"
"#,
        r#"there is no topic `news`
 --> advent.toml:3:9
  |
3 | topic = "news"
  |         ^^^^^^"#,
        "No topic is declared: add one as `[topic.ID]`.",
    );
}

#[test]
fn right_to_the_wrong_kind() {
    refuses(
        r#"name = "x"
[topic.news]
[table.words]
key = "word"
[function.f]
publish = { TOPIC_ARN = "words" }
"#,
        r#"there is no topic `words`
 --> advent.toml:6:25
  |
6 | publish = { TOPIC_ARN = "words" }
  |                         ^^^^^^^"#,
        "`words` is a table; a topic is needed here. The only topic is `news`.",
    );
}

#[test]
fn environment() {
    refuses(
        r#"name = "x"
[topic.news]
[function.f.environment]
TOPIC = "${topic.nws.arn}"
"#,
        r#"there is no topic `nws`
 --> advent.toml:4:9
  |
4 | TOPIC = "${topic.nws.arn}"
  |         ^^^^^^^^^^^^^^^^^^"#,
        "Did you mean `news`? The only topic is `news`.",
    );
}

#[test]
fn environment_function() {
    refuses(
        r#"name = "x"
[function.sender.environment]
OTHER = "${function.receiver.name}"
"#,
        r#"there is no function `receiver`
 --> advent.toml:3:9
  |
3 | OTHER = "${function.receiver.name}"
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
        "The only function is `sender`.",
    );
}

#[test]
fn kind() {
    refuses(
        r#"name = "x"
[function.f.environment]
TABLE = "${tabel.words.name}"
"#,
        r#"`${tabel.words.name}` refers to nothing
 --> advent.toml:3:9
  |
3 | TABLE = "${tabel.words.name}"
  |         ^^^^^^^^^^^^^^^^^^^^^"#,
        "Did you mean `table`? A reference is `${table.ID.name}`, `${table.ID.arn}`, `${topic.ID.name}`, `${topic.ID.arn}` or `${function.ID.name}`.",
    );
}

#[test]
fn attribute() {
    refuses(
        r#"name = "x"
[function.f.environment]
SELF = "${function.f.arn}"
"#,
        r#"a function has no `arn`
 --> advent.toml:3:8
  |
3 | SELF = "${function.f.arn}"
  |        ^^^^^^^^^^^^^^^^^^^"#,
        "What can be referred to is `${function.f.name}`.",
    );
}

#[test]
fn no_attribute() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
[function.f.environment]
TABLE = "${table.words}"
"#,
        r#"`${table.words}` refers to nothing
 --> advent.toml:5:9
  |
5 | TABLE = "${table.words}"
  |         ^^^^^^^^^^^^^^^^"#,
        "A reference is `${table.ID.name}`, `${table.ID.arn}`, `${topic.ID.name}`, `${topic.ID.arn}` or `${function.ID.name}`.",
    );
}

#[test]
fn part_of_a_value() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
[function.f.environment]
TABLE = "dynamodb://${table.words.name}"
"#,
        r#"a reference must be the whole value
 --> advent.toml:5:9
  |
5 | TABLE = "dynamodb://${table.words.name}"
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
        "Give `${table.words.name}` a variable of its own and join the two in the function.",
    );
}

#[test]
fn statement() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
[[function.f.statement]]
actions = "dynamodb:DescribeTable"
resources = ["${table.words.arn}", "${table.word.arn}/index/*"]
"#,
        r#"there is no table `word`
 --> advent.toml:6:36
  |
6 | resources = ["${table.words.arn}", "${table.word.arn}/index/*"]
  |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
        "Did you mean `words`? The only table is `words`.",
    );
}
