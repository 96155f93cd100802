//! Paths of this machine in an executable: what no remapping reaches, because the source asks for
//! it.

use std::path::{Path, PathBuf};

use super::target::{cargo_home, rustup_home};

/// Different paths of one executable that are named.
const MOST: usize = 3;
/// Bytes of a path that are shown.
const LONGEST: usize = 120;
/// A folder's name is taken for itself from so many bytes on, else only with a `/` behind it:
/// in an executable, texts follow one another without anything in between.
const TELLING: usize = 12;

/// Paths below the workspace, cargo's and rustup's folders, and the home folder.
pub(super) fn find(executable: &[u8], root: &Path) -> Vec<String> {
    let folders = [Some(root.to_owned()), cargo_home(), rustup_home(), std::env::home_dir()];
    let folders: Vec<_> = folders.into_iter().flatten().collect();
    find_below(executable, &folders)
}

fn find_below(executable: &[u8], folders: &[PathBuf]) -> Vec<String> {
    let folders: Vec<_> = folders
        .iter()
        .map(|folder| folder.as_os_str().as_encoded_bytes())
        .filter(|folder| folder.len() > 1)
        .collect();
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(next) = executable[at..].iter().position(|byte| *byte == b'/') {
        at += next;
        let rest = &executable[at..];
        let is_below = |folder: &&[u8]| {
            rest.starts_with(folder)
                && (folder.len() >= TELLING || rest.get(folder.len()) == Some(&b'/'))
        };
        let Some(folder) = folders.iter().copied().find(is_below) else {
            at += 1;
            continue;
        };
        let more = rest[folder.len()..].iter().take_while(|byte| is_of_path(**byte)).count();
        let length = folder.len() + more;
        let path = String::from_utf8_lossy(&rest[..length.min(LONGEST)]).into_owned();
        if !found.contains(&path) && found.len() < MOST {
            found.push(path);
        }
        at += length;
    }
    found
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte)
}

pub(super) fn warning(function: &str, paths: &[String]) -> Option<String> {
    let first = paths.first()?;
    let more = if paths.len() > 1 { " and others" } else { "" };
    Some(format!(
        "the executable of function `{function}` contains the path {first}{more}, which its source \
         or a build script asks for, as `env!(\"CARGO_MANIFEST_DIR\")` does: the path ships, and \
         in another folder the same source gives other bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_among_other_bytes() {
        let folders = ["/home/someone/app", "/opt"].map(PathBuf::from);
        let find = |text: &str| find_below(text.as_bytes(), &folders);
        assert_eq!(
            find("\0x/home/someone/app/one/src/a.rs\0y"),
            ["/home/someone/app/one/src/a.rs"]
        );
        assert_eq!(find("/home/someone/app\0 /home/someone/app\0"), ["/home/someone/app"]);
        assert_eq!(find("/optional /opt /opt/x(/opt/x"), ["/opt/x"]);
        assert_eq!(find("./src/main.rs /cargo/x /home/someone/ap"), [""; 0]);
        assert_eq!(find("/opt/1 /opt/2 /opt/3 /opt/4 //").len(), MOST);
    }
}
