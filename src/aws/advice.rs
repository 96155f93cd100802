//! What to do about an error: one table from AWS error codes to advice.

use anyhow::Error;

use super::retry::ApiError;
use crate::failure::Failure;

/// The hint that belongs to an error, if there is one.
pub fn hint(error: &Error) -> Option<String> {
    let own = Failure::of(error).and_then(|failure| failure.hint.clone());
    own.or_else(|| error.chain().find_map(|cause| cause.downcast_ref()).and_then(for_api))
}

fn for_api(error: &ApiError) -> Option<String> {
    let ApiError { operation, target, .. } = error;
    if error.is_denied() {
        return Some(format!("the operator needs {operation} on {target}"));
    }
    let advice = match error.code.as_deref()?.trim_end_matches("Exception") {
        "ExpiredToken" | "RequestExpired" => {
            "the credentials have expired: sign in again (for example `aws sso login`)"
        }
        "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => {
            "AWS does not accept these credentials: check AWS_PROFILE or AWS_ACCESS_KEY_ID, and \
             `aws sts get-caller-identity`"
        }
        "LimitExceeded"
        | "TopicLimitExceeded"
        | "SubscriptionLimitExceeded"
        | "CodeStorageExceeded" => {
            "a quota of this account is used up: delete what is not needed or ask for a higher \
             quota in Service Quotas"
        }
        "Throttling" | "TooManyRequests" => {
            "the account's rate limit is used up: run it again later"
        }
        "OptInRequired" | "SubscriptionRequired" => {
            "this account or Region is not enabled for the service"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}
