//! Whether a local cloud runs what its executable is by now.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// An executable at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    path: String,
    modified_ms: u128,
    size: u64,
}

/// What this process was started from. Ask early: a later build replaces the file.
pub fn started() -> Option<&'static Executable> {
    static STARTED: OnceLock<Option<Executable>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            let path = std::env::current_exe().ok()?;
            let file = path.metadata().ok()?;
            let modified = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(Executable {
                path: path.to_str()?.to_owned(),
                modified_ms: modified.as_millis(),
                size: file.len(),
            })
        })
        .as_ref()
}

impl Executable {
    /// Whether `self` is an earlier build of `other`. Two executables side by side are not.
    pub fn is_replaced_by(&self, other: &Self) -> bool {
        self.path == other.path && self != other
    }
}
