//! Inputs for the target `slack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("slack", bytes));
