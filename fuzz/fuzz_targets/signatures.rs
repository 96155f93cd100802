//! Inputs for the target `signatures`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("signatures", bytes));
