//! What the functions share: Slack, words, counting once, publishing, answering, logging.

pub mod aws;
pub mod counter;
pub mod http;
pub mod lambda;
pub mod log;
pub mod slack;
pub mod sns;
#[cfg(feature = "testing")]
pub mod testing;
pub mod words;

pub use lambda_runtime::Error;
