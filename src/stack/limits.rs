//! What AWS would refuse of an application, half-way: refused before, pointing into the manifest.

use super::{permissions, policies, resolve};
use crate::aws::Names;
use crate::aws::naming::Tags;
use crate::bundle::Application;
use crate::failure::Failure;
use crate::manifest::{self, Function, Manifest, Value};

/// Characters of all inline policies of a role together, white space excluded (IAM quotas; it
/// cannot be raised).
pub const ROLE_POLICIES_MAX: usize = 10_240;
/// Bytes of a function's variables as JSON: what Lambda measures, by what its error shows.
const ENVIRONMENT_MAX: usize = 4_096;
const TABLE_MAX: usize = 255;
const TOPIC_MAX: usize = 256;
const HTTP_API_MAX: usize = 128;

/// Checks the names that a stage gives to an application's parts. Functions and roles are missing:
/// their names are cut.
///
/// # Errors
/// A refusal that points at the name.
pub fn check_names(app: &Application, stage: &str) -> Result<(), Failure> {
    let manifest = &app.manifest;
    // Neither Region nor account is in these names.
    let names = Names {
        stack: manifest.name.clone(),
        stage: stage.to_owned(),
        region: String::new(),
        account: String::new(),
        partition: String::new(),
        own_tags: Tags::default(),
    };
    let tables = manifest.tables.iter().map(|(id, table)| {
        (["table", id.as_str(), "name"], names.physical(table.name.as_deref(), id), TABLE_MAX)
    });
    let topics = manifest.topics.iter().map(|(id, topic)| {
        (["topic", id.as_str(), "name"], names.physical(topic.name.as_deref(), id), TOPIC_MAX)
    });
    let api = manifest
        .http_api
        .iter()
        .map(|api| (["http_api", "name", ""], names.api(api.name.as_deref()), HTTP_API_MAX));
    for (place, name, most) in tables.chain(topics).chain(api) {
        let length = name.chars().count();
        if length > most {
            let kind = if place[0] == "http_api" { "HTTP API" } else { place[0] };
            let what = format!(
                "with the stage `{stage}` behind it, the {kind} name has {length} characters"
            );
            let hint = format!(
                "AWS takes {most}. Shorten the `name`, or take a shorter one for the stage."
            );
            return Err(refusal(app, &place, &what, &hint));
        }
    }
    Ok(())
}

/// Checks what depends on stage, account, Region or the operator's environment.
///
/// # Errors
/// A refusal that points at what there is too much of.
pub fn check(
    app: &Application,
    names: &Names,
    secrets: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let manifest = &app.manifest;
    let mut routes = 0;
    let quota = manifest.http_api.as_ref().map_or(0, |api| api.route_quota);
    let routes_max = usize::try_from(quota).unwrap_or_default();
    for (id, function) in &manifest.functions {
        if function.role_arn.is_none() {
            check_role(app, names, id, function)?;
        }
        check_environment(app, names, id, function, secrets)?;
        check_triggers(app, names, id, function)?;
        routes += function.routes.len();
        if routes > routes_max {
            let total: usize = manifest.functions.values().map(|f| f.routes.len()).sum();
            let what = format!("the HTTP API would have {total} routes");
            let hint = format!(
                "The quota is {routes_max}, and [http_api] takes another as `route_quota` if AWS has \
                 raised yours. A parameter, as `ANY /things/{{id}}`, or \
                 `ANY /{{path+}}` takes the place of many routes."
            );
            return Err(refusal(app, &["function", id, "route"], &what, &hint));
        }
    }
    Ok(())
}

fn check_role(
    app: &Application,
    names: &Names,
    id: &str,
    function: &Function,
) -> Result<(), Failure> {
    let size = |function: &Function| policies_size(&app.manifest, names, id, function);
    let total = size(function);
    if total <= ROLE_POLICIES_MAX {
        return Ok(());
    }
    let fits = |most: usize| {
        let mut function = function.clone();
        function.statements.truncate(most);
        size(&function) <= ROLE_POLICIES_MAX
    };
    // The first statement that is too much, if it is a statement's fault.
    let last = (0..function.statements.len()).rev().find(|fit| fits(*fit));
    let number = last.map(|last| last.to_string());
    let mut place = vec!["function", id];
    place.extend(number.iter().flat_map(|number| ["statement", number]));
    let what = format!("the policies of the role of `{id}` would have {total} characters");
    let hint = format!(
        "IAM takes {ROLE_POLICIES_MAX}, which nobody can raise. Join statements, cover several \
         resources with `*`, or divide the function."
    );
    Err(refusal(app, &place, &what, &hint))
}

/// Characters of a policy as IAM counts them: without white space.
pub fn policy_size(policy: &serde_json::Value) -> usize {
    policy.to_string().chars().filter(|c| !c.is_whitespace()).count()
}

/// Characters of the inline policies of a function's role together.
fn policies_size(manifest: &Manifest, names: &Names, id: &str, function: &Function) -> usize {
    let policies = policies::inline(manifest, id, function, names);
    policies.values().map(policy_size).sum()
}

fn check_environment(
    app: &Application,
    names: &Names,
    id: &str,
    function: &Function,
    secrets: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let value = |value: &Value| match value {
        Value::Secret(variable) => secrets(variable).filter(|secret| !secret.is_empty()),
        other => Some(resolve(&app.manifest, names, other)),
    };
    let variables = function.environment.iter();
    let variables: serde_json::Map<_, _> =
        variables.filter_map(|(key, known)| Some((key.clone(), value(known)?.into()))).collect();
    let size = serde_json::Value::Object(variables).to_string().len();
    if size <= ENVIRONMENT_MAX {
        return Ok(());
    }
    let what = format!(
        "the environment of `{id}` has {size} bytes with its names, ARNs and secrets, as JSON"
    );
    let hint = format!(
        "Lambda takes {ENVIRONMENT_MAX}. Put what is large into the function's code or a table."
    );
    Err(refusal(app, &["function", id, "environment"], &what, &hint))
}

fn check_triggers(
    app: &Application,
    names: &Names,
    id: &str,
    function: &Function,
) -> Result<(), Failure> {
    let topics = function.topics.iter().map(|topic| permissions::topic(topic));
    let routes = permissions::routes(&app.manifest, id, function, names);
    let all = topics.chain(routes);
    let size = permissions::size(&app.manifest, id, function, names, all);
    if size <= permissions::POLICY_MAX {
        return Ok(());
    }
    let what = format!(
        "the resource policy of `{id}` would have {size} bytes for {} topics",
        function.topics.len()
    );
    let hint = format!(
        "Lambda takes {}, and a topic needs a statement. Let several functions share the topics, \
         or publish to fewer.",
        permissions::POLICY_MAX
    );
    Err(refusal(app, &["function", id, "topic"], &what, &hint))
}

fn refusal(app: &Application, place: &[&str], what: &str, hint: &str) -> Failure {
    manifest::refusal(&app.source, &app.toml, place, what, hint)
}
