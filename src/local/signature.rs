//! Signature Version 4: who signed a request, and whether it is what was signed.
//!
//! As AWS documents it ("Create a signed AWS API request"). Key derivation and the signature are
//! the SDK's; what is signed is put together here, from the request as it arrived.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{Date, Month, PrimitiveDateTime, Time};

use super::call::Protocol;
use super::error::AwsError;
use super::keys::Holder;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a client's clock may be off.
const SKEW: Duration = Duration::from_mins(5);
/// How long a presigned URL may be good for at most.
const LONGEST: u64 = 7 * 86_400;
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// All but what RFC 3986 reserves nothing of.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// More derived keys than any use needs are forgotten.
const MOST_KEYS: usize = 1000;

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not signed at all.
    Missing,
    /// It is signed in no form that can be read.
    Incomplete(String),
    /// Nobody has that key, or the session token is not that of the key.
    UnknownKey,
    Mismatch(String),
}

impl Refused {
    fn differs() -> Self {
        Self::Mismatch(
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details."
                .to_owned(),
        )
    }

    /// As AWS's services of this protocol say it.
    pub fn answer(self, protocol: Protocol) -> AwsError {
        let (json, query, message) = match self {
            Self::Missing => (
                "MissingAuthenticationTokenException",
                "MissingAuthenticationToken",
                match protocol {
                    Protocol::Rest => "Missing Authentication Token".to_owned(),
                    _ => "Request is missing Authentication Token".to_owned(),
                },
            ),
            Self::Incomplete(why) => ("IncompleteSignatureException", "IncompleteSignature", why),
            Self::UnknownKey => (
                "UnrecognizedClientException",
                "InvalidClientTokenId",
                "The security token included in the request is invalid.".to_owned(),
            ),
            Self::Mismatch(why) => ("InvalidSignatureException", "SignatureDoesNotMatch", why),
        };
        let (status, code) = match protocol {
            Protocol::Json => (400, json),
            Protocol::Query if query == "IncompleteSignature" => (400, query),
            Protocol::Query => (403, query),
            Protocol::Rest => (403, json),
        };
        AwsError::new(status, code, message)
    }
}

/// What a request says of its signature.
#[derive(Debug)]
pub(super) struct Claim {
    pub key: String,
    pub region: String,
    pub service: String,
    /// `20261128`.
    day: String,
    /// `20261128T084121Z`.
    stamp: String,
    time: SystemTime,
    signed: Vec<String>,
    pub signature: String,
    token: Option<String>,
    /// How long a presigned URL is good for, in seconds.
    expires: Option<u64>,
}

impl Claim {
    /// # Errors
    /// Where there is none, or none that can be read.
    pub fn of(parts: &Parts) -> Result<Self, Refused> {
        let query: Vec<(String, String)> = parts.uri.query().map_or_else(Vec::new, |query| {
            form_urlencoded::parse(query.as_bytes()).into_owned().collect()
        });
        let in_query = |name: &str| {
            let found = query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let in_header =
            |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.trim().to_owned());
        if let Some(authorization) = parts.headers.get(header::AUTHORIZATION) {
            let authorization = authorization.to_str().unwrap_or_default().trim();
            let Some(fields) = authorization.strip_prefix(ALGORITHM) else {
                let scheme = authorization.split(' ').next().unwrap_or_default();
                return Err(Refused::Incomplete(format!(
                    "Unsupported AWS 'algorithm': '{scheme}'"
                )));
            };
            let field = |name: &str| {
                let mut fields = fields.split([',', ' ']).filter_map(|field| field.split_once('='));
                fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
            };
            let mut missing = String::new();
            let mut need = |name: &str| {
                field(name).filter(|value| !value.is_empty()).unwrap_or_else(|| {
                    let _ = write!(missing, "Authorization header requires '{name}' parameter. ");
                    String::new()
                })
            };
            let (scope, signature, signed) =
                (need("Credential"), need("Signature"), need("SignedHeaders"));
            let stamp = in_header("x-amz-date").unwrap_or_else(|| {
                missing.push_str(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                     header. ",
                );
                String::new()
            });
            if !missing.is_empty() {
                return Err(Refused::Incomplete(missing.trim_end().to_owned()));
            }
            let token = in_header("x-amz-security-token");
            return Self::read(&scope, signature, &signed, stamp, token, None);
        }
        let Some(algorithm) = in_query("X-Amz-Algorithm") else { return Err(Refused::Missing) };
        if algorithm != ALGORITHM {
            return Err(Refused::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'")));
        }
        let need = |name: &str| {
            in_query(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                Refused::Incomplete(format!("AWS query-string parameters must include '{name}'."))
            })
        };
        let expires =
            need("X-Amz-Expires")?.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds));
        let Some(expires) = expires else {
            return Err(Refused::Incomplete(format!(
                "X-Amz-Expires must be a number of seconds between 1 and {LONGEST}"
            )));
        };
        Self::read(
            &need("X-Amz-Credential")?,
            need("X-Amz-Signature")?,
            &need("X-Amz-SignedHeaders")?,
            need("X-Amz-Date")?,
            in_query("X-Amz-Security-Token"),
            Some(expires),
        )
    }

    fn read(
        scope: &str,
        signature: String,
        signed: &str,
        stamp: String,
        token: Option<String>,
        expires: Option<u64>,
    ) -> Result<Self, Refused> {
        // An access key may have any character; Regions name files.
        let legal = |text: &str| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let parts: Vec<&str> = scope.rsplitn(5, '/').collect();
        let &[terminator, service, region, day, key] = parts.as_slice() else {
            return Err(Refused::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{scope}'"
            )));
        };
        if !legal(service) || !legal(region) {
            return Err(Refused::Incomplete(format!("'{scope}' names no Region and service")));
        }
        let Some(time) = moment(&stamp) else {
            return Err(Refused::Incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{stamp}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601"
            )));
        };
        if terminator != "aws4_request" {
            let why = "Credential should be scoped with a valid terminator: 'aws4_request', not";
            return Err(Refused::Mismatch(format!("{why} '{terminator}'.")));
        }
        if !stamp.starts_with(day) || day.len() != 8 {
            return Err(Refused::Mismatch(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{day}' != '{}', from '{stamp}'.",
                stamp.get(..8).unwrap_or_default()
            )));
        }
        Ok(Self {
            key: key.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            day: day.to_owned(),
            time,
            stamp,
            signed: signed.split(';').map(str::to_ascii_lowercase).collect(),
            signature,
            token,
            expires,
        })
    }

    /// Whether what can be known without the body is right: token, time and what was signed.
    pub fn check(
        &self,
        holder: &Holder,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<(), Refused> {
        let (own, given) = (holder.token.as_deref(), self.token.as_deref());
        if !equal(own.unwrap_or_default(), given.unwrap_or_default()) {
            return Err(Refused::UnknownKey);
        }
        let good_for = self.expires.map_or(SKEW, Duration::from_secs);
        if now > self.time + good_for {
            let limit = stamp(now.checked_sub(good_for).unwrap_or(now));
            let allowed = self.expires.map_or_else(|| "5 min.".to_owned(), |s| format!("{s} s"));
            return Err(Refused::Mismatch(format!(
                "Signature expired: {} is now earlier than {limit} ({} - {allowed})",
                self.stamp,
                stamp(now)
            )));
        }
        if self.time > now + SKEW {
            return Err(Refused::Mismatch(format!(
                "Signature not yet current: {} is still later than {} ({} + 5 min.)",
                self.stamp,
                stamp(now + SKEW),
                stamp(now)
            )));
        }
        // What says where it goes and what is to be done.
        for name in ["host", "x-amz-target"] {
            if headers.contains_key(name) && !self.signed.iter().any(|signed| signed == name) {
                return Err(Refused::Mismatch(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        Ok(())
    }

    /// Whether the request, its body included, was signed with this secret.
    pub fn verify(
        &self,
        holder: &Holder,
        parts: &Parts,
        body: &[u8],
        keys: &SigningKeys,
    ) -> Result<(), Refused> {
        let hash = hex(&Sha256::digest(body));
        let given = parts.headers.get("x-amz-content-sha256").and_then(|hash| hash.to_str().ok());
        let hash = match given {
            Some(UNSIGNED) if is_s3(&self.service) => UNSIGNED.to_owned(),
            Some(given) if !equal(given, &hash) => return Err(Refused::differs()),
            _ => hash,
        };
        let key = keys.derive(self, &holder.secret);
        let own = calculate_signature(key, &self.string_to_sign(parts, &hash));
        if equal(&own, &self.signature) { Ok(()) } else { Err(Refused::differs()) }
    }

    fn string_to_sign(&self, parts: &Parts, hash: &str) -> Vec<u8> {
        let mut canonical = format!(
            "{}\n{}\n{}\n",
            parts.method,
            path(parts.uri.path(), is_s3(&self.service)),
            query(parts.uri.query().unwrap_or_default())
        )
        .into_bytes();
        for name in &self.signed {
            canonical.extend_from_slice(name.as_bytes());
            canonical.push(b':');
            for (index, value) in parts.headers.get_all(name.as_str()).iter().enumerate() {
                if index > 0 {
                    canonical.push(b',');
                }
                let words = value.as_bytes().split(|b| *b == b' ').filter(|word| !word.is_empty());
                canonical.extend(words.collect::<Vec<_>>().join(&b' '));
            }
            canonical.push(b'\n');
        }
        canonical.extend(format!("\n{}\n{hash}", self.signed.join(";")).into_bytes());
        let hash = hex(&Sha256::digest(&canonical));
        let Self { stamp, day, region, service, .. } = self;
        format!("{ALGORITHM}\n{stamp}\n{day}/{region}/{service}/aws4_request\n{hash}").into_bytes()
    }
}

/// Signs a request, all of whose headers are there but `Authorization` and `X-Amz-Date`.
pub(super) fn sign(
    parts: &mut Parts,
    body: &[u8],
    key: &super::keys::Key,
    (region, service): (&str, &str),
) -> Option<String> {
    let stamp = stamp(SystemTime::now());
    parts.headers.insert("x-amz-date", stamp.parse().ok()?);
    let mut signed: Vec<&str> = parts.headers.keys().map(header::HeaderName::as_str).collect();
    signed.sort_unstable();
    let signed = signed.join(";");
    let scope = format!("{}/{}/{region}/{service}/aws4_request", key.access_key_id, &stamp[..8]);
    let claim = Claim::read(&scope, String::new(), &signed, stamp, None, None).ok()?;
    let derived = generate_signing_key(&key.secret_access_key, claim.time, region, service);
    let string = claim.string_to_sign(parts, &hex(&Sha256::digest(body)));
    let signature = calculate_signature(derived, &string);
    let value =
        format!("{ALGORITHM} Credential={scope}, SignedHeaders={signed}, Signature={signature}");
    parts.headers.insert(header::AUTHORIZATION, value.parse().ok()?);
    Some(signature)
}

/// What only who has the secret can say about a text.
pub(super) fn proof(secret: &str, purpose: &str, text: &str) -> String {
    calculate_signature(secret, format!("{purpose}\n{text}").as_bytes())
}

/// Without telling by the time that it takes where they differ.
pub(super) fn equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Derived keys, which stay the same for a day, Region and service.
#[derive(Default)]
pub(super) struct SigningKeys(Mutex<HashMap<[String; 4], Vec<u8>>>);

impl SigningKeys {
    fn derive(&self, claim: &Claim, secret: &str) -> Vec<u8> {
        let Claim { key, day, region, service, .. } = claim;
        let name = [key, day, region, service].map(Clone::clone);
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get(&name) {
            return known.clone();
        }
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        let derived = generate_signing_key(secret, claim.time, region, service).as_ref().to_vec();
        keys.insert(name, derived.clone());
        derived
    }
}

/// The only service that signs paths as they are, and may leave bodies out.
fn is_s3(service: &str) -> bool {
    service == "s3"
}

/// A path without dots and double slashes, encoded once more.
fn path(raw: &str, as_it_is: bool) -> String {
    if as_it_is {
        return raw.to_owned();
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut path = String::new();
    for segment in &segments {
        path.push('/');
        path.extend(percent_encode(segment.as_bytes(), ENCODED));
    }
    if path.is_empty() || ["/", "/.", "/.."].iter().any(|end| raw.ends_with(end)) {
        path.push('/');
    }
    path
}

/// The parameters in their one encoding and order, without the signature itself.
fn query(raw: &str) -> String {
    let encode = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, ENCODED).to_string()
    };
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(name, value)| (encode(name), encode(value)));
    let mut pairs: Vec<_> = pairs.filter(|(name, _)| name != "X-Amz-Signature").collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// From `20261128T084121Z`.
fn moment(stamp: &str) -> Option<SystemTime> {
    let bytes = stamp.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        let digits = bytes.get(range)?;
        digits.iter().try_fold(0u16, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
        })
    };
    let two = |at: usize| u8::try_from(digits(at..at + 2)?).ok();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let month = Month::try_from(two(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(digits(0..4)?), month, two(6)?).ok()?;
    let time = Time::from_hms(two(9)?, two(11)?, two(13)?).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at =
        i64::try_from(seconds).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    let Some(at) = at else { return String::new() };
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests;
