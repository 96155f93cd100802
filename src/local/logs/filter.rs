//! Filter patterns over text: terms that must, may or must not occur.

use super::invalid;
use crate::local::error::AwsError;

/// The terms of a pattern such as `ERROR "not found" -debug ?a ?b`.
#[derive(Debug, Default)]
pub struct Filter {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Filter {
    /// # Errors
    /// `InvalidParameterException` for patterns over fields, which the local cloud does not know.
    pub fn parse(pattern: &str) -> Result<Self, AwsError> {
        let mut filter = Self::default();
        let mut rest = pattern.trim();
        if rest.starts_with(['{', '[', '%']) {
            return Err(invalid(
                "the local cloud knows only filter patterns of terms: no { $.json }, [fields] or \
                 %regular expressions%",
            ));
        }
        while !rest.is_empty() {
            let (list, body) = match rest.as_bytes()[0] {
                b'-' => (&mut filter.none, &rest[1..]),
                b'?' => (&mut filter.any, &rest[1..]),
                _ => (&mut filter.all, rest),
            };
            let (term, after) = match body.strip_prefix('"') {
                Some(quoted) => quoted
                    .split_once('"')
                    .ok_or_else(|| invalid("Invalid filter pattern: a quote is not closed"))?,
                None => body.split_once(char::is_whitespace).unwrap_or((body, "")),
            };
            list.push(term.to_owned());
            rest = after.trim_start();
        }
        Ok(filter)
    }

    pub fn fits(&self, message: &str) -> bool {
        self.all.iter().all(|term| message.contains(term))
            && !self.none.iter().any(|term| message.contains(term))
            && (self.any.is_empty() || self.any.iter().any(|term| message.contains(term)))
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn terms() {
        for (pattern, fits) in [
            ("", true),
            ("ERROR", true),
            ("error", false),
            ("ERROR here", true),
            ("\"ERROR is\"", true),
            ("ERROR -here", false),
            ("?x ?here", true),
            ("?x ?y", false),
        ] {
            assert_eq!(Filter::parse(pattern).unwrap().fits("an ERROR is here"), fits, "{pattern}");
        }
        Filter::parse("{ $.level = 1 }").unwrap_err();
        Filter::parse("\"open").unwrap_err();
    }
}
