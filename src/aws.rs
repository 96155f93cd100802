//! What several kinds of resource share: clients, names, the retry loop, advice.

pub mod advice;
pub mod cache;
pub mod connect;
pub mod index;
pub mod naming;
pub mod pace;
pub mod record;
pub mod retry;

pub use connect::{Cloud, Target};
pub use naming::Names;
pub use retry::{ApiError, Call, Wait};

/// What every kind is handed.
pub type Context<'a> = crate::engine::Context<'a, Cloud>;
