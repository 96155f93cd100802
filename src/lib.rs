//! Ships a serverless publish/subscribe application to AWS and takes it away again.
//!
//! The map of this crate is `ARCHITECTURE.md`.

pub mod aws;
pub mod bundle;
pub mod cli;
pub mod commands;
pub mod engine;
pub mod failure;
#[cfg(test)]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hidden;
pub mod invocation;
pub mod local;
pub mod manifest;
pub mod ownership;
pub mod report;
pub mod resources;
pub mod slack;
pub mod stack;
pub mod trace;
