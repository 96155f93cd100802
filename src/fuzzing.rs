//! What a coverage-guided fuzzer drives, and the tests with what it found.
//!
//! A target takes whatever bytes, and panics where a promise is broken. `cargo fuzz run NAME` looks
//! for such bytes (`fuzz/`); what is kept in `fuzz/corpus/NAME` is tried by every `cargo test`.

mod answers;

use crate::local::fuzzing as local;
use crate::manifest::{self, Manifest};

pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: [(&str, Target); 8] = [
    ("answers", answers::any),
    ("filters", local::filters),
    ("manifests", manifests),
    ("partiql", local::partiql),
    ("policies", local::policies),
    ("requests", local::requests),
    ("runtime_api", local::runtime_api),
    ("signatures", local::signatures),
];

/// What a target needs to begin with.
pub(crate) fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the target does not work: {error:?}"))
}

fn manifests(bytes: &[u8]) {
    is_accepted(bytes.to_vec());
}

/// A manifest is accepted, or refused with a place in it.
pub(crate) fn is_accepted(bytes: Vec<u8>) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let parsed = manifest::decode(bytes, "advent.toml")
        .and_then(|text| Manifest::parse(&text, "advent.toml"));
    let Err(failure) = parsed else { return true };
    let place = failure.what.split_once("--> advent.toml:").map(|(_, place)| place);
    let line = place.and_then(|place| place.split(':').next()?.parse::<usize>().ok());
    assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{}", failure.what);
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_a_fuzzer_found_stays_right() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in super::TARGETS {
            let inputs = std::fs::read_dir(corpus.join(name)).expect(name);
            let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
            assert!(inputs.len() > 1, "{name} has no inputs");
            for path in inputs {
                let bytes = std::fs::read(&path).unwrap();
                let kept = std::panic::catch_unwind(|| target(&bytes));
                assert!(kept.is_ok(), "{}", path.display());
            }
        }
    }
}
