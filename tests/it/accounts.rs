//! What an account demands: guards, tags, permissions boundaries, roles that exist.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::local_project::Local;
use crate::support::project::Project;
use crate::support::proxy::{Fault, Proxy, Rule};
use crate::support::python::{Boto, python};
use crate::support::world::World;

const ROLE: &str = "small-front-us-east-1";
const BOUNDARY: &str = "arn:aws:iam::000000000000:policy/team/bounds";

/// The small project on a local cloud that is met as AWS is: through its address.
struct Account {
    local: Local,
    proxy: Proxy,
    cli: Cli,
}

impl Account {
    fn new() -> Self {
        let local = Local::start();
        let proxy = Proxy::start(&local.url);
        let cli = Cli::new(local.project.path()).endpoint(&proxy.url).arg("--yes");
        Self { local, proxy, cli }
    }

    fn edit(&self, top: &str) {
        self.local.project.edit("name = \"small\"", &format!("name = \"small\"\n{top}"));
    }
}

fn change(run: &Value, id: &str, field: &str) -> Value {
    let all = run["resources"].as_array().expect("resources");
    let resource = all.iter().find(|resource| resource["id"] == id).expect("the resource");
    let changes = resource["changes"].as_array().expect("changes");
    let found = changes.iter().find(|change| change["field"] == field);
    found.unwrap_or_else(|| panic!("{field} of {resource:#}")).clone()
}

#[test]
fn a_stage_goes_only_where_it_may() {
    let Some(_) = python() else { return };
    let account = Account::new();
    account.edit(
        "account = \"000000000000\"\nregion = \"us-east-1\"\n\n\
         [stage.prod]\naccount = [\"111111111111\", \"222222222222\"]\n\
         [stage.far]\nregion = \"eu-west-1\"\n",
    );
    account.cli.run(["plan"]).code(2).says("create");
    for command in ["up", "plan", "status", "down", "logs"] {
        account.proxy.take();
        let run = account.cli.run([command, "--stage", "prod"]).code(2);
        let run = run.says("111111111111 or 222222222222").says("account 000000000000");
        run.says("--profile").says("stage prod");
        let sent = account.proxy.take();
        assert_eq!((sent.len(), sent.count("sts", "GetCallerIdentity")), (1, 1), "{sent}");
        let run = account.cli.run([command, "--stage", "far"]).code(2);
        run.says("Region eu-west-1 only").says("this is us-east-1").says("--region eu-west-1");
    }
    account.cli.run(["plan", "--region", "eu-west-1"]).code(2).says("Region us-east-1 only");
    account.cli.run(["plan", "--stage", "far", "--region", "eu-west-1"]).code(2).says("create");
    // On this machine nothing can go to the wrong account.
    let plan = account.local.cli.run(["plan", "--stage", "prod"]).code(2);
    assert!(!plan.stderr.contains("111111111111"), "{}", plan.stderr);
}

fn tagged<'a>(world: &'a World, kind: &str, name: &str) -> &'a Value {
    &world.0[kind][name]["tags"]
}

/// What carries tags: its kind, its name in the world, and its id in the plan.
const TAGGED: [(&str, &str, &str); 7] = [
    ("tables", "small-items", "table.items"),
    ("topics", "arn:aws:sns:us-east-1:000000000000:small-news", "topic.news"),
    ("roles", ROLE, "role.front"),
    ("roles", "small-back-us-east-1", "role.back"),
    ("functions", "small-front", "function.front"),
    ("log_groups", "/aws/lambda/small-back", "log_group.back"),
    ("apis", "", "http_api"),
];

#[test]
fn tags_of_the_users_own_are_on_everything_and_stay_in_step() {
    let Some(python) = python() else { return };
    let account = Account::new();
    let boto = Boto::new(python, &account.local.url);
    account.edit("[tags]\nteam = \"words\"\n");
    account.cli.ok(["up"]);
    let assert = |team: &str, cost: Option<&str>| {
        let world = World::read(&boto);
        for (kind, name, _) in TAGGED {
            let tags =
                if kind == "apis" { &world.0[kind][0]["tags"] } else { tagged(&world, kind, name) };
            assert_eq!(tags["team"], team, "{kind} {name}: {tags}");
            assert_eq!(tags.get("cost").and_then(Value::as_str), cost, "{kind} {name}: {tags}");
            assert_eq!(tags["advent:stack"], "small", "{kind} {name}: {tags}");
        }
    };
    assert("words", None);
    account.cli.run(["plan"]).code(0);

    // Another value and another key, on what exists.
    account.local.project.edit("team = \"words\"", "team = \"letters\"\ncost = \"1\"");
    let plan = account.cli.run(["plan", "--json"]).code(2).json();
    for (_, _, id) in TAGGED {
        let team = change(&plan, id, "tag team");
        assert_eq!((&team["from"], &team["to"]), (&json!("words"), &json!("letters")), "{id}");
        assert_eq!(change(&plan, id, "tag cost")["from"], "none", "{id}");
    }
    account.cli.ok(["up"]);
    assert("letters", Some("1"));
    account.cli.run(["plan"]).code(0);

    // By hand: a tag of ours that is gone is drift, one of somebody else's is not.
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:small-front";
    let tags = json!({ "Resource": arn, "Tags": { "theirs": "kept", "team": "hand" } });
    boto.call("lambda", "tag_resource", tags);
    boto.call("iam", "untag_role", json!({ "RoleName": ROLE, "TagKeys": ["cost"] }));
    let plan = account.cli.run(["plan", "--json"]).code(2).json();
    assert_eq!(change(&plan, "function.front", "tag team")["from"], "hand");
    assert_eq!(change(&plan, "role.front", "tag cost")["from"], "none");
    account.proxy.take();
    account.cli.ok(["up"]);
    let writes = account.proxy.take().mutating();
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert("letters", Some("1"));

    // A tag that the manifest no longer has is nobody's business here.
    account.local.project.edit("\ncost = \"1\"", "");
    account.cli.run(["plan"]).code(0);
    assert_eq!(tagged(&World::read(&boto), "functions", "small-front")["theirs"], "kept");
    account.cli.ok(["down"]);
    World::read(&boto).assert_empty("after down");
}

fn make_boundary(boto: &Boto<'_>, actions: &[&str]) {
    let bounds = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": actions, "Resource": "*"
    }]});
    let policy = bounds.to_string();
    let with = json!({ "PolicyName": "bounds", "Path": "/team/", "PolicyDocument": policy });
    boto.call("iam", "create_policy", with);
}

fn boundary(boto: &Boto<'_>) -> Value {
    let role = boto.call("iam", "get_role", json!({ "RoleName": ROLE }));
    role["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"].clone()
}

#[test]
fn roles_are_bounded_and_what_is_out_of_bounds_is_denied() {
    let Some(python) = python() else { return };
    let account = Account::new();
    let boto = Boto::new(python, &account.local.url);
    account.edit("permissions_boundary = \"arn:aws:iam::${account}:policy/team/bounds\"");
    // As AWS does: a boundary must exist.
    account.cli.run(["up"]).code(1).says("Scope ARN").says(BOUNDARY);
    make_boundary(&boto, &["logs:*"]);
    account.cli.ok(["up"]);
    assert_eq!(boundary(&boto), BOUNDARY);
    account.cli.run(["plan"]).code(0);

    // Taken away, and put there by hand.
    boto.call("iam", "delete_role_permissions_boundary", json!({ "RoleName": ROLE }));
    let plan = account.cli.run(["plan", "--json"]).code(2).json();
    let drift = change(&plan, "role.front", "permissions boundary");
    assert_eq!((&drift["from"], &drift["to"]), (&json!("none"), &json!(BOUNDARY)));
    account.cli.ok(["up"]);
    assert_eq!(boundary(&boto), BOUNDARY);

    // Not named any longer: left alone, and said.
    let line = "permissions_boundary = \"arn:aws:iam::${account}:policy/team/bounds\"";
    account.local.project.edit(line, "");
    account.cli.run(["plan"]).code(0).says(BOUNDARY).says("left alone");
    assert_eq!(boundary(&boto), BOUNDARY);

    // Another account's is refused before anything is asked.
    account.edit("permissions_boundary = \"arn:aws:iam::123456789012:policy/x\"");
    let run = account.cli.run(["up"]).code(2).says("123456789012").says("000000000000");
    run.says("permissions_boundary");
    // The local cloud has no such policy, and says that it goes without.
    account.local.cli.run(["plan"]).says("does not count in the local cloud");
    account.cli.clone().ok(["policy", "--account", "123456789012"]);
    account.local.cli.ok(["down", "--yes"]);
}

#[test]
fn a_function_runs_with_a_role_that_exists() {
    let Some(python) = python() else { return };
    let account = Account::new();
    let boto = Boto::new(python, &account.local.url);
    account.cli.ok(["up"]);
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" },
        "Action": "sts:AssumeRole"
    }]});
    let with = json!({
        "RoleName": "given", "Path": "/service-role/", "AssumeRolePolicyDocument": trust.to_string()
    });
    let arn = boto.call("iam", "create_role", with)["Role"]["Arn"].clone();
    let given = || World::read(&boto).0["roles"]["given"].clone();
    let before = given();
    let key = "[function.front]\nrole_arn = \"arn:aws:iam::${account}:role/service-role/given\"";
    account.local.project.edit("[function.front]", key);
    // Something that is to be looked at again.
    let group = json!({ "logGroupName": "/aws/lambda/small-back" });
    boto.call("logs", "delete_log_group", group);
    let exists = Fault::Error(400, "ResourceAlreadyExistsException", "The log group exists");
    account.proxy.inject(Rule::operation("logs", "CreateLogGroup", exists).at(0));
    let run = account.cli.ok(["up"]).says("looking again");
    assert_eq!(run.stderr.matches("front runs with").count(), 1, "{}", run.stderr);
    run.says("front runs with arn:aws:iam::000000000000:role/service-role/given")
        .says("advent policy --function front");
    let world = World::read(&boto);
    let front = &world.0["functions"]["small-front"];
    assert_eq!(front["Role"], arn);
    // What the function is told does not change, and the role that was made for it is gone.
    assert_eq!(front["environment"]["TABLE"], "small-items");
    assert_eq!(world.0["roles"].get(ROLE), None);
    assert_eq!(given(), before);
    account.cli.run(["plan"]).code(0);
    let needed = account.cli.ok(["policy", "up"]).json().to_string();
    assert!(needed.contains("\"arn:aws:iam::000000000000:role/service-role/given\""), "{needed}");

    let wrong = "role_arn = \"arn:aws:iam::123456789012:role/x\"";
    account
        .local
        .project
        .edit("role_arn = \"arn:aws:iam::${account}:role/service-role/given\"", wrong);
    let run = account.cli.run(["up"]).code(2).says("123456789012").says("000000000000");
    run.says("[function.front]");
    // On this machine it has a role of its own, which may what the manifest says.
    let run = account.local.cli.ok(["up", "--yes"]);
    run.says("does not count in the local cloud");
    assert_ne!(World::read(&boto).0["roles"].get(ROLE), None);
    let down = account.local.cli.ok(["down", "--yes", "--json"]).json();
    assert_eq!(given(), before);

    // Where no local cloud ever ran, the document has what it has everywhere.
    let nowhere = account.local.project.path().join("nowhere");
    let never = Cli::new(account.local.project.path()).local(&nowhere);
    let never = never.ok(["down", "--json"]).json();
    let keys = |document: &Value| -> Vec<String> {
        document.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(keys(&never), keys(&down));
    for key in ["stack", "stage", "account", "region", "local", "outcome", "interrupted"] {
        assert_eq!(never[key], down[key], "{key}");
    }
}

#[test]
fn guards_need_nothing_of_the_stack() {
    let project = Project::new();
    project.edit("name = \"small\"", "name = \"small\"\naccount = 1");
    Cli::new(project.path()).run(["plan"]).code(2).says("advent.toml:2:11").says("in quotes");
}
