//! Parsing and checking what an operator's account demands: where stages may go, tags, a
//! permissions boundary, and roles that exist already.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::Guard;
use super::diagnostic::{Diagnostic, Result, quoted};
use super::keys;
use super::names::STAGE;
use super::section::{Item, Section, SpannedStr};
use crate::aws::naming::ACCOUNT_REFERENCE;

/// Tags of the author's own: what AWS takes on one thing, less the two that say whose it is.
const MAX_TAGS: usize = 48;
/// Characters of a tag's key and value (the IAM, Lambda, SNS and Logs API references agree).
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
/// Bytes of an ARN (IAM API reference).
const MAX_ARN: usize = 2048;

/// `account` and `region` of the manifest itself or of one stage.
pub(super) fn guard(section: &Section<'_>) -> Result<Guard> {
    let accounts = section.strings("account")?;
    for account in &accounts {
        let text = *account.get_ref();
        if !is_account(text) {
            let what = format!("{} is not an account", quoted(text));
            return Err(
                Diagnostic::new(account.span(), what).hint("An account is 12 digits in quotes.")
            );
        }
    }
    let regions = section.strings("region")?;
    for region in &regions {
        let text = *region.get_ref();
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let number = text.rsplit('-').next().unwrap_or_default();
        let numbered = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        if !(text.chars().all(legal) && text.contains('-') && numbered) {
            let what = format!("{} is not a Region", quoted(text));
            return Err(Diagnostic::new(region.span(), what)
                .hint("A Region is its code, such as `eu-central-1`."));
        }
    }
    let owned =
        |words: Vec<SpannedStr<'_>>| words.iter().map(|word| (*word.get_ref()).into()).collect();
    Ok(Guard { accounts: owned(accounts), regions: owned(regions) })
}

/// One `[stage.NAME]`.
pub(super) fn stage<'a>(name: &SpannedStr<'a>, item: &'a Item<'a>) -> Result<Guard> {
    STAGE.check(name)?;
    let title = format!("[stage.{}]", name.get_ref());
    guard(&Section::declared(&keys::STAGE, title, name.span(), item)?)
}

/// `[tags]`.
pub(super) fn tags(root: &Section<'_>) -> Result<BTreeMap<String, String>> {
    let Some((key, item)) = root.get("tags") else { return Ok(BTreeMap::new()) };
    let section = Section::new("[tags]".to_owned(), key.span(), item, "[tags]")?;
    let mut tags = BTreeMap::new();
    let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for (key, _) in section.entries() {
        let Some(value) = section.string(key.get_ref())? else { continue };
        let key = Spanned::new(key.span(), key.get_ref().as_ref());
        check_key(&key)?;
        check_value(&value)?;
        // IAM tells keys apart without regard to case.
        if let Some(first) = places.insert(key.get_ref().to_lowercase(), key.span()) {
            let what =
                format!("the tag {} differs from another in case only", quoted(key.get_ref()));
            return Err(Diagnostic::new(key.span(), what)
                .label("the second")
                .related(first, "the first is here")
                .hint("IAM takes the two for one. Leave one of them out."));
        }
        if tags.len() == MAX_TAGS {
            return Err(Diagnostic::new(key.span(), "too many tags").hint(format!(
                "AWS takes 50 on one thing, of which two say which stack and stage it belongs to: \
                 {MAX_TAGS} are left."
            )));
        }
        tags.insert((*key.get_ref()).to_owned(), value.into_inner().to_owned());
    }
    Ok(tags)
}

fn check_key(key: &SpannedStr<'_>) -> Result<()> {
    let text = *key.get_ref();
    for (prefix, whose) in [("aws:", "AWS's own"), ("advent:", "advent's own")] {
        if text.to_lowercase().starts_with(prefix) {
            let what = format!("the tag {} is not yours to set", quoted(text));
            return Err(Diagnostic::new(key.span(), what)
                .hint(format!("Keys that begin with `{prefix}` are {whose}.")));
        }
    }
    if (1..=MAX_KEY).contains(&text.chars().count()) && text.chars().all(in_tag) {
        return Ok(());
    }
    let what = format!("{} is not a legal key of a tag", quoted(text));
    Err(Diagnostic::new(key.span(), what).hint(format!(
        "A key is 1 to {MAX_KEY} letters, digits, spaces and characters of `_.:/=+-@`."
    )))
}

fn check_value(value: &SpannedStr<'_>) -> Result<()> {
    let text = *value.get_ref();
    if text.chars().count() <= MAX_VALUE && text.chars().all(in_tag) {
        return Ok(());
    }
    let what = format!("{} is not a legal value of a tag", quoted(text));
    Err(Diagnostic::new(value.span(), what).hint(format!(
        "A value is up to {MAX_VALUE} letters, digits, spaces and characters of `_.:/=+-@`."
    )))
}

/// What all services take in keys and values.
fn in_tag(c: char) -> bool {
    c.is_alphanumeric() || "_.:/=+-@".contains(c) || (c.is_whitespace() && !c.is_control())
}

/// The ARN of a managed policy, of this account or AWS's own.
pub(super) fn boundary(root: &Section<'_>) -> Result<Option<String>> {
    let Some(arn) = root.string("permissions_boundary")? else { return Ok(None) };
    check_arn(&arn, "policy", "arn:aws:iam::123456789012:policy/boundary")?;
    Ok(Some(arn.into_inner().to_owned()))
}

/// The ARN of a role that exists.
pub(super) fn role(function: &Section<'_>) -> Result<Option<String>> {
    let Some(arn) = function.string("role_arn")? else { return Ok(None) };
    check_arn(&arn, "role", "arn:aws:iam::123456789012:role/path/name")?;
    if let Some((_, role)) = function.get("role") {
        let what = format!("{} has both a `role` and a `role_arn`", function.title);
        return Err(Diagnostic::new(arn.span(), what)
            .label("a role that exists")
            .related(role.span(), "the name of one to make")
            .hint("Leave one of them out: with `role_arn` none is made."));
    }
    Ok(Some(arn.into_inner().to_owned()))
}

fn check_arn(arn: &SpannedStr<'_>, kind: &str, example: &str) -> Result<()> {
    let text = *arn.get_ref();
    let legal = || {
        let [scheme, partition, service, region, account, resource] =
            text.splitn(6, ':').collect::<Vec<_>>().try_into().ok()?;
        let (path, name) = resource.strip_prefix(kind)?.rsplit_once('/')?;
        let partition = partition.starts_with("aws")
            && partition.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let account = is_account(account)
            || account == ACCOUNT_REFERENCE
            || (kind == "policy" && account == "aws");
        let named = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let legal = (scheme, service, region) == ("arn", "iam", "")
            && partition
            && account
            && (path.is_empty() || path.starts_with('/'))
            && path.chars().all(|c| c.is_ascii_graphic() && !"*?".contains(c))
            && (1..=128).contains(&name.len())
            && name.chars().all(named)
            && text.len() <= MAX_ARN;
        legal.then_some(())
    };
    if legal().is_some() {
        return Ok(());
    }
    let what = format!("{} is not the ARN of a {kind}", quoted(text));
    Err(Diagnostic::new(arn.span(), what).hint(format!(
        "It looks like `{example}`; `{ACCOUNT_REFERENCE}` stands for the account that is deployed to."
    )))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|c| c.is_ascii_digit())
}
