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

/// Runs the target of this name.
///
/// # Panics
/// There is none, or it found a broken promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no target {name}"));
    target(bytes);
}

/// What a target needs to begin with.
pub(crate) fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the target does not work: {error:?}"))
}

/// A manifest is accepted, or refused with a place in it.
fn manifests(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let parsed = manifest::decode(bytes.to_vec(), "advent.toml")
        .and_then(|text| Manifest::parse(&text, "advent.toml"));
    let Err(failure) = parsed else { return };
    let place = failure.what.split_once("--> advent.toml:").map(|(_, place)| place);
    let line = place.and_then(|place| place.split(':').next()?.parse::<usize>().ok());
    assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{}", failure.what);
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
