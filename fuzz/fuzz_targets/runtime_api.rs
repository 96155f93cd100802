//! Inputs for the target `runtime_api`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("runtime_api", bytes));
