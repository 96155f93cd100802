//! What was asked of the cloud, what it should say, and what it said.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How expectation and observation compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Held,
    Differs,
    /// It could not be tried; `seen` says why.
    Untried,
}

/// An observation and what it means.
#[derive(Debug, Clone)]
pub struct Seen {
    pub verdict: Verdict,
    pub text: String,
}

impl Seen {
    pub fn held(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Held, text: text.into() }
    }

    pub fn differs(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Differs, text: text.into() }
    }

    pub fn untried(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Untried, text: text.into() }
    }

    /// Held or not.
    pub fn that(held: bool, text: impl Into<String>) -> Self {
        if held { Self::held(text) } else { Self::differs(text) }
    }
}

/// One question to the cloud, answered.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub id: &'static str,
    pub question: &'static str,
    pub expected: &'static str,
    pub seen: String,
    pub verdict: Verdict,
    /// How long finding it out took.
    pub ms: u64,
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Everything found so far; each is told when it is found.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn add(
        &mut self,
        asked: (&'static str, &'static str, &'static str),
        seen: &Seen,
        begun: Instant,
    ) {
        let (id, question, expected) = asked;
        let ms = millis(begun.elapsed());
        // Some answers are pages.
        let text = seen.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = advent::aws::record::redacted(&text);
        crate::say(&format!(
            "  {} {id}: {text} ({:.1} s)",
            mark(seen.verdict),
            begun.elapsed().as_secs_f32()
        ));
        self.0.push(Finding { id, question, expected, seen: text, verdict: seen.verdict, ms });
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Held => '✓',
        Verdict::Differs => '✗',
        Verdict::Untried => '–',
    }
}
