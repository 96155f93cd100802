//! The local cloud: an AWS-compatible endpoint on the loopback interface.
//!
//! It has what advent and its functions call, and keeps its state in one folder. Signatures are
//! not verified: an access key only tells a function's calls (which its role's policies must
//! allow) from an operator's (who may do everything).

mod call;
mod clock;
mod cloud;
mod dynamodb;
mod environment;
mod error;
mod executable;
mod folder;
mod gateway;
mod http_api;
mod iam;
mod lambda;
mod lifecycle;
mod logs;
mod params;
mod policy;
mod rest;
mod runtime_api;
mod server;
mod sns;
mod store;
mod sts;
mod tagging;
mod xml;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use lifecycle::{Running, ensure, failed_events, find, is_empty, state_dir, stop};
pub use server::{InProcess, serve};

/// The Region that advent uses in the local cloud. Others exist as well.
pub const REGION: &str = "us-east-1";
/// The account that everything in the local cloud belongs to.
pub const ACCOUNT: &str = "000000000000";
