//! The wildcards of policies: `*` any text, `?` any one character.

use std::str::Chars;

/// Whether the whole of `text` fits.
pub fn matches(pattern: &str, text: &str) -> bool {
    fits(pattern, text, |one, other| one == other)
}

/// As [`matches`], where `A` is `a`.
pub fn matches_in_any_case(pattern: &str, text: &str) -> bool {
    fits(pattern, text, |one, other| one.eq_ignore_ascii_case(&other))
}

/// Linear in practice: only the last `*` is tried again.
fn fits(pattern: &str, text: &str, same: impl Fn(char, char) -> bool) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What follows the last star, and the text from where it was tried last.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let (mut pattern_on, mut text_on) = (pattern.clone(), text.clone());
        match (pattern_on.next(), text_on.next()) {
            (Some('*'), _) => {
                star = Some((pattern_on.clone(), text.clone()));
                pattern = pattern_on;
            }
            (Some(wanted), Some(actual)) if wanted == '?' || same(wanted, actual) => {
                (pattern, text) = (pattern_on, text_on);
            }
            (None, None) => return true,
            // Later tries would have even less text.
            (Some(_), None) => return false,
            _ => {
                let Some((after, from)) = &mut star else { return false };
                from.next();
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_in_any_case};

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("a*b*c", "aXbXbXc"),
            ("a?c", "abc"),
            (
                "arn:aws:logs:*:*:log-group:/aws/*:*",
                "arn:aws:logs:r:1:log-group:/aws/l/f:log-stream:s",
            ),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a?", "a"), ("a*c", "abd"), ("", "a"), ("*a", "b")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(matches_in_any_case("dynamodb:get*", "DynamoDB:GetItem"));
        assert!(!matches("dynamodb:get*", "DynamoDB:GetItem"));
    }
}
