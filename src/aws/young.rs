//! What this run has created: its service may not know it, or its tags, everywhere yet.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::retry::{ApiError, poll_pause};

/// How long after its creation a thing may be unknown to what writes to it (seconds, most often).
const KNOWN: Duration = Duration::from_secs(20);
/// The same for what another run has created, or has just deleted.
const FOREIGN: Duration = Duration::from_secs(5);
/// How long what stays unknown is waited for altogether, whatever calls and however often `up` plans
/// again: of what this run has created, and of anything else.
const ALTOGETHER: Duration = Duration::from_secs(30);
const FOREIGN_ALTOGETHER: Duration = Duration::from_secs(8);
/// A wait ends before its bound if the next pause would end behind it.
const MARGIN: Duration = Duration::from_secs(1);
/// Pauses before a denied request is sent again to what this run has tagged: rights that hang on
/// tags take some 10 s, and whoever lacks the right is to be told soon, after few requests.
const DENIED: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(8)];

/// The calls that create what others write to, by the name that they have as their target.
const CREATES: [&str; 6] = [
    "apigateway:CreateApi",
    "dynamodb:CreateTable",
    "iam:CreateRole",
    "lambda:CreateFunction",
    "logs:CreateLogGroup",
    "sns:CreateTopic",
];

/// By service and name; like the run, one for the process.
static BORN: LazyLock<Times> = LazyLock::new(Times::default);

/// Since when what calls were about has been unknown to them, by service and name. What is known in
/// between does not begin anew: it would be waited for without end.
static UNKNOWN: LazyLock<Times> = LazyLock::new(Times::default);

/// What to wait for, for how long since the first attempt at most, and how long now.
pub struct Patience {
    pub note: String,
    pub at_most: Duration,
    pub pause: Duration,
}

/// A call has succeeded.
pub fn succeeded(operation: &str, target: &str) {
    if CREATES.contains(&operation) {
        // Created anew after another run has deleted it, it is new again.
        lock(&BORN).insert(key(operation, target), Instant::now());
    }
}

/// Whether an error may be due to the age of what the call is about.
pub fn patience(
    error: &ApiError,
    begun: Instant,
    denials: usize,
    now: Instant,
) -> Option<Patience> {
    let ApiError { operation, target, .. } = error;
    if !writes(operation) {
        return None;
    }
    let creates = CREATES.contains(operation);
    let name = name(target);
    if error.is_denied() {
        let passed = error.message.contains("iam:PassRole").then(|| passed_role(&error.message));
        let tagged = match passed.flatten() {
            Some(role) => age("iam:PassRole", role, now),
            None if creates => None,
            None => age(operation, target, now),
        };
        let pause = *DENIED.get(denials)?;
        tagged.filter(|age| *age < KNOWN)?;
        let note = format!("{operation} is denied: waiting for the tags of {name} to take effect");
        return Some(Patience { note, at_most: Duration::MAX, pause });
    }
    if creates || !error.is_not_found() {
        return None;
    }
    let left = age(operation, target, begun).map_or(FOREIGN, |age| KNOWN.saturating_sub(age));
    let since = *lock(&UNKNOWN).entry(key(operation, target)).or_insert(begun);
    let altogether = altogether(operation, target).saturating_sub(begun.duration_since(since));
    Some(Patience {
        note: format!("waiting for {name} to be known everywhere"),
        at_most: left.max(FOREIGN).min(altogether),
        pause: poll_pause(now.duration_since(begun)),
    })
}

/// Whether a write does not find what it is about, and has waited for it as long as makes sense:
/// nothing is to be gained from planning again.
pub fn is_lost(error: &ApiError) -> bool {
    let ApiError { operation, target, .. } = error;
    if !error.is_not_found() || !writes(operation) {
        return false;
    }
    let since = lock(&UNKNOWN).get(&key(operation, target)).copied();
    since.is_some_and(|since| since.elapsed() + MARGIN >= altogether(operation, target))
}

fn altogether(operation: &str, target: &str) -> Duration {
    let ours = lock(&BORN).contains_key(&key(operation, target));
    if ours { ALTOGETHER } else { FOREIGN_ALTOGETHER }
}

/// Not of a deletion: what is not found is as good as deleted.
fn writes(operation: &str) -> bool {
    const OTHERS: [&str; 8] =
        ["Get", "List", "Describe", "Filter", "Delete", "Remove", "Unsubscribe", "Detach"];
    let action = operation.split_once(':').map_or(operation, |(_, action)| action);
    !OTHERS.iter().any(|verb| action.starts_with(verb))
}

/// How old what this run has created was at a time.
fn age(operation: &str, target: &str, at: Instant) -> Option<Duration> {
    lock(&BORN).get(&key(operation, target)).map(|born| at.saturating_duration_since(*born))
}

fn key(operation: &str, target: &str) -> (String, String) {
    let service = operation.split(':').next().unwrap_or_default();
    (service.to_owned(), name(target).to_owned())
}

/// The name, of an ARN too.
fn name(target: &str) -> &str {
    let name = target.rsplit(':').next().unwrap_or(target);
    match name.split_once('/') {
        Some(("table" | "role", name)) => name.rsplit('/').next().unwrap_or(name),
        _ => name,
    }
}

/// Name of the role in `… iam:PassRole on resource: arn:aws:iam::1:role/path/NAME because …`.
fn passed_role(message: &str) -> Option<&str> {
    let arn = message.split_whitespace().find(|word| word.contains(":role/"))?;
    arn.rsplit('/').next()
}

type Times = Mutex<HashMap<(String, String), Instant>>;

fn lock(times: &Times) -> MutexGuard<'_, HashMap<(String, String), Instant>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(operation: &'static str, target: &str, code: &str, message: &str) -> ApiError {
        ApiError::within(operation, target, code, message)
    }

    /// For how long a call that has failed so is repeated.
    fn at_most(error: &ApiError, later: Duration) -> Option<Duration> {
        let now = Instant::now() + later;
        patience(error, now, 0, now).map(|patience| patience.at_most)
    }

    #[test]
    fn what_was_just_created_may_be_unknown() {
        let unknown = |operation, target: &str| error(operation, target, "NotFound", "");
        let topic = "arn:aws:sns:us-east-1:1:young";
        assert_eq!(at_most(&unknown("sns:Subscribe", topic), Duration::ZERO), Some(FOREIGN));
        succeeded("sns:CreateTopic", "young");
        let at_once = at_most(&unknown("sns:Subscribe", topic), Duration::ZERO);
        assert!(at_once.is_some_and(|most| most > FOREIGN && most <= KNOWN), "{at_once:?}");
        assert_eq!(at_most(&unknown("sns:Subscribe", topic), KNOWN), Some(FOREIGN));
        for operation in ["sns:DeleteTopic", "sns:ListSubscriptionsByTopic", "sns:CreateTopic"] {
            assert_eq!(at_most(&unknown(operation, topic), Duration::ZERO), None, "{operation}");
        }
        let other = error("sns:Subscribe", topic, "InvalidParameter", "");
        assert_eq!(at_most(&other, Duration::ZERO), None);
    }

    #[test]
    fn what_stays_unknown_is_waited_for_a_bounded_time_however_often_it_is_tried() {
        for (name, created, bound) in
            [("lost", false, FOREIGN_ALTOGETHER), ("lost-anew", true, ALTOGETHER)]
        {
            let unknown = error("apigateway:CreateRoute", name, "NotFoundException", "");
            let begun = Instant::now();
            let at_most = |at: Duration| {
                if created {
                    // By every round once more.
                    lock(&BORN).insert(key("apigateway:CreateApi", name), begun + at);
                }
                patience(&unknown, begun + at, 0, begun + at).map(|patience| patience.at_most)
            };
            let (mut waited, mut tries) = (Duration::ZERO, 0);
            while let Some(more) = at_most(waited).filter(|more| !more.is_zero()) {
                assert!(!is_lost(&unknown), "{name}");
                (waited, tries) = (waited + more, tries + 1);
            }
            assert_eq!((waited, tries), (bound, 2), "{name}");
            lock(&UNKNOWN)
                .insert(key("apigateway:", name), Instant::now().checked_sub(bound).unwrap());
            assert!(is_lost(&unknown), "{name}");
            let read = error("apigateway:GetRoutes", name, "NotFoundException", "");
            assert!(!is_lost(&read), "{name}");
        }
    }

    #[test]
    fn only_what_was_just_tagged_may_be_denied_for_a_moment() {
        let denied = error("logs:PutRetentionPolicy", "/tagged", "AccessDeniedException", "");
        assert_eq!(at_most(&denied, Duration::ZERO), None);
        succeeded("logs:CreateLogGroup", "/tagged");
        assert!(at_most(&denied, Duration::ZERO).is_some());
        assert_eq!(at_most(&denied, KNOWN), None);
        let now = Instant::now();
        assert!(patience(&denied, now, DENIED.len(), now).is_none());
        let create = error("logs:CreateLogGroup", "/tagged", "AccessDeniedException", "");
        assert_eq!(at_most(&create, Duration::ZERO), None);
    }

    #[test]
    fn a_role_that_was_just_tagged_may_not_be_passed_yet() {
        let message = "User: u is not authorized to perform: iam:PassRole on resource: \
                       arn:aws:iam::1:role/advent/a/b/c/passed because no policy allows it";
        let denied = error("lambda:CreateFunction", "f", "AccessDeniedException", message);
        assert_eq!(at_most(&denied, Duration::ZERO), None);
        succeeded("iam:CreateRole", "passed");
        assert!(at_most(&denied, Duration::ZERO).is_some());
    }
}
