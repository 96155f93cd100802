//! Logs each word that was published.

use common::{Error, log, sns::messages};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// Bytes of one word in the log; a line of a few kilobytes fits every reader.
const LONGEST: usize = 2048;

/// One line for every occurrence, in the order of the text.
#[expect(clippy::unused_async, reason = "Lambda's runtime awaits it")]
pub async fn handle(event: LambdaEvent<Value>) -> Result<(), Error> {
    for message in messages(event.payload)? {
        for word in message.message.split_whitespace() {
            log::line(&entry(word));
        }
    }
    Ok(())
}

fn entry(word: &str) -> Value {
    let shown = &word[..word.floor_char_boundary(LONGEST)];
    if shown.len() < word.len() {
        json!({ "word": shown, "bytes": word.len() })
    } else {
        json!({ "word": word })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::testing::{context, sns_event};

    #[test]
    fn a_long_word_is_cut_between_characters() {
        assert_eq!(entry("a&b"), json!({ "word": "a&b" }));
        let long = "x".repeat(2047) + "é";
        assert_eq!(entry(&long), json!({ "word": "x".repeat(2047), "bytes": 2049 }));
    }

    #[tokio::test]
    async fn records_without_a_subject_are_messages() {
        let event = sns_event(&[("1", "some words"), ("2", "")]);
        handle(LambdaEvent::new(event, context())).await.expect("logged");
        let event = LambdaEvent::new(json!({ "Records": 1 }), context());
        handle(event).await.expect_err("not an event");
    }
}
