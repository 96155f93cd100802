//! `advent policy`: what IAM must allow the operator, or the role of a function.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::guard;
use super::session::application;
use crate::aws::credentials::place::partition;
use crate::aws::naming::Tags;
use crate::aws::rights::{self, Command};
use crate::aws::{Cloud, Names, Target};
use crate::cli::{Global, Operates, Policy};
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::report::Report;
use crate::stack;

/// Characters, white space aside, of a managed policy (IAM quotas; it cannot be raised).
const MANAGED: usize = 6_144;
/// Stands in ARNs for any account or any Region.
const ANY: &str = "*";

pub async fn run(global: &Global, args: &Policy, report: &Report) -> Result<u8> {
    let manifest = application(report)?.manifest;
    stack::check_stage(&global.stage)?;
    if global.local {
        let what = "the local cloud asks no operator for rights";
        let hint = "leave --local out; --account ID prints the policy without credentials";
        return Err(Failure::refused(what).hint(hint).into());
    }
    if let Some(id) = &args.function
        && !manifest.functions.contains_key(id)
    {
        let known: Vec<_> = manifest.functions.keys().map(String::as_str).collect();
        let what = format!("advent.toml has no function `{id}`");
        return Err(Failure::refused(what).hint(format!("it has {}", known.join(", "))).into());
    }
    let names = names(&manifest, global, args, report).await?;
    let policy = if let Some(id) = &args.function {
        stack::role_policy(&manifest, &names, id).unwrap_or_default()
    } else {
        let scope = stack::scope(&manifest, &names, args.by_prefix);
        rights::policy(&commands(&args.commands), &scope)
    };
    warn_of_size(&policy, args, report);
    if global.json {
        report.prescribed(&policy);
    } else {
        report.data(&format!("{policy:#}"));
    }
    Ok(0)
}

fn commands(asked: &[Operates]) -> Vec<Command> {
    if asked.is_empty() {
        return vec![Command::Up, Command::Status, Command::Down, Command::Logs, Command::Say];
    }
    let command = |operates: &Operates| match operates {
        Operates::Up => Command::Up,
        Operates::Plan | Operates::Status => Command::Status,
        Operates::Down => Command::Down,
        Operates::Logs => Command::Logs,
        Operates::Say => Command::Say,
    };
    asked.iter().map(command).collect()
}

/// The stage's names: in the account and the Region that the credentials lead to, or without any
/// in those that are known otherwise.
async fn names(
    manifest: &Manifest,
    global: &Global,
    args: &Policy,
    report: &Report,
) -> Result<Names> {
    let guard = manifest.guard(&global.stage);
    let given = if let Some(account) = &args.account {
        if account.len() != 12 || !account.chars().all(|c| c.is_ascii_digit()) {
            let what = format!("`{account}` is not an account");
            return Err(Failure::refused(what).hint("an account is 12 digits").into());
        }
        Some(account.clone())
    } else {
        let target = Target {
            local: None,
            endpoint_url: global.endpoint_url.clone(),
            profile: global.profile.clone(),
            region: global.region.clone(),
            timeout: Duration::from_secs(global.timeout),
        };
        match Cloud::connect(&target, &manifest.name, &global.stage).await {
            Ok(cloud) => {
                guard::check(manifest, &cloud.names)?;
                return Ok(cloud.names);
            }
            Err(error) => {
                let what = "AWS could not be asked for account and Region";
                report.warn(&format!("{what}: {error:#}"));
                only(&guard.accounts)
            }
        }
    };
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let region = global.region.clone();
    let region =
        region.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = region.or_else(|| only(&guard.regions));
    for (what, known, option) in
        [("account", &given, "--account ID"), ("Region", &region, "--region REGION")]
    {
        if known.is_none() {
            report.warn(&format!("the {what} is not known: `*` stands for it; pass {option}"));
        }
    }
    let region = region.unwrap_or_else(|| ANY.to_owned());
    let partition = partition(&region);
    let account = given.unwrap_or_else(|| ANY.to_owned());
    let names = Names {
        stack: manifest.name.clone(),
        stage: global.stage.clone(),
        region,
        partition: partition.to_owned(),
        account,
        own_tags: Tags::new(),
    };
    if names.account != ANY && names.region != ANY {
        guard::check(manifest, &names)?;
    }
    Ok(names)
}

fn only(values: &[String]) -> Option<String> {
    match values {
        [one] => Some(one.clone()),
        _ => None,
    }
}

fn warn_of_size(policy: &Value, args: &Policy, report: &Report) {
    let (size, inline) = (stack::policy_size(policy), stack::ROLE_POLICIES_MAX);
    if size <= MANAGED {
        return;
    }
    let shorter = match (&args.function, args.by_prefix) {
        (None, false) => {
            "; --by-prefix makes it shorter where names are made of the stack's, and fewer commands \
             at a time make several policies of it"
        }
        (None, true) => "; fewer commands at a time make several policies of it",
        (Some(_), _) => "",
    };
    report.warn(&format!(
        "this policy has {size} characters: IAM takes {MANAGED} in a managed policy, and {inline} \
         in the inline policies of a role{shorter}"
    ));
}
