//! What the last build was made of, so that nothing changed means no cargo at all.
//!
//! Everything is compared by content. Cargo itself compares times, and would miss a change that
//! carries an old time, as `cp -p` or an unpacked archive leaves; [`Record::backdated`] finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cargo::LocalPackage;
use super::elf::Findings;
use super::target::{cargo_home, rustup_home};
use super::workspace::Workspace;
use super::{Arch, Destination};

/// Raised when records, or the zips they describe, are made differently.
const FORMAT: u32 = 1;
const RECORD: &str = "record.json";

/// Variables that change what cargo builds; a trailing `*` stands for anything.
const VARIABLES: [&str; 11] = [
    "CARGO_BUILD_*",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_HOME",
    "CARGO_PROFILE_*",
    "CARGO_TARGET_*",
    "CARGO_UNSTABLE_*",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
];

/// A function's package, built and zipped.
#[derive(Debug, Clone)]
pub(super) struct Zipped {
    pub zip: Arc<[u8]>,
    /// Base64 of the SHA-256 of the zip.
    pub sha256: String,
    pub findings: Findings,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// By name.
    packages: BTreeMap<String, Package>,
    /// Linked with zig, because the machine's own glibc is too new.
    pub zig: bool,
    /// Nanoseconds since the epoch.
    finished: u128,
    /// The compiler, with its length and time of change.
    compiler: (PathBuf, u64, u128),
    /// Environment variables, and what they were set to.
    variables: BTreeMap<String, Option<String>>,
    /// Folders of the packages on this machine that took part, and cargo's ids of these.
    folders: BTreeMap<PathBuf, String>,
    /// Files that matter besides all those in the folders.
    others: BTreeSet<PathBuf>,
    /// All files by the SHA-256 of their content; none for one that did not exist.
    files: BTreeMap<PathBuf, Option<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Package {
    sha256: String,
    findings: Findings,
}

/// What a build was made of, as cargo tells it.
pub(super) struct Ingredients<'a> {
    pub folder: &'a Path,
    pub workspace: &'a Workspace,
    pub sysroot: &'a Path,
    /// By folder.
    pub local_packages: &'a BTreeMap<PathBuf, LocalPackage>,
    pub executables: Vec<&'a Path>,
    /// Triple, if one was given to cargo.
    pub triple: Option<&'a str>,
    /// Name of the cargo profile.
    pub profile: &'a str,
    pub started: SystemTime,
    pub zig: bool,
}

/// The folder for an application's zips below a target directory.
pub(super) fn place(target: &Path, folder: &Path, arch: Arch, destination: Destination) -> PathBuf {
    // Several applications can share one target directory.
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let hash = &hex(folder.as_os_str().as_encoded_bytes())[..8];
    let kind = match destination {
        Destination::Aws => arch.to_string(),
        Destination::Local => format!("{arch}-local"),
    };
    target.join("advent").join(format!("{name}-{hash}")).join(kind)
}

/// Where [`place`] may be, without asking cargo.
pub(super) fn likely_places(folder: &Path, arch: Arch, destination: Destination) -> Vec<PathBuf> {
    let place = |target: PathBuf| place(&target, folder, arch, destination);
    let given = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
    match given {
        Some(target) => vec![place(folder.join(target))],
        None => folder.ancestors().map(|up| place(up.join("target"))).collect(),
    }
}

impl Record {
    pub fn load(place: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(place.join(RECORD)).ok()?).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    /// The zips, if nothing they were made of has changed since.
    pub fn zips(&self, place: &Path, wanted: &BTreeSet<&str>) -> Option<BTreeMap<String, Zipped>> {
        let unchanged = compiler(&self.compiler.0).is_some_and(|found| found == self.compiler)
            && variables(self.variables.keys()) == self.variables
            && snapshot(self.folders.keys(), &self.others).ok()? == self.files;
        if !unchanged {
            return None;
        }
        let mut zips = BTreeMap::new();
        for &name in wanted {
            let package = self.packages.get(name)?;
            let zip = fs::read(zip_path(place, name)).ok()?;
            if super::code_sha256(&zip) != package.sha256 {
                return None;
            }
            let (sha256, findings) = (package.sha256.clone(), package.findings.clone());
            zips.insert(name.to_owned(), Zipped { zip: Arc::from(zip), sha256, findings });
        }
        Some(zips)
    }

    /// Ids of packages that changed with old times, so that cargo would not see it.
    pub fn backdated(&self) -> BTreeSet<String> {
        let Ok(now) = snapshot(self.folders.keys(), &self.others) else { return BTreeSet::new() };
        let changed = now.iter().filter(|(path, hash)| self.files.get(*path) != Some(hash));
        let unseen = changed.filter(|(path, _)| {
            modified(path).is_some_and(|time| nanoseconds(time) <= self.finished)
        });
        let mut packages = BTreeSet::new();
        for (path, _) in unseen {
            // The last in order is the innermost.
            match self.folders.iter().rev().find(|(folder, _)| path.starts_with(folder)) {
                Some((_, id)) => packages.extend([id.clone()]),
                None => packages.extend(self.folders.values().cloned()),
            }
        }
        packages
    }

    /// Writes zips, then the record of what they were made of. No record is left if something
    /// changed while it was being built.
    pub fn store(
        place: &Path,
        zips: &BTreeMap<String, Zipped>,
        made_of: &Ingredients<'_>,
    ) -> Result<()> {
        fs::create_dir_all(place).with_context(|| format!("could not make {}", place.display()))?;
        for (name, zipped) in zips {
            write(&zip_path(place, name), &zipped.zip)?;
        }
        let folders: BTreeMap<_, _> = made_of
            .local_packages
            .iter()
            .map(|(folder, package)| (folder.clone(), package.id.clone()))
            .collect();
        let mut others = configuration(made_of.folder);
        others.insert(made_of.workspace.root.join("Cargo.toml"));
        let lock = made_of.workspace.root.join("Cargo.lock");
        for executable in &made_of.executables {
            others.extend(dep_info(&executable.with_extension("d")));
        }
        let files = snapshot(folders.keys(), &others)?;
        // The clock of a file system can lag behind by some milliseconds.
        let started = made_of.started - Duration::from_millis(20);
        let disturbed = files
            .keys()
            .any(|path| *path != lock && modified(path).is_some_and(|time| time >= started));
        others.insert(lock);
        let compiler = compiler(&made_of.sysroot.join("bin").join(RUSTC));
        let (false, Some(compiler)) = (disturbed, compiler) else {
            let _ = fs::remove_file(place.join(RECORD));
            return Ok(());
        };
        let record = Self {
            format: FORMAT,
            packages: zips
                .iter()
                .map(|(name, Zipped { sha256, findings, .. })| {
                    let package = Package { sha256: sha256.clone(), findings: findings.clone() };
                    (name.clone(), package)
                })
                .collect(),
            zig: made_of.zig,
            finished: nanoseconds(SystemTime::now()),
            compiler,
            variables: variables(env_dependencies(made_of).iter()),
            files: snapshot(folders.keys(), &others)?,
            folders,
            others,
        };
        write(&place.join(RECORD), &serde_json::to_vec(&record)?)
    }
}

const RUSTC: &str = if cfg!(windows) { "rustc.exe" } else { "rustc" };

fn compiler(path: &Path) -> Option<(PathBuf, u64, u128)> {
    let metadata = fs::metadata(path).ok()?;
    Some((path.to_owned(), metadata.len(), nanoseconds(metadata.modified().ok()?)))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

fn zip_path(place: &Path, package: &str) -> PathBuf {
    place.join(format!("{package}.zip"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).with_context(|| format!("could not write {}", path.display()))?;
    Ok(())
}

/// Values of the environment variables that matter: the well-known ones, and `more`.
fn variables<'a>(more: impl Iterator<Item = &'a String>) -> BTreeMap<String, Option<String>> {
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
fn env_dependencies(made_of: &Ingredients<'_>) -> BTreeSet<String> {
    let profile = |triple: Option<&str>| {
        let folder = made_of.workspace.build_directory();
        triple.map_or(folder.to_owned(), |triple| folder.join(triple)).join(made_of.profile)
    };
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut texts = Vec::new();
    let targets = made_of.local_packages.values().flat_map(|package| &package.targets);
    let crates: Vec<_> = targets.map(|name| name.replace('-', "_") + "-").collect();
    for entry in entries(profile(made_of.triple).join("deps")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension() == Some("d".as_ref())
            && crates.iter().any(|prefix| name.starts_with(prefix))
        {
            texts.push(entry.path());
        }
    }
    for triple in [None, made_of.triple] {
        texts.extend(entries(profile(triple).join("build")).map(|e| e.path().join("output")));
    }
    let mut names = BTreeSet::new();
    for text in texts.iter().filter_map(|path| fs::read_to_string(path).ok()) {
        for line in text.lines() {
            let name = line.strip_prefix("# env-dep:").or_else(|| {
                line.trim_start_matches("cargo:")
                    .trim_start_matches(':')
                    .strip_prefix("rerun-if-env-changed=")
            });
            let name = name.and_then(|rest| rest.split('=').next()).unwrap_or_default().trim();
            if !name.is_empty() && !name.starts_with("CARGO_PKG_") && name != "OUT_DIR" {
                names.insert(name.to_owned());
            }
        }
    }
    names.retain(|name| !name.starts_with("CARGO_MANIFEST") && !name.starts_with("CARGO_BIN_"));
    names
}

/// Files that configure cargo in a folder, there or not.
fn configuration(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for up in folder.ancestors() {
        for name in [
            ".cargo/config.toml",
            ".cargo/config",
            "Cargo.toml",
            "rust-toolchain.toml",
            "rust-toolchain",
        ] {
            files.insert(up.join(name));
        }
    }
    files.extend(cargo_home().map(|home| home.join("config.toml")));
    files.extend(rustup_home().map(|home| home.join("settings.toml")));
    files
}

/// The files that cargo lists beside an executable: everything local that it was made of.
fn dep_info(path: &Path) -> Vec<PathBuf> {
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

/// All files of package folders and some others, by the hash of their content.
fn snapshot<'a>(
    folders: impl Iterator<Item = &'a PathBuf>,
    others: &BTreeSet<PathBuf>,
) -> Result<BTreeMap<PathBuf, Option<String>>> {
    let mut paths = others.clone();
    for folder in folders {
        list(folder, &mut paths)?;
    }
    let hash = |path: &Path| fs::read(path).ok().map(|bytes| hex(&bytes));
    Ok(paths.into_iter().map(|path| (hash(&path), path)).map(|(hash, path)| (path, hash)).collect())
}

/// The files of a package, without other packages below it, build output and hidden folders.
fn list(folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        // What `advent.toml` says changes no code.
        if name.as_encoded_bytes().starts_with(b".") || name == "advent.toml" {
            continue;
        }
        if !kind.is_dir() {
            files.insert(path);
        } else if !path.join("Cargo.toml").exists() && !path.join("CACHEDIR.TAG").exists() {
            list(&path, files)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
