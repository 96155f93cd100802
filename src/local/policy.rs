//! Policies: parsed, checked and evaluated.
//!
//! The rules are those of the IAM user guide's "Policy evaluation logic", for identity-based
//! policies of one account and for resource-based policies of functions.

mod condition;
mod wildcard;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use wildcard::{matches, matches_in_any_case};

/// What is asked of the policies.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// For resource-based policies: the element to look for in `Principal`, such as
    /// `("Service", "sns.amazonaws.com")`.
    pub principal: Option<(&'a str, &'a str)>,
    /// `service:Operation`.
    pub action: &'a str,
    /// The ARN, or `*` for an operation on no particular resource.
    pub resource: &'a str,
    /// Condition keys, in any case, with their values.
    pub context: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allow,
    ExplicitDeny,
    ImplicitDeny,
    /// A permissions boundary does not allow it, whatever the identity's policies do.
    OutOfBounds,
    /// A permissions boundary denies it.
    DeniedByBoundary,
}

impl Decision {
    /// With a permissions boundary's decision on the same request: only what both allow is
    /// allowed.
    pub fn within(self, boundary: Self) -> Self {
        match (self, boundary) {
            (Self::ExplicitDeny, _) => Self::ExplicitDeny,
            (_, Self::ExplicitDeny) => Self::DeniedByBoundary,
            (Self::Allow, Self::Allow) => Self::Allow,
            (Self::Allow, _) => Self::OutOfBounds,
            (own, _) => own,
        }
    }
}

/// Something in a policy that this cloud does not know, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt(String);

impl Doubt {
    /// Says it once.
    fn tell(self, outcome: &str) {
        static TOLD: Mutex<BTreeSet<Doubt>> = Mutex::new(BTreeSet::new());
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&self) {
            tracing::warn!(
                "a policy has {}, which the local cloud does not know: {outcome}",
                self.0
            );
            told.insert(self);
        }
    }
}

/// Evaluates policy documents together: one denying statement outweighs all that allow.
/// What cannot be understood allows nothing, and denies what it may be meant to deny.
pub fn evaluate<'p>(
    documents: impl IntoIterator<Item = &'p Value>,
    request: &Request<'_>,
) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for document in documents {
        let version = Version::of(document);
        for statement in statements(document) {
            let denies = statement["Effect"] == "Deny";
            match applies(statement, request, version) {
                Ok(true) if denies => return Decision::ExplicitDeny,
                Ok(true) if statement["Effect"] == "Allow" => decision = Decision::Allow,
                Ok(_) => {}
                Err(doubt) if denies => {
                    doubt.tell("it denies what it may be meant to deny");
                    return Decision::ExplicitDeny;
                }
                Err(doubt) => doubt.tell("it allows nothing"),
            }
        }
    }
    decision
}

/// Whether a trust policy lets a service assume its role. Lambda asks before there is a function,
/// so that the conditions' keys are not known: they let an `Allow` be, and a `Deny` close.
pub fn trusts_service(document: &Value, service: &str) -> bool {
    let principal = Some(("Service", service));
    let mut trusted = false;
    for statement in statements(document) {
        if !names_principal(statement, principal) || !acts(statement, "sts:AssumeRole") {
            continue;
        }
        match statement["Effect"].as_str() {
            Some("Allow") => trusted = true,
            _ => return false,
        }
    }
    trusted && Version::of(document) != Version::Unknown
}

/// Says what is wrong with a policy document, in the words of IAM where they are known.
/// `trust` is a role's trust policy: it names principals and no resources.
pub fn check(text: &str, trust: bool) -> Result<Value, String> {
    let document: Value =
        serde_json::from_str(text).map_err(|_| "This policy contains invalid Json".to_owned())?;
    let fail = |why: &str| Err(why.to_owned());
    if !document.is_object() {
        return fail("Syntax errors in policy.");
    }
    match document.get("Version").map(Value::as_str) {
        None | Some(Some("2012-10-17" | "2008-10-17")) => {}
        _ => return fail("The policy must contain a valid version string"),
    }
    if statements(&document).next().is_none() {
        return fail("Syntax errors in policy.");
    }
    for statement in statements(&document) {
        let has = |name: &str| !statement[name].is_null();
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return fail("Syntax errors in policy.");
        }
        if has("Action") == has("NotAction") {
            return fail("Policy statement must contain actions.");
        }
        for action in texts(&statement["Action"]).chain(texts(&statement["NotAction"])) {
            if action != "*" && !action.contains(':') {
                return fail(
                    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
                );
            }
        }
        if trust {
            if has("Resource") || has("NotResource") {
                return fail("Has prohibited field Resource");
            }
            if has("Principal") == has("NotPrincipal") {
                return fail("Missing required field Principal");
            }
            continue;
        }
        if has("Principal") || has("NotPrincipal") {
            return fail("Policy document should not specify a principal.");
        }
        if has("Resource") == has("NotResource") {
            return fail("Policy statement must contain resources.");
        }
        for resource in texts(&statement["Resource"]).chain(texts(&statement["NotResource"])) {
            if resource != "*" && (!resource.starts_with("arn:") || resource.split(':').count() < 6)
            {
                return Err(format!("Resource {resource} must be in ARN format or \"*\"."));
            }
        }
    }
    Ok(document)
}

/// The language of a document (IAM User Guide, "IAM JSON policy elements: Version").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Current,
    /// Without policy variables, and what a document has that does not say.
    Of2008,
    Unknown,
}

impl Version {
    fn of(document: &Value) -> Self {
        match &document["Version"] {
            Value::Null => Self::Of2008,
            version if version == "2012-10-17" => Self::Current,
            version if version == "2008-10-17" => Self::Of2008,
            _ => Self::Unknown,
        }
    }
}

fn statements(document: &Value) -> impl Iterator<Item = &Value> {
    one_or_many(&document["Statement"]).filter(|statement| statement.is_object())
}

fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Value::Null => (None, &[][..]),
        Value::Array(items) => (None, &items[..]),
        other => (Some(other), &[][..]),
    };
    one.into_iter().chain(many)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    one_or_many(value).filter_map(Value::as_str)
}

fn applies(statement: &Value, request: &Request<'_>, version: Version) -> Result<bool, Doubt> {
    if request.principal.is_some() && !names_principal(statement, request.principal) {
        return Ok(false);
    }
    if !acts(statement, request.action) {
        return Ok(false);
    }
    let variables = (version != Version::Of2008).then_some(&request.context);
    let named = |patterns: &Value| {
        let mut doubt = None;
        for pattern in texts(patterns) {
            match condition::substitute(pattern, variables) {
                Ok(pattern) if pattern == "*" || matches(&pattern, request.resource) => {
                    return Ok(true);
                }
                Ok(_) => {}
                Err(unknown) => doubt = Some(unknown),
            }
        }
        doubt.map_or(Ok(false), Err)
    };
    let on = match (&statement["Resource"], &statement["NotResource"]) {
        // A trust policy names none.
        (Value::Null, Value::Null) => request.principal.is_some(),
        (Value::Null, not) => !named(not)?,
        (yes, _) => named(yes)?,
    };
    if !on || !condition::hold(&statement["Condition"], &request.context, variables)? {
        return Ok(false);
    }
    if version == Version::Unknown {
        return Err(Doubt("a Version of policies".to_owned()));
    }
    Ok(true)
}

/// Whether a statement is about an action.
fn acts(statement: &Value, action: &str) -> bool {
    let named = |pattern: &str| matches_in_any_case(pattern, action);
    match (&statement["Action"], &statement["NotAction"]) {
        (Value::Null, Value::Null) => false,
        (Value::Null, not) => !element_matches(not, named),
        (yes, _) => element_matches(yes, named),
    }
}

fn element_matches(patterns: &Value, matches: impl Fn(&str) -> bool) -> bool {
    texts(patterns).any(matches)
}

fn names_principal(statement: &Value, principal: Option<(&str, &str)>) -> bool {
    let Some((kind, name)) = principal else { return true };
    let named = |value: &Value| {
        value == "*" || texts(&value[kind]).any(|candidate| candidate == "*" || candidate == name)
    };
    match (&statement["Principal"], &statement["NotPrincipal"]) {
        (Value::Null, Value::Null) => false,
        (Value::Null, not) => !named(not),
        (yes, _) => named(yes),
    }
}

#[cfg(test)]
mod tests;
