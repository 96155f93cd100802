//! Drives the built binary, and checks the tools that the tests themselves stand on.
#![expect(clippy::expect_used, reason = "a test may end in a panic")]

mod code;
mod consistency;
mod counts;
mod drift;
mod emulators;
mod examples;
mod index;
mod interrupts;
mod mistakes;
mod operators;
mod order;
mod proxy;
mod readme;
mod scale;
mod secrets;
mod stages;
mod strangers;
#[expect(dead_code, reason = "the scenarios that need the rest come with the commands")]
mod support;
mod sweep;
mod tour;
mod trace;
mod waits;
mod worlds;
