//! The text that the bot says.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Message;
use crate::{counter::Counts, words::Words};

/// Characters: Slack cuts longer texts.
const LONGEST: usize = 40_000;

/// Every word once, in order of first appearance, with its count.
pub fn reply(message: &Message, words: &Words, counts: &Counts) -> Value {
    let mut text = String::new();
    let mut length = 0;
    let mut told = 0;
    for (word, times) in &words.counted {
        let word_is = escape(word);
        let count = counts.get(word).cloned().unwrap_or_else(|| times.to_string());
        let line = format!("{word_is}: {count}\n");
        // Leaves room for the two lines below.
        if length + line.chars().count() > LONGEST - 200 {
            break;
        }
        length += line.chars().count();
        text.push_str(&line);
        told += 1;
    }
    let untold = words.counted.len() - told;
    if untold > 0 {
        let _ = writeln!(text, "… and {untold} more, counted as well.");
    }
    if words.too_long > 0 {
        let _ = writeln!(
            text,
            "Not counted, longer than {} bytes: {}.",
            crate::words::LONGEST,
            words.too_long
        );
    }
    if text.is_empty() {
        text.push_str("There is no word to count.");
    }
    let text = text.trim_end_matches('\n');
    if message.command {
        json!({ "response_type": "in_channel", "text": text })
    } else {
        json!({ "text": text })
    }
}

/// Leaves Slack's own escapes as they are and escapes the rest, so that no word becomes a mention or a link:
/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
fn escape(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len());
    for (place, character) in word.char_indices() {
        let rest = &word[place..];
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' if !["&amp;", "&lt;", "&gt;"].iter().any(|known| rest.starts_with(known)) => {
                escaped.push_str("&amp;");
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> String {
        let message =
            Message { text: String::new(), id: None, signature: None, command: false, place: None };
        let reply = reply(&message, &Words::of(text), &Counts::new());
        reply["text"].as_str().expect("text").to_owned()
    }

    #[test]
    fn says_every_word_once_with_its_count() {
        assert_eq!(said("awsadvent some words some"), "awsadvent: 1\nsome: 2\nwords: 1");
        assert_eq!(said(" \n\t"), "There is no word to count.");
        let long = "x".repeat(2049);
        assert_eq!(said(&format!("a {long}")), "a: 1\nNot counted, longer than 2048 bytes: 1.");
        assert_eq!(said(&long), "Not counted, longer than 2048 bytes: 1.");
    }

    #[test]
    fn cannot_be_made_to_mention_or_link() {
        assert_eq!(said("<!channel>"), "&lt;!channel&gt;: 1");
        assert_eq!(said("&lt;!channel&gt;"), "&lt;!channel&gt;: 1");
        assert_eq!(said("<http://x|bank>"), "&lt;http://x|bank&gt;: 1");
        assert_eq!(said("&amp;lt; R&D &gt &"), "&amp;lt;: 1\nR&amp;D: 1\n&amp;gt: 1\n&amp;: 1");
    }

    #[test]
    fn tells_how_many_it_left_out() {
        let text: Vec<_> = (0..300).map(|n| format!("{n}{}", "x".repeat(200))).collect();
        let text = said(&text.join(" "));
        assert!(text.chars().count() <= LONGEST, "{}", text.chars().count());
        assert!(text.ends_with("more, counted as well."), "{text}");
    }

    proptest! {
        #[test]
        fn no_word_opens_a_tag(word in "[<>&a-z;!@|]{1,20}") {
            let escaped = escape(&word);
            prop_assert!(!escaped.contains(['<', '>']));
            // Nothing is lost: undoing the escapes gives what undoing those of the word gives.
            let undo = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            prop_assert_eq!(undo(&escaped), undo(&word));
        }
    }
}
