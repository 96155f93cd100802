//! `ClientRequestToken`: a transaction that is sent again is not carried out again.
//!
//! The engine knows these tokens too, but looks through all of the last ten minutes with every
//! call, and every call of an AWS SDK carries one. Those of requests that ask for the capacity they
//! consumed are left to it: it knows what a repetition consumes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::local::error::AwsError;

/// How long a token is known (AWS: `TransactWriteItems`).
const WINDOW: Duration = Duration::from_mins(10);
/// Bytes of a token; the engine refuses longer ones.
const LONGEST: usize = 36;
/// What a transaction is answered with that asks for nothing else.
pub const ANSWER: &str = "{}";

/// First half of a SHA-256: of Region and token, or of what is to be written.
type Hash = [u8; 16];

#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    transactions: HashMap<Hash, Transaction>,
    /// The oldest first.
    done: VecDeque<(Instant, Hash)>,
}

struct Transaction {
    items: Hash,
    is_done: bool,
}

/// What a request is by its token.
pub enum Claim {
    /// It has none, or one that the engine has to deal with.
    None,
    /// The request, without the token.
    First(First, Value),
    /// It was answered before.
    Again,
}

/// A request whose token was not known. Unless it is [done](First::done), the token is forgotten.
pub struct First {
    tokens: Tokens,
    token: Option<Hash>,
}

fn hash(parts: [&str; 2]) -> Hash {
    let digest = Sha256::new().chain_update(parts[0]).chain_update([0]).chain_update(parts[1]);
    let mut half = Hash::default();
    half.copy_from_slice(&digest.finalize()[..16]);
    half
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the token out of a request, if it has one that the engine would not refuse.
    ///
    /// # Errors
    /// `TransactionInProgressException` and `IdempotentParameterMismatchException`, as AWS.
    pub fn claim(&self, region: &str, mut request: Value) -> Result<Claim, AwsError> {
        let asks_for = |name: &str| request[name].as_str().is_some_and(|what| what != "NONE");
        if asks_for("ReturnConsumedCapacity") || asks_for("ReturnItemCollectionMetrics") {
            return Ok(Claim::None);
        }
        let token = request["ClientRequestToken"].as_str();
        let Some(token) = token.filter(|token| (1..=LONGEST).contains(&token.len())) else {
            return Ok(Claim::None);
        };
        let token = hash([region, token]);
        if let Value::Object(members) = &mut request {
            members.remove("ClientRequestToken");
        }
        // Objects are sorted, so the same items are the same text.
        let items = hash([region, &request["TransactItems"].to_string()]);
        let mut known = self.lock();
        known.expire();
        match known.transactions.get(&token) {
            Some(transaction) if transaction.items != items => Err(AwsError::new(
                400,
                "IdempotentParameterMismatchException",
                "the same client token was used for another request",
            )),
            Some(Transaction { is_done: true, .. }) => Ok(Claim::Again),
            Some(_) => Err(AwsError::new(
                400,
                "TransactionInProgressException",
                "a transaction with this client token is still under way",
            )),
            None => {
                known.transactions.insert(token, Transaction { items, is_done: false });
                Ok(Claim::First(First { tokens: self.clone(), token: Some(token) }, request))
            }
        }
    }
}

impl Known {
    fn expire(&mut self) {
        while self.done.front().is_some_and(|(at, _)| at.elapsed() >= WINDOW)
            && let Some((_, token)) = self.done.pop_front()
        {
            self.transactions.remove(&token);
        }
    }
}

impl First {
    /// It was carried out.
    pub fn done(mut self) {
        let Some(token) = self.token.take() else { return };
        let mut known = self.tokens.lock();
        if let Some(transaction) = known.transactions.get_mut(&token) {
            transaction.is_done = true;
        }
        known.done.push_back((Instant::now(), token));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.tokens.lock().transactions.remove(&token);
        }
    }
}
