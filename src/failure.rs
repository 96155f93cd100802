//! An expected failure: what happened, what to do about it, and the exit code.

use std::error::Error;
use std::fmt;

/// An error that the person at the terminal can do something about.
///
/// Put it into the error chain as the error itself (`Failure::new(..).into()`), never with
/// `anyhow`'s `.context`: [`Failure::of`] finds it wherever in the chain it stands.
#[derive(Debug)]
pub struct Failure {
    /// What was attempted and why it failed; fits after "failed to" or stands as a sentence.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Exit code of the process: 1 the work failed, 2 bad usage or refused.
    pub exit: u8,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The work failed (exit code 1).
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, exit: 1, source: None }
    }

    /// Bad usage, or refused before anything was changed (exit code 2).
    pub fn refused(what: impl Into<String>) -> Self {
        Self { exit: 2, ..Self::new(what) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The outermost failure in an error's chain.
    pub fn of(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
