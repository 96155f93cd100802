//! Whatever form a secret is given back in, it is not shown.

use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE as BASE64_URL};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

const SECRETS: [&str; 8] = [
    "xoxb-plain-secret",
    "with \"quotes\" and \\ back\\\\slashes\\",
    "two\nlines\tand\r\nmore",
    "-----BEGIN KEY-----\r\nabc\r\n-----END KEY-----",
    "ä😀 beyond ASCII & <tags>",
    "100% +plus/slash=",
    "'single' %25 twice",
    "\\n is no line break",
];

fn hidden(secrets: &[&str]) -> Hidden {
    let hidden = Hidden::default();
    for secret in secrets {
        hidden.add(secret);
    }
    hidden
}

/// The ways in which a service or a library may show a text.
fn shown(secret: &str) -> Vec<String> {
    let json = |text: &str| {
        let json = serde_json::Value::from(text).to_string();
        json[1..json.len() - 1].to_owned()
    };
    let percent = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let ascii: String = secret
        .encode_utf16()
        .map(|unit| match u8::try_from(unit).map(char::from) {
            Ok(char) if char.is_ascii_alphanumeric() => char.to_string(),
            _ => format!("\\u{unit:04X}"),
        })
        .collect();
    let debug = format!("{secret:?}");
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let numbers = |form: fn(u32) -> String| -> String {
        secret.chars().map(|char| form(u32::from(char))).collect()
    };
    let bytes = secret.bytes().fold(String::new(), |all, byte| format!("{all}\\x{byte:02x}"));
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let mut shown = vec![
        secret.to_owned(),
        json(secret),
        json(&json(secret)),
        json(&json(&json(secret))),
        json(secret).replace('/', "\\/"),
        ascii.clone(),
        ascii.to_lowercase(),
        json(&ascii),
        debug[1..debug.len() - 1].to_owned(),
        percent(secret),
        percent(secret).to_lowercase(),
        percent(&percent(secret)),
        form,
        html,
        numbers(|code| format!("&#{code};")),
        numbers(|code| format!("&#x{code:x};")),
        numbers(|code| format!("&#X{code:X};")),
        bytes,
        secret.replace('\n', "\n    "),
        secret.lines().collect::<Vec<_>>().join("\n  "),
        secret.lines().collect::<Vec<_>>().join("\r\n"),
        json(&secret.lines().collect::<Vec<_>>().join("\r\n")),
        BASE64.encode(secret),
        BASE64_URL.encode(secret),
        percent(&BASE64.encode(secret)),
    ];
    // Case is lost in these for what has none to lose.
    shown.retain(|text| text != &secret.to_lowercase() || text == secret);
    shown
}

#[test]
fn a_secret_is_hidden_in_every_form() {
    for secret in SECRETS {
        let hidden = hidden(&[secret]);
        for form in shown(secret) {
            if form.to_lowercase() == form && secret.to_lowercase() != secret {
                continue;
            }
            let text = hidden.without(&format!("before {form} after"));
            let base64 = text.trim_end_matches(" after").trim_end_matches('=');
            let base64 = base64.trim_end_matches("%3D");
            assert_eq!(base64, "before (hidden)", "{secret:?} as {form}");
        }
    }
}

#[test]
fn within_something_longer_that_is_in_base64_it_is_hidden() {
    for before in 0..4 {
        for after in 0..4 {
            let secret = "xoxb-plain-secret";
            let text = format!("{}{secret}{}", "x".repeat(before), "y".repeat(after));
            let text = hidden(&[secret]).without(&BASE64.encode(text));
            assert!(text.contains(INSTEAD), "{before} {after}: {text}");
        }
    }
}

#[test]
fn one_may_begin_with_another_or_overlap_it() {
    for secrets in [["secret-one", "secret-one-and-more"], ["secret-one-and-more", "secret-one"]] {
        let hidden = hidden(&secrets);
        assert_eq!(hidden.without("a secret-one-and-more b"), "a (hidden) b");
        assert_eq!(hidden.without("a secret-one b"), "a (hidden) b");
    }
    let hidden = hidden(&["abc-middle", "middle-xyz"]);
    assert_eq!(hidden.without("<abc-middle-xyz>"), "<(hidden)>");
    assert_eq!(hidden.without("abc-middleabc-middle"), "(hidden)");
}

#[test]
fn long_texts_take_no_longer_than_they_are_long() {
    let hidden = hidden(&SECRETS);
    let begun = std::time::Instant::now();
    for piece in ["\\", "%25", "%", "\n ", " ", "\\u005c", "&amp;", "\r"] {
        let text = piece.repeat(10_000);
        assert_eq!(hidden.without(&text), text);
        let with_one = format!("{text}xoxb-plain-secret{text}");
        assert_eq!(hidden.without(&with_one), format!("{text}(hidden){text}"));
    }
    // Minutes for one of them, where the time grew with the square.
    assert!(begun.elapsed() < std::time::Duration::from_mins(1), "{:?}", begun.elapsed());
}

#[test]
fn names_are_spared_where_they_are_no_secrets() {
    let hidden = hidden(&["app-secret"]);
    for value in ["app-items", "app-secret", "app-other"] {
        hidden.suspect(value);
    }
    assert_eq!(hidden.without("app-items app-secret app-other"), "(hidden) (hidden) (hidden)");
    hidden.spare(["app-items", "app-secret"].into_iter());
    assert_eq!(hidden.without("app-items app-secret app-other"), "app-items (hidden) (hidden)");
}

#[test]
fn everything_else_stays() {
    let hidden = hidden(&SECRETS);
    for text in ["", "a \\ b % c & d +", "xoxb-plain-secre", "\\u12", "%", "&amp", "äöü 😀"] {
        assert_eq!(hidden.without(text), text);
    }
    assert_eq!(self::hidden(&["short"]).without("short"), "short");
}
