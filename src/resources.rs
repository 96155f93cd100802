//! One file, one kind of resource; `watch.rs` what they share.

pub mod function;
pub mod http_api;
pub mod log_group;
pub mod permission;
pub mod role;
pub mod subscription;
pub mod table;
pub mod topic;
pub mod watch;

use watch::Look;

/// What is done about each property, kind by kind.
pub const LOOKS: [(&str, &[Look]); 8] = [
    ("table", table::LOOKS),
    ("topic", topic::LOOKS),
    ("subscription", subscription::LOOKS),
    ("role", role::LOOKS),
    ("function", function::LOOKS),
    ("permission", permission::LOOKS),
    ("log group", log_group::LOOKS),
    ("http api", http_api::LOOKS),
];
