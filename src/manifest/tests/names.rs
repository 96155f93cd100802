//! Refusals of names that AWS would not take.

use super::refuses;

#[test]
fn stack() {
    refuses(
        r#"name = "AwsAdvent"
"#,
        r#"`AwsAdvent` is not a legal stack name
 --> advent.toml:1:8
  |
1 | name = "AwsAdvent"
  |        ^^^^^^^^^^^"#,
        "A stack name is 1 to 31 of a-z, 0-9 and -, and begins with a letter.",
    );
}

#[test]
fn stack_too_long() {
    refuses(
        r#"name = "a-name-that-goes-on-and-on-and-on"
"#,
        r#"`a-name-that-goes-on-and-on-and-on` is not a legal stack name
 --> advent.toml:1:8
  |
1 | name = "a-name-that-goes-on-and-on-and-on"
  |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
        "A stack name is 1 to 31 of a-z, 0-9 and -, and begins with a letter.",
    );
}

#[test]
fn id() {
    refuses(
        r#"name = "x"
[table."my.words"]
key = "word"
"#,
        r#"`my.words` is not a legal id
 --> advent.toml:2:8
  |
2 | [table."my.words"]
  |        ^^^^^^^^^^"#,
        "An id is 1 to 255 of A-Z, a-z, 0-9, _ and -, and begins with a letter.",
    );
}

#[test]
fn table() {
    refuses(
        r#"name = "x"
[table.words]
name = "ab"
key = "word"
"#,
        r#"`ab` is not a legal table name
 --> advent.toml:3:8
  |
3 | name = "ab"
  |        ^^^^"#,
        "A table name is 3 to 255 of A-Z, a-z, 0-9, ., _ and -.",
    );
}

#[test]
fn topic() {
    refuses(
        r#"name = "x"
[topic.news]
name = "news.fifo"
"#,
        r#"`news.fifo` is not a legal topic name
 --> advent.toml:3:8
  |
3 | name = "news.fifo"
  |        ^^^^^^^^^^^"#,
        "A topic name is 1 to 256 of A-Z, a-z, 0-9, _ and -.",
    );
}

#[test]
fn function() {
    refuses(
        r#"name = "x"
[function.f]
name = "f:live"
"#,
        r#"`f:live` is not a legal function name
 --> advent.toml:3:8
  |
3 | name = "f:live"
  |        ^^^^^^^^"#,
        "A function name is 1 to 64 of A-Z, a-z, 0-9, _ and -.",
    );
}

#[test]
fn role() {
    refuses(
        r#"name = "x"
[function.f]
role = "a_role_with_a_name_that_leaves_no_room_for_a_region"
"#,
        r#"`a_role_with_a_name_that_leaves_no_room_for_a_region` is not a legal role name
 --> advent.toml:3:8
  |
3 | role = "a_role_with_a_name_that_leaves_no_room_for_a_region"
  |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
        "A role name is 1 to 48 of A-Z, a-z, 0-9 and _+=,.@- (IAM takes 64; the Region is appended).",
    );
}

#[test]
fn http_api() {
    refuses(
        r#"name = "x"
[http_api]
name = ""
"#,
        r#"`""` is not a legal HTTP API name
 --> advent.toml:3:8
  |
3 | name = ""
  |        ^^"#,
        "An HTTP API name is 1 to 128 characters.",
    );
}

#[test]
fn package() {
    refuses(
        r#"name = "x"
[function.f]
package = "functions/f"
"#,
        r#"`functions/f` is not a legal package name
 --> advent.toml:3:11
  |
3 | package = "functions/f"
  |           ^^^^^^^^^^^^^"#,
        "A package name is 1 to 64 letters, digits, _ and -, and begins with a letter.",
    );
}

#[test]
fn key() {
    refuses(
        r#"name = "x"
[table.words]
key = ""
"#,
        r#"`""` is not a legal attribute name
 --> advent.toml:3:7
  |
3 | key = ""
  |       ^^"#,
        "An attribute name is 1 to 255 bytes of UTF-8.",
    );
}

#[test]
fn derived_role_too_long() {
    refuses(
        r#"name = "the-name-of-an-application"
[function.the_name_of_one_of_its_functions]
"#,
        "the role name `the-name-of-an-application-the_name_of_one_of_its_functions`, made of stack and id, is not legal
 --> advent.toml:2:11
  |
2 | [function.the_name_of_one_of_its_functions]
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        r#"Give one with `role = "…"`. It is 1 to 48 of A-Z, a-z, 0-9 and _+=,.@- (IAM takes 64; the Region is appended)."#,
    );
}

#[test]
fn derived_role_given_but_function_too_long() {
    refuses(
        r#"name = "the-name-of-an-application"
[function.the_name_of_one_of_its_very_many_small_functions]
role = "short"
"#,
        "the function name `the-name-of-an-application-the_name_of_one_of_its_very_many_small_functions`, made of stack and id, is not legal
 --> advent.toml:2:11
  |
2 | [function.the_name_of_one_of_its_very_many_small_functions]
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        r#"Give one with `name = "…"`. It is 1 to 64 of A-Z, a-z, 0-9, _ and -."#,
    );
}

#[test]
fn key_and_ttl() {
    refuses(
        r#"name = "x"
[table.words]
key = "word"
ttl = "word"
"#,
        r#"`word` is both key and ttl
 --> advent.toml:4:7
  |
3 | key = "word"
  |       ------ the key is here
4 | ttl = "word"
  |       ^^^^^^"#,
        "The key is a string and the ttl a number. Choose another attribute.",
    );
}

#[test]
fn binary() {
    refuses(
        r#"name = "x"
[function.f]
bin = "-Zunstable"
"#,
        r#"`-Zunstable` is not a legal binary name
 --> advent.toml:3:7
  |
3 | bin = "-Zunstable"
  |       ^^^^^^^^^^^^"#,
        "A binary name is 1 to 255 letters, digits, _ and -, and begins with no -.",
    );
}

#[test]
fn feature() {
    refuses(
        r#"name = "x"
[function.f]
features = ["a", "b,c"]
"#,
        r#"`b,c` is not a legal feature name
 --> advent.toml:3:18
  |
3 | features = ["a", "b,c"]
  |                  ^^^^^"#,
        "A feature name is 1 to 255 letters, digits, _, -, +, ., / and ?, and begins with a \
         letter, a digit or _.",
    );
}
