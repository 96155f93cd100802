//! Inputs for the target `partiql`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| advent_fuzz::run("partiql", bytes));
