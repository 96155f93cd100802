//! What the functions share: Slack, words, counting once, publishing, answering, logging.

pub mod aws;
pub mod connections;
pub mod counter;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http;
pub mod lambda;
pub mod log;
pub mod slack;
pub mod sns;
#[cfg(feature = "testing")]
pub mod testing;
pub mod words;

pub use lambda_runtime::Error;

/// An error and its causes on one line, without the debug output that the SDK's own context adds.
pub fn reason(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_is = cause.to_string();
        // Some errors repeat their cause.
        if !reason.ends_with(&cause_is) {
            reason = format!("{reason}: {cause_is}");
        }
        source = cause.source();
    }
    reason
}
