//! Inputs for the target `filters`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("filters", bytes));
