//! Inputs for the target `answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("answers", bytes));
