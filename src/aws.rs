//! What several kinds of resource share: clients, names, the retry loop, advice.

pub mod advice;
pub mod cache;
pub mod connect;
pub mod credentials;
pub mod denial;
pub mod http;
pub mod index;
pub mod naming;
pub mod pace;
pub mod pages;
pub mod raw;
pub mod record;
pub mod retry;
pub mod rights;
pub mod shared;
pub mod told;
pub mod young;

pub use connect::{Cloud, Target};
pub use naming::Names;
pub use pages::Pages;
pub use retry::{ApiError, Call, Wait};
pub use told::told;

/// What every kind is handed.
pub type Context<'a> = crate::engine::Context<'a, Cloud>;
