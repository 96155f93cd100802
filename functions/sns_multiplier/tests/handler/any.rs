//! Whatever the event: done or an error, and the counts are those of a model that knows nothing of transactions.

use std::collections::{BTreeMap, BTreeSet};

use common::testing::with_runtime;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::fuzz::{changed, changes, config, odd, with_odd};

const PIECES: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b",",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"\"Records\":",
    b"\"Sns\":",
    b"1e999",
    b"\xff",
];

#[test]
fn event_is_dealt_with_or_refused() {
    let (runtime, (_table, function)) = with_runtime(world());
    let mut seed = sns_event(&[(ID, "some words some"), ("other", "🎉")]);
    seed["Records"][0]["Sns"]["MessageAttributes"] =
        json!({"id": {"Type": "String", "Value": "x"}});
    let whole = prop_oneof![
        (any::<Index>(), odd(), any::<bool>()).prop_map(move |(at, odd, double)| with_odd(
            &seed, at, odd, double
        )
        .to_string()
        .into_bytes()),
        changes(PIECES).prop_map(|changes| {
            changed(sns_event(&[(ID, "some words")]).to_string().as_bytes(), &changes)
        }),
    ];
    proptest!(config(256), |(bytes in whole)| {
        if let Ok(event) = serde_json::from_slice(&bytes) {
            // That it returns is the property: a panic would end the function.
            let _ = runtime.block_on(deliver(&function, &event));
        }
    });
}

/// What is delivered: which of some messages, and how far the delivery comes.
#[derive(Debug, Clone)]
enum Delivery {
    Whole(usize),
    Crash(usize, u64),
    Together(usize, usize),
}

#[test]
fn counts_are_those_of_the_model() {
    let word = prop_oneof![
        4 => select(vec!["a", "b", "A", "&amp;", "é", "🎉", "\u{5e9}", "x\0y", "+%#="]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let space = select(vec![" ", "  ", "\n", "\t", "\u{3000}", "\u{85}"]);
    let text = vec((word, space), 0..12).prop_map(|words| {
        words.into_iter().fold(String::new(), |text, (word, space)| text + &word + space)
    });
    let delivery = prop_oneof![
        (0..4_usize).prop_map(Delivery::Whole),
        (0..4_usize, 0..8000_u64).prop_map(|(which, micros)| Delivery::Crash(which, micros)),
        (0..4_usize, 0..4_usize).prop_map(|(one, other)| Delivery::Together(one, other)),
    ];
    proptest!(config(12), |(texts in vec(text, 4), deliveries in vec(delivery, 1..12))| {
        let (runtime, (table, function)) = with_runtime(world());
        let event = |which: usize| sns_event(&[(&format!("{ID}{which}"), texts[which].as_str())]);
        let mut delivered = BTreeSet::new();
        runtime.block_on(async {
            for delivery in deliveries {
                match delivery {
                    Delivery::Whole(which) => deliver(&function, &event(which)).await.expect("done"),
                    Delivery::Crash(which, micros) => {
                        let event = event(which);
                        let time = Duration::from_micros(micros);
                        let _ = tokio::time::timeout(time, deliver(&function, &event)).await;
                        deliver(&function, &event).await.expect("done");
                    }
                    Delivery::Together(one, other) => {
                        let (one, other) = (event(one), event(other));
                        let both = futures::join!(deliver(&function, &one), deliver(&function, &other));
                        both.0.and(both.1).expect("done");
                    }
                }
                match delivery {
                    Delivery::Whole(which) | Delivery::Crash(which, _) => drop(delivered.insert(which)),
                    Delivery::Together(one, other) => delivered.extend([one, other]),
                }
            }
        });
        let mut model = BTreeMap::new();
        for which in delivered {
            for word in texts[which].split(char::is_whitespace).filter(|word| !word.is_empty()) {
                *model.entry(word.to_owned()).or_insert(0) += 10;
            }
        }
        let counts = runtime.block_on(async {
            let mut counts = BTreeMap::new();
            for key in table.keys().await {
                let count = table.count(&key).await;
                if !key.contains(' ') {
                    counts.insert(key, count);
                }
            }
            counts
        });
        prop_assert_eq!(counts, model);
    });
}
