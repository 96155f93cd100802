//! What is not for everyone's eyes is replaced: in JSON by its key, in any text by its shape.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::hidden::{Hidden, INSTEAD as HIDDEN};

/// Stands for every account.
const ACCOUNT: &str = "111111111111";
/// Bytes of a body that are kept.
const LONGEST: usize = 64 * 1024;
/// Keys, in JSON and XML, whose values are never shown.
const SECRET: [&str; 7] = [
    "AccessKeyId",
    "SecretAccessKey",
    "SessionToken",
    "UserId",
    "sourceIp",
    "token",
    "x-slack-signature",
];
/// What the ids of keys, users and roles begin with (IAM guide, "Unique identifiers").
const IDS: [&str; 6] = ["AKIA", "ASIA", "AROA", "AIDA", "AGPA", "ANPA"];
/// Variables whose values are hidden wherever they turn up, if they are long enough to be secret.
const VARIABLES: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_TOKEN",
];

/// The values that this process was given and must not show.
static SECRETS: LazyLock<Hidden> = LazyLock::new(|| {
    let hidden = Hidden::default();
    for value in VARIABLES.iter().filter_map(|name| std::env::var(name).ok()) {
        hidden.add(&value);
    }
    hidden
});

/// A request's or an answer's body: JSON and forms as JSON, anything else as text.
pub(super) fn body(bytes: &[u8]) -> Value {
    let Ok(body) = std::str::from_utf8(bytes) else { return json!(digest(bytes)) };
    if let Ok(mut value) = serde_json::from_str::<Value>(body) {
        hide_in(&mut value);
        return if body.len() > LONGEST { shortened(&value.to_string()) } else { value };
    }
    if body.starts_with("Action=") {
        let pairs = form_urlencoded::parse(body.as_bytes());
        let pairs = pairs.map(|(key, value)| (key.into_owned(), Value::from(text(&value))));
        return Value::Object(pairs.collect::<Map<_, _>>());
    }
    shortened(&text(&elements(body)))
}

/// An address as people read it.
pub(super) fn uri(uri: &str) -> String {
    text(&percent_decode_str(uri).decode_utf8_lossy())
}

fn shortened(text: &str) -> Value {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()).into(),
        None => text.into(),
    }
}

fn digest(bytes: &[u8]) -> String {
    let hash = STANDARD.encode(Sha256::digest(bytes));
    format!("({} bytes, SHA-256 {hash})", bytes.len())
}

fn hide_in(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), &mut *value) {
                    ("Variables", Value::Object(variables)) => {
                        variables.values_mut().for_each(|value| *value = HIDDEN.into());
                    }
                    // What functions have printed may be anything.
                    ("events", Value::Array(events)) => {
                        for event in events {
                            if let Some(Value::String(message)) = event.get_mut("message") {
                                *message = format!("({} bytes)", message.len());
                            }
                            hide_in(event);
                        }
                    }
                    ("ZipFile", Value::String(code)) => {
                        *code =
                            STANDARD.decode(&*code).map_or_else(|_| HIDDEN.into(), |b| digest(&b));
                    }
                    (key, value)
                        if SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(key)) =>
                    {
                        *value = HIDDEN.into();
                    }
                    (_, value) => hide_in(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_in),
        // Policies and events are JSON in JSON.
        Value::String(inner) => match serde_json::from_str::<Value>(inner) {
            Ok(mut value) if value.is_object() => {
                hide_in(&mut value);
                *inner = value.to_string();
            }
            _ => *inner = text(inner),
        },
        _ => {}
    }
}

/// XML without the text of secret elements.
fn elements(xml: &str) -> String {
    let mut xml = xml.to_owned();
    for name in SECRET {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let mut from = 0;
        while let Some(start) = xml[from..].find(&open).map(|at| from + at + open.len()) {
            let end = xml[start..].find(&close).map_or(xml.len(), |at| start + at);
            xml.replace_range(start..end, HIDDEN);
            from = start + HIDDEN.len();
        }
    }
    xml
}

/// Any text without account ids, ids and values of keys, names of callers, and signatures.
pub fn text(text: &str) -> String {
    callers(&signatures(&words(&SECRETS.without(text))))
}

/// From now on this is in no record, such as a secret that the manifest declares.
pub fn hide(secret: &str) {
    SECRETS.add(secret);
}

/// Accounts, which have twelve digits, and ids.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // The digits of `%22` and `\u0022` are not those of the account behind them.
        let escape = escape(rest);
        if escape > 0 {
            out.push_str(&rest[..escape]);
            rest = &rest[escape..];
            continue;
        }
        let class: fn(char) -> bool = if first.is_ascii_digit() {
            |c| c.is_ascii_digit()
        } else if first.is_ascii_uppercase() {
            |c| c.is_ascii_uppercase() || c.is_ascii_digit()
        } else {
            |c| !c.is_ascii_uppercase() && !c.is_ascii_digit() && !"%\\".contains(c)
        };
        // An escape that is none is a character of its own.
        let end = rest.char_indices().skip(1).find(|(_, c)| !class(*c));
        let end = end.map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at(end);
        if word.len() >= 16 && IDS.iter().any(|id| word.starts_with(id)) {
            out.push_str(&word[..4]);
            out.push_str(HIDDEN);
        } else if first.is_ascii_uppercase() {
            // `A123456789012`, the end of an escaped colon before an account.
            let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
            out.push_str(letters);
            out.push_str(account(&word[letters.len()..]));
        } else {
            out.push_str(account(word));
        }
        rest = after;
    }
    out
}

/// Bytes of the escaped character that a text begins with: of an address or of JSON.
fn escape(text: &str) -> usize {
    [("%", 2), ("\\u", 4)]
        .into_iter()
        .find(|(mark, digits)| {
            let Some(rest) = text.strip_prefix(mark) else { return false };
            let run = rest.bytes().take_while(u8::is_ascii_digit).count();
            // Just an account after a sign that escapes nothing.
            let plain = run == ACCOUNT.len();
            let hex = rest.get(..*digits).filter(|_| !plain);
            hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        })
        .map_or(0, |(mark, digits)| mark.len() + digits)
}

fn account(word: &str) -> &str {
    let digits = word.len() == ACCOUNT.len() && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits { ACCOUNT } else { word }
}

/// Presigned addresses open what they lead to: only the part before the question mark is kept.
fn signatures(text: &str) -> String {
    let mut parts = text.split('?');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "\"'<>".contains(c));
        let (query, after) = part.split_at(end.unwrap_or(part.len()));
        out.push('?');
        out.push_str(if query.contains("X-Amz-") { HIDDEN } else { query });
        out.push_str(after);
    }
    out
}

/// Users' names, and those of sessions of roles, which often are people's addresses.
fn callers(text: &str) -> String {
    let mut out = text.to_owned();
    for (kind, kept) in [(":user/", 0), (":federated-user/", 0), (":assumed-role/", 1)] {
        let mut from = 0;
        while let Some(start) = out[from..].find(kind).map(|at| from + at + kind.len()) {
            let end = out[start..].find(|c: char| c.is_whitespace() || "\"'<>,\\".contains(c));
            let end = end.map_or(out.len(), |at| start + at);
            let name = &out[start..end];
            let keep: String = name.split_inclusive('/').take(kept).collect();
            if keep.len() < name.len() {
                out.replace_range(start + keep.len()..end, HIDDEN);
            }
            from = start + keep.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    /// `%2f` for `%2F`.
    fn lower_escapes(encoded: &str) -> String {
        let mut parts = encoded.split('%');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
            out.push('%');
            out.push_str(&digits.to_ascii_lowercase());
            out.push_str(rest);
        }
        out
    }

    #[test]
    fn accounts_ids_and_callers_are_replaced_in_any_text() {
        for (given, wanted) in [
            ("arn:aws:sns:eu-west-1:123456789012:t", "arn:aws:sns:eu-west-1:111111111111:t"),
            ("arn%3A123456789012%3Aetc", "arn%3A111111111111%3Aetc"),
            ("a%22123456789012%22 \\u0022123456789012", "a%22111111111111%22 \\u0022111111111111"),
            ("50%123456789012", "50%111111111111"),
            ("100% of \\123456789012", "100% of \\111111111111"),
            ("1795457137123 and 12345678901", "1795457137123 and 12345678901"),
            ("key AKIAIOSFODNN7EXAMPLE!", "key AKIA(hidden)!"),
            (
                "User: arn:aws:sts::123456789012:assumed-role/Admin/jo@example.org is not",
                "User: arn:aws:sts::111111111111:assumed-role/Admin/(hidden) is not",
            ),
            ("arn:aws:iam::1:user/team/jo\"", "arn:aws:iam::1:user/(hidden)\""),
            ("https://b/k?versionId=1 x", "https://b/k?versionId=1 x"),
            ("https://b/k?X-Amz-Signature=ab\" x", "https://b/k?(hidden)\" x"),
        ] {
            assert_eq!(text(given), wanted);
        }
    }

    #[test]
    fn a_declared_secret_is_hidden_in_every_form() {
        let secret = "x\"/+key? of=\\nobody";
        hide(secret);
        let in_text = |before: &str| format!("{before}{secret}, etc.");
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let address = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let json = Value::from(secret).to_string();
        let mut shapes = vec![in_text(""), json, form.clone(), lower_escapes(&form), address];
        shapes.extend(["", "a", "ab", "abc"].iter().flat_map(|before| {
            [STANDARD.encode(in_text(before)), URL_SAFE_NO_PAD.encode(in_text(before))]
        }));
        for shape in shapes {
            let shown = text(&format!("<{shape}>"));
            assert!(shown.contains(HIDDEN), "{shape}: {shown}");
            assert!(!shown.contains("nobody") && !shown.contains("key"), "{shape}: {shown}");
        }
        let body = body(
            json!({ "Message": secret, "Policy": json!({ "a": secret }).to_string() })
                .to_string()
                .as_bytes(),
        );
        assert_eq!(body["Message"], HIDDEN);
        assert_eq!(body["Policy"], r#"{"a":"(hidden)"}"#);
        // What is too short to be one hides nothing.
        hide("the");
        assert_eq!(text("the same"), "the same");
    }

    #[test]
    fn what_functions_printed_is_not_recorded() {
        let events =
            json!({ "events": [{ "message": "a word", "logStreamName": "123456789012" }] });
        let shown = body(events.to_string().as_bytes());
        let wanted = json!({ "message": "(6 bytes)", "logStreamName": "111111111111" });
        assert_eq!(shown["events"], json!([wanted]));
        assert_eq!(body(br#"{"message":"Rate exceeded"}"#)["message"], "Rate exceeded");
    }

    #[test]
    fn code_environments_and_credentials_are_replaced_in_bodies() {
        let sent = br#"{"Code":{"ZipFile":"eno="},"Environment":{"Variables":{"TOKEN":"abc"}},
            "Policy":"{\"AWS\":\"123456789012\",\"token\":\"abc\"}"}"#;
        let shown = body(sent);
        assert!(shown["Code"]["ZipFile"].as_str().is_some_and(|code| code.starts_with("(2 bytes")));
        assert_eq!(shown["Environment"]["Variables"]["TOKEN"], HIDDEN);
        assert_eq!(shown["Policy"], r#"{"AWS":"111111111111","token":"(hidden)"}"#);
        let xml =
            body(b"<a><SecretAccessKey>s</SecretAccessKey><Arn>b</Arn><UserId>u</UserId></a>");
        let wanted = "<a><SecretAccessKey>(hidden)</SecretAccessKey><Arn>b</Arn>\
                      <UserId>(hidden)</UserId></a>";
        assert_eq!(xml, wanted);
        assert_eq!(
            body(b"Action=Publish&TopicArn=arn%3A123456789012%3At")["TopicArn"],
            "arn:111111111111:t"
        );
    }
}
