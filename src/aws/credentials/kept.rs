//! Credentials that are asked for once, and again only when they expire.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

/// Longer than the SDK's own caches ask before the end.
const BEFORE_THE_END: Duration = Duration::from_mins(1);

/// Each client of the SDK asks for itself, and what is asked may be a process, which may ask a
/// person.
#[derive(Debug)]
pub struct Kept {
    of: SharedCredentialsProvider,
    last: Mutex<Option<Credentials>>,
}

impl Kept {
    pub fn new(of: SharedCredentialsProvider) -> Self {
        Self { of, last: Mutex::default() }
    }

    async fn credentials(&self) -> provider::Result {
        let mut last = self.last.lock().await;
        let lasts = |credentials: &&Credentials| {
            credentials.expiry().is_none_or(|end| end > SystemTime::now() + BEFORE_THE_END)
        };
        if let Some(credentials) = last.as_ref().filter(lasts) {
            return Ok(credentials.clone());
        }
        let credentials = self.of.provide_credentials().await?;
        Ok(last.insert(credentials).clone())
    }
}

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.of.fallback_on_interrupt()
    }
}
