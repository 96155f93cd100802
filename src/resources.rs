//! One file, one kind of resource.

pub mod function;
pub mod http_api;
pub mod log_group;
pub mod permission;
pub mod role;
pub mod subscription;
pub mod table;
pub mod topic;
