//! Faults to inject, and into which requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::answer::Answer;
use super::operation::Operation;

type Filter = dyn Fn(&Operation) -> bool + Send + Sync;
type Callback = dyn Fn() + Send + Sync;

/// What happens to a request.
#[derive(Clone)]
pub enum Fault {
    /// Called before the server sees the request; then the connection ends without an answer.
    CutBefore(Arc<Callback>),
    /// Called once the server has applied the request; then the connection ends without an answer.
    CutAfter(Arc<Callback>),
    /// The client gets a TCP reset. The server has applied the request if `applied`.
    Reset { applied: bool },
    /// Answered by the proxy alone.
    Answer(fn(&Operation) -> Answer),
    /// Answered by the proxy alone with this status, error code and message.
    Error(u16, &'static str, &'static str),
    /// Applied; the answer promises its whole length and ends half-way.
    Truncated,
    /// Answered by the proxy alone, and only with the first half of it.
    TruncatedAnswer(fn(&Operation) -> Answer),
    /// Never answered. The server has applied the request if `applied`.
    Stall { applied: bool },
    /// Sent twice, one after the other; the client gets the second answer, as it would after its
    /// own retry of a request whose answer was lost.
    Duplicate,
    /// Takes so much longer.
    Slow(Duration),
    /// Applied; the client gets another answer.
    Rewrite(fn(&Operation, Answer) -> Answer),
    /// The same, by what the test has at hand.
    Edit(Arc<dyn Fn(Answer) -> Answer + Send + Sync>),
}

impl Fault {
    /// The network fails before the server sees the request.
    pub fn lost_request() -> Self {
        Self::CutBefore(Arc::new(|| {}))
    }

    /// The network fails after the server has applied the request.
    pub fn lost_answer() -> Self {
        Self::CutAfter(Arc::new(|| {}))
    }
}

/// A fault and the requests it strikes: of those that match, `times` after the first `skip`.
#[derive(Clone)]
pub struct Rule {
    filter: Arc<Filter>,
    skip: usize,
    times: usize,
    /// Only every so manieth.
    stride: usize,
    seen: Arc<AtomicUsize>,
    struck: Arc<AtomicUsize>,
    pub(super) fault: Fault,
}

impl Rule {
    pub fn new(filter: impl Fn(&Operation) -> bool + Send + Sync + 'static, fault: Fault) -> Self {
        Self {
            filter: Arc::new(filter),
            skip: 0,
            times: usize::MAX,
            stride: 1,
            seen: Arc::default(),
            struck: Arc::default(),
            fault,
        }
    }

    /// Every request.
    pub fn any(fault: Fault) -> Self {
        Self::new(|_| true, fault)
    }

    /// Every request that asks for a change.
    pub fn mutating(fault: Fault) -> Self {
        Self::new(|operation| operation.mutating, fault)
    }

    pub fn operation(service: &'static str, name: &'static str, fault: Fault) -> Self {
        Self::new(move |operation| operation.is(service, name), fault)
    }

    /// Only the one that comes after `index` matching ones, counted from 0.
    pub fn at(self, index: usize) -> Self {
        self.skip(index).times(1)
    }

    pub fn skip(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    pub fn every(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// How many requests the fault has struck so far.
    pub fn struck(&self) -> usize {
        self.struck.load(Ordering::SeqCst)
    }

    pub(super) fn strikes(&self, operation: &Operation) -> bool {
        if !(self.filter)(operation) {
            return false;
        }
        let index = self.seen.fetch_add(1, Ordering::SeqCst);
        let strikes = index >= self.skip
            && (index - self.skip).is_multiple_of(self.stride)
            && (index - self.skip) / self.stride < self.times;
        if strikes {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }
}
