//! Finding and reading the file.

use std::fs;
use std::path::Path;

use super::super::{MAX_BYTES, Manifest, find};
use crate::failure::Failure;

const SMALLEST: &str = "name = \"x\"\n";

fn refusal(start: &Path) -> Failure {
    Manifest::find(start).unwrap_err().downcast().unwrap()
}

#[test]
fn in_the_folder_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("advent.toml"), SMALLEST).unwrap();
    let (found, text, manifest) = Manifest::find(folder.path()).unwrap().unwrap();
    assert_eq!((found.as_path(), text.as_str()), (folder.path(), SMALLEST));
    assert_eq!(manifest.name, "x");
}

#[test]
fn in_a_folder_above() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("advent.toml"), SMALLEST).unwrap();
    let below = folder.path().join("functions/f");
    fs::create_dir_all(&below).unwrap();
    assert_eq!(Manifest::find(&below).unwrap().unwrap().0, folder.path());
}

#[test]
fn nowhere() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Manifest::find(folder.path()).unwrap().is_none());
}

#[test]
fn unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("advent.toml");
    fs::create_dir(&path).unwrap();
    let failure = refusal(folder.path());
    let expected = format!("could not read {}: Is a directory (os error 21)", path.display());
    assert_eq!(failure.what, expected);
    assert_eq!(failure.hint.as_deref(), Some("It must be a file."));
    assert_eq!(failure.exit, 2);
}

#[cfg(unix)]
#[test]
fn what_is_there_but_no_file_hides_those_above() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("advent.toml"), SMALLEST).unwrap();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let path = below.join("advent.toml");
    for (target, said) in [
        ("nowhere", "No such file"),
        ("advent.toml", "Too many levels"),
        ("../advent.toml/nowhere", "Not a directory"),
        ("/dev/null", "is not a file"),
        ("..", "Is a directory"),
    ] {
        std::os::unix::fs::symlink(target, &path).unwrap();
        let failure = refusal(&below);
        assert!(failure.what.contains(said), "{target}: {failure}");
        assert!(failure.hint.is_some() && failure.exit == 2, "{failure:?}");
        fs::remove_file(&path).unwrap();
    }
    let pipe = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(pipe.is_ok_and(|status| status.success()), "mkfifo");
    assert!(refusal(&below).what.contains("is not a file"));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("../advent.toml", &path).unwrap();
    assert_eq!(Manifest::find(&below).unwrap().unwrap().0, below, "a link to a file is one");
}

#[test]
fn with_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("advent.toml");
    fs::write(&path, "name = \"x\"\nnam = 1\n").unwrap();
    let what = refusal(folder.path()).what;
    assert!(what.contains(&format!(" --> {}:2:1\n", path.display())), "{what}");
}

#[test]
fn too_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("advent.toml");
    fs::write(&path, format!("{SMALLEST}{}", " ".repeat(MAX_BYTES))).unwrap();
    let failure = refusal(folder.path());
    assert_eq!(failure.what, format!("{} is too large for a manifest", path.display()));
    assert_eq!(failure.hint.as_deref(), Some("It may have 512 KiB."));
}

#[test]
fn not_utf8() {
    let failure = find::decode(b"name = \"x\"\n# caf\xe9 au lait\n".to_vec(), "advent.toml");
    let failure = failure.unwrap_err();
    assert_eq!(
        failure.what,
        "not valid UTF-8
 --> advent.toml:2:6
  |
2 | # caf\u{fffd} au lait
  |      ^"
    );
    assert_eq!(failure.hint.as_deref(), Some("Save the file as UTF-8."));
    assert_eq!(failure.exit, 2);
}
