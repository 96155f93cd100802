//! Answers that several resources of one run look at, each asked for once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Context;

/// Answers by key. Of several that ask at once, one asks the cloud and all get its answer;
/// errors are not kept.
#[derive(Debug)]
pub struct Cache<V>(Mutex<HashMap<String, Arc<OnceCell<V>>>>);

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Cache<V> {
    pub async fn get<E, F>(
        &self,
        cx: &Context<'_>,
        key: &str,
        ask: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if cx.fresh {
                cells.remove(key);
            }
            Arc::clone(cells.entry(key.to_owned()).or_default())
        };
        cell.get_or_try_init(ask).await.cloned()
    }

    /// To be called before everything is looked at anew.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
