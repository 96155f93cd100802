//! Text from elsewhere that cannot move the cursor, clear the screen or pretend to be ours.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character written as `\u001b` that a terminal or an editor acts on: all
/// control characters but line feed and tab, separators of lines and paragraphs, and what changes
/// the direction of writing. Colours stay (ECMA-48, SGR). A JSON document stays the same document.
pub(super) fn tame(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_tame) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let length = if let Some(color) = color(rest) {
            tamed.push_str(color);
            color.len()
        } else if rest.starts_with("\r\n") {
            tamed.push('\n');
            2
        } else {
            if is_tame(char) {
                tamed.push(char);
            } else {
                // Writing to a string cannot fail.
                let _ = write!(tamed, "\\u{:04x}", u32::from(char));
            }
            char.len_utf8()
        };
        rest = &rest[length..];
    }
    Cow::Owned(tamed)
}

fn is_tame(char: char) -> bool {
    match char {
        '\n' | '\t' => true,
        // Line and paragraph separator, and the marks, embeddings and isolates of Unicode's
        // bidirectional algorithm.
        '\u{2028}'..='\u{202e}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}' => {
            false
        }
        char => !char.is_control(),
    }
}

/// The sequence for a colour that a text begins with.
fn color(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("\x1b[")?;
    let end = rest.find(|char: char| !char.is_ascii_digit() && char != ';')?;
    let is_color = rest[end..].starts_with('m') && end <= 32;
    // What is concealed is as good as taken away, and all that comes after it.
    let mut codes = rest[..end].split(';').map(|code| code.parse().unwrap_or(0_u32));
    let mut conceals = false;
    while let Some(code) = codes.next() {
        match code {
            8 => conceals = true,
            // A colour by its number, or by red, green and blue.
            38 | 48 => drop(codes.next().map(|kind| codes.nth(if kind == 2 { 2 } else { 0 }))),
            _ => {}
        }
    }
    (is_color && !conceals).then(|| &text[..text.len() - rest[end..].len() + "m".len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        for (text, tamed) in [
            ("plain\n\ttext ä😀", "plain\n\ttext ä😀"),
            ("windows\r\nlines", "windows\nlines"),
            ("over\rwritten", "over\\u000dwritten"),
            (
                "\x1b[31mred\x1b[0m \x1b[1;38;5;9mx\x1b[m",
                "\x1b[31mred\x1b[0m \x1b[1;38;5;9mx\x1b[m",
            ),
            ("\x1b[8mgone \x1b[1;08m", "\\u001b[8mgone \\u001b[1;08m"),
            ("\x1b[38;5;8mgrey\x1b[48;2;8;8;8m", "\x1b[38;5;8mgrey\x1b[48;2;8;8;8m"),
            ("\x1b[2J\x1b[H", "\\u001b[2J\\u001b[H"),
            ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
            ("\x1b]52;c;AAAA\x1b\\", "\\u001b]52;c;AAAA\\u001b\\"),
            ("\x1b", "\\u001b"),
            ("\x1b[", "\\u001b["),
            ("\x1b[31", "\\u001b[31"),
            ("\u{9b}2J \u{90}\u{9c}", "\\u009b2J \\u0090\\u009c"),
            ("\x0b\x0c\x08\x7f\0", "\\u000b\\u000c\\u0008\\u007f\\u0000"),
            ("a\u{2028}b\u{2029}c\u{85}", "a\\u2028b\\u2029c\\u0085"),
            ("\u{202e}txt\u{2066}", "\\u202etxt\\u2066"),
        ] {
            assert_eq!(tame(text), tamed, "{text:?}");
        }
    }

    #[test]
    fn a_document_stays_what_it_is() {
        let value = serde_json::json!({ "text": "\u{9b}2J\u{2028}\u{202e}\x1b[2J\u{7f}" });
        let text = value.to_string();
        assert_ne!(tame(&text), text);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&tame(&text)).unwrap(), value);
    }
}
