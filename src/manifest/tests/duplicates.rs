//! Refusals of what may be there only once.

use super::refuses;

#[test]
fn tables() {
    refuses(
        r#"name = "x"
[table.words]
name = "table"
key = "word"

[table.users]
name = "table"
key = "id"
"#,
        r#"two tables are named `table`
 --> advent.toml:7:8
  |
3 | name = "table"
  |        ------- the first is here
...
7 | name = "table"
  |        ^^^^^^^ the second"#,
        "Give one of them another `name`.",
    );
}

#[test]
fn default_name() {
    refuses(
        r#"name = "x"
[topic.news]
name = "x-old"
[topic.old]
"#,
        r#"two topics are named `x-old`
 --> advent.toml:4:8
  |
3 | name = "x-old"
  |        ------- the first is here
4 | [topic.old]
  |        ^^^ named so because it has no `name`"#,
        "Give one of them another `name`. Without one, it is the stack's name, a dash and the id.",
    );
}

#[test]
fn functions() {
    refuses(
        r#"name = "x"
[function.g]
[function.f]
name = "x-g"
"#,
        r#"two functions are named `x-g`
 --> advent.toml:4:8
  |
2 | [function.g]
  |           - the first is here
3 | [function.f]
4 | name = "x-g"
  |        ^^^^^ the second"#,
        "Give one of them another `name`.",
    );
}

#[test]
fn roles_differ_in_case() {
    refuses(
        r#"name = "x"
[function.f]
role = "worker"
[function.g]
role = "Worker"
"#,
        r#"two roles are named `Worker`
 --> advent.toml:5:8
  |
3 | role = "worker"
  |        -------- the first is here
4 | [function.g]
5 | role = "Worker"
  |        ^^^^^^^^ the second"#,
        "Give one of them another `role`.",
    );
}

#[test]
fn route() {
    refuses(
        r#"name = "x"
[function.f]
route = "ANY /hello"
[function.g]
route = ["GET /", "ANY /hello"]
"#,
        r#"the route `ANY /hello` is there twice
 --> advent.toml:5:19
  |
3 | route = "ANY /hello"
  |         ------------ the first is here
4 | [function.g]
5 | route = ["GET /", "ANY /hello"]
  |                   ^^^^^^^^^^^^ the second"#,
        "A request goes to one function only. To have several work on it, publish to a topic that triggers them.",
    );
}

#[test]
fn route_with_other_parameter() {
    refuses(
        r#"name = "x"
[function.f]
route = ["GET /users/{id}", "GET /users/{name}"]
"#,
        r#"the routes `GET /users/{id}` and `GET /users/{name}` match the same requests
 --> advent.toml:3:29
  |
3 | route = ["GET /users/{id}", "GET /users/{name}"]
  |          -----------------  ^^^^^^^^^^^^^^^^^^^ the second
  |          |
  |          the first is here"#,
        "A request goes to one function only. To have several work on it, publish to a topic that triggers them.",
    );
}

#[test]
fn topic() {
    refuses(
        r#"name = "x"
[topic.news]
[function.f]
topic = ["news", "news"]
"#,
        r#"the topic `news` triggers [function.f] twice
 --> advent.toml:4:18
  |
4 | topic = ["news", "news"]
  |          ------  ^^^^^^ the second
  |          |
  |          the first is here"#,
        "Leave one of them out.",
    );
}

#[test]
fn variable_by_right_and_environment() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
[function.f]
update = { TABLE = "words" }
environment = { TABLE = "table" }
"#,
        r#"`TABLE` is set twice, to different values
 --> advent.toml:6:17
  |
5 | update = { TABLE = "words" }
  |            ----- the first is here
6 | environment = { TABLE = "table" }
  |                 ^^^^^ the second"#,
        "Rename one of them: a variable holds one value.",
    );
}

#[test]
fn variable_by_two_rights() {
    refuses(
        r#"name = "x"
[topic.news]
[table.words]
key = "word"
[function.f]
publish = { TARGET = "news" }
put = { TARGET = "words" }
"#,
        r#"`TARGET` is set twice, to different values
 --> advent.toml:7:9
  |
6 | publish = { TARGET = "news" }
  |             ------ the first is here
7 | put = { TARGET = "words" }
  |         ^^^^^^ the second"#,
        "Rename one of them: a variable holds one value.",
    );
}
