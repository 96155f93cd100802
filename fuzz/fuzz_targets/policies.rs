//! Inputs for the target `policies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("policies", bytes));
