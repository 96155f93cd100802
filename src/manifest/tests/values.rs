//! Refusals of values out of range or without sense.

use super::refuses;

#[test]
fn retention() {
    refuses(
        r#"name = "x"
log_retention_days = 10
"#,
        "logs cannot be kept for 10 days
 --> advent.toml:2:22
  |
2 | log_retention_days = 10
  |                      ^^",
        "CloudWatch Logs takes one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653.",
    );
}

#[test]
fn retention_out_of_range() {
    refuses(
        r#"name = "x"
log_retention_days = 0
"#,
        "`log_retention_days` in the manifest is out of range
 --> advent.toml:2:22
  |
2 | log_retention_days = 0
  |                      ^",
        "It takes 1 to 3653 days.",
    );
}

#[test]
fn memory() {
    refuses(
        r#"name = "x"
[function.f]
memory = 64
"#,
        "`memory` in [function.f] is out of range
 --> advent.toml:3:10
  |
3 | memory = 64
  |          ^^",
        "It takes 128 to 10240 MB.",
    );
}

#[test]
fn timeout() {
    refuses(
        r#"name = "x"
[function.f]
timeout = 901
"#,
        "`timeout` in [function.f] is out of range
 --> advent.toml:3:11
  |
3 | timeout = 901
  |           ^^^",
        "It takes 1 to 900 seconds.",
    );
}

#[test]
fn number_beyond_bounds() {
    refuses(
        r#"name = "x"
[function.f]
timeout = 9_999_999_999
"#,
        "`timeout` in [function.f] is out of range
 --> advent.toml:3:11
  |
3 | timeout = 9_999_999_999
  |           ^^^^^^^^^^^^^",
        "It takes 1 to 900 seconds.",
    );
}

#[test]
fn throttle_rate() {
    refuses(
        r#"name = "x"
[http_api]
throttle_rate = nan
"#,
        "`throttle_rate` in [http_api] is out of range
 --> advent.toml:3:17
  |
3 | throttle_rate = nan
  |                 ^^^",
        "It takes a number greater than 0.",
    );
}

#[test]
fn throttle_burst() {
    refuses(
        r#"name = "x"
[http_api]
throttle_burst = 0
"#,
        "`throttle_burst` in [http_api] is out of range
 --> advent.toml:3:18
  |
3 | throttle_burst = 0
  |                  ^",
        "It takes at least 1.",
    );
}

#[test]
fn http_api_without_route() {
    refuses(
        r#"name = "x"
[http_api]
[function.f]
"#,
        "[http_api] without a route
 --> advent.toml:2:2
  |
2 | [http_api]
  |  ^^^^^^^^",
        r#"Give a function a route, as `route = "ANY /hello"`, or leave [http_api] out."#,
    );
}

#[test]
fn endless_loop() {
    refuses(
        r#"name = "x"
[topic.news]
[function.f]
topic = "news"
publish = { NEWS = "news" }
"#,
        r#"[function.f] would trigger itself without end
 --> advent.toml:5:20
  |
4 | topic = "news"
  |         ------ which triggers it
5 | publish = { NEWS = "news" }
  |                    ^^^^^^ it publishes to this topic"#,
        "Publish to another topic.",
    );
}

#[test]
fn reserved_variable() {
    refuses(
        r#"name = "x"
[function.f]
environment = { AWS_REGION = "eu-west-1" }
"#,
        r#"the variable `AWS_REGION` is reserved
 --> advent.toml:3:17
  |
3 | environment = { AWS_REGION = "eu-west-1" }
  |                 ^^^^^^^^^^"#,
        "Lambda sets it itself. Choose another name.",
    );
}

#[test]
fn reserved_variable_in_right() {
    refuses(
        r#"name = "x"
[topic.news]
[function.f]
publish = { AWS_LAMBDA_FUNCTION_NAME = "news" }
"#,
        r#"the variable `AWS_LAMBDA_FUNCTION_NAME` is reserved
 --> advent.toml:4:13
  |
4 | publish = { AWS_LAMBDA_FUNCTION_NAME = "news" }
  |             ^^^^^^^^^^^^^^^^^^^^^^^^"#,
        "Lambda sets it itself. Choose another name.",
    );
}

#[test]
fn variable_name() {
    refuses(
        r#"name = "x"
[function.f.environment]
"MY-TOKEN" = "a"
"#,
        r#"`MY-TOKEN` is not a legal variable name
 --> advent.toml:3:1
  |
3 | "MY-TOKEN" = "a"
  | ^^^^^^^^^^"#,
        "Lambda takes two or more of A-Z, a-z, 0-9 and _, beginning with a letter.",
    );
}

#[test]
fn variable_name_of_one_letter() {
    refuses(
        r#"name = "x"
[function.f.environment]
N = 1
"#,
        "`N` is not a legal variable name
 --> advent.toml:3:1
  |
3 | N = 1
  | ^",
        "Lambda takes two or more of A-Z, a-z, 0-9 and _, beginning with a letter.",
    );
}

#[test]
fn variable_with_nul() {
    refuses(
        r#"name = "x"
[function.f.environment]
TEXT = "a\u0000b"
"#,
        r#"`TEXT` has a NUL character in it
 --> advent.toml:3:8
  |
3 | TEXT = "a\u0000b"
  |        ^^^^^^^^^^"#,
        "No environment variable can hold one. Leave it out.",
    );
}

#[test]
fn secret_itself() {
    refuses(
        r#"name = "x"
[function.f.environment]
TOKEN = { secret = "xoxb-123" }
"#,
        "`secret` does not hold the name of a variable
 --> advent.toml:3:20
  |
3 | TOKEN = { secret = ********** }
  |                    ^^^^^^^^^^",
        "It takes the name of the variable of your own environment that holds the value, as `API_TOKEN`, and not the value.",
    );
}

#[test]
fn effect() {
    refuses(
        r#"name = "x"
[[function.f.statement]]
effect = "allow"
actions = "s3:GetObject"
resources = "*"
"#,
        r#"`allow` is not an effect
 --> advent.toml:3:10
  |
3 | effect = "allow"
  |          ^^^^^^^"#,
        "Did you mean `Allow`? An effect is `Allow`, which is the default, or `Deny`.",
    );
}

#[test]
fn action() {
    refuses(
        r#"name = "x"
[[function.f.statement]]
actions = ["s3.GetObject"]
resources = "*"
"#,
        r#"`s3.GetObject` is not an action
 --> advent.toml:3:12
  |
3 | actions = ["s3.GetObject"]
  |            ^^^^^^^^^^^^^^"#,
        "An action is a service, a colon and an operation, as `s3:GetObject` or `s3:*`.",
    );
}

#[test]
fn resource() {
    refuses(
        r#"name = "x"
[[function.f.statement]]
actions = ["s3:GetObject"]
resources = "my-bucket"
"#,
        r#"`my-bucket` is not a resource
 --> advent.toml:4:13
  |
4 | resources = "my-bucket"
  |             ^^^^^^^^^^^"#,
        "A resource is an ARN, `*`, or a reference such as `${table.ID.arn}`.",
    );
}

#[test]
fn environment_of_four_kilobytes() {
    let text = |size: usize| {
        format!("name = \"x\"\n[function.f.environment]\nAA = 1\nTEXT = \"{}\"\n", "x".repeat(size))
    };
    // `AA`, `1` and `TEXT` take seven bytes.
    super::accepted(&text(4096 - 7));
    let failure = super::Manifest::parse(&text(4096 - 6), "advent.toml").unwrap_err();
    assert!(
        failure.what.starts_with("the environment is too large\n --> advent.toml:4:1\n"),
        "{failure}"
    );
}
