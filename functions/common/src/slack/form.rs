//! A form, decoded strictly.

use std::{borrow::Cow, collections::HashMap};

use percent_encoding::percent_decode;

/// The fields of an `application/x-www-form-urlencoded` body. Of a repeated field the first counts.
#[derive(Debug, Default)]
pub struct Form(HashMap<String, String>);

impl Form {
    /// `None` if a field is not UTF-8: common parsers would silently put U+FFFD into the words.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = HashMap::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..equals])?;
            let value = decode(pair.get(equals + 1..).unwrap_or_default())?;
            fields.entry(name).or_insert(value);
        }
        Some(Self(fields))
    }

    /// A field that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn decode(bytes: &[u8]) -> Option<String> {
    let spaced: Vec<u8> =
        bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::Form;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    #[test]
    fn decodes_what_forms_are_made_of() {
        let form = Form::parse(b"a=1+2%2B3&&b&c=%26%3D%zz%&a=again&=x").expect("UTF-8");
        assert_eq!(form.get("a"), Some("1 2+3"));
        assert_eq!(form.get("b"), None);
        assert_eq!(form.get("c"), Some("&=%zz%"));
        assert!(Form::parse(b"text=%ff").is_none());
        assert!(Form::parse(b"text=\xff").is_none());
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            let body = format!("x=1&text={}", utf8_percent_encode(&text, NON_ALPHANUMERIC));
            let form = Form::parse(body.as_bytes()).expect("UTF-8");
            prop_assert_eq!(form.get("text").unwrap_or_default(), text);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in any::<Vec<u8>>()) {
            let _ = Form::parse(&body);
        }
    }
}
