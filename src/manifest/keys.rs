//! What may stand in `advent.toml`: the parser, the schema and the reference are walks over this.

use super::names::{self, Rule};
use crate::slack;

/// One table of the manifest.
pub(crate) struct Table {
    /// As its author writes it.
    pub title: &'static str,
    pub doc: &'static str,
    pub keys: &'static [Key],
}

/// One key of a table.
pub(crate) struct Key {
    pub name: &'static str,
    pub takes: Takes,
    /// As TOML, or in words where no value says it; empty where there is none.
    pub default: &'static str,
    /// Of one that is required, how to write its value.
    pub example: Option<&'static str>,
    pub doc: &'static str,
}

/// What a key takes.
pub(crate) enum Takes {
    Text(Option<&'static Rule>),
    /// A string or an array of strings.
    Texts,
    Flag,
    /// From the first to the last, of this unit.
    Whole(i32, i32, &'static str),
    /// One of these, of this unit.
    OneOf(&'static [i32], &'static str),
    /// A number greater than 0.
    Positive,
    /// A table of variables of the function, each with the id of a resource of this kind.
    Grant(&'static str),
    /// A table of variables of the function with their values.
    Environment,
    /// A table of strings.
    Strings,
    Table(&'static Table),
    /// A table for each id.
    Tables(&'static Table),
    /// An array of tables.
    Array(&'static Table),
}

pub(crate) const fn key(
    name: &'static str,
    takes: Takes,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, takes, default, example: None, doc }
}

const fn required(
    name: &'static str,
    takes: Takes,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, takes, default: "", example: Some(example), doc }
}

const fn name(rule: &'static Rule, default: &'static str) -> Key {
    key("name", Takes::Text(Some(rule)), default, "its physical name, verbatim but for the stage")
}

const ACCOUNT: Key = key(
    "account",
    Takes::Texts,
    "any",
    "the accounts that may be deployed to, 12 digits each: checked before anything is read",
);
const REGION: Key = key("region", Takes::Texts, "any", "the Regions that may be deployed to");

/// What `PutRetentionPolicy` of `CloudWatch` Logs accepts.
pub(super) const RETENTION: [i32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

pub(crate) static ROOT: Table = Table {
    title: "the manifest",
    doc: "One application: what is in `advent.toml`.",
    keys: &[
        required(
            "name",
            Takes::Text(Some(&names::STACK)),
            "\"my-app\"",
            "the stack's name, with which the names of all its parts begin",
        ),
        ACCOUNT,
        REGION,
        key("stage", Takes::Tables(&STAGE), "", "where a stage may be deployed to"),
        key(
            "permissions_boundary",
            Takes::Text(None),
            "none",
            "the ARN of a managed policy that bounds every role; `${account}` stands for the \
             account that is deployed to",
        ),
        key("tags", Takes::Strings, "none", "tags on everything that takes tags"),
        key(
            "log_retention_days",
            Takes::OneOf(&RETENTION, "days"),
            "14",
            "how long log groups keep events",
        ),
        key("table", Takes::Tables(&TABLE), "", "the DynamoDB tables"),
        key("topic", Takes::Tables(&TOPIC), "", "the SNS topics"),
        key("http_api", Takes::Table(&HTTP_API), "", "the HTTP API of all routes"),
        key("function", Takes::Tables(&FUNCTION), "", "the Lambda functions"),
    ],
};

pub(crate) static STAGE: Table = Table {
    title: "[stage.NAME]",
    doc: "A copy of the application beside others (`--stage NAME`), and where it may be deployed \
          to instead of what the manifest says for all.",
    keys: &[ACCOUNT, REGION],
};

pub(crate) static TABLE: Table = Table {
    title: "[table.ID]",
    doc: "A DynamoDB table, billed on demand.",
    keys: &[
        name(&names::TABLE, "STACK-ID"),
        required(
            "key",
            Takes::Text(Some(&names::ATTRIBUTE)),
            "\"id\"",
            "the attribute, a string, that tells its items apart",
        ),
        key(
            "ttl",
            Takes::Text(Some(&names::ATTRIBUTE)),
            "items do not expire",
            "the attribute, a number, with the time at which an item expires, in seconds since \
             the epoch",
        ),
    ],
};

pub(crate) static TOPIC: Table =
    Table { title: "[topic.ID]", doc: "An SNS topic.", keys: &[name(&names::TOPIC, "STACK-ID")] };

pub(crate) static HTTP_API: Table = Table {
    title: "[http_api]",
    doc: "The HTTP API of all routes. There is one as soon as a function has a route.",
    keys: &[
        name(&names::HTTP_API, "STACK"),
        key(
            "throttle_rate",
            Takes::Positive,
            "10",
            "requests a second that the stage lets through on average",
        ),
        key(
            "throttle_burst",
            Takes::Whole(1, i32::MAX, ""),
            "20",
            "requests that may come at once",
        ),
        key(
            "route_quota",
            Takes::Whole(1, i32::MAX, ""),
            "300",
            "routes that the account may give one API, where AWS has raised it",
        ),
    ],
};

pub(crate) static FUNCTION: Table = Table {
    title: "[function.ID]",
    doc: "A Lambda function: a binary of a Cargo package of the workspace that holds the manifest.",
    keys: &[
        name(&names::FUNCTION, "STACK-ID"),
        key(
            "package",
            Takes::Text(Some(&names::PACKAGE)),
            "the package named after the id, or the only one with a binary of that name",
            "the Cargo package that has its binary",
        ),
        key(
            "bin",
            Takes::Text(Some(&names::BINARY)),
            "the package's only binary",
            "the binary, where the package has several",
        ),
        key("features", Takes::Texts, "none", "Cargo features that it is built with"),
        key("default-features", Takes::Flag, "true", "whether it is built with the default ones"),
        key(
            "role",
            Takes::Text(Some(&names::ROLE)),
            "STACK-ID",
            "the name of its role, to which the Region is appended",
        ),
        key(
            "role_arn",
            Takes::Text(None),
            "a role is made",
            "the ARN of a role that exists: none is made, and no rights are set; `${account}` \
             stands for the account that is deployed to",
        ),
        key("memory", Takes::Whole(128, 10_240, "MB"), "256", "its memory, in MB"),
        key(
            "timeout",
            Takes::Whole(1, 900, "seconds"),
            "10",
            "how long an invocation may take, in seconds",
        ),
        key(
            "route",
            Takes::Texts,
            "none",
            "what triggers it: routes of the HTTP API, `METHOD /path`, `ANY /path` or `$default`",
        ),
        key("topic", Takes::Texts, "none", "what triggers it: ids of topics"),
        key(
            "environment",
            Takes::Environment,
            "none",
            "its variables: text, `${table.ID.name}` and the like, or `{ secret = \"VARIABLE\" }` \
             from your own environment, which is never printed",
        ),
        key(
            "read",
            Takes::Grant("table"),
            "none",
            "it may read items: GetItem, BatchGetItem, Query, Scan",
        ),
        key("put", Takes::Grant("table"), "none", "it may PutItem"),
        key("update", Takes::Grant("table"), "none", "it may UpdateItem"),
        key("delete", Takes::Grant("table"), "none", "it may DeleteItem"),
        key("publish", Takes::Grant("topic"), "none", "it may Publish"),
        key("statement", Takes::Array(&STATEMENT), "none", "IAM statements of your own"),
        key(slack::SECTION, Takes::Table(&SLACK), "none", "that Slack calls its routes"),
    ],
};

pub(crate) static STATEMENT: Table = Table {
    title: "[[function.ID.statement]]",
    doc: "A statement of the role's policy.",
    keys: &[
        key("effect", Takes::Text(None), "\"Allow\"", "`Allow` or `Deny`"),
        required("actions", Takes::Texts, "[\"service:Action\"]", "what it is about"),
        required("resources", Takes::Texts, "[\"arn:…\"]", "the ARNs that it is about, or `*`"),
    ],
};

pub(crate) static SLACK: Table = Table {
    title: "[function.ID.slack]",
    doc: "Slack calls the function's routes. Each key names the variable of your own environment \
          that holds the secret.",
    keys: &slack::KEYS,
};

/// A value of `environment` that is not in the manifest.
pub(crate) static SECRET: Table = Table {
    title: "{ secret = \"VARIABLE\" }",
    doc: "A variable of your own environment.",
    keys: &[required(
        "secret",
        Takes::Text(None),
        "\"VARIABLE\"",
        "the variable of your own environment that holds the value",
    )],
};
