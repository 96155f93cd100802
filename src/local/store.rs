//! What the local cloud keeps: documents and a few tables, in one SQLite file.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::AwsError;
use crate::failure::Failure;

/// Documents by kind, Region ("" for what is global) and name, as JSON.
const DOCUMENTS: &str = "CREATE TABLE IF NOT EXISTS document (
    kind TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, region, name)
) WITHOUT ROWID";

/// The tables of the services that have their own.
const SCHEMAS: &[&str] = &[DOCUMENTS, super::lambda::SCHEMA, super::logs::SCHEMA];

/// Goes up when what is kept changes its form.
const VERSION: u32 = 1;

pub struct Store {
    main: Mutex<Open>,
    /// For long looks at what was committed, while others write.
    beside: Mutex<Connection>,
}

struct Open {
    connection: Connection,
    documents: Documents,
}

/// Documents that were read before, as the types they were read as. Each call of a function looks
/// at several: at its role, at what may invoke it.
type Documents = RefCell<HashMap<String, Arc<dyn Any + Send + Sync>>>;

impl Store {
    /// Opens or makes the file. What was committed survives the end of the process, however it
    /// ends.
    ///
    /// # Errors
    /// A [`Failure`] where another version of advent wrote it in another form.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path)?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if ![0, VERSION].contains(&version) {
            let dir = path.parent().unwrap_or(path).display();
            return Err(Failure::refused(format!(
                "the local cloud's state in {dir} was written by another version of advent"
            ))
            .hint(format!("Remove that folder to begin anew: rm -r {dir}"))
            .into());
        }
        // A new file is empty until here, so there is nothing yet that a disk would have to be
        // waited for; on a busy one every flush can take seconds.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "user_version", VERSION)?;
        // In pages of 4 KB. Each checkpoint waits for the disk twice, and everyone waits for it.
        connection.pragma_update(None, "wal_autocheckpoint", 8000)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(64);
        for schema in SCHEMAS {
            connection.execute_batch(schema)?;
        }
        let beside = Connection::open(path)?;
        beside.pragma_update(None, "query_only", true)?;
        beside.busy_timeout(std::time::Duration::from_secs(5))?;
        let main = Mutex::new(Open { connection, documents: RefCell::default() });
        Ok(Self { main, beside: Mutex::new(beside) })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A panic in a closure rolls its transaction back: what is left is sound.
        self.main.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Store::read`], beside those who write. Others who read so wait for it.
    pub fn read_beside<T>(
        &self,
        f: impl FnOnce(&Db<'_>) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        // One state for all of it. What it reads is not kept: it may change at any time.
        let connection = beside.transaction()?;
        f(&Db { connection: &connection, documents: &RefCell::default() })
    }

    pub fn read<T>(&self, f: impl FnOnce(&Db<'_>) -> Result<T, AwsError>) -> Result<T, AwsError> {
        let Open { connection, documents } = &*self.lock();
        f(&Db { connection, documents })
    }

    /// Runs `f` in one transaction, rolled back when it fails.
    pub fn write<T>(&self, f: impl FnOnce(&Db<'_>) -> Result<T, AwsError>) -> Result<T, AwsError> {
        let Open { connection, documents } = &mut *self.lock();
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // It may have read what it wrote itself, and what is not committed never was.
        let forgetting = Forgetting(documents);
        let result = f(&Db { connection: &transaction, documents })?;
        transaction.commit()?;
        std::mem::forget(forgetting);
        Ok(result)
    }
}

/// The store while it is held. Keep it short: everyone else waits.
pub struct Db<'a> {
    connection: &'a Connection,
    documents: &'a Documents,
}

impl Db<'_> {
    /// For tables of one's own.
    pub fn conn(&self) -> &Connection {
        self.connection
    }

    /// A document, to change it.
    pub fn get<T>(&self, kind: &str, region: &str, name: &str) -> Result<Option<T>, AwsError>
    where
        T: DeserializeOwned + Clone + Send + Sync + 'static,
    {
        Ok(self.shared(kind, region, name)?.map(Arc::unwrap_or_clone))
    }

    /// A document, to look at it.
    pub fn shared<T>(
        &self,
        kind: &str,
        region: &str,
        name: &str,
    ) -> Result<Option<Arc<T>>, AwsError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let key = key(kind, region, name);
        let known = self.documents.borrow().get(&key).cloned();
        if let Some(known) = known.and_then(|known| known.downcast().ok()) {
            return Ok(Some(known));
        }
        let body: Option<String> = self
            .connection
            .prepare_cached("SELECT body FROM document WHERE kind = ? AND region = ? AND name = ?")?
            .query_row(params![kind, region, name], |row| row.get(0))
            .optional()?;
        let Some(body) = body else { return Ok(None) };
        let document: Arc<T> = Arc::new(serde_json::from_str(&body)?);
        self.documents.borrow_mut().insert(key, document.clone());
        Ok(Some(document))
    }

    fn forget(&self, kind: &str, region: &str, name: &str) {
        self.documents.borrow_mut().remove(&key(kind, region, name));
    }

    /// Creates or replaces.
    pub fn put(
        &self,
        kind: &str,
        region: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), AwsError> {
        self.forget(kind, region, name);
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO document (kind, region, name, body) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![kind, region, name, body_of(value)?])?;
        Ok(())
    }

    /// Creates; false when it exists already.
    pub fn insert(
        &self,
        kind: &str,
        region: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<bool, AwsError> {
        let count = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO document (kind, region, name, body) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![kind, region, name, body_of(value)?])?;
        Ok(count == 1)
    }

    /// False when it did not exist.
    pub fn delete(&self, kind: &str, region: &str, name: &str) -> Result<bool, AwsError> {
        self.forget(kind, region, name);
        let count = self
            .connection
            .prepare_cached("DELETE FROM document WHERE kind = ? AND region = ? AND name = ?")?
            .execute(params![kind, region, name])?;
        Ok(count == 1)
    }

    /// All of a kind in a Region with their names, ordered by name.
    pub fn list<T: DeserializeOwned>(
        &self,
        kind: &str,
        region: &str,
    ) -> Result<Vec<(String, T)>, AwsError> {
        self.list_under(kind, region, "")
    }

    /// Those whose name begins with `prefix`, ordered by name.
    pub fn list_under<T: DeserializeOwned>(
        &self,
        kind: &str,
        region: &str,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, AwsError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, body FROM document
             WHERE kind = ? AND region = ? AND substr(name, 1, length(?3)) = ?3 ORDER BY name",
        )?;
        let rows = statement.query_map(params![kind, region, prefix], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.map(|row| {
            let (name, body) = row?;
            Ok((name, serde_json::from_str(&body)?))
        })
        .collect()
    }

    /// The Regions that have something of a kind.
    pub fn regions(&self, kind: &str) -> Result<Vec<String>, AwsError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT DISTINCT region FROM document WHERE kind = ?")?;
        let rows = statement.query_map([kind], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Forgets all documents when it is dropped.
struct Forgetting<'a>(&'a Documents);

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().clear();
    }
}

/// Neither kinds nor Regions hold a NUL.
fn key(kind: &str, region: &str, name: &str) -> String {
    format!("{kind}\0{region}\0{name}")
}

/// A document as it is kept, if it can be read again: what was sent is nested deeper here than it was.
fn body_of(value: &impl Serialize) -> Result<String, AwsError> {
    let body = serde_json::to_string(value)?;
    if serde_json::from_str::<serde_json::Value>(&body).is_err() {
        let why = "the request is nested too deeply";
        return Err(AwsError::new(400, "SerializationException", why));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(Store::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let Err(error) = Store::open(&path) else { panic!("it was opened") };
        assert!(Failure::of(&error).unwrap().hint.as_ref().unwrap().contains("rm -r"));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let failed: Result<(), _> = store.write(|db| {
            db.put("k", "r", "a", &1)?;
            Err(AwsError::internal("no"))
        });
        assert!(failed.is_err());
        assert_eq!(store.read(|db| db.get::<i32>("k", "r", "a")).unwrap(), None);
    }

    #[test]
    fn what_was_read_is_as_it_was_written_last() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let seen = || store.read(|db| db.get::<i32>("k", "r", "a")).unwrap();
        store.write(|db| db.put("k", "r", "a", &1)).unwrap();
        assert_eq!((seen(), seen()), (Some(1), Some(1)));
        store.write(|db| db.put("k", "r", "a", &2)).unwrap();
        assert_eq!(seen(), Some(2));
        let failed: Result<(), _> = store.write(|db| {
            db.put("k", "r", "a", &3)?;
            assert_eq!(db.get("k", "r", "a")?, Some(3));
            Err(AwsError::internal("no"))
        });
        assert!(failed.is_err());
        assert_eq!(seen(), Some(2));
        store.write(|db| db.delete("k", "r", "a")).unwrap();
        assert_eq!(seen(), None);
        assert_eq!(store.read(|db| db.get::<String>("k", "r", "a")).unwrap(), None);
    }

    #[test]
    fn what_could_not_be_read_again_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let deep = |depth| (0..depth).fold(serde_json::json!(0), |of, _| serde_json::json!([of]));
        let put = |value: serde_json::Value| store.write(|db| db.put("k", "r", "a", &value));
        put(deep(100)).unwrap();
        assert_eq!(put(deep(128)).unwrap_err().status, 400);
        assert_eq!(store.read(|db| db.get("k", "r", "a")).unwrap(), Some(deep(100)));
    }

    #[test]
    fn documents_are_found_by_prefix_and_region() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Store::open(&path).unwrap();
        store
            .write(|db| {
                assert!(db.insert("k", "r", "a/1", &1)?);
                assert!(!db.insert("k", "r", "a/1", &2)?);
                db.put("k", "r", "b/1", &3)?;
                db.put("k", "q", "a/2", &4)
            })
            .unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        let found = store.read(|db| db.list_under::<i32>("k", "r", "a/")).unwrap();
        assert_eq!(found, [("a/1".to_owned(), 1)]);
        assert_eq!(store.read(|db| db.regions("k")).unwrap(), ["q", "r"]);
    }
}
