//! How fast calls may leave: AWS's published control-plane rates, learnt better from its answers.
//!
//! The rates are the account's, so there is one set of buckets for the process. `governor` and
//! `leaky-bucket` know fixed rates only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

/// Requests under way at once: each has a connection of its own.
static IN_FLIGHT: Semaphore = Semaphore::const_new(64);
/// Requests with a function's code under way at once: each holds the code again, encoded.
static UPLOADS: Semaphore = Semaphore::const_new(8);
static QUEUES: LazyLock<Mutex<HashMap<&'static str, Arc<Queue>>>> = LazyLock::new(Mutex::default);
static OFF: AtomicBool = AtomicBool::new(false);

/// Share of a published burst that is made use of: requests do not arrive as evenly as they leave.
const BURST: f64 = 0.8;
/// Share of a published rate that is kept to once AWS has throttled.
const RATE: f64 = 0.95;
/// What a throttled call leaves of the rate, and the least that throttling leaves of a published
/// one, which somebody else may be using up.
const SLOWER: f64 = 0.75;
const SLOWEST: f64 = 1.0 / 16.0;
/// What an answered call adds to the rate.
const FASTER: f64 = 1.0 / 64.0;
/// Calls throttled within this time tell of the same excess.
const SAME_EXCESS: Duration = Duration::from_secs(1);
/// Waits that are worth telling of.
const LONG: Duration = Duration::from_secs(1);
/// Where nothing is published: unlimited, until AWS throttles. Calls a second.
const UNPUBLISHED: f64 = 10.0;

/// For a cloud without rate limits.
pub fn off() {
    OFF.store(true, Ordering::Relaxed);
}

/// Leave to send one request; the connection is free again when it is dropped.
pub struct Permit {
    _upload: Option<SemaphorePermit<'static>>,
    _in_flight: Option<SemaphorePermit<'static>>,
}

/// Waits until a call of this operation may leave. `waits` is told of a long wait beforehand.
pub async fn permit(operation: &'static str, waits: impl FnOnce()) -> Permit {
    let is_upload = matches!(operation, "lambda:CreateFunction" | "lambda:UpdateFunctionCode");
    let upload = if is_upload { UPLOADS.acquire().await.ok() } else { None };
    let in_flight = if OFF.load(Ordering::Relaxed) {
        IN_FLIGHT.acquire().await.ok()
    } else {
        let queue = queue(operation);
        let leave = queue.leave();
        tokio::pin!(leave);
        if let Ok(permit) = timeout(LONG, &mut leave).await {
            permit
        } else {
            waits();
            leave.await
        }
    };
    Permit { _upload: upload, _in_flight: in_flight }
}

/// AWS has throttled a call of this operation.
pub fn throttled(operation: &'static str) {
    queue(operation).bucket().slow_down(Instant::now());
}

/// AWS has let a call of this operation through.
pub fn passed(operation: &'static str) {
    queue(operation).bucket().speed_up();
}

/// Calls of one class in the order in which they came, the first of them waiting for its token.
struct Queue {
    bucket: Mutex<Bucket>,
    head: tokio::sync::Mutex<()>,
}

impl Queue {
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection comes before the token, or requests that waited for one would leave all at
    /// once.
    async fn leave(&self) -> Option<SemaphorePermit<'static>> {
        let _first = self.head.lock().await;
        loop {
            let wait = self.bucket().wait(Instant::now());
            if wait.is_zero() {
                break;
            }
            sleep(wait).await;
        }
        let permit = IN_FLIGHT.acquire().await.ok();
        self.bucket().take();
        permit
    }
}

fn queue(operation: &'static str) -> Arc<Queue> {
    let (class, limit) = limit(operation);
    let new = || {
        let bucket = Mutex::new(Bucket::new(limit, Instant::now()));
        Arc::new(Queue { bucket, head: tokio::sync::Mutex::default() })
    };
    let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(queues.entry(class).or_insert_with(new))
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Calls a second; infinite if nothing is published.
    rate: f64,
    burst: f64,
    /// Whether an account may have got more.
    raisable: bool,
}

/// What shares a limit, and the limit (AWS's quota pages and API references).
fn limit(operation: &'static str) -> (&'static str, Limit) {
    let fixed = |rate, burst| Limit { rate, burst, raisable: false };
    let raisable = |rate| Limit { rate, burst: rate, raisable: true };
    match operation {
        "lambda:GetFunction" => (operation, fixed(100.0, 100.0)),
        "lambda:GetPolicy" => (operation, fixed(15.0, 15.0)),
        "logs:CreateLogGroup" | "logs:DeleteLogGroup" | "logs:DescribeLogGroups" => {
            (operation, raisable(5.0))
        }
        "logs:FilterLogEvents" => (operation, raisable(5.0)),
        "sns:ListTagsForResource" => ("sns tags", fixed(10.0, 10.0)),
        "sns:Subscribe" | "sns:Unsubscribe" => ("sns:Subscribe", raisable(100.0)),
        "sns:ListSubscriptionsByTopic" => (operation, raisable(30.0)),
        "dynamodb:DescribeContinuousBackups" | "dynamodb:ListTagsOfResource" => {
            (operation, fixed(10.0, 10.0))
        }
        _ if operation.starts_with("lambda:") => ("lambda", fixed(15.0, 15.0)),
        _ if operation.starts_with("apigateway:") => ("apigateway", fixed(10.0, 40.0)),
        _ => (operation, Limit { rate: f64::INFINITY, burst: 1.0, raisable: false }),
    }
}

/// A token bucket whose rate follows what AWS makes of it.
#[derive(Debug)]
struct Bucket {
    limit: Limit,
    rate: f64,
    tokens: f64,
    at: Instant,
    throttled: Option<Instant>,
}

impl Bucket {
    fn new(limit: Limit, now: Instant) -> Self {
        let tokens = (limit.burst * BURST).max(1.0);
        Self { limit, rate: limit.rate * RATE, tokens, at: now, throttled: None }
    }

    fn take(&mut self) {
        self.tokens -= 1.0;
    }

    /// How long it is until there is a token.
    fn wait(&mut self, now: Instant) -> Duration {
        if self.rate.is_infinite() {
            return Duration::ZERO;
        }
        let most = (self.limit.burst * BURST).max(1.0);
        let new = now.duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + new).min(most);
        self.at = now;
        if self.tokens >= 1.0 {
            return Duration::ZERO;
        }
        // Not a moment too early, or it would be looked for twice.
        Duration::from_secs_f64((1.0 - self.tokens) / self.rate) + Duration::from_millis(1)
    }

    fn slow_down(&mut self, now: Instant) {
        let last = self.throttled.replace(now);
        if last.is_some_and(|last| now.duration_since(last) < SAME_EXCESS) {
            return;
        }
        let published = self.published();
        self.rate = if self.rate.is_finite() && self.rate > published * RATE {
            // Too much was tried.
            published * RATE
        } else {
            (self.rate.min(published) * SLOWER).max(published * SLOWEST)
        };
        self.tokens = 0.0;
        self.at = now;
    }

    fn speed_up(&mut self) {
        let most = match self.throttled {
            // It is what AWS publishes, or somebody else shares it.
            Some(_) => self.published() * RATE,
            None if self.limit.raisable => f64::INFINITY,
            None => self.limit.rate * RATE,
        };
        if self.rate.is_finite() {
            self.rate = (self.rate * (1.0 + FASTER)).min(most);
        }
    }

    fn published(&self) -> f64 {
        if self.limit.rate.is_finite() { self.limit.rate } else { UNPUBLISHED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What so many calls take.
    fn seconds(bucket: &mut Bucket, begun: Instant, calls: usize) -> f64 {
        let mut now = begun;
        for _ in 0..calls {
            loop {
                let wait = bucket.wait(now);
                if wait.is_zero() {
                    bucket.take();
                    break;
                }
                now += wait;
            }
        }
        now.duration_since(begun).as_secs_f64()
    }

    fn bucket(operation: &'static str) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(limit(operation).1, now), now)
    }

    #[test]
    fn a_small_stack_is_never_held_up() {
        for (operation, calls) in [
            ("lambda:CreateFunction", 12),
            ("lambda:GetFunction", 80),
            ("apigateway:CreateRoute", 32),
            ("logs:CreateLogGroup", 4),
            ("iam:CreateRole", 1000),
        ] {
            let (mut bucket, now) = bucket(operation);
            assert!(seconds(&mut bucket, now, calls) < 1e-9, "{operation}");
        }
    }

    #[test]
    fn beyond_the_burst_it_is_the_published_rate() {
        let (mut bucket, now) = bucket("lambda:CreateFunction");
        let took = seconds(&mut bucket, now, 200);
        let best = (200.0 - 15.0) / 15.0;
        assert!((best..best * 1.12).contains(&took), "{took} s, at best {best} s");
        // After a pause the burst is there again.
        assert_eq!(bucket.wait(now + Duration::from_secs(90)), Duration::ZERO);
    }

    #[test]
    fn operations_share_what_the_service_counts_together() {
        assert_eq!(limit("lambda:AddPermission").0, limit("lambda:CreateFunction").0);
        assert_ne!(limit("lambda:GetFunction").0, limit("lambda:CreateFunction").0);
        assert_eq!(limit("apigateway:GetApis").0, limit("apigateway:CreateRoute").0);
    }

    #[test]
    fn throttling_slows_down_once_for_each_excess_and_recovers() {
        let (mut bucket, now) = bucket("lambda:CreateFunction");
        for _ in 0..20 {
            bucket.slow_down(now);
        }
        assert!((bucket.rate - 15.0 * RATE * SLOWER).abs() < 1e-9, "{bucket:?}");
        assert!(!bucket.wait(now).is_zero());
        for later in 1..100 {
            bucket.slow_down(now + Duration::from_secs(2 * later));
        }
        assert!((bucket.rate - 15.0 * SLOWEST).abs() < 1e-9, "{bucket:?}");
        (0..1000).for_each(|_| bucket.speed_up());
        assert!((bucket.rate - 15.0 * RATE).abs() < 1e-9, "{bucket:?}");
    }

    #[test]
    fn a_raised_quota_is_found_and_an_ordinary_one_not_looked_for_twice() {
        let (mut bucket, now) = bucket("logs:CreateLogGroup");
        (0..100).for_each(|_| bucket.speed_up());
        assert!(bucket.rate > 20.0, "{bucket:?}");
        bucket.slow_down(now);
        assert!((bucket.rate - 5.0 * RATE).abs() < 1e-9, "{bucket:?}");
        (0..100).for_each(|_| bucket.speed_up());
        assert!((bucket.rate - 5.0 * RATE).abs() < 1e-9, "{bucket:?}");
    }

    #[test]
    fn what_has_no_published_rate_is_slowed_down_by_throttling_only() {
        let (mut bucket, now) = bucket("iam:CreateRole");
        bucket.speed_up();
        assert_eq!(bucket.wait(now), Duration::ZERO);
        bucket.slow_down(now);
        assert!(seconds(&mut bucket, now, 20) > 1.0, "{bucket:?}");
    }
}
