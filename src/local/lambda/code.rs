//! Function packages on disk: one zip per content hash, unpacked once, ready to run.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

/// The folder of all packages, in that of the local cloud.
pub const CODE: &str = "code";
/// What a package may hold unpacked, in bytes (AWS: Lambda quotas, 250 MB).
const UNPACKED_LIMIT: u64 = 262_144_000;

/// The packages of all functions, below one folder.
#[derive(Debug, Clone)]
pub struct CodeStore {
    root: PathBuf,
}

/// A stored package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Base64 of the zip's SHA-256, as Lambda's `CodeSha256`.
    pub sha256: String,
    /// Bytes of the zip.
    pub size: u64,
}

#[derive(Debug)]
pub enum CodeError {
    /// Not a zip, or one with paths that leave the folder.
    Invalid,
    /// More than 250 MB unpacked.
    TooLarge,
    Io(io::Error),
}

impl From<io::Error> for CodeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl CodeStore {
    pub fn open(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        // What a killed process left half unpacked.
        for entry in fs::read_dir(&root)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".tmp") {
                let _ = fs::remove_dir_all(entry.path());
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { root })
    }

    /// The hash and size that [`CodeStore::put`] would give, after the same checks. Blocks.
    pub fn check(bytes: &[u8]) -> Result<Package, CodeError> {
        let mut archive =
            ZipArchive::new(io::Cursor::new(bytes)).map_err(|_| CodeError::Invalid)?;
        let mut unpacked = 0_u64;
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|_| CodeError::Invalid)?;
            if entry.enclosed_name().is_none() {
                return Err(CodeError::Invalid);
            }
            unpacked = unpacked.saturating_add(entry.size());
        }
        if archive.is_empty() {
            return Err(CodeError::Invalid);
        }
        if unpacked > UNPACKED_LIMIT {
            return Err(CodeError::TooLarge);
        }
        Ok(Package { sha256: BASE64.encode(Sha256::digest(bytes)), size: bytes.len() as u64 })
    }

    /// Stores a zip. Blocks.
    pub fn put(&self, bytes: &[u8]) -> Result<Package, CodeError> {
        let package = Self::check(bytes)?;
        let path = self.zip(&package.sha256);
        if !path.exists() {
            let mut file = tempfile::Builder::new().prefix(".tmp").tempfile_in(&self.root)?;
            io::Write::write_all(&mut file, bytes)?;
            file.persist(&path).map_err(|error| error.error)?;
        }
        Ok(package)
    }

    /// Where the zip with this `CodeSha256` is.
    pub fn zip(&self, sha256: &str) -> PathBuf {
        self.root.join(format!("{}.zip", name_of(sha256)))
    }

    /// The folder with the unpacked package. Blocks the first time.
    pub fn unpacked(&self, sha256: &str) -> Result<PathBuf, CodeError> {
        let target = self.root.join(name_of(sha256));
        if target.is_dir() {
            return Ok(target);
        }
        let file = File::open(self.zip(sha256))?;
        let fresh = tempfile::Builder::new().prefix(".tmp").tempdir_in(&self.root)?;
        unpack(file, fresh.path())?;
        fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o755))?;
        match fs::rename(fresh.path(), &target) {
            Ok(()) => {
                // It has another name now: nothing to clean up.
                let _ = fresh.keep();
            }
            // Another worker was faster.
            Err(_) if target.is_dir() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(target)
    }

    /// Removes every package whose `CodeSha256` is not in `used`. Blocks.
    pub fn retain(&self, used: &HashSet<String>) -> io::Result<()> {
        let used: HashSet<String> = used.iter().map(|sha256| name_of(sha256)).collect();
        for entry in fs::read_dir(&self.root)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.trim_end_matches(".zip");
            if name.starts_with(".tmp") || used.contains(stem) {
                continue;
            }
            let _ = fs::remove_dir_all(entry.path());
            let _ = fs::remove_file(entry.path());
        }
        Ok(())
    }
}

/// A file name for a `CodeSha256`: base64's `/` cannot be in one.
pub fn name_of(sha256: &str) -> String {
    sha256.trim_end_matches('=').replace('/', "_").replace('+', "-")
}

fn unpack(file: File, into: &Path) -> Result<(), CodeError> {
    let mut archive = ZipArchive::new(file).map_err(|_| CodeError::Invalid)?;
    let mut left = UNPACKED_LIMIT;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|_| CodeError::Invalid)?;
        let path = into.join(entry.enclosed_name().ok_or(CodeError::Invalid)?);
        if entry.is_dir() {
            fs::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut output = File::create(&path)?;
        // The declared sizes were checked; a lying one ends here.
        let copied = io::copy(&mut io::Read::take(&mut entry, left + 1), &mut output)?;
        left = left.checked_sub(copied).ok_or(CodeError::TooLarge)?;
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o777;
        output.set_permissions(fs::Permissions::from_mode(mode | 0o600))?;
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::local) mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A zip of `(name, mode, content)`.
    pub fn zip_of(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, mode, content) in files {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_package_is_unpacked_with_its_modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = CodeStore::open(dir.path().join("code")).unwrap();
        let zip = zip_of(&[("bootstrap", 0o755, b"#!/bin/sh"), ("data/a.txt", 0o644, b"a")]);
        let package = store.put(&zip).unwrap();
        assert_eq!(package.size, zip.len() as u64);
        assert_eq!(package, store.put(&zip).unwrap());
        let root = store.unpacked(&package.sha256).unwrap();
        assert_eq!(root, store.unpacked(&package.sha256).unwrap());
        let mode = fs::metadata(root.join("bootstrap")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read(root.join("data/a.txt")).unwrap(), b"a");

        let other = store.put(&zip_of(&[("bootstrap", 0o755, b"#!/bin/bash")])).unwrap();
        store.retain(&HashSet::from([other.sha256.clone()])).unwrap();
        assert!(!root.exists() && !store.zip(&package.sha256).exists());
        assert!(store.zip(&other.sha256).exists());
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = CodeStore::open(dir.path().join("code")).unwrap();
        assert!(matches!(store.put(b"not a zip"), Err(CodeError::Invalid)));
        assert!(matches!(store.put(&zip_of(&[])), Err(CodeError::Invalid)));
        let escaping = zip_of(&[("../../evil", 0o755, b"")]);
        assert!(matches!(store.put(&escaping), Err(CodeError::Invalid)));
    }
}
