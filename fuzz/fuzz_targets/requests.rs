//! Inputs for the target `requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("requests", bytes));
