//! The local cloud: an AWS-compatible endpoint on the loopback interface.
