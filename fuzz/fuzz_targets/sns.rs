//! Inputs for the target `sns`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("sns", bytes));
