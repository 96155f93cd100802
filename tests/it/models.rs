//! Any legal manifest on any legal stage: every request is as AWS's own service models say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use advent::aws::{Cloud, Target};
use advent::bundle::{self, Application, Arch, Artifact, Destination};
use advent::engine::{Goal, Interrupt, Options, Plan};
use advent::failure::Failure;
use advent::local::Access;
use advent::manifest::{Manifest, Source};
use advent::stack::{self, Deployment, Parts};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use crate::support::cli::Cli;
use crate::support::local::LocalCloud;
use crate::support::models::Models;
use crate::support::project::Project;
use crate::support::proxy::Proxy;
use crate::support::python::python;

/// What every run of the test must have sent at least once.
const OPERATIONS: [&str; 30] = [
    "apigateway:CreateApi",
    "apigateway:CreateIntegration",
    "apigateway:CreateRoute",
    "apigateway:CreateStage",
    "apigateway:DeleteApi",
    "apigateway:GetApis",
    "apigateway:GetIntegrations",
    "apigateway:GetRoutes",
    "apigateway:GetStage",
    "dynamodb:CreateTable",
    "dynamodb:DeleteTable",
    "dynamodb:DescribeTable",
    "dynamodb:ListTagsOfResource",
    "dynamodb:UpdateTimeToLive",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:GetRole",
    "iam:ListRoles",
    "iam:PutRolePolicy",
    "lambda:AddPermission",
    "lambda:CreateFunction",
    "lambda:DeleteFunction",
    "lambda:GetPolicy",
    "logs:CreateLogGroup",
    "logs:DescribeLogGroups",
    "logs:PutRetentionPolicy",
    "sns:CreateTopic",
    "sns:Subscribe",
    "sts:GetCallerIdentity",
    "tagging:GetResources",
];

#[derive(Debug, Clone)]
struct Table {
    name: Option<String>,
    key: String,
    ttl: Option<String>,
}

#[derive(Debug, Clone)]
struct Function {
    name: Option<String>,
    role: Option<String>,
    memory: i32,
    timeout: i32,
    /// Methods and paths.
    routes: Vec<(&'static str, String)>,
    /// Which of the topics trigger it, and which it publishes to.
    topics: Vec<Index>,
    publishes: Option<Index>,
    /// Right and table.
    grants: Vec<(&'static str, Index)>,
    variables: Vec<String>,
    /// Actions and resources of statements.
    statements: Vec<(Vec<String>, Vec<String>)>,
}

#[derive(Debug, Clone)]
struct World {
    stack: String,
    stage: String,
    region: &'static str,
    retention: i32,
    tables: Vec<Table>,
    topics: Vec<Option<String>>,
    functions: Vec<Function>,
    api: Option<String>,
    throttle: (f64, i32),
}

/// Texts of this form, often as long as they may be.
fn long(class: &str, least: usize, most: usize) -> impl Strategy<Value = String> + use<> {
    let text = |least, most| {
        let pattern = format!("{class}{{{least},{most}}}");
        proptest::string::string_regex(&pattern).expect("a pattern")
    };
    prop_oneof![3 => text(least, most.min(least + 20)), 1 => text(most, most), 1 => text(least, most)]
}

fn tables() -> impl Strategy<Value = Vec<Table>> {
    let attribute = || prop_oneof![3 => "[a-z]{1,12}", 1 => "[a-zäöü€ .:\"\\\\#-]{1,60}"];
    let table = (option::of(long("[A-Za-z0-9_.-]", 3, 255)), attribute(), option::of(attribute()));
    vec(table.prop_map(|(name, key, ttl)| Table { name, key, ttl }), 0..3)
}

fn routes() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let method = select(vec!["ANY", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]);
    let segment = prop_oneof![
        3 => "[a-z]{1,9}",
        2 => "[A-Za-z0-9._~:@!$&'()*+,;=%-]{1,30}",
        1 => "[a-z]{1,9}".prop_map(|name| format!("{{{name}}}")),
    ];
    let path = vec(segment, 1..5).prop_map(|segments| segments.join("/"));
    prop_oneof![
        6 => vec((method.clone(), path.clone()), 0..4),
        1 => vec((method, path), 35..45),
    ]
}

fn functions() -> impl Strategy<Value = Vec<Function>> {
    let right = select(vec!["read", "put", "update", "delete"]);
    let names = (
        option::of(long("[A-Za-z0-9_-]", 1, 64)),
        option::of(long("[A-Za-z0-9_+=,.@-]", 1, 48)),
        128..=10_240,
        1..=900,
    );
    let variable = prop_oneof![8 => "\\PC{0,40}", 1 => "[a-z]{900,1400}"];
    let action = "[a-z]{2,9}:[A-Z][A-Za-z]{2,20}";
    let resource = prop_oneof![
        Just("*".to_owned()),
        "arn:aws:s3:::[a-z]{3,20}/[ -~¡-ÿ]{0,40}".prop_map(|arn| arn.replace("${", "")),
    ];
    let statement = (vec(action, 1..4), vec(resource, 1..4));
    let statements = prop_oneof![6 => vec(statement.clone(), 0..3), 1 => vec(statement, 40..90)];
    let links = (
        routes(),
        vec(any::<Index>(), 0..3),
        option::of(any::<Index>()),
        vec((right, any::<Index>()), 0..3),
        vec(variable, 0..4),
        statements,
    );
    let function = (names, links).prop_map(|((name, role, memory, timeout), links)| {
        let (routes, topics, publishes, grants, variables, statements) = links;
        Function {
            name,
            role,
            memory,
            timeout,
            routes,
            topics,
            publishes,
            grants,
            variables,
            statements,
        }
    });
    vec(function, 1..4)
}

fn worlds() -> impl Strategy<Value = World> {
    let stage = prop_oneof![
        Just("default".to_owned()),
        "[a-z][a-z0-9-]{0,14}[a-z0-9]",
        "[a-z][a-z0-9]{15}"
    ];
    let region = select(vec!["us-east-1", "eu-central-1", "ap-northeast-1", "mx-central-1"]);
    let whole = (long("[a-z0-9-]", 0, 30), stage, region, select(vec![1, 14, 400, 3653]));
    let topics = vec(option::of(long("[A-Za-z0-9_-]", 1, 256)), 0..3);
    let throttle = (prop_oneof![Just(0.5), 1.0..10_000.0], 1..=i32::MAX);
    let parts = (tables(), topics, functions(), option::of(long("[ -~ä€]", 1, 128)), throttle);
    (whole, parts).prop_map(|((stack, stage, region, retention), parts)| {
        let (tables, topics, functions, api, throttle) = parts;
        let stack = format!("s{stack}");
        World { stack, stage, region, retention, tables, topics, functions, api, throttle }
    })
}

/// As TOML writes a string; JSON's way is one of TOML's, but for DEL.
fn quoted(text: &str) -> String {
    serde_json::json!(text.replace('\u{7f}', "")).to_string()
}

fn list<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

impl World {
    fn manifest(&self) -> String {
        let mut text = format!("name = {}\n", quoted(&self.stack));
        let mut say = |line: String| writeln!(text, "{line}").expect("a string");
        let named = |name: &Option<String>| {
            name.as_ref().map_or_else(String::new, |name| format!("name = {}", quoted(name)))
        };
        say(format!("log_retention_days = {}", self.retention));
        for (number, table) in self.tables.iter().enumerate() {
            say(format!("[table.t{number}]\nkey = {}", quoted(&table.key)));
            say(named(&table.name));
            if let Some(ttl) = &table.ttl {
                say(format!("ttl = {}", quoted(ttl)));
            }
        }
        for (number, topic) in self.topics.iter().enumerate() {
            say(format!("[topic.p{number}]\n{}", named(topic)));
        }
        let mut any = false;
        for (number, function) in self.functions.iter().enumerate() {
            say(format!("[function.f{number}]\npackage = \"front\"\n{}", named(&function.name)));
            if let Some(role) = &function.role {
                say(format!("role = {}", quoted(role)));
            }
            say(format!("memory = {}\ntimeout = {}", function.memory, function.timeout));
            let mut routes: Vec<_> = function
                .routes
                .iter()
                .enumerate()
                .map(|(route, (method, path))| format!("{method} /{number}-{route}/{path}"))
                .collect();
            if number == 0 && routes.len() == 1 {
                routes.push("$default".to_owned());
            }
            any |= !routes.is_empty();
            say(format!("route = {}", list(&routes)));
            let topic = |index: &Index| format!("p{}", index.index(self.topics.len()));
            let triggers: BTreeSet<_> = match self.topics.len() {
                0 => BTreeSet::new(),
                _ => function.topics.iter().map(topic).collect(),
            };
            say(format!("topic = {}", list(&triggers)));
            let publishes = function.publishes.iter().filter(|_| !self.topics.is_empty());
            for topic in publishes.map(topic).filter(|topic| !triggers.contains(topic)) {
                say(format!("publish = {{ TOPIC = {} }}", quoted(&topic)));
            }
            let mut grants = BTreeMap::<_, BTreeSet<_>>::new();
            for (right, index) in function.grants.iter().filter(|_| !self.tables.is_empty()) {
                grants.entry(right).or_default().insert(index.index(self.tables.len()));
            }
            for (right, tables) in grants {
                let variables = tables.iter().map(|t| format!("TABLE{t} = \"t{t}\""));
                say(format!("{right} = {{ {} }}", variables.collect::<Vec<_>>().join(", ")));
            }
            let values = function.variables.iter().enumerate();
            let values = values.map(|(variable, value)| {
                format!("V{variable} = {}", quoted(&value.replace("${", "")))
            });
            let secret = std::iter::once("S1 = { secret = \"SECRET\" }".to_owned());
            let values: Vec<_> = values.chain(secret).collect();
            say(format!("environment = {{ {} }}", values.join(", ")));
            for (actions, resources) in &function.statements {
                say(format!("[[function.f{number}.statement]]\nactions = {}", list(actions)));
                say(format!("resources = {}", list(resources)));
            }
        }
        if any {
            let (rate, burst) = self.throttle;
            say(format!("[http_api]\nthrottle_rate = {rate}\nthrottle_burst = {burst}"));
            say(named(&self.api));
        }
        text
    }
}

/// The code of every function, built once.
fn artifact() -> Artifact {
    let project = Project::new();
    let app = Application::find(project.path()).expect("the project");
    // What is written in the moment of a build is not known to be what was built.
    std::thread::sleep(Duration::from_millis(50));
    // By the executable: it is what cargo calls instead of rustc.
    Cli::new(project.path()).ok(["build", "--local", "--out", "zips"]);
    let mut artifacts =
        bundle::last_built(&app, Arch::host(), Destination::Local).expect("what was built");
    artifacts.swap_remove(0)
}

async fn apply(deployment: &Deployment, plan: &Plan, cloud: &Cloud) {
    let options = Options { concurrency: 64, interrupt: &Interrupt::default() };
    let applied = deployment.stack.apply(plan, cloud, options, &()).await;
    for step in applied.reports {
        assert!(step.outcome.is_done(), "{} {}: {:?}", step.kind, step.name, step.outcome);
    }
}

/// `up`, `status` and `down`, as the commands do them. Fails where they refuse.
async fn tour(world: &World, local: &Access, artifact: &Artifact) -> Result<(), Failure> {
    let toml = world.manifest();
    let manifest = Manifest::parse(&toml, "advent.toml")?;
    let app = Application { manifest, toml, source: Source::Embedded };
    stack::check_stage(&world.stage)?;
    stack::check_names(&app, &world.stage)?;
    let target = Target {
        local: Some(local.clone()),
        endpoint_url: None,
        profile: None,
        region: Some(world.region.to_owned()),
        timeout: Duration::from_secs(20),
    };
    let connect = || Cloud::connect(&target, &app.manifest.name, &world.stage);
    let cloud = connect().await.expect("the local cloud");
    let secrets = |_: &str| Some("verified".to_owned());
    stack::check_limits(&app, &cloud.names, &secrets)?;
    let artifacts: Vec<_> = app
        .manifest
        .functions
        .keys()
        .map(|id| {
            let mut artifact = artifact.clone();
            artifact.function.clone_from(id);
            artifact
        })
        .collect();
    let parts = Parts { arch: Arch::host(), artifacts: &artifacts, secrets: &secrets };
    for round in 0..2 {
        let cloud = connect().await.expect("the local cloud");
        let mut deployment = Deployment::new(&app.manifest, &cloud.names, &parts);
        let read = deployment.read(&cloud, &(), Goal::Up).await;
        let plan = deployment.stack.plan_up(read.expect("the stack").0);
        if round == 0 {
            apply(&deployment, &plan, &cloud).await;
        } else {
            let actions: Vec<_> = plan.steps.iter().map(|it| (&it.name, &it.action)).collect();
            assert!(plan.in_sync(), "{actions:#?}\n{}", app.toml);
        }
    }
    let mut deployment = Deployment::new(&app.manifest, &cloud.names, &parts);
    let read = deployment.read(&cloud, &(), Goal::Down).await;
    let plan = deployment.stack.plan_down(read.expect("the stack").0);
    apply(&deployment, &plan, &cloud).await;
    Ok(())
}

fn generated(cases: u32) {
    let Some(python) = python() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let artifact = artifact();
    let local = LocalCloud::new();
    let _running = local.start();
    let mut access = local.access();
    let proxy = Proxy::start(&access.url);
    access.url.clone_from(&proxy.url);
    let mut models = Models::start(python);
    let (mut deployed, mut refused) = (0_u32, BTreeMap::<String, u32>::new());
    let mut operations = BTreeMap::<String, u64>::new();
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    proxy.watch();
    let result = {
        let state =
            std::cell::RefCell::new((&mut models, &mut deployed, &mut refused, &mut operations));
        TestRunner::new(config).run(&worlds(), |world| {
            let (models, deployed, refused, operations) = &mut *state.borrow_mut();
            let ended = runtime.block_on(tour(&world, &access, &artifact));
            let requests = proxy.watch();
            match ended {
                Ok(()) => **deployed += 1,
                Err(failure) => {
                    let wrote = requests.iter().any(|(operation, _)| operation.mutating);
                    prop_assert!(!wrote, "refused after a write: {failure}");
                    let why = failure.what.lines().next().unwrap_or_default().to_owned();
                    *refused.entry(why).or_default() += 1;
                }
            }
            let findings = models.check(&requests);
            prop_assert!(
                findings.violations.is_empty(),
                "{:#?}\n{}",
                findings.violations,
                world.manifest()
            );
            for (operation, count) in findings.operations {
                *operations.entry(operation).or_default() += count;
            }
            Ok(())
        })
    };
    let requests: u64 = operations.values().sum();
    let line = format!("{deployed} of {cases} deployed, {requests} requests, refused {refused:?}");
    drop(writeln!(std::io::stderr(), "{line}"));
    if let Err(error) = result {
        panic!("{error}");
    }
    // Else it would have tried little.
    assert!(deployed * 3 > cases, "{line}");
    let missing: Vec<_> =
        OPERATIONS.iter().filter(|name| !operations.contains_key(**name)).collect();
    assert!(missing.is_empty(), "never sent: {missing:?}");
}

#[test]
fn whatever_the_manifest_every_request_is_legal() {
    generated(advent_cases(24));
}

#[test]
#[ignore = "minutes: cargo xtask torture"]
fn whatever_the_manifest_every_request_is_legal_however_many() {
    generated(advent_cases(150));
}

/// So many, or what `PROPTEST_CASES` says.
fn advent_cases(cases: u32) -> u32 {
    let said = std::env::var("PROPTEST_CASES").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(cases)
}
