//! What manifests become, and, in the modules below, the full text of every refusal.

mod accounts;
mod duplicates;
mod files;
mod fuzz;
mod keys;
mod names;
mod references;
mod routes;
mod syntax;
mod types;
mod values;

use serde_json::json;

use super::*;

const ARTICLE: &str = r#"
name = "awsadvent"

[table.words]
name = "table"                                # physical name, verbatim; left out: derived
key = "word"

[topic.awsadvent]
name = "awsadvent"

[function.aws_advent]
role = "aws_advent_lambda_dynamo"             # left out: derived
route = "ANY /aws_advent"                     # trigger
update = { DYNAMO_TABLE = "words" }
publish = { SNS_TOPIC_ARN = "awsadvent" }

[function.sns_multiplier]
topic = "awsadvent"                           # trigger
update = { DYNAMO_TABLE = "words" }

[function.sns_logger]
topic = "awsadvent"
"#;

const EVERYTHING: &str = r#"
name = "x-1"
account = ["123456789012", "000000000001"]
region = "eu-central-1"
permissions_boundary = "arn:aws:iam::${account}:policy/team/boundary"
log_retention_days = 365

[stage.prod]
account = "999999999999"
[stage.dev]
region = ["us-gov-west-1", "eu-west-3"]

[tags]
team = "Wörter/more"
"cost center" = ""

[http_api]
name = "The API"
throttle_rate = 0.5
throttle_burst = 1
route_quota = 600

[table.words]
key = "word"
ttl = "expires"
[table.users-2]
key = "id"
[topic.news]
[topic.errors]

[function.f]
name = "F_1"
package = "f-package"
bin = "f_1"
features = ["lambda", "dep/x", "lambda"]
default-features = false
role = "r@x"
memory = 10_240
timeout = 0x384
route = ["$default", "GET /", "POST /users/{id}/files/{path+}", "GET /users/{id}", "PUT /a%20b"]
topic = ["news", "errors"]
delete = { WORDS = "words" }
put = { WORDS = "words", USERS = "users-2" }
read = { WORDS = "words", ALSO_WORDS = "words" }

[function.f.environment]
WORDS = "${table.words.name}"
TABLE_ARN = "${table.words.arn}"
NEWS = "${topic.news.name}"
NEWS_ARN = "${topic.news.arn}"
OTHER = "${function.g.name}"
TOKEN = { secret = "MY_TOKEN" }
NUMBER = -1_000
FLAG = true
EMPTY = ""
LINES = """
a
b"""
SHELL = "${HOME} and ${USER:-me}, {} $ { ${"
TEMPLATE = "Hello ${user.name}!"

[[function.f.statement]]
actions = "s3:GetObject"
resources = ["arn:aws:s3:::bucket/${aws:username}/*", "${table.words.arn}/index/*"]
[[function.f.statement]]
effect = "Deny"
actions = ["s3:*", "*"]
resources = "*"

[function.g]
role_arn = "arn:aws:iam::123456789012:role/service-role/g"
publish = { NEWS_ARN = "news" }
"#;

fn refuses(text: &str, what: &str, hint: &str) {
    let failure = Manifest::parse(text, "advent.toml").unwrap_err();
    assert_eq!(failure.what, what);
    assert_eq!(failure.hint.unwrap_or_default(), hint);
    assert_eq!(failure.exit, 2);
}

fn accepted(text: &str) -> Manifest {
    Manifest::parse(text, "advent.toml").unwrap_or_else(|failure| panic!("{failure}"))
}

fn function() -> Function {
    Function {
        name: None,
        package: None,
        bin: None,
        features: Vec::new(),
        default_features: true,
        role: None,
        role_arn: None,
        memory: 256,
        timeout: 10,
        environment: BTreeMap::new(),
        grants: Vec::new(),
        statements: Vec::new(),
        routes: Vec::new(),
        caller: None,
        topics: Vec::new(),
        written: BTreeSet::new(),
    }
}

fn written(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn grant(right: Right, target: &str) -> Grant {
    Grant { right, target: target.into() }
}

#[test]
fn the_articles() {
    let table = ("DYNAMO_TABLE".into(), Value::TableName("words".into()));
    let topic = ("SNS_TOPIC_ARN".into(), Value::TopicArn("awsadvent".into()));
    let aws_advent = Function {
        role: Some("aws_advent_lambda_dynamo".into()),
        environment: BTreeMap::from([table.clone(), topic]),
        grants: vec![grant(Right::Update, "words"), grant(Right::Publish, "awsadvent")],
        routes: vec!["ANY /aws_advent".into()],
        written: written(&["role", "route", "update", "publish"]),
        ..function()
    };
    let sns_multiplier = Function {
        environment: BTreeMap::from([table]),
        grants: vec![grant(Right::Update, "words")],
        topics: vec!["awsadvent".into()],
        written: written(&["topic", "update"]),
        ..function()
    };
    let sns_logger =
        Function { topics: vec!["awsadvent".into()], written: written(&["topic"]), ..function() };
    let expected = Manifest {
        name: "awsadvent".into(),
        guard: Guard::default(),
        stages: BTreeMap::new(),
        permissions_boundary: None,
        tags: BTreeMap::new(),
        log_retention_days: 14,
        tables: BTreeMap::from([(
            "words".into(),
            Table { name: Some("table".into()), key: "word".into(), ttl: None },
        )]),
        topics: BTreeMap::from([("awsadvent".into(), Topic { name: Some("awsadvent".into()) })]),
        functions: BTreeMap::from([
            ("aws_advent".into(), aws_advent),
            ("sns_multiplier".into(), sns_multiplier),
            ("sns_logger".into(), sns_logger),
        ]),
        http_api: Some(HttpApi {
            name: None,
            throttle_rate: 10.0,
            throttle_burst: 20,
            route_quota: 300,
        }),
    };
    assert_eq!(accepted(ARTICLE), expected);
}

#[test]
fn the_smallest() {
    let manifest = accepted("name = \"x\"");
    assert_eq!(manifest.log_retention_days, 14);
    assert_eq!(manifest.http_api, None);
    assert!(manifest.functions.is_empty());
}

#[test]
fn everything() {
    let manifest = accepted(EVERYTHING);
    assert_eq!((manifest.name.as_str(), manifest.log_retention_days), ("x-1", 365));
    assert_eq!(
        manifest.http_api,
        Some(HttpApi {
            name: Some("The API".into()),
            throttle_rate: 0.5,
            throttle_burst: 1,
            route_quota: 600,
        })
    );
    assert_eq!(
        manifest.tables["words"],
        Table { name: None, key: "word".into(), ttl: Some("expires".into()) }
    );
    let f = &manifest.functions["f"];
    assert_eq!((f.name.as_deref(), f.package.as_deref()), (Some("F_1"), Some("f-package")));
    assert_eq!((f.bin.as_deref(), f.default_features), (Some("f_1"), false));
    assert_eq!(f.features, ["dep/x", "lambda"]);
    assert_eq!((f.role.as_deref(), f.memory, f.timeout), (Some("r@x"), 10_240, 900));
    assert_eq!(f.topics, ["news", "errors"]);
    assert_eq!(
        f.routes,
        ["$default", "GET /", "POST /users/{id}/files/{path+}", "GET /users/{id}", "PUT /a%20b"]
    );
    assert_eq!(
        f.grants,
        [
            grant(Right::Read, "words"),
            grant(Right::Put, "users-2"),
            grant(Right::Put, "words"),
            grant(Right::Delete, "words"),
        ]
    );
    assert_eq!(manifest.functions["g"].grants, [grant(Right::Publish, "news")]);
}

#[test]
fn accounts() {
    let manifest = accepted(EVERYTHING);
    let guard = |accounts: &[&str], regions: &[&str]| Guard {
        accounts: accounts.iter().map(ToString::to_string).collect(),
        regions: regions.iter().map(ToString::to_string).collect(),
    };
    let all = ["123456789012", "000000000001"];
    assert_eq!(manifest.guard("default"), guard(&all, &["eu-central-1"]));
    assert_eq!(manifest.guard("prod"), guard(&["999999999999"], &["eu-central-1"]));
    assert_eq!(manifest.guard("dev"), guard(&all, &["us-gov-west-1", "eu-west-3"]));
    assert_eq!(accepted(ARTICLE).guard("any"), Guard::default());
    let boundary = manifest.permissions_boundary.as_deref();
    assert_eq!(boundary, Some("arn:aws:iam::${account}:policy/team/boundary"));
    let tags = [("team", "Wörter/more"), ("cost center", "")];
    assert_eq!(manifest.tags, tags.map(|(k, v)| (k.into(), v.into())).into());
    let role = manifest.functions["g"].role_arn.as_deref();
    assert_eq!(role, Some("arn:aws:iam::123456789012:role/service-role/g"));
}

#[test]
fn environment() {
    let literal = |text: &str| Value::Literal(text.into());
    let expected = BTreeMap::from([
        ("WORDS", Value::TableName("words".into())),
        ("ALSO_WORDS", Value::TableName("words".into())),
        ("USERS", Value::TableName("users-2".into())),
        ("TABLE_ARN", Value::TableArn("words".into())),
        ("NEWS", Value::TopicName("news".into())),
        ("NEWS_ARN", Value::TopicArn("news".into())),
        ("OTHER", Value::FunctionName("g".into())),
        ("TOKEN", Value::Secret("MY_TOKEN".into())),
        ("NUMBER", literal("-1000")),
        ("FLAG", literal("true")),
        ("EMPTY", literal("")),
        ("LINES", literal("a\nb")),
        ("SHELL", literal("${HOME} and ${USER:-me}, {} $ { ${")),
        ("TEMPLATE", literal("Hello ${user.name}!")),
    ]);
    let manifest = accepted(EVERYTHING);
    let environment = manifest.functions["f"].environment.iter();
    assert_eq!(
        environment.map(|(name, value)| (name.as_str(), value.clone())).collect::<BTreeMap<_, _>>(),
        expected
    );
}

#[test]
fn statements() {
    let table = "${table.words.arn}/index/*";
    assert_eq!(
        accepted(EVERYTHING).functions["f"].statements,
        [
            json!({
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::bucket/${aws:username}/*", table],
            }),
            json!({ "Effect": "Deny", "Action": ["s3:*", "*"], "Resource": ["*"] }),
        ]
    );
}

#[test]
fn expanding() {
    let resolve = |value: &Value| format!("<{value:?}>");
    assert_eq!(
        expand("${table.t.arn}/${aws:username}/${topic.n.name}*", resolve),
        r#"<TableArn("t")>/${aws:username}/<TopicName("n")>*"#
    );
    assert_eq!(expand("arn:aws:s3:::bucket/*", resolve), "arn:aws:s3:::bucket/*");
    assert_eq!(expand("${table.t", resolve), "${table.t");
}
