//! What a function's role allows: exactly what its links in the manifest need.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::resolve;
use crate::aws::Names;
use crate::manifest::{self, Manifest, Right};
use crate::resources::role::PUBLISH;

/// The inline policies of a function's role, by name.
///
/// Never `logs:CreateLogGroup`: a late invocation could bring a deleted log group back.
pub(super) fn inline(
    manifest: &Manifest,
    id: &str,
    function: &manifest::Function,
    names: &Names,
) -> BTreeMap<String, Value> {
    let base = names.base(function.role.as_deref(), id);
    let function_name = names.function(function.name.as_deref(), id);
    let log_group = names.log_group_arn(&Names::log_group(&function_name));
    let mut statements = vec![json!({
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": format!("{log_group}:*")
    })];
    let mut tables: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut topics = Vec::new();
    for grant in &function.grants {
        if grant.right == Right::Publish {
            topics.push(resolve(manifest, names, &manifest::Value::TopicArn(grant.target.clone())));
        } else {
            tables.entry(&grant.target).or_default().extend(actions(grant.right));
        }
    }
    statements.extend(tables.into_iter().map(|(table, actions)| {
        let table = manifest::Value::TableArn(table.to_owned());
        json!({
            "Effect": "Allow",
            "Action": actions,
            "Resource": resolve(manifest, names, &table)
        })
    }));
    statements.extend(function.statements.iter().map(|own| {
        let mut own = own.clone();
        if let Some(Value::Array(resources)) = own.get_mut("Resource") {
            for resource in resources {
                if let Value::String(text) = resource {
                    *text = manifest::expand(text, |value| resolve(manifest, names, value));
                }
            }
        }
        own
    }));
    let mut policies = BTreeMap::from([(base.clone(), document(&statements))]);
    if !topics.is_empty() {
        let publish = json!({ "Effect": "Allow", "Action": "sns:Publish", "Resource": topics });
        policies.insert(format!("{base}{PUBLISH}"), document(&[publish]));
    }
    policies
}

fn actions(right: Right) -> &'static [&'static str] {
    match right {
        Right::Read => {
            &["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"]
        }
        Right::Put => &["dynamodb:PutItem"],
        Right::Update => &["dynamodb:UpdateItem"],
        Right::Delete => &["dynamodb:DeleteItem"],
        Right::Publish => &[],
    }
}

fn document(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}
