//! Slack's request signature, version 0: <https://docs.slack.dev/authentication/verifying-requests-from-slack>.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{hex, is_blank};
use crate::http::Request;

pub const SIGNATURE: &str = "x-slack-signature";
pub const TIMESTAMP: &str = "x-slack-request-timestamp";

/// Seconds that a request's timestamp may be away from now.
const WINDOW: u64 = 300;

/// Whether `secret` signed this body, and did so just now.
pub fn verify(secret: &str, request: &Request, now: SystemTime) -> bool {
    let (Some(signature), Some(timestamp)) = (request.header(SIGNATURE), request.header(TIMESTAMP))
    else {
        return false;
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let fresh = timestamp.parse::<u64>().is_ok_and(|then| now.abs_diff(then) <= WINDOW);
    digits && fresh && !is_blank(secret) && same(&sign(secret, timestamp, &request.body), signature)
}

/// The signature of a body, as its header says it.
pub fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    format!("v0={}", hex(&mac.finalize().into_bytes()))
}

/// Compares in a time that does not tell where two texts differ.
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
