//! The local cloud: an AWS-compatible endpoint on the loopback interface.

/// The Region of the local cloud's operator, unless told otherwise.
pub const REGION: &str = "us-east-1";
