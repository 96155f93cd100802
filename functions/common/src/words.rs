//! A text's words and how often each occurs.

use std::collections::HashMap;

/// Bytes that fit into a partition key of `DynamoDB`.
pub const LONGEST: usize = 2048;

/// Distinct words that one message may have. Each costs two write units in a transaction, and a new on-demand table
/// takes 4,000 a second.
pub const MOST: usize = 2000;

/// The words of a text, exactly as typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Each distinct word with its occurrences, in order of first appearance.
    pub counted: Vec<(String, u64)>,
    /// Occurrences of words that are longer than [`LONGEST`] bytes and therefore cannot be counted.
    pub too_long: u64,
}

impl Words {
    pub fn of(text: &str) -> Self {
        let mut words = Self::default();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for word in text.split_whitespace() {
            if word.len() > LONGEST {
                words.too_long += 1;
            } else if let Some(place) = places.get(word) {
                words.counted[*place].1 += 1;
            } else {
                places.insert(word, words.counted.len());
                words.counted.push((word.to_owned(), 1));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Words};
    use proptest::prelude::*;

    fn counted(text: &str) -> Vec<(String, u64)> {
        Words::of(text).counted
    }

    #[test]
    fn words_stay_as_typed_in_order_of_first_appearance() {
        assert_eq!(
            counted("  b a\tb\nB 🎉 שלום a\u{0}c &+%#= <@U1|x>\u{3000}b"),
            [
                ("b", 3),
                ("a", 1),
                ("B", 1),
                ("🎉", 1),
                ("שלום", 1),
                ("a\0c", 1),
                ("&+%#=", 1),
                ("<@U1|x>", 1)
            ]
            .map(|(word, times)| (word.to_owned(), times))
        );
    }

    #[test]
    fn what_no_key_can_hold_is_not_counted() {
        let fits = "é".repeat(LONGEST / 2);
        let words = Words::of(&format!("{fits} {fits}x {fits}x"));
        assert_eq!(words.counted, [(fits, 1)]);
        assert_eq!(words.too_long, 2);
    }

    proptest! {
        #[test]
        fn no_occurrence_is_lost_or_invented(text in any::<String>()) {
            let words = Words::of(&text);
            let sum: u64 = words.counted.iter().map(|(_, times)| times).sum();
            prop_assert_eq!(sum + words.too_long, text.split_whitespace().count() as u64);
            for (word, times) in &words.counted {
                prop_assert_eq!(*times, text.split_whitespace().filter(|other| other == word).count() as u64);
            }
        }
    }
}
