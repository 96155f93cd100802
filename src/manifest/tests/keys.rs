//! Refusals of keys that are unknown or missing.

use super::refuses;

#[test]
fn top_level() {
    refuses(
        r#"name = "x"
log_retention = 7
"#,
        "unknown key `log_retention` in the manifest
 --> advent.toml:2:1
  |
2 | log_retention = 7
  | ^^^^^^^^^^^^^",
        "Did you mean `log_retention_days`? The keys here are `name`, `account`, `region`, `stage`, `permissions_boundary`, `tags`, `log_retention_days`, `table`, `topic`, `http_api` and `function`.",
    );
}

#[test]
fn plural() {
    refuses(
        r#"name = "x"
[tables.words]
key = "word"
"#,
        "unknown key `tables` in the manifest
 --> advent.toml:2:2
  |
2 | [tables.words]
  |  ^^^^^^",
        "Did you mean `table`? The keys here are `name`, `account`, `region`, `stage`, `permissions_boundary`, `tags`, `log_retention_days`, `table`, `topic`, `http_api` and `function`.",
    );
}

#[test]
fn in_table() {
    refuses(
        r#"name = "x"
[table.words]
	kye = "word"
"#,
        r#"unknown key `kye` in [table.words]
 --> advent.toml:3:2
  |
3 |     kye = "word"
  |     ^^^"#,
        "Did you mean `key`? The keys here are `name`, `key` and `ttl`.",
    );
}

#[test]
fn in_topic() {
    refuses(
        r#"name = "x"
[topic.news]
fifo = true
"#,
        "unknown key `fifo` in [topic.news]
 --> advent.toml:3:1
  |
3 | fifo = true
  | ^^^^",
        "The only key here is `name`.",
    );
}

#[test]
fn in_http_api() {
    refuses(
        r#"name = "x"
[http_api]
throttle = 5
"#,
        "unknown key `throttle` in [http_api]
 --> advent.toml:3:1
  |
3 | throttle = 5
  | ^^^^^^^^",
        "Did you mean `throttle_rate`? The keys here are `name`, `throttle_rate`, `throttle_burst` and `route_quota`.",
    );
}

#[test]
fn in_function() {
    refuses(
        r#"name = "x"
[function.f]
routes = "ANY /f"
"#,
        r#"unknown key `routes` in [function.f]
 --> advent.toml:3:1
  |
3 | routes = "ANY /f"
  | ^^^^^^"#,
        "Did you mean `route`? The keys here are `name`, `package`, `bin`, `features`, `default-features`, `role`, `role_arn`, `memory`, `timeout`, `route`, `topic`, `environment`, `read`, `put`, `update`, `delete`, `publish`, `statement` and `slack`.",
    );
}

#[test]
fn in_statement() {
    refuses(
        r#"name = "x"
[[function.f.statement]]
action = "s3:GetObject"
resources = "*"
"#,
        r#"unknown key `action` in [[function.f.statement]]
 --> advent.toml:3:1
  |
3 | action = "s3:GetObject"
  | ^^^^^^"#,
        "Did you mean `actions`? The keys here are `effect`, `actions` and `resources`.",
    );
}

#[test]
fn in_secret() {
    refuses(
        r#"name = "x"
[function.f]
environment = { TOKEN = { secrte = "SLACK_TOKEN" } }
"#,
        r#"unknown key `secrte` in `TOKEN` in `environment` in [function.f]
 --> advent.toml:3:27
  |
3 | environment = { TOKEN = { secrte = "SLACK_TOKEN" } }
  |                           ^^^^^^"#,
        "Did you mean `secret`? The only key here is `secret`.",
    );
}

#[test]
fn missing_name() {
    refuses(
        "# an application

[topic.news]
",
        "the manifest lacks `name`
 --> advent.toml:1:1
  |
1 | # an application
  | ^",
        r#"Add `name = "my-app"`: the stack's name, with which the names of all its parts begin."#,
    );
}

#[test]
fn missing_key() {
    refuses(
        r#"name = "x"
[table.words]
ttl = "expires"
"#,
        "[table.words] lacks `key`
 --> advent.toml:2:8
  |
2 | [table.words]
  |        ^^^^^",
        r#"Add `key = "id"`: the attribute, a string, that tells its items apart."#,
    );
}

#[test]
fn missing_secret() {
    refuses(
        r#"name = "x"
[function.f]
environment = { TOKEN = {} }
"#,
        "`TOKEN` in `environment` in [function.f] lacks `secret`
 --> advent.toml:3:25
  |
3 | environment = { TOKEN = {} }
  |                         ^^",
        r#"Add `secret = "VARIABLE"`: the variable of your own environment that holds the value."#,
    );
}

#[test]
fn missing_actions() {
    refuses(
        r#"name = "x"
[[function.f.statement]]
resources = "*"
"#,
        "[[function.f.statement]] lacks `actions`
 --> advent.toml:2:1
  |
2 | [[function.f.statement]]
  | ^^^^^^^^^^^^^^^^^^^^^^^^",
        r#"Add `actions = ["service:Action"]`: what it is about."#,
    );
}

#[test]
fn missing_resources() {
    refuses(
        r#"name = "x"
[[function.f.statement]]
actions = ["s3:GetObject"]
resources = []
"#,
        "[[function.f.statement]] lacks `resources`
 --> advent.toml:2:1
  |
2 | [[function.f.statement]]
  | ^^^^^^^^^^^^^^^^^^^^^^^^",
        r#"Add `resources = ["arn:…"]`: the ARNs that it is about, or `*`."#,
    );
}
