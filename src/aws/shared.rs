//! What the resources of one kind share during a run. Kinds declare it, so `aws` knows none of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One value of each type that was asked for.
#[derive(Default)]
pub struct Shared(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Shared {
    /// The value of this type, empty at first.
    pub fn of<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(value).downcast().unwrap_or_default()
    }

    /// All are empty again. Whoever has one keeps it as it is.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Seen(AtomicU32);
    #[derive(Default)]
    struct Other(AtomicU32);

    #[test]
    fn there_is_one_of_each_type() {
        let shared = Shared::default();
        shared.of::<Seen>().0.store(1, Ordering::Relaxed);
        assert_eq!(shared.of::<Seen>().0.load(Ordering::Relaxed), 1);
        assert_eq!(shared.of::<Other>().0.load(Ordering::Relaxed), 0);
        shared.clear();
        assert_eq!(shared.of::<Seen>().0.load(Ordering::Relaxed), 0);
    }
}
