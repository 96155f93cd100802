//! Who holds which access key: the owner, in a file that others cannot read, and functions' sessions.

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::call::Principal;
use super::folder;
use crate::failure::Failure;
use crate::invocation::shell_word;

/// The file in a local cloud's folder.
const FILE: &str = "key.json";

/// The access key of a local cloud's owner, who may do everything in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.access_key_id).finish_non_exhaustive()
    }
}

impl Key {
    /// The key of the local cloud in `dir`; `None` where it has none: it was never started by a
    /// version that makes them.
    ///
    /// # Errors
    /// A [`Failure`] for another user, for a folder of another user's (whoever keeps the key could
    /// stand in for the local cloud, and be given what is deployed), and for a file that is damaged.
    pub fn read(dir: &Path) -> Result<Option<Self>, Failure> {
        let path = dir.join(FILE);
        let found = std::fs::symlink_metadata(&path);
        if found.is_ok() {
            folder::check_owner(dir)?;
            folder::check_file(&path)?;
        }
        let text = match found.and_then(|_| std::fs::read(&path)) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => {
                let denied = error.kind() == ErrorKind::PermissionDenied;
                let what = format!("the local cloud's key in {} cannot be read", path.display());
                let hint = if denied {
                    "only the user who started that local cloud may use it: choose another folder \
                     with ADVENT_LOCAL_DIR, for one of your own"
                } else {
                    "choose another folder with ADVENT_LOCAL_DIR"
                };
                return Err(Failure::refused(what).hint(hint).source(error));
            }
        };
        let key = serde_json::from_slice::<Self>(&text).ok();
        let key = key.filter(|key| {
            ![&key.access_key_id, &key.secret_access_key].iter().any(|it| it.is_empty())
        });
        key.map(Some).ok_or_else(|| {
            Failure::new(format!("the local cloud's key in {} is damaged", path.display())).hint(
                format!(
                    "a new one is made at the next start: rm {}, and `advent local stop`",
                    shell_word(&path.to_string_lossy())
                ),
            )
        })
    }

    /// As [`Key::read`], made where there is none. Whoever calls it serves the folder, and alone.
    ///
    /// # Errors
    /// As [`Key::read`], and where the folder cannot be written.
    pub(super) fn read_or_make(dir: &Path) -> anyhow::Result<Self> {
        if let Some(key) = Self::read(dir)? {
            return Ok(key);
        }
        // Formed as AWS's, and told from them: 20 and 40 characters.
        let key = Self {
            access_key_id: format!("LOCAL{}", &random()[..15].to_ascii_uppercase()),
            secret_access_key: format!("{}{}", random(), &random()[..8]),
        };
        // Made for its owner only, whatever the umask, and whole or not at all.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(&key)?)?;
        file.persist(dir.join(FILE))?;
        Ok(key)
    }
}

/// 122 random bits in 32 characters.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

/// What belongs to an access key.
#[derive(Debug, Clone)]
pub struct Holder {
    pub principal: Principal,
    pub secret: String,
    /// What a request must carry beside its signature.
    pub token: Option<String>,
}

/// The session credentials that functions were started with. They end with the process.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Holder>>);

/// What a function finds in its environment.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
}

impl Sessions {
    /// New credentials of a role (its name, without path) for a function.
    pub fn issue(&self, role: &str, function: &str) -> Credentials {
        let session = Credentials {
            access_key_id: format!("ASIALOCAL{}", &random()[..11].to_ascii_uppercase()),
            secret_access_key: format!("{}{}", random(), &random()[..8]),
            session_token: random(),
        };
        let holder = Holder {
            principal: Principal::Function { role: role.to_owned(), function: function.to_owned() },
            secret: session.secret_access_key.clone(),
            token: Some(session.session_token.clone()),
        };
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session.access_key_id.clone(), holder);
        session
    }

    pub fn revoke(&self, access_key_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(access_key_id);
    }

    pub(super) fn holder(&self, access_key_id: &str) -> Option<Holder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(access_key_id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Key::read(dir.path()).unwrap(), None);
        let key = Key::read_or_make(dir.path()).unwrap();
        assert_eq!((key.access_key_id.len(), key.secret_access_key.len()), (20, 40));
        assert_eq!(Key::read_or_make(dir.path()).unwrap(), key);
        assert!(!format!("{key:?}").contains(&key.secret_access_key));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Key::read_or_make(other.path()).unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_said() {
        let dir = tempfile::tempdir().unwrap();
        for damaged in ["", "{", "{}", r#"{"access_key_id": "", "secret_access_key": "x"}"#] {
            std::fs::write(dir.path().join(FILE), damaged).unwrap();
            let failure = Key::read(dir.path()).unwrap_err();
            assert!(failure.hint.as_ref().unwrap().contains("rm "), "{failure}");
        }
        assert_eq!(Key::read(&dir.path().join(FILE)).unwrap(), None);
    }
}
