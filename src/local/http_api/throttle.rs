//! Stage throttling: a token bucket per route.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The buckets of all APIs.
#[derive(Default)]
pub struct Throttles(Mutex<HashMap<(String, String, String), Bucket>>);

struct Bucket {
    limit: Limit,
    tokens: f64,
    filled: Instant,
}

/// Requests per second, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub rate: f64,
    pub burst: f64,
}

impl Throttles {
    /// Whether one more request may pass now.
    pub(super) fn pass(
        &self,
        api: &str,
        stage: &str,
        route: &str,
        limit: Limit,
        now: Instant,
    ) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets
            .entry((api.to_owned(), stage.to_owned(), route.to_owned()))
            .or_insert(Bucket { limit, tokens: limit.burst, filled: now });
        if bucket.limit != limit {
            *bucket = Bucket { limit, tokens: limit.burst, filled: now };
        }
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * limit.rate).min(limit.burst);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// The API was deleted.
    pub(super) fn forget(&self, api: &str) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|(of, ..), _| of != api);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let throttles = Throttles::default();
        let limit = Limit { rate: 10.0, burst: 20.0 };
        let start = Instant::now();
        let passed = |at: Duration, many: usize| {
            (0..many).filter(|_| throttles.pass("a", "s", "r", limit, start + at)).count()
        };
        assert_eq!(passed(Duration::ZERO, 30), 20);
        assert_eq!(passed(Duration::from_millis(500), 30), 5);
        assert_eq!(passed(Duration::from_mins(1), 30), 20);
        // Another route has its own; other limits begin anew.
        assert!(throttles.pass("a", "s", "q", limit, start + Duration::from_mins(1)));
        let narrow = Limit { rate: 0.0, burst: 0.0 };
        assert!(!throttles.pass("a", "s", "r", narrow, start + Duration::from_mins(1)));
    }
}
