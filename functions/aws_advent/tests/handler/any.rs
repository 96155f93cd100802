//! No input whatsoever is answered with a 5xx, and what is counted is what a model counts that knows nothing of
//! retries.

use std::collections::{BTreeSet, HashMap};

use common::testing::with_runtime;
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::fuzz::{changed, changes, config, odd, with_odd};

const PIECES: &[&[u8]] = &[
    b"%",
    b"%00",
    b"%ff",
    b"%zz",
    b"&",
    b"=",
    b"+",
    b"text=",
    b"&text=%20",
    b"ssl_check=1&",
    b"payload=x&",
    b"{",
    b"}",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"[[[[[[",
    b"\"type\":",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    "🎉".as_bytes(),
    "\u{202e}".as_bytes(),
    b"<!channel>",
    b"&lt;!here&gt;",
    b"%3C%21channel%3E",
];

fn mention() -> Value {
    json!({
        "type": "event_callback", "team_id": "T1", "event_id": "Ev1", "token": "t",
        "event": {"type": "app_mention", "channel": "C1", "user": "U1", "ts": "1.2", "text": "a <b> c"},
    })
}

#[test]
fn text_is_counted() {
    let (runtime, world) = with_runtime(World::new());
    proptest!(config(64), |(text in any::<String>())| {
        let (status, answer) = runtime.block_on(world.say(&text));
        prop_assert!(status == 200, "{}", answer);
        prop_assert_eq!(answer.contains(['<', '>']), false);
    });
}

#[test]
fn body_is_answered() {
    let (runtime, world) = with_runtime(World::new());
    let kinds =
        select(vec![FORM, "application/json", "a/b", "", "application/json; charset=\"", ";"]);
    let command = "team_id=T1&channel_id=C1&user_id=U1&command=%2Fcount&text=a+b&trigger_id=1.2";
    let seeds = vec![WEBHOOK.to_owned(), command.to_owned(), mention().to_string()];
    let bodies = prop_oneof![
        1 => any::<String>().prop_map(String::into_bytes),
        4 => (select(seeds), changes(PIECES)).prop_map(|(seed, by)| changed(seed.as_bytes(), &by)),
        2 => (any::<Index>(), odd(), any::<bool>())
            .prop_map(|(at, odd, double)| with_odd(&mention(), at, odd, double).to_string().into_bytes()),
    ];
    proptest!(config(256), |(
        kind in kinds,
        body in bodies,
        base64 in any::<bool>(),
        headers in hash_map(any::<String>(), any::<String>(), 0..5),
    )| {
        let mut event = post_event(kind, &String::from_utf8_lossy(&body));
        if base64 {
            event = in_base64(event);
        }
        for (name, value) in headers {
            event["headers"][name] = json!(value);
        }
        let (status, answer) = runtime.block_on(world.send(event));
        prop_assert!(status < 500, "{} {}", status, answer);
        let text = answer["text"].as_str().unwrap_or_default();
        prop_assert!(!text.contains(['<', '>']), "{}", text);
        prop_assert!(status == 200 || answer["error"].is_string(), "{}", answer);
    });
}

#[test]
fn event_of_any_form_is_answered() {
    let (runtime, world) = with_runtime(World::new());
    let seed = post_event(FORM, WEBHOOK);
    proptest!(config(256), |(at in any::<Index>(), odd in odd(), double in any::<bool>())| {
        let event = with_odd(&seed, at, odd, double);
        let (status, answer) = runtime.block_on(world.send(event));
        prop_assert!(status < 500, "{} {}", status, answer);
    });
}

#[test]
fn nothing_gets_in_without_the_secret() {
    let (runtime, mut world) = with_runtime(World::new());
    world.function.secrets.signing_secret = Some("secret".into());
    let right = signed("secret", now(), WEBHOOK);
    proptest!(config(128), |(
        body in changes(PIECES), signature in changes(PIECES), which in 0..3,
    )| {
        let mut event = right.clone();
        let name = ["x-slack-signature", "x-slack-request-timestamp"][usize::from(which == 1)];
        if which == 2 {
            let other = changed(WEBHOOK.as_bytes(), &body);
            event["body"] = in_base64(post_event(FORM, &String::from_utf8_lossy(&other)))["body"].clone();
        } else {
            let text = event["headers"][name].as_str().expect("text").to_owned();
            let other = changed(text.as_bytes(), &signature);
            event["headers"][name] = json!(String::from_utf8_lossy(&other));
        }
        prop_assume!(event != right);
        let (status, answer) = runtime.block_on(world.send(event));
        // A look at the certificate is not signed, and gets nothing.
        prop_assert!(status == 401 || (status == 200 && answer == json!({})), "{} {}", status, answer);
    });
    assert!(runtime.block_on(world.table.keys()).is_empty());
    assert!(world.sns.published().is_empty());
}

/// What Slack and the network do with one of some messages.
#[derive(Debug, Clone)]
enum Attempt {
    Whole(usize),
    /// The function ends after so many microseconds.
    Crash(usize, u64),
    /// SNS fails.
    Unpublished(usize),
    Together(usize, usize),
}

#[test]
fn counts_are_those_of_the_model() {
    let words =
        select(vec!["a", "b", "A", "&amp;", "é", "🎉", "\u{5e9}", "x\0y", "+%#=", "<!channel>"]);
    let space = select(vec![" ", "  ", "\n", "\t", "\u{3000}", "\u{85}"]);
    let text = vec((words, space), 1..12).prop_map(|words| {
        words.into_iter().fold(String::new(), |text, (word, space)| text + word + space)
    });
    let which = || 0..4_usize;
    let attempt = prop_oneof![
        which().prop_map(Attempt::Whole),
        (which(), 0..12_000_u64).prop_map(|(which, micros)| Attempt::Crash(which, micros)),
        which().prop_map(Attempt::Unpublished),
        (which(), which()).prop_map(|(one, other)| Attempt::Together(one, other)),
    ];
    proptest!(config(12), |(messages in vec(text, 4), attempts in vec(attempt, 1..10))| {
        let (runtime, world) = with_runtime(World::new());
        let event = |which: usize| {
            let mut event = form(&messages[which]);
            let body = event["body"].as_str().expect("a body");
            let fields = format!("team_id=T&channel_id=C&user_id=U&timestamp={which}.5&{body}");
            event["body"] = json!(fields);
            event
        };
        let mut said = BTreeSet::new();
        runtime.block_on(async {
            for attempt in attempts {
                let (one, other) = match attempt {
                    Attempt::Whole(which) => (which, None),
                    Attempt::Crash(which, micros) => {
                        world.crash(event(which), micros).await;
                        (which, None)
                    }
                    Attempt::Unpublished(which) => {
                        world.sns.fail(1);
                        let (status, _) = world.send(event(which)).await;
                        assert_eq!(status, if said.contains(&which) { 200 } else { 503 });
                        world.sns.fail(0);
                        (which, None)
                    }
                    Attempt::Together(one, other) => (one, Some(other)),
                };
                let sends = [Some(one), other].into_iter().flatten();
                let sends = futures::future::join_all(sends.clone().map(|which| world.send(event(which))));
                for (status, answer) in sends.await {
                    assert_eq!(status, 200, "{answer}");
                }
                said.insert(one);
                said.extend(other);
            }
        });
        let mut model = HashMap::new();
        for which in &said {
            for word in messages[*which].split(char::is_whitespace).filter(|word| !word.is_empty()) {
                *model.entry(word.to_owned()).or_insert(0) += 1;
            }
        }
        let counts = runtime.block_on(async {
            let mut counts = HashMap::new();
            for key in world.table.keys().await.into_iter().filter(|key| !key.contains(' ')) {
                let count = world.table.count(&key).await;
                counts.insert(key, count);
            }
            counts
        });
        prop_assert_eq!(counts, model);
        let mut published: Vec<_> = world.sns.published();
        published.sort_by(|one, other| one.id.cmp(&other.id));
        published.dedup();
        prop_assert_eq!(published.len(), said.len(), "each once, or again by the same id");
    });
}
