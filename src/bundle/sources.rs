//! What a build is made of besides what cargo has: files by content, variables by value.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cache::hex;
use super::cargo::Built;
use super::settings::Settings;
use super::target::rustup_home;

/// Variables that change what cargo builds; a trailing `*` stands for anything.
const VARIABLES: [&str; 12] = [
    "CARGO_BUILD_*",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_HOME",
    "CARGO_PROFILE_*",
    "CARGO_TARGET_*",
    "CARGO_UNSTABLE_*",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
];

/// Folders within one another that are looked into.
const DEEPEST: usize = 16;

/// Files that were looked at, each read once.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<PathBuf, Option<String>>);

impl Sources {
    /// All files of package folders and some others, by the hash of their content; none for one
    /// that cannot be read.
    pub fn snapshot<'a>(
        &mut self,
        folders: impl Iterator<Item = &'a PathBuf>,
        others: &'a BTreeSet<PathBuf>,
    ) -> BTreeMap<PathBuf, Option<String>> {
        let mut paths = others.clone();
        for folder in folders {
            list(folder, &mut paths);
        }
        // A build script may depend on a folder, and then on all that is in it.
        for folder in others.iter().filter(|path| path.is_dir()) {
            list_all(folder, &mut paths, DEEPEST);
        }
        paths
            .into_iter()
            .map(|path| (self.hash(&path), path))
            .map(|(hash, path)| (path, hash))
            .collect()
    }

    fn hash(&mut self, path: &Path) -> Option<String> {
        let read = || fs::read(path).ok().map(|bytes| hex(&bytes));
        self.0.entry(path.to_owned()).or_insert_with(read).clone()
    }
}

/// The files of a package, without other packages below it, build output and hidden folders.
fn list(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        // What `advent.toml` says changes no code.
        if name.as_encoded_bytes().starts_with(b".") || name == "advent.toml" {
            continue;
        }
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.insert(path);
        } else if !path.join("Cargo.toml").exists() && !path.join("CACHEDIR.TAG").exists() {
            list(&path, files);
        }
    }
}

/// Everything below a folder but build output, behind links too, which may lead back up.
fn list_all(folder: &Path, files: &mut BTreeSet<PathBuf>, deepest: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            files.insert(path);
        } else if deepest > 0 && !path.join("CACHEDIR.TAG").exists() {
            list_all(&path, files, deepest - 1);
        }
    }
}

pub(super) fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

pub(super) fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// Values of the environment variables that matter: the well-known ones, and `more`.
pub(super) fn variables<'a>(
    more: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, Option<String>> {
    let known =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| {
            name != "CARGO_TARGET_TMPDIR"
                && VARIABLES.iter().any(|known| match known.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == known,
                })
        });
    let value = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
    let names: BTreeSet<String> = known.chain(more.cloned()).collect();
    names.into_iter().map(|name| (value(&name), name)).map(|(value, name)| (name, value)).collect()
}

/// Names of variables that sources read at compile time (`env!`) or build scripts depend on.
/// `executable` was built; `host` is the folder of what was built for this machine meanwhile.
pub(super) fn env_dependencies(built: &Built, executable: &Path, host: &Path) -> BTreeSet<String> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut texts = Vec::new();
    let targets = built.local_packages.values().flat_map(|package| &package.targets);
    let crates: Vec<_> = targets.map(|name| name.replace('-', "_") + "-").collect();
    let folder = executable.parent().unwrap_or(executable);
    for entry in entries(folder.join("deps")) {
        let name = entry.file_name().to_string_lossy().replace('-', "_");
        if Path::new(&name).extension() == Some("d".as_ref())
            && crates.iter().any(|prefix| name.starts_with(&prefix.replace('-', "_")))
        {
            texts.push(entry.path());
        }
    }
    for folder in [folder, host] {
        texts.extend(entries(folder.join("build")).map(|e| e.path().join("output")));
    }
    let mut names = BTreeSet::new();
    for text in texts.iter().filter_map(|path| fs::read_to_string(path).ok()) {
        for line in text.lines() {
            let name = line.strip_prefix("# env-dep:").or_else(|| {
                line.trim_start_matches("cargo:")
                    .trim_start_matches(':')
                    .strip_prefix("rerun-if-env-changed=")
            });
            let name = name.unwrap_or_default().split('=').next().unwrap_or_default().trim();
            if !name.is_empty() && !name.starts_with("CARGO_PKG_") && name != "OUT_DIR" {
                names.insert(name.to_owned());
            }
        }
    }
    names.retain(|name| !name.starts_with("CARGO_MANIFEST") && !name.starts_with("CARGO_BIN_"));
    names
}

/// Files that configure cargo in a folder, there or not.
pub(super) fn configuration(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = Settings::of(folder).paths();
    for up in folder.ancestors() {
        for name in ["Cargo.toml", "rust-toolchain.toml", "rust-toolchain"] {
            files.insert(up.join(name));
        }
    }
    files.extend(rustup_home().map(|home| home.join("settings.toml")));
    files
}

/// The files that cargo lists beside an executable: everything local that it was made of.
pub(super) fn dep_info(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut files = Vec::new();
    for line in text.lines() {
        let Some((_, list)) = line.split_once(": ") else { continue };
        let mut name = String::new();
        let mut chars = list.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if chars.peek() == Some(&' ') => name.extend(chars.next()),
                ' ' => files.push(std::mem::take(&mut name)),
                other => name.push(other),
            }
        }
        files.push(name);
    }
    files.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}
