//! The local cloud: an AWS-compatible endpoint on the loopback interface.
//!
//! It has what advent and its functions call, and keeps its state in one folder. Every request is
//! signed, as on AWS: with its owner's key (who may do everything) or with that of a function's
//! session (what its role's policies allow). Only the routes of HTTP APIs are open.

mod call;
mod clock;
mod cloud;
mod connections;
mod dynamodb;
mod environment;
mod error;
mod executable;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gateway;
mod http_api;
mod iam;
mod keys;
mod lambda;
mod lifecycle;
mod logs;
mod need;
mod params;
mod policy;
mod rest;
mod runtime_api;
mod server;
mod signature;
mod sns;
mod store;
mod sts;
mod tagging;
mod xml;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use keys::Key;
pub use lifecycle::{Access, Running, ensure, failed_events, find, is_empty, state_dir, stop};
pub use server::{InProcess, serve};

/// The Region that advent uses in the local cloud. Others exist as well.
pub const REGION: &str = "us-east-1";
/// The account that everything in the local cloud belongs to.
pub const ACCOUNT: &str = "000000000000";
