//! The only retry loop: throttling, faults of the network or the service, and what AWS needs a
//! moment to become consistent about.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::date_time::{DateTime, Format};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Context, pace, rights, young};
use crate::trace;

/// Longest time that throttling may slow down one call.
const THROTTLED: Duration = Duration::from_mins(5);
/// Longest time that faults of the network or the service are retried.
const FAULTY: Duration = Duration::from_mins(1);
/// Attempts that may fail without any answer.
const UNANSWERED: u32 = 4;
/// AWS takes signatures of 5 min around its own time; from here on the SDK corrects the time that
/// it signs with, once it has seen AWS's.
const SKEW: Duration = Duration::from_mins(4);

/// A state that AWS leaves by itself, recognised by how a call fails in it.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub code: &'static str,
    /// Part of the message; empty for any.
    pub message: &'static str,
    /// What the user is told is waited for.
    pub note: &'static str,
    pub at_most: Duration,
}

/// How services say that somebody else is at it, or that they are still at it themselves.
const BUSY: [Wait; 8] = [
    busy("StaleTag", "", "waiting for SNS to forget the deleted topic of the same name"),
    busy("ConcurrentAccess", "", "waiting for another change of the tags to end"),
    busy("ConcurrentModification", "", "waiting for another change of the same to end"),
    busy("EntityTemporarilyUnmodifiable", "", "waiting for another change of the same to end"),
    busy("OperationAborted", "", "waiting for another change of the same to end"),
    busy("Conflict", "try again later", "waiting for another change of the same to end"),
    busy("ResourceConflict", "cannot be performed at this time", "waiting for an earlier change"),
    busy("LimitExceeded", "simultaneously", "waiting for changes of the account's other tables"),
];

const fn busy(code: &'static str, message: &'static str, note: &'static str) -> Wait {
    Wait { code, message, note, at_most: Duration::from_mins(2) }
}

/// An answer that is an error, or none.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// As IAM writes it: `lambda:CreateFunction`.
    pub operation: &'static str,
    /// Name or ARN of what it was about.
    pub target: String,
    /// The service's error code, without the `Exception` that some protocols lack.
    pub code: Option<String>,
    pub message: String,
    pub status: Option<u16>,
    /// What was waited for, and how long, before giving up.
    pub gave_up: Option<Box<str>>,
    /// The request never reached the service, or no whole answer came back.
    pub unanswered: bool,
    /// When the answer came, by this machine's clock and by the server's.
    pub answered: Option<Box<(SystemTime, SystemTime)>>,
}

impl ApiError {
    fn new<E>(operation: &'static str, target: &str, error: &SdkError<E, Response>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let meta = error.as_service_error().map(ProvideErrorMetadata::meta);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let message = meta.and_then(|meta| meta.message()).map(str::to_owned);
        let theirs = error.raw_response().and_then(|response| {
            let date = response.headers().get("date")?;
            DateTime::from_str(date, Format::HttpDate).ok()?.try_into().ok()
        });
        // Its end never came, so that only the status is known, whatever that says.
        let cut_off = matches!(error, SdkError::ResponseError(_));
        // Asked of nobody: the client itself refused.
        let unsent = matches!(error, SdkError::DispatchFailure(failure) if failure.is_user());
        let mut own = Self {
            operation,
            target: target.to_owned(),
            code: meta.and_then(|meta| meta.code()).map(str::to_owned),
            message: readable(message.unwrap_or_else(|| innermost(error))),
            status,
            gave_up: None,
            unanswered: !unsent && (cut_off || status.is_none_or(|status| status < 400)),
            answered: theirs.map(|theirs| Box::new((SystemTime::now(), theirs))),
        };
        own.unanswered &= !own.is_untrusted();
        own
    }

    /// An error that came within the answer to another call.
    pub fn within(operation: &'static str, target: &str, code: &str, message: &str) -> Self {
        Self {
            operation,
            target: target.to_owned(),
            code: Some(code.to_owned()),
            message: readable(message.to_owned()),
            status: None,
            gave_up: None,
            unanswered: false,
            answered: None,
        }
    }

    /// Whether the code is this one, with or without `Exception`.
    pub fn is(&self, code: &str) -> bool {
        let bare = |code: &str| code.trim_end_matches("Exception").to_owned();
        self.code.as_deref().is_some_and(|own| bare(own) == bare(code))
    }

    pub fn is_not_found(&self) -> bool {
        ["ResourceNotFound", "NotFound", "NoSuchEntity"].iter().any(|code| self.is(code))
    }

    /// Whether an error is one of these, and says that there is no such thing.
    pub fn is_not_found_in(error: &anyhow::Error) -> bool {
        error.downcast_ref().is_some_and(Self::is_not_found)
    }

    pub fn is_denied(&self) -> bool {
        ["AccessDenied", "AuthorizationError", "UnauthorizedOperation"].iter().any(|c| self.is(c))
    }

    /// Refused because of the time that it was signed with: this machine's clock is wrong.
    pub fn is_clock(&self) -> bool {
        const CODES: [&str; 7] = [
            "RequestTimeTooSkewed",
            "RequestExpired",
            "RequestInTheFuture",
            "InvalidSignature",
            "SignatureDoesNotMatch",
            "AuthFailure",
            "AccessDenied",
        ];
        let says = ["Signature expired", "Signature not yet current", "time is too skewed"];
        says.iter().any(|text| self.message.contains(text))
            || self.is("RequestTimeTooSkewed")
            || self.is("RequestInTheFuture")
            || (CODES.iter().any(|code| self.is(code))
                && !self.message.contains("not authorized to perform")
                && self.skew().is_some_and(|skew| skew > SKEW))
    }

    /// How far the server's clock was from this machine's.
    fn skew(&self) -> Option<Duration> {
        let (ours, theirs) = **self.answered.as_ref()?;
        Some(ours.duration_since(theirs).unwrap_or_else(|error| error.duration()))
    }

    /// No account has this key, as far as the Region knows.
    pub fn is_unknown_key(&self) -> bool {
        ["InvalidClientTokenId", "UnrecognizedClient", "OptInRequired", "SubscriptionRequired"]
            .iter()
            .any(|code| self.is(code))
    }

    /// Nobody whom this machine trusts vouches for the server.
    pub fn is_untrusted(&self) -> bool {
        self.code.is_none() && self.message.contains("invalid peer certificate")
    }

    /// The resolver knows the name of no such host; one that is not reached says something else.
    pub fn is_unknown_host(&self) -> bool {
        let says = ["Name or service not known", "nodename nor servname", "No such host"];
        says.iter().any(|text| self.message.contains(text))
    }

    /// A quota is used up, which no waiting ends. API Gateway says so with the status of throttling
    /// ("Maximum number of … has been reached", 429).
    fn is_quota(&self) -> bool {
        let says = ["Maximum number of", "maximum number of", "has been reached"];
        says.iter().any(|text| self.message.contains(text))
    }

    /// Codes that the AWS SDKs agree on as throttling, and whatever else says so, with any status;
    /// but for hard quotas.
    pub fn is_throttling(&self) -> bool {
        const CODES: [&str; 7] = [
            "TooManyRequests",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "ProvisionedThroughputExceeded",
            "SlowDown",
            "PriorRequestNotComplete",
            "TransactionInProgress",
        ];
        let says = self.code.as_ref().is_some_and(|code| code.contains("Throttl"));
        let slow = says || CODES.iter().any(|code| self.is(code)) || self.status == Some(429);
        (slow && !self.is_quota())
            // Another tag write of the same table holds its lock for some 2 s.
            || (self.is("LimitExceeded") && self.message.contains("being updated"))
    }

    /// A fault of the network or the service: nobody knows whether the call was carried out.
    pub fn is_fault(&self) -> bool {
        const CODES: [&str; 5] = [
            "RequestTimeout",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "ServiceUnavailable",
        ];
        self.unanswered
            || CODES.iter().any(|code| self.is(code))
            || matches!(self.status, Some(500 | 502 | 503 | 504))
    }

    /// The same, after all that was waited.
    #[must_use]
    pub fn after(mut self, waited: Duration) -> Self {
        self.gave_up = Some(format!("gave up after {:.0} s", waited.as_secs_f32()).into());
        self
    }

    fn matches(&self, wait: &Wait) -> bool {
        // A function that failed stays as it is.
        let passes = !self.message.contains("following state: Failed");
        passes && self.is(wait.code) && self.message.contains(wait.message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, target, message, .. } = self;
        write!(f, "{operation} on {target}: ")?;
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(message)?;
        if let Some(gave_up) = &self.gave_up {
            write!(f, " ({gave_up})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

/// The SDK's own words for "dispatch failure" say nothing; its innermost cause does.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// As much of a message as anybody reads: AWS's longest repeat a request's 4 KB.
fn readable(mut message: String) -> String {
    const LONGEST: usize = 16 * 1024;
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push_str(" …");
    }
    message
}

/// One call of an AWS API, repeated as long as that can help.
pub struct Call<'a> {
    operation: &'static str,
    target: &'a str,
    waits: &'a [Wait],
    cx: Option<&'a Context<'a>>,
    probe: Option<&'a SingleProbe>,
    repeatable: bool,
    plain: bool,
}

impl<'a> Call<'a> {
    pub fn new(operation: &'static str, target: &'a str) -> Self {
        Self {
            operation,
            target,
            waits: &[],
            cx: None,
            probe: None,
            repeatable: true,
            plain: false,
        }
    }

    /// For who wants to see how AWS answers: no state that it leaves by itself is waited for, and
    /// the call need not be one of [`rights`].
    pub fn plain(operation: &'static str, target: &'a str) -> Self {
        Self { plain: true, ..Self::new(operation, target) }
    }

    /// Repeats the call while it fails in one of these ways, telling the user what is waited for.
    #[must_use]
    pub fn wait(mut self, cx: &'a Context<'a>, waits: &'a [Wait]) -> Self {
        (self.waits, self.cx) = (waits, Some(cx));
        self
    }

    /// Takes turns with the other calls that wait for the same thing.
    #[must_use]
    pub fn probe(mut self, probe: &'a SingleProbe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Not repeated after a fault: it may have been carried out, and would be a second time. The
    /// caller looks for itself.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    fn patience(
        &self,
        error: &ApiError,
        begun: Instant,
        denials: usize,
    ) -> Option<young::Patience> {
        let patience = || young::patience(error, begun, denials, Instant::now());
        (!self.plain).then(patience).flatten()
    }

    /// # Errors
    /// The last answer, once repeating cannot help or took too long. Permission errors are repeated
    /// only where rights may hang on tags that this run has just written, and only twice.
    pub async fn send<T, E, F>(self, request: impl Fn() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, SdkError<E, Response>>>,
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let known = self.plain || rights::knows(self.operation);
        debug_assert!(known, "{} has no row of rights", self.operation);
        let (mut attempt, mut unanswered, mut denials) = (0, 0, 0);
        let busy: &[Wait] = if self.plain { &[] } else { &BUSY };
        let mut noted = Cow::Borrowed("");
        let (mut begun, mut probing, mut corrected) = (None, false, false);
        loop {
            let permit = pace::permit(self.operation, || {
                if let Some(cx) = self.cx {
                    cx.note("keeping to AWS's rate limits");
                }
            });
            let permit = permit.await;
            let begun = *begun.get_or_insert_with(Instant::now);
            let mut span = trace::request(self.operation, self.target, attempt);
            let answer = request().await;
            drop(permit);
            let error = match answer {
                Ok(answer) => {
                    pace::passed(self.operation);
                    young::succeeded(self.operation, self.target);
                    if let Some(probe) = self.probe.filter(|_| probing) {
                        probe.through(begun.elapsed());
                    }
                    span.iter_mut().for_each(trace::Span::succeeded);
                    return Ok(answer);
                }
                Err(error) => ApiError::new(self.operation, self.target, &error),
            };
            if let Some(mut span) = span {
                span.failed(error.status, error.code.as_deref());
            }
            if error.is_throttling() {
                pace::throttled(self.operation);
            }
            unanswered += u32::from(error.unanswered);
            if error.is_clock() && !corrected && error.skew().is_some_and(|skew| skew > SKEW) {
                // This answer has told the client AWS's time, which it signs with from now on.
                corrected = true;
                attempt += 1;
                continue;
            }
            let waited = self.waits.iter().chain(busy).find(|wait| error.matches(wait));
            let (note, bound, pause) = if let Some(wait) = waited {
                (Cow::Borrowed(wait.note), wait.at_most, poll_pause(begun.elapsed()))
            } else if let Some(young) = self.patience(&error, begun, denials) {
                denials += usize::from(error.is_denied());
                (Cow::Owned(young.note), young.at_most, young.pause)
            } else if error.is_throttling() {
                ("slowed down by AWS's rate limits".into(), THROTTLED, backoff(attempt))
            } else if error.is_fault() && self.repeatable {
                if unanswered >= UNANSWERED {
                    return Err(give_up(error, begun, attempt));
                }
                (
                    "trying again after a fault of the network or the service".into(),
                    FAULTY,
                    backoff(attempt),
                )
            } else {
                return Err(if attempt > 0 { give_up(error, begun, attempt) } else { error });
            };
            if begun.elapsed() + pause > bound {
                return Err(give_up(error, begun, attempt));
            }
            if let Some(cx) = self.cx.filter(|_| note != noted) {
                cx.note(&note);
                noted = note;
            }
            match self.probe.filter(|_| waited.is_some()) {
                Some(probe) => {
                    probing = true;
                    probe.pause(begun, pause).await;
                }
                None => sleep(pause).await,
            }
            attempt += 1;
        }
    }
}

/// Calls that wait for the same thing: one at a time tries, the rest follow the first to succeed.
#[derive(Debug, Default)]
pub struct SingleProbe {
    turn: tokio::sync::Mutex<()>,
    /// How long the first to succeed had to wait.
    known: OnceLock<Duration>,
    succeeded: Notify,
}

impl SingleProbe {
    /// Until it is this call's turn to try again: as long after it began as the first to succeed
    /// had to wait, or when the pause after the last attempt of any is over.
    async fn pause(&self, begun: Instant, pause: Duration) {
        let succeeded = self.succeeded.notified();
        let turn = async {
            let _turn = self.turn.lock().await;
            sleep(pause).await;
        };
        let ahead = || self.known.get().map(|known| known.saturating_sub(begun.elapsed()));
        match ahead() {
            Some(Duration::ZERO) => turn.await,
            Some(ahead) => sleep(ahead).await,
            None => tokio::select! {
                () = succeeded => sleep(ahead().unwrap_or_default()).await,
                () = turn => {}
            },
        }
    }

    fn through(&self, waited: Duration) {
        if self.known.set(waited).is_ok() {
            self.succeeded.notify_waiters();
        }
    }
}

/// Already gone is as good as deleted.
pub fn ignore_not_found<T>(deleted: Result<T, ApiError>) -> Result<(), ApiError> {
    match deleted {
        Err(error) if error.is_not_found() => Ok(()),
        deleted => deleted.map(drop),
    }
}

fn give_up(mut error: ApiError, begun: Instant, attempt: u32) -> ApiError {
    let seconds = begun.elapsed().as_secs_f32();
    error.gave_up =
        Some(format!("gave up after {} attempts in {seconds:.1} s", attempt + 1).into());
    error
}

/// Pause before looking again at something that AWS is at work on: dense at first, since most of
/// it takes single-digit seconds (tables 2 to 7, roles 5 to 10, functions 1 to 3).
pub fn poll_pause(waited: Duration) -> Duration {
    Duration::from_millis(match waited.as_secs() {
        0..4 => 150,
        4..12 => 200,
        12..30 => 1_000,
        _ => 2_000,
    })
}

/// Exponential, capped, with full jitter but for a tenth (AWS Builders' Library, "Timeouts,
/// retries, and backoff with jitter").
fn backoff(attempt: u32) -> Duration {
    let cap = 200_u64.saturating_mul(1 << attempt.min(5)).min(5_000);
    let jitter = u64::from(uuid::Uuid::new_v4().as_fields().0);
    Duration::from_millis(cap / 10 + jitter % cap)
}

#[cfg(test)]
mod tests;
