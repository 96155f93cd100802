//! Inputs for the target `manifests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("manifests", bytes));
