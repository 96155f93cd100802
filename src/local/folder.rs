//! The local cloud's folder: what functions are given and what tables hold is its owner's only.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::failure::Failure;

const CHOOSE: &str = "choose another folder with ADVENT_LOCAL_DIR";

/// What only a local cloud's folder has.
const OURS: [&str; 2] = ["start.lock", super::server::SERVE_LOCK];

/// Refuses a folder that a table's engine could not be told.
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    match dir.to_str() {
        Some(_) => Ok(()),
        None => Err(Failure::refused(format!(
            "the local cloud's folder {} is not UTF-8",
            dir.display()
        ))
        .hint(CHOOSE)),
    }
}

/// Makes the folder, if it is not there: unseen by Git.
pub(super) fn make(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        // Someone else was faster.
        Err(_) if dir.is_dir() => Ok(()),
        made => {
            made?;
            create(&dir.join(".gitignore"))?.write_all(b"*\n")
        }
    }
}

/// An empty file that is its owner's only.
pub(super) fn create(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create(true).truncate(true).open(path)
}

/// Takes the folder and all that is in it from everybody but its owner, where others could get in.
///
/// # Errors
/// A refusal where the folder is another user's, or others may get into it and it has files that
/// are no local cloud's: whoever shares these may want to go on.
#[cfg(unix)]
pub(super) fn close(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot close the local cloud's folder {} to others", dir.display()))
            .source(error)
            .hint(CHOOSE)
    };
    check_owner(dir)?;
    let found = fs::metadata(dir).map_err(failed)?;
    let is_open = found.permissions().mode() & 0o077 != 0;
    if !is_open {
        return Ok(());
    }
    let empty =
        fs::read_dir(dir).map_err(failed)?.flatten().all(|entry| entry.file_name() == ".gitignore");
    // What is in it may be anybody's: a key that he knows, or a link to where he can read.
    if !empty && found.permissions().mode() & 0o022 != 0 {
        let what = format!("other users can write to the local cloud's folder {}", dir.display());
        return Err(Failure::refused(what).hint(format!("what is in it may be theirs: {CHOOSE}")));
    }
    if !empty && !OURS.iter().any(|name| dir.join(name).exists()) {
        return Err(Failure::refused(format!(
            "other users can read the folder {}, which has files that are no local cloud's",
            dir.display()
        ))
        .hint(format!(
            "The state of a local cloud has secrets in it. Choose another folder with \
             ADVENT_LOCAL_DIR, or close this one: chmod -R go= {}",
            crate::invocation::shell_word(&dir.to_string_lossy())
        )));
    }
    close_all(dir).map_err(failed)
}

/// Refuses a folder, or a link to one, that is another user's.
///
/// # Errors
/// A refusal that names it, or it cannot be looked at.
pub(super) fn check_owner(path: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let own = rustix::process::geteuid().as_raw();
        for found in [fs::symlink_metadata(path), fs::metadata(path)] {
            let found = found.map_err(|error| {
                let what = format!("cannot look at the local cloud's {}", path.display());
                Failure::new(what).source(error).hint(CHOOSE)
            })?;
            if found.uid() != own {
                let what = format!("the local cloud's {} belongs to another user", path.display());
                return Err(Failure::refused(what).hint(CHOOSE));
            }
        }
    }
    Ok(())
}

/// Refuses a file that is another user's, or none: a link leads to where others may read, and of a
/// pipe nobody knows when it ends.
///
/// # Errors
/// As [`check_owner`].
pub(super) fn check_file(path: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        let what = format!("the local cloud's {} is not a file", path.display());
        return Err(Failure::refused(what).hint(CHOOSE));
    }
    check_owner(path)
}

/// What is behind links is not touched.
#[cfg(unix)]
fn close_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7700))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            match close_all(&entry?.path()) {
                // Deleted meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                closed => closed?,
            }
        }
    }
    Ok(())
}

/// Access is the system's matter.
#[cfg(not(unix))]
pub(super) fn close(_: &Path) -> Result<(), Failure> {
    Ok(())
}

/// Whatever this process and its children make from here on is its owner's only.
pub(super) fn keep_closed() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777)
    }

    fn open(path: &Path) {
        let opened = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        assert!(opened.is_ok(), "{opened:?}");
    }

    #[test]
    fn the_folder_is_its_owners() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        make(&dir).unwrap();
        make(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(fs::read_to_string(dir.join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn what_was_open_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        open(dir);
        close(dir).unwrap();
        assert_eq!(mode(dir), 0o700, "an empty one");
        fs::create_dir(dir.join("inner")).unwrap();
        for name in ["start.lock", "inner/state"] {
            fs::write(dir.join(name), "").unwrap();
            open(&dir.join(name));
        }
        std::os::unix::fs::symlink("/", dir.join("link")).unwrap();
        open(&dir.join("inner"));
        open(dir);
        close(dir).unwrap();
        for name in ["", "inner", "inner/state", "start.lock"] {
            assert_eq!(mode(&dir.join(name)), 0o700, "{name}");
        }
        assert_eq!(mode(Path::new("/")) & 0o055, 0o055);
    }

    #[test]
    fn what_others_could_have_put_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let writable = || fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        writable();
        close(dir).unwrap();
        assert_eq!(mode(dir), 0o700, "an empty one");
        std::os::unix::fs::symlink("/etc/hostname", dir.join("start.lock")).unwrap();
        writable();
        let refused = close(dir).unwrap_err();
        assert!(refused.what.contains("other users can write"), "{refused}");
        let link = dir.join("start.lock");
        assert!(check_file(&link).unwrap_err().what.contains("is not a file"));
        assert!(check_file(dir).unwrap_err().what.contains("is not a file"));
    }

    #[test]
    fn what_others_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::write(dir.join("notes.txt"), "").unwrap();
        open(dir);
        let refused = close(dir).unwrap_err();
        assert!(refused.hint.as_ref().unwrap().contains("chmod -R go= /"), "{refused}");
        assert_eq!(mode(dir), 0o755);
    }
}
