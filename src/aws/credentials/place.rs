//! Where requests go: a Region's name and an endpoint's URL, checked before they are used.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use http::Uri;

use crate::failure::Failure;

/// Regions that every account has. All others must be enabled.
const ALWAYS: [&str; 17] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
];

/// Whether an account must enable the Region first.
pub fn is_opt_in(region: &str) -> bool {
    let other_partition = ["us-gov-", "cn-", "us-iso", "eu-iso", "eusc-"];
    !ALWAYS.contains(&region) && !other_partition.iter().any(|start| region.starts_with(start))
}

/// # Errors
/// A [`Failure`] for what can be no Region's name. `by` says what names it.
pub fn check_region(by: &str, region: &str) -> Result<(), Failure> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if region.len() <= 63 && region.split('-').all(is_word) && !is_zone(region) {
        return Ok(());
    }
    let better = region.trim().to_ascii_lowercase().replace([' ', '_'], "-");
    let better = if is_zone(&better) { better[..better.len() - 1].to_owned() } else { better };
    let hint = if better != region && looks_real(&better) {
        format!("is `{better}` meant?")
    } else {
        "Regions have names like eu-west-1".to_owned()
    };
    let what = format!("{by} `{}` is not the name of an AWS Region", region.escape_debug());
    Err(Failure::refused(what).hint(hint))
}

/// `eu-west-1a` is a part of a Region.
fn is_zone(region: &str) -> bool {
    let mut end = region.chars().rev();
    end.next().is_some_and(|c| c.is_ascii_lowercase())
        && end.next().is_some_and(|c| c.is_ascii_digit())
        && end.next() == Some('-')
}

/// Words and a number, as all of AWS's have.
pub fn looks_real(region: &str) -> bool {
    let words: Vec<_> = region.split('-').collect();
    let is_letters = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    match words.as_slice() {
        [words @ .., number] => {
            words.len() >= 2
                && words.iter().all(is_letters)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        [] => false,
    }
}

/// # Errors
/// A [`Failure`] for what is no URL of an endpoint. `by` says what names it.
pub fn check_url(by: &str, url: &str) -> Result<(), Failure> {
    let Some(why) = mistake(url) else { return Ok(()) };
    // It might hold a password.
    let shown =
        if url.contains('@') { String::new() } else { format!(" `{}`", url.escape_debug()) };
    let what = format!("{by}{shown} {why}");
    Err(Failure::refused(what)
        .hint("an endpoint is written like https://example.com or http://127.0.0.1:4566"))
}

fn mistake(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<Uri>() else { return Some("is not a URL") };
    let Some(authority) = uri.authority().filter(|_| uri.scheme().is_some()) else {
        return Some("is not a URL that begins with http:// or https://");
    };
    let port = authority.as_str().rsplit(']').next().and_then(|rest| rest.rsplit_once(':'));
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        Some("does not begin with http:// or https://")
    } else if authority.as_str().contains('@') {
        Some("holds a name or a password, which no endpoint takes")
    } else if authority.host().is_empty() || authority.host() == "[]" {
        Some("has no host")
    } else if port.is_some_and(|(_, port)| port.parse::<u16>().map_or(true, |port| port == 0)) {
        Some("has no port that exists")
    } else if url.contains(['?', '#']) {
        Some("has a query, which no endpoint takes")
    } else {
        None
    }
}

/// The variables that name endpoints, and what they name.
///
/// # Errors
/// A [`Failure`] that names the variable.
pub fn check_variables(variables: impl Iterator<Item = (String, String)>) -> Result<(), Failure> {
    let mut found: Vec<_> = variables
        .filter(|(name, url)| name.starts_with("AWS_ENDPOINT_URL") && !url.is_empty())
        .collect();
    found.sort();
    found.iter().try_for_each(|(name, url)| check_url(name, url))
}

/// Endpoints of single services, which profiles can have.
///
/// # Errors
/// A [`Failure`] that names the service.
pub fn check_services(config: &SdkConfig) -> Result<(), Failure> {
    const SERVICES: [&str; 8] = [
        "STS",
        "DynamoDB",
        "SNS",
        "IAM",
        "Lambda",
        "ApiGatewayV2",
        "CloudWatch Logs",
        "Resource Groups Tagging API",
    ];
    SERVICES.into_iter().try_for_each(|service| {
        let url = own_endpoint(config, service);
        url.map_or(Ok(()), |url| check_url(&format!("the endpoint of {service}"), &url))
    })
}

/// The endpoint of a service alone, from its variable or the profile's section of services.
fn own_endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    config.service_config()?.load_config(key.ok()?).filter(|url| !url.is_empty())
}

/// The endpoint that somebody has set for a service, in the SDK's order: as an option, for this
/// service alone, for all of them. `None`: AWS's own.
pub fn endpoint_of(config: &SdkConfig, service: &str) -> Option<String> {
    let option = config.get_origin("endpoint_url").is_client_config();
    let own = if option { None } else { own_endpoint(config, service) };
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// The partition that a Region is in, by its name (the SDKs' partitions.json).
pub fn partition(region: &str) -> &'static str {
    const OTHERS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    let of = OTHERS.iter().find(|(start, _)| region.starts_with(start));
    of.map_or("aws", |(_, partition)| partition)
}
