//! Where a stage may be deployed to, and what belongs to the account that it goes to.

use crate::aws::Names;
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::report::Report;

/// Checks, before anything is read or written, that this is an account and a Region that the
/// manifest lets the stage go to, and that its roles and its boundary are that account's.
///
/// # Errors
/// A refusal that names both.
pub fn check(manifest: &Manifest, names: &Names) -> Result<(), Failure> {
    let Names { account, region, stage, .. } = names;
    let guard = manifest.guard(stage);
    if !guard.accounts.is_empty() && !guard.accounts.contains(account) {
        let what = format!(
            "advent.toml lets stage {stage} go to account {} only, and these credentials are of \
             account {account}",
            guard.accounts.join(" or ")
        );
        return Err(Failure::refused(what).hint(
            "choose the credentials with --profile NAME, or another stage with --stage NAME",
        ));
    }
    if !guard.regions.is_empty() && !guard.regions.contains(region) {
        let what = format!(
            "advent.toml lets stage {stage} go to Region {} only, and this is {region}",
            guard.regions.join(" or ")
        );
        return Err(Failure::refused(what).hint(format!(
            "pass --region {}, or choose another stage with --stage NAME",
            guard.regions[0]
        )));
    }
    let given = manifest.functions.iter().filter_map(|(id, function)| {
        Some((format!("`role_arn` of [function.{id}]"), function.role_arn.as_deref()?))
    });
    let boundary = manifest.permissions_boundary.as_deref();
    let boundary = boundary.map(|arn| ("`permissions_boundary`".to_owned(), arn));
    for (key, arn) in boundary.into_iter().chain(given) {
        let arn = names.in_account(arn);
        let whose = arn.split(':').nth(4).unwrap_or_default();
        if whose != account && whose != "aws" {
            let what = format!(
                "{key} is of account {whose}, and these credentials are of account {account}: {arn}"
            );
            return Err(Failure::refused(what).hint(
                "IAM takes one of the same account only: choose the credentials with --profile \
                 NAME, or write `${account}` where the account stands",
            ));
        }
    }
    Ok(())
}

/// Takes from the manifest what only means something in an account of AWS. The local cloud has no
/// policies and roles but those of the stacks in it, so functions run with roles that are made.
pub fn lift(manifest: &mut Manifest, report: &Report) {
    if manifest.permissions_boundary.take().is_some() {
        report.note("`permissions_boundary` does not count in the local cloud");
    }
    for (id, function) in &mut manifest.functions {
        if function.role_arn.take().is_some() {
            report.note(&format!(
                "`role_arn` of {id} does not count in the local cloud, which makes a role from \
                 what advent.toml says it may do"
            ));
        }
    }
}

/// Says which roles advent does not look after, and how to know what they must allow.
pub fn tell_of_given_roles(manifest: &Manifest, names: &Names, report: &Report) {
    for (id, function) in &manifest.functions {
        if let Some(arn) = &function.role_arn {
            report.note(&format!(
                "{id} runs with {}, whose rights are not advent's to set: \
                 `advent policy --function {id}` prints what it must allow",
                names.in_account(arn)
            ));
        }
    }
}
