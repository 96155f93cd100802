//! What to do about an error: one table from AWS error codes to advice.

use anyhow::Error;
use time::OffsetDateTime;

use super::denial::Denial;
use super::retry::ApiError;
use crate::failure::Failure;

/// Where somebody on the way, such as a company's proxy, shows certificates of its own.
pub(super) const UNTRUSTED: &str = "nobody whom this machine trusts vouches for that certificate: if a proxy of your network looks \
     into TLS, name the file with its certificate in AWS_CA_BUNDLE (or `ca_bundle` of the profile)";

/// The hint that belongs to an error, if there is one.
pub fn hint(error: &Error) -> Option<String> {
    let own = Failure::of(error).and_then(|failure| failure.hint.clone());
    own.or_else(|| error.chain().find_map(|cause| cause.downcast_ref()).and_then(for_api))
}

fn for_api(error: &ApiError) -> Option<String> {
    if error.is_clock() {
        return Some(clock(error));
    }
    if let Some(denial) = Denial::of_api(error) {
        return Some(denial.hint());
    }
    if error.is_untrusted() {
        return Some(UNTRUSTED.to_owned());
    }
    let advice = match error.code.as_deref()?.trim_end_matches("Exception") {
        "ExpiredToken" | "RequestExpired" => {
            "the credentials have expired: sign in again, to the same profile (for example \
             `aws sso login --profile NAME`)"
        }
        "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken" => {
            "these credentials are not accepted there: check --profile, AWS_PROFILE and \
             AWS_ACCESS_KEY_ID; a local cloud has a key of its own: `advent local env`"
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
        "DamagedState" => {
            "begin anew: `advent local stop`, then delete the local cloud's folder, and all that \
             is in it"
        }
        "DiskFull" => "make room on the disk that the local cloud's folder is on",
        _ => return None,
    };
    Some(advice.to_owned())
}

/// What this machine's clock says, and AWS's.
fn clock(error: &ApiError) -> String {
    let utc = |time: OffsetDateTime| {
        let (hour, minute, second) = time.time().as_hms();
        format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
    };
    let times = error.answered.as_deref().map(|&(ours, theirs)| {
        format!("it says {}, AWS's says {}: ", utc(ours.into()), utc(theirs.into()))
    });
    format!(
        "this machine's clock is wrong: {}set it (for example `timedatectl set-ntp true`); the \
         credentials may be right",
        times.unwrap_or_default()
    )
}
