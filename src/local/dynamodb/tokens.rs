//! `ClientRequestToken`: a transaction that is sent again is not carried out again.
//!
//! The engine knows these tokens too, but looks through all of the last ten minutes with every
//! call, and every call of an AWS SDK carries one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::local::error::AwsError;

/// How long a token is known (AWS: `TransactWriteItems`).
const WINDOW: Duration = Duration::from_mins(10);
/// Characters of a token; the engine refuses longer ones.
const LONGEST: usize = 36;

/// Region and token.
type Key = (String, String);

#[derive(Default)]
pub struct Tokens(Mutex<Known>);

#[derive(Default)]
struct Known {
    transactions: HashMap<Key, Transaction>,
    /// The oldest first.
    done: VecDeque<(Instant, Key)>,
}

struct Transaction {
    /// Of what it is to write.
    hash: [u8; 32],
    /// None while it is under way.
    answer: Option<Bytes>,
}

/// What a request with a token is.
pub enum Claim<'a> {
    First(First<'a>),
    /// It was answered before.
    Again(Bytes),
}

/// A request whose token was not known. Unless it is [done](First::done), the token is forgotten.
pub struct First<'a> {
    tokens: &'a Tokens,
    key: Option<Key>,
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the token out of a request, if it has one that the engine would not refuse.
    ///
    /// # Errors
    /// `TransactionInProgressException` and `IdempotentParameterMismatchException`, as AWS.
    pub fn claim(&self, region: &str, request: &mut Value) -> Result<Option<Claim<'_>>, AwsError> {
        let Some(token) = request["ClientRequestToken"].as_str() else { return Ok(None) };
        if !(1..=LONGEST).contains(&token.chars().count()) {
            return Ok(None);
        }
        let key = (region.to_owned(), token.to_owned());
        if let Value::Object(members) = request {
            members.remove("ClientRequestToken");
        }
        // Objects are sorted, so the same items are the same text.
        let hash = Sha256::digest(request["TransactItems"].to_string()).into();
        let mut known = self.lock();
        known.expire();
        match known.transactions.get(&key) {
            Some(transaction) if transaction.hash != hash => Err(AwsError::new(
                400,
                "IdempotentParameterMismatchException",
                "the same client token was used for another request",
            )),
            Some(Transaction { answer: Some(answer), .. }) => {
                Ok(Some(Claim::Again(answer.clone())))
            }
            Some(_) => Err(AwsError::new(
                400,
                "TransactionInProgressException",
                "a transaction with this client token is still under way",
            )),
            None => {
                known.transactions.insert(key.clone(), Transaction { hash, answer: None });
                Ok(Some(Claim::First(First { tokens: self, key: Some(key) })))
            }
        }
    }
}

impl Known {
    fn expire(&mut self) {
        while self.done.front().is_some_and(|(at, _)| at.elapsed() >= WINDOW)
            && let Some((_, key)) = self.done.pop_front()
        {
            self.transactions.remove(&key);
        }
    }
}

impl First<'_> {
    /// It was carried out: from now on this is the answer.
    pub fn done(mut self, answer: &Bytes) {
        let Some(key) = self.key.take() else { return };
        let mut known = self.tokens.lock();
        if let Some(transaction) = known.transactions.get_mut(&key) {
            transaction.answer = Some(answer.clone());
        }
        known.done.push_back((Instant::now(), key));
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.tokens.lock().transactions.remove(&key);
        }
    }
}
