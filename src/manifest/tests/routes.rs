//! Refusals of routes.

use super::refuses;

#[test]
fn no_method() {
    refuses(
        r#"name = "x"
[function.f]
route = "/hello"
"#,
        r#"`/hello` is not a route: it has no method and path
 --> advent.toml:3:9
  |
3 | route = "/hello"
  |         ^^^^^^^^"#,
        "Put a method before it: `ANY /hello`.",
    );
}

#[test]
fn method() {
    refuses(
        r#"name = "x"
[function.f]
route = "get /hello"
"#,
        r#"`get /hello` is not a route: `get` is not a method
 --> advent.toml:3:9
  |
3 | route = "get /hello"
  |         ^^^^^^^^^^^^"#,
        "Did you mean `GET`? The methods are `ANY`, `GET`, `POST`, `PUT`, `PATCH`, `DELETE`, `HEAD` and `OPTIONS`.",
    );
}

#[test]
fn path() {
    refuses(
        r#"name = "x"
[function.f]
route = "GET hello"
"#,
        r#"`GET hello` is not a route: its path does not begin with `/`
 --> advent.toml:3:9
  |
3 | route = "GET hello"
  |         ^^^^^^^^^^^"#,
        "A route is a method, a space and a path, as `ANY /hello`, or `$default`.",
    );
}

#[test]
fn neither() {
    refuses(
        r#"name = "x"
[function.f]
route = "default"
"#,
        r#"`default` is not a route: it has no method and path
 --> advent.toml:3:9
  |
3 | route = "default"
  |         ^^^^^^^^^"#,
        "A route is a method, a space and a path, as `ANY /hello`, or `$default`.",
    );
}

#[test]
fn empty_segment() {
    refuses(
        r#"name = "x"
[function.f]
route = "GET /a/"
"#,
        r#"`GET /a/` is not a route: a segment of its path is empty
 --> advent.toml:3:9
  |
3 | route = "GET /a/"
  |         ^^^^^^^^^"#,
        "Leave out the second or last `/`.",
    );
}

#[test]
fn character() {
    refuses(
        r#"name = "x"
[function.f]
route = "GET /a b"
"#,
        r#"`GET /a b` is not a route: the segment `a b` has characters that a path cannot have
 --> advent.toml:3:9
  |
3 | route = "GET /a b"
  |         ^^^^^^^^^^"#,
        "A segment is of letters, digits and `-._~:@!$&'()*+,;=%`, or a parameter: `{name}`, or, as the last, `{name+}`.",
    );
}

#[test]
fn parameter() {
    refuses(
        r#"name = "x"
[function.f]
route = "GET /{id"
"#,
        r#"`GET /{id` is not a route: `{id` is not a parameter
 --> advent.toml:3:9
  |
3 | route = "GET /{id"
  |         ^^^^^^^^^^"#,
        "A parameter is `{name}`, or, as the last segment, `{name+}`.",
    );
}

#[test]
fn greedy_not_last() {
    refuses(
        r#"name = "x"
[function.f]
route = "GET /{proxy+}/a"
"#,
        r#"`GET /{proxy+}/a` is not a route: `{proxy+}` takes the rest of the path
 --> advent.toml:3:9
  |
3 | route = "GET /{proxy+}/a"
  |         ^^^^^^^^^^^^^^^^^"#,
        "Only the last segment may be one. Elsewhere: `{proxy}`.",
    );
}

#[test]
fn parameter_twice() {
    refuses(
        r#"name = "x"
[function.f]
route = "GET /{id}/{id}"
"#,
        r#"`GET /{id}/{id}` is not a route: it has two parameters `id`
 --> advent.toml:3:9
  |
3 | route = "GET /{id}/{id}"
  |         ^^^^^^^^^^^^^^^^"#,
        "Give each parameter a name of its own.",
    );
}
