//! Drives the built binary, and checks the tools that the tests themselves stand on.
#![expect(clippy::expect_used, reason = "a test may end in a panic")]

mod counts;
mod drift;
mod emulators;
mod examples;
mod interrupts;
mod mistakes;
mod proxy;
mod readme;
mod stages;
mod strangers;
#[expect(dead_code, reason = "the scenarios that need the rest come with the commands")]
mod support;
mod tour;
