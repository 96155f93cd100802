//! Refusals of what an account may demand: guards, tags, boundaries, roles that exist.

use super::{accepted, refuses};

#[test]
fn an_account_without_quotes() {
    refuses(
        r#"name = "x"
account = 123456789012
"#,
        "`account` in the manifest must be a string, not an integer
 --> advent.toml:2:11
  |
2 | account = 123456789012
  |           ^^^^^^^^^^^^",
        "Put it in quotes.",
    );
}

#[test]
fn an_account_too_short() {
    refuses(
        r#"name = "x"
[stage.prod]
account = ["123456789012", "12345678901"]
"#,
        r#"`12345678901` is not an account
 --> advent.toml:3:28
  |
3 | account = ["123456789012", "12345678901"]
  |                            ^^^^^^^^^^^^^"#,
        "An account is 12 digits in quotes.",
    );
}

#[test]
fn no_region() {
    for wrong in ["Frankfurt", "eu central-1", "eu-central", "EU-CENTRAL-1", ""] {
        let text = format!("name = \"x\"\nregion = \"{wrong}\"\n");
        let failure = super::Manifest::parse(&text, "advent.toml").unwrap_err();
        assert!(failure.what.contains("is not a Region\n --> advent.toml:2:10"), "{failure}");
    }
}

#[test]
fn a_stage_that_cannot_be() {
    refuses(
        r#"name = "x"
[stage.Prod]
region = "eu-west-1"
"#,
        "`Prod` is not a legal stage name
 --> advent.toml:2:8
  |
2 | [stage.Prod]
  |        ^^^^",
        "A stage name is 1 to 16 of a-z, 0-9 and -, and begins with a letter.",
    );
    refuses(
        r#"name = "x"
[stage.prod]
acount = "123456789012"
"#,
        "unknown key `acount` in [stage.prod]
 --> advent.toml:3:1
  |
3 | acount = \"123456789012\"
  | ^^^^^^",
        "Did you mean `account`? The keys here are `account` and `region`.",
    );
}

#[test]
fn tags_that_are_others() {
    refuses(
        r#"name = "x"
[tags]
"AWS:cost" = "1"
"#,
        r#"the tag `AWS:cost` is not yours to set
 --> advent.toml:3:1
  |
3 | "AWS:cost" = "1"
  | ^^^^^^^^^^"#,
        "Keys that begin with `aws:` are AWS's own.",
    );
    refuses(
        r#"name = "x"
[tags]
"advent:stack" = "y"
"#,
        r#"the tag `advent:stack` is not yours to set
 --> advent.toml:3:1
  |
3 | "advent:stack" = "y"
  | ^^^^^^^^^^^^^^"#,
        "Keys that begin with `advent:` are advent's own.",
    );
}

#[test]
fn tags_twice() {
    refuses(
        r#"name = "x"
[tags]
team = "1"
Team = "2"
"#,
        r#"the tag `Team` differs from another in case only
 --> advent.toml:4:1
  |
3 | team = "1"
  | ---- the first is here
4 | Team = "2"
  | ^^^^ the second"#,
        "IAM takes the two for one. Leave one of them out.",
    );
}

#[test]
fn tags_that_are_not_legal() {
    for (key, value) in [
        ("", "x"),
        ("a!", "x"),
        ("a", "x&y"),
        ("a", "tab\\there"),
        (&*"k".repeat(129), "x"),
        ("a", &*"v".repeat(257)),
    ] {
        let text = format!("name = \"x\"\n[tags]\n\"{key}\" = \"{value}\"\n");
        let failure = super::Manifest::parse(&text, "advent.toml").unwrap_err();
        assert!(failure.what.contains("is not a legal"), "{failure}");
        assert!(failure.what.contains("advent.toml:3:"), "{failure}");
    }
    let (key, value) = ("k".repeat(128), "v".repeat(256));
    accepted(&format!("name = \"x\"\n[tags]\n{key} = \"{value}\"\n"));
}

#[test]
fn too_many_tags() {
    let tags = |count: usize| {
        let tags = (0..count).map(|n| format!("t{n} = \"\"\n")).collect::<Vec<_>>().concat();
        format!("name = \"x\"\n[tags]\n{tags}")
    };
    accepted(&tags(48));
    let failure = super::Manifest::parse(&tags(49), "advent.toml").unwrap_err();
    assert!(failure.what.starts_with("too many tags\n  --> advent.toml:51:1"), "{failure}");
}

#[test]
fn no_boundary() {
    refuses(
        r#"name = "x"
permissions_boundary = "boundary"
"#,
        r#"`boundary` is not the ARN of a policy
 --> advent.toml:2:24
  |
2 | permissions_boundary = "boundary"
  |                        ^^^^^^^^^^"#,
        "It looks like `arn:aws:iam::123456789012:policy/boundary`; `${account}` stands for the account that is deployed to.",
    );
    for arn in [
        "arn:aws:iam::aws:policy/PowerUserAccess",
        "arn:aws-cn:iam::123456789012:policy/a/b/c",
        "arn:aws:iam::${account}:policy/x",
    ] {
        accepted(&format!("name = \"x\"\npermissions_boundary = \"{arn}\"\n"));
    }
}

#[test]
fn no_role() {
    for wrong in [
        "arn:aws:iam::123456789012:policy/x",
        "arn:aws:iam::aws:role/x",
        "arn:aws:iam::123456789012:role/*",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:rolex",
        "arn:aws:iam:eu-west-1:123456789012:role/x",
        "arn:aws:iam::1234:role/x",
    ] {
        let text = format!("name = \"x\"\n[function.f]\nrole_arn = \"{wrong}\"\n");
        let failure = super::Manifest::parse(&text, "advent.toml").unwrap_err();
        assert!(failure.what.contains("is not the ARN of a role"), "{failure}");
    }
}

#[test]
fn two_roles() {
    refuses(
        r#"name = "x"
[function.f]
role = "r"
role_arn = "arn:aws:iam::123456789012:role/x"
"#,
        r#"[function.f] has both a `role` and a `role_arn`
 --> advent.toml:4:12
  |
3 | role = "r"
  |        --- the name of one to make
4 | role_arn = "arn:aws:iam::123456789012:role/x"
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ a role that exists"#,
        "Leave one of them out: with `role_arn` none is made.",
    );
}
