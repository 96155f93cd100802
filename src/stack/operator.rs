//! What an operator's rights are about: the ARNs of everything that one stage is made of.

use std::collections::BTreeSet;

use crate::aws::Names;
use crate::aws::naming::OTHER_ROLE;
use crate::aws::rights::Scope;
use crate::manifest::Manifest;

/// The ARNs of a stage. With `by_prefix`, names that are made of the stack's and an id stand for
/// all that could be made so: shorter, and good for what the manifest has not got yet.
pub fn scope(manifest: &Manifest, names: &Names, by_prefix: bool) -> Scope {
    // A name that is made of other things stays what it is, and the stage comes last.
    let suffix = names.physical(Some(""), "");
    let (prefix, any) = (format!("{}-", names.stack), format!("{}-*{suffix}", names.stack));
    let shown = |given: Option<&str>, name: String| {
        let derived = given.is_none() && name.starts_with(&prefix) && name.ends_with(&suffix);
        if by_prefix && derived { any.clone() } else { name }
    };
    let tables = |expiring: bool| {
        let tables = manifest.tables.iter().filter(move |(_, t)| !expiring || t.ttl.is_some());
        let name = |given: Option<&str>, id| shown(given, names.physical(given, id));
        tables.map(|(id, t)| names.table_arn(&name(t.name.as_deref(), id))).collect()
    };
    let topics = manifest.topics.iter().map(|(id, topic)| {
        let given = topic.name.as_deref();
        names.topic_arn(&shown(given, names.physical(given, id)))
    });
    let functions: BTreeSet<_> = manifest
        .functions
        .iter()
        .map(|(id, function)| {
            let given = function.name.as_deref();
            shown(given, names.function(given, id))
        })
        .collect();
    let log_groups = functions.iter().flat_map(|function| {
        // AWS checks some calls against the one form and some against the other.
        let arn = names.log_group_arn(&Names::log_group(function));
        [format!("{arn}:*"), arn]
    });
    // By their path they are this stage's own, whatever they are called.
    let made = manifest.functions.values().any(|function| function.role_arn.is_none());
    let roles: BTreeSet<_> = made.then(|| names.role_arn("*")).into_iter().collect();
    let other_roles = manifest.functions.iter().filter(|(_, f)| f.role_arn.is_none());
    let other_roles = other_roles.map(|(id, function)| {
        let name = names.other_role(&names.function(function.name.as_deref(), id));
        // A long name is cut, and may have lost its mark.
        let marked = by_prefix && name.contains(OTHER_ROLE);
        names.role_arn(&if marked { format!("*{OTHER_ROLE}*") } else { name })
    });
    let given = manifest.functions.values().filter_map(|function| function.role_arn.as_deref());
    let bounded = manifest.permissions_boundary.is_some();
    Scope {
        tables: tables(false),
        expiring_tables: tables(true),
        topics: topics.collect(),
        log_groups: log_groups.collect(),
        functions: functions.iter().map(|name| names.function_arn(name)).collect(),
        passed_roles: given.map(|arn| names.in_account(arn)).chain(roles.clone()).collect(),
        bounded_roles: if bounded { roles.clone() } else { BTreeSet::new() },
        roles,
        other_roles: other_roles.collect(),
        api: manifest
            .http_api
            .as_ref()
            .map(|_| names.api_arn("").trim_end_matches("/apis/").to_owned()),
    }
}
