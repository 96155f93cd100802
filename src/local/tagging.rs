//! The resource groups tagging API: what has which tags, except roles, as in AWS.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::call::{ApiCall, Reply};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::{http_api, lambda, logs, sns};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Input {
    pagination_token: Option<String>,
    tag_filters: Vec<TagFilter>,
    resource_type_filters: Vec<String>,
    resources_per_page: Option<usize>,
    #[serde(rename = "ResourceARNList")]
    resource_arn_list: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagFilter {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

/// What a call needs.
pub fn needs(call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    match call.operation.as_str() {
        "GetResources" => Ok(vec![Need::new("tag:GetResources", "*")]),
        _ => Err(AwsError::unknown_call(call)),
    }
}

pub fn handle(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    if call.operation != "GetResources" {
        return Err(AwsError::unknown_call(call));
    }
    let input: Input = call.input()?;
    let size = match input.resources_per_page {
        None => 50,
        Some(size @ 1..=100) => size,
        Some(_) => {
            return Err(AwsError::new(
                400,
                "InvalidParameterException",
                "ResourcesPerPage must be between 1 and 100",
            ));
        }
    };
    let mut found = everything(cloud, &call.region)?;
    found.retain(|(arn, tags)| {
        // What was never tagged is not in the index.
        !tags.is_empty()
            && input.tag_filters.iter().all(|filter| fits(filter, tags))
            && (input.resource_type_filters.is_empty()
                || input.resource_type_filters.iter().any(|kind| is_of_type(arn, kind)))
            && (input.resource_arn_list.is_empty() || input.resource_arn_list.contains(arn))
    });
    found.sort();
    let after = input.pagination_token.as_deref().unwrap_or_default();
    let mut rest = found.into_iter().filter(|(arn, _)| arn.as_str() > after);
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let token = page.last().filter(|_| more).map_or("", |(arn, _)| arn).to_owned();
    let list: Vec<_> = page
        .into_iter()
        .map(|(arn, tags)| {
            let tags: Vec<_> =
                tags.into_iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
            json!({"ResourceARN": arn, "Tags": tags})
        })
        .collect();
    Reply::json(&json!({"PaginationToken": token, "ResourceTagMappingList": list}))
}

/// ARNs with their tags.
pub type Tagged = Vec<(String, BTreeMap<String, String>)>;

fn everything(cloud: &Arc<LocalCloud>, region: &str) -> Result<Tagged, AwsError> {
    let mut found = cloud.dynamodb.tagged(region)?;
    cloud.store.read(|db| {
        found.extend(logs::tagged(db, region)?);
        found.extend(lambda::tagged(db, region)?);
        found.extend(sns::tagged(db, region)?);
        found.extend(http_api::tagged(db, region)?);
        Ok(())
    })?;
    Ok(found)
}

fn fits(filter: &TagFilter, tags: &BTreeMap<String, String>) -> bool {
    let Some(key) = &filter.key else { return true };
    tags.get(key).is_some_and(|value| filter.values.is_empty() || filter.values.contains(value))
}

/// `service` or `service:type`; the type begins the resource part of the ARN.
fn is_of_type(arn: &str, kind: &str) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
    match kind.split_once(':') {
        None => kind == service,
        Some((of, wanted)) => {
            let actual = match service {
                // Topics are named without a type.
                "sns" => "topic",
                _ => resource.trim_start_matches('/').split([':', '/']).next().unwrap_or_default(),
            };
            of == service && wanted.split('/').next() == Some(actual)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_type;

    #[test]
    fn types_of_arns() {
        for (arn, kind, is) in [
            ("arn:aws:dynamodb:r:1:table/t", "dynamodb:table", true),
            ("arn:aws:dynamodb:r:1:table/t", "dynamodb", true),
            ("arn:aws:lambda:r:1:function:f", "lambda:function", true),
            ("arn:aws:lambda:r:1:function:f", "lambda:layer", false),
            ("arn:aws:sns:r:1:t", "sns:topic", true),
            ("arn:aws:sns:r:1:t", "sqs", false),
            ("arn:aws:apigateway:r::/apis/a", "apigateway:apis", true),
            ("arn:aws:logs:r:1:log-group:/aws/lambda/f", "logs:log-group", true),
        ] {
            assert_eq!(is_of_type(arn, kind), is, "{arn} {kind}");
        }
    }
}
