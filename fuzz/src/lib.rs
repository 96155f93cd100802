//! All targets of the fuzzer, by name: those of the CLI and those of the functions.

/// Tries an input.
///
/// # Panics
/// There is no such target, or it found a broken promise.
pub fn run(name: &str, bytes: &[u8]) {
    let mut targets = advent::fuzzing::TARGETS.iter().chain(&common::fuzzing::TARGETS);
    let Some((_, target)) = targets.find(|(known, _)| *known == name) else {
        panic!("no target {name}");
    };
    target(bytes);
}
