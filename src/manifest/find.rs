//! Finding and reading `advent.toml`.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::diagnostic::Diagnostic;
use super::{MAX_BYTES, Manifest};
use crate::failure::Failure;

/// Name of the file.
pub(super) const FILE: &str = "advent.toml";

impl Manifest {
    /// Looks for `advent.toml` in `start` and the folders above it. Returns the folder, the file's
    /// text and what it says; `None` if there is no such file.
    ///
    /// Refuses a file that cannot be read or has a mistake in it.
    pub fn find(start: &Path) -> Result<Option<(PathBuf, String, Self)>> {
        let start = std::path::absolute(start)
            .with_context(|| format!("could not find the folder {}", start.display()))?;
        for folder in start.ancestors() {
            let path = folder.join(FILE);
            match path.symlink_metadata() {
                Ok(_) => {}
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(unreadable(&path, error).into()),
            }
            // It is there: whatever is wrong with it, another folder's is not meant.
            let kind = path.metadata().map_err(|error| unreadable(&path, error))?.file_type();
            // Whoever opens a pipe may wait for ever.
            if !kind.is_file() && !kind.is_dir() {
                let what = format!("{} is not a file", shown(&path));
                return Err(Failure::refused(what).hint("It must be a file.").into());
            }
            let file = File::open(&path).map_err(|error| unreadable(&path, error))?;
            let text = read(&path, file)?;
            let manifest = Self::parse(&text, &shown(&path))?;
            return Ok(Some((folder.to_owned(), text, manifest)));
        }
        Ok(None)
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read(path: &Path, file: File) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that what is too large is seen to be.
    let limit = MAX_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() > MAX_BYTES {
        let what = format!("{} is too large for a manifest", shown(path));
        return Err(Failure::refused(what).hint(format!("It may have {} KiB.", MAX_BYTES / 1024)));
    }
    decode(bytes, &shown(path))
}

pub(crate) fn decode(bytes: Vec<u8>, path: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        // There the replacement character stands for the bytes.
        let at = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        Diagnostic::new(at, "not valid UTF-8")
            .hint("Save the file as UTF-8.")
            .into_failure(&text, path)
    })
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "Give yourself the permission to read it.",
        ErrorKind::IsADirectory => "It must be a file.",
        ErrorKind::NotFound => "It links to nothing: restore what it links to, or delete the link.",
        _ => "Make sure that it is a file that you may read.",
    };
    Failure::refused(format!("could not read {}: {error}", shown(path))).hint(hint).source(error)
}

/// `path` as seen from the working directory, if it is below it.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
