//! Answers that say what they must: one that says nothing is no proof that there is nothing.

use super::ApiError;

/// What AWS's models have in every such answer. A proxy or an emulator that answers with nothing and
/// a status of success would else have told that something is missing.
///
/// # Errors
/// The answer has no such member.
pub fn told<T>(
    member: Option<T>,
    name: &str,
    (operation, target): (&'static str, &str),
) -> Result<T, ApiError> {
    member.ok_or_else(|| {
        let message = format!(
            "the answer has no `{name}`, which AWS always gives: what is there is not known"
        );
        ApiError::within(operation, target, "IncompleteAnswer", &message)
    })
}
