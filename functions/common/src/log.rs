//! Log lines: one JSON object a line on standard output, which Lambda keeps.

use std::{
    fmt::Write as _,
    io::{Write as _, stdout},
};

use serde_json::Value;

/// Writes one line. Whatever a user typed stays inside its JSON string.
pub fn line(entry: &Value) {
    // Nobody is left to tell when standard output is gone.
    let _ = writeln!(stdout().lock(), "{}", one_line(entry));
}

/// JSON leaves alone what some readers take for a line break (U+0085, U+2028, U+2029) or for a terminal command
/// (U+009B): escaped as well, which is legal because such characters occur inside strings only.
fn one_line(entry: &Value) -> String {
    let mut line = String::new();
    for character in entry.to_string().chars() {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_word_cannot_start_a_line_of_its_own() {
        let word = "a\nb\rc\u{85}d\u{2028}e\u{2029}f\u{9b}g\0\u{1b}";
        let line = one_line(&json!({ "word": word }));
        assert_eq!(line, r#"{"word":"a\nb\rc\u0085d\u2028e\u2029f\u009bg\u0000\u001b"}"#);
    }

    proptest! {
        #[test]
        fn whatever_is_logged_is_one_line_and_reads_back(word in any::<String>()) {
            let entry = json!({ "word": word });
            let line = one_line(&entry);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), entry);
        }
    }
}
