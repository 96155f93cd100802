//! Drives the built binary, and checks the tools that the tests themselves stand on.
#![expect(clippy::expect_used, reason = "a test may end in a panic")]

mod accounts;
mod builds;
mod code;
mod commands;
mod consistency;
mod counts;
mod drift;
mod early;
mod emulators;
mod environment;
mod examples;
mod index;
mod interrupts;
mod limits;
mod logs;
mod mistakes;
mod models;
mod operators;
mod order;
mod pages;
mod properties;
mod proxy;
mod readme;
mod rights;
mod scale;
mod secrets;
mod slack;
mod stages;
mod strangers;
mod support;
mod sweep;
mod tour;
mod trace;
mod waits;
mod worlds;
