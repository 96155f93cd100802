//! Valid inputs changed a little, for tests that look for an input that breaks something.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// So many inputs, few enough for every run; or what `PROPTEST_CASES` says.
pub fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        default
    } else {
        ProptestConfig { cases, ..default }
    }
}

/// A change to bytes; where is relative to how many there are.
#[derive(Debug, Clone)]
pub enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    /// Doubles some of them, so many times.
    Repeat(Index, usize, usize),
    CutOff(Index),
}

impl Change {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |index: &Index| index.index(bytes.len() + 1);
        let until = |from: usize, length: usize| (from + length).min(bytes.len());
        match self {
            Self::Flip(at, bits) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Insert(at, piece) => {
                let at = place(at);
                drop(bytes.splice(at..at, piece.iter().copied()));
            }
            Self::Delete(at, length) => {
                let at = place(at);
                drop(bytes.drain(at..until(at, *length)));
            }
            Self::Repeat(at, length, times) => {
                let at = place(at);
                let part = bytes[at..until(at, *length)].repeat(*times);
                drop(bytes.splice(at..at, part));
            }
            Self::CutOff(at) => bytes.truncate(place(at)),
        }
    }
}

/// One to four changes; `pieces` mean something to the parser.
pub fn changes(pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<Change>> {
    let at = any::<Index>;
    let change = prop_oneof![
        (at(), 1_u8..).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (at(), select(pieces)).prop_map(|(at, piece)| Change::Insert(at, piece.to_vec())),
        (at(), vec(any::<u8>(), 1..9)).prop_map(|(at, noise)| Change::Insert(at, noise)),
        (at(), 1_usize..40).prop_map(|(at, length)| Change::Delete(at, length)),
        (at(), 1_usize..40, 1_usize..50)
            .prop_map(|(at, len, times)| Change::Repeat(at, len, times)),
        at().prop_map(Change::CutOff),
    ];
    vec(change, 1..5)
}

/// `bytes`, changed.
pub fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        change.apply(&mut bytes);
    }
    bytes
}

/// A JSON value that is seldom expected.
pub fn odd() -> impl Strategy<Value = Value> {
    let deep = (0..120).fold(json!(0), |inner, _| json!([inner]));
    prop_oneof![
        4 => select(vec![
            json!(null), json!(true), json!(-1), json!(0), json!(1.5), json!(1e308),
            json!(u64::MAX), json!(i64::MIN), json!([]), json!({}), json!([null]), json!([{}]),
            json!({"": ""}), json!(""), json!(" "), json!("\0"), json!("a\r\nb: c"), json!("*"),
            json!("\u{202e}\u{feff}\u{ffff}🎉"), json!("<a>&</a>"), json!("../../.."),
            json!("18446744073709551615"), json!("-9223372036854775808"), json!("NaN"),
            json!("1e999"), json!("arn:aws:sns:us-east-1:000000000000:t"), json!("arn:::::"),
            json!("arn:aws:lambda:us-east-1:000000000000:function:f"), json!("{}"), json!("["),
        ]),
        1 => Just(deep),
        1 => Just(json!("x".repeat(70_000))),
        1 => (select(vec!["(", "[", "a.", "NOT ", "{\"a\":", "${", "*", "é"]), 100_usize..5000)
            .prop_map(|(piece, times)| json!(piece.repeat(times))),
        2 => any::<String>().prop_map(Value::String),
        1 => any::<i64>().prop_map(|number| json!(number)),
    ]
}

/// `value` with its node at `place` replaced, or a member doubled under another name.
pub fn with_odd(value: &Value, place: Index, odd: Value, double: bool) -> Value {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum::<usize>(),
            Value::Object(members) => members.values().map(count).sum(),
            _ => 0,
        }
    }
    fn put(value: &mut Value, left: &mut usize, odd: &mut Option<Value>, double: bool) {
        if *left == 0 {
            match (value, odd.take()) {
                (Value::Array(items), Some(odd)) if double => items.push(odd),
                (Value::Object(members), Some(odd)) if double => {
                    members.insert("odd".into(), odd);
                }
                (value, Some(odd)) => *value = odd,
                (_, None) => {}
            }
            *left = usize::MAX;
            return;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| put(item, left, odd, double)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| put(member, left, odd, double));
            }
            _ => {}
        }
    }
    let mut value = value.clone();
    let mut left = place.index(count(&value));
    put(&mut value, &mut left, &mut Some(odd), double);
    value
}
