//! The time that an invocation has.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;

use crate::Error;

/// What is left of the invocation, less what it takes to say that it was not enough.
pub fn time_left(context: &Context) -> Duration {
    context
        .deadline()
        .duration_since(SystemTime::now())
        .unwrap_or_default()
        .saturating_sub(Duration::from_millis(200))
}

/// Gives `work` what is left of the invocation, and then an error instead of Lambda's silent end.
pub async fn in_time<T>(
    context: &Context,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let time = time_left(context);
    match tokio::time::timeout(time, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("not done after {} ms", time.as_millis()).into()),
    }
}
