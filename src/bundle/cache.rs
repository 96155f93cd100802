//! What was built last: the zips, and what they were made of.
//!
//! Whether something has to be built again only cargo knows. This is for what cargo does not know:
//! which executable has been zipped already, whether the sources are still those of the last
//! build, for commands that must not compile, and what changed with an old time, as `cp -p` or an
//! unpacked archive leaves: cargo compares times, this compares contents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cargo::Built;
use super::elf::Findings;
use super::settings::Settings;
use super::sources::{Sources, modified, nanoseconds};
use super::workspace::Wanted;
use super::{Arch, Destination, sources};
use crate::manifest::{Function, Manifest};

/// Raised when records, or the zips they describe, are made differently.
const FORMAT: u32 = 2;
const RECORD: &str = "record.json";

/// One executable, zipped.
#[derive(Debug, Clone)]
pub(super) struct Zipped {
    /// Of the executable.
    pub package: String,
    pub zip: Arc<[u8]>,
    /// Base64 of the SHA-256 of the zip.
    pub sha256: String,
    pub findings: Findings,
    /// Paths of this machine that are in it.
    pub paths: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// What each function is built from, by its id.
    functions: BTreeMap<String, Said>,
    /// By [`key`].
    builds: BTreeMap<String, Build>,
}

/// What the manifest says of a function's code, and the key of what it came to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    package: Option<String>,
    bin: Option<String>,
    features: Vec<String>,
    default_features: bool,
    build: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Build {
    package: String,
    /// SHA-256 of the executable.
    executable: String,
    /// Of the zip, as [`Zipped`] has it.
    sha256: String,
    findings: Findings,
    paths: Vec<String>,
    /// Linked with zig, because the machine's own glibc is too new.
    pub zig: bool,
    /// Nanoseconds since the epoch.
    finished: u128,
    /// The compiler, with its length and time of change.
    compiler: Option<(PathBuf, u64, u128)>,
    /// Environment variables, and what they were set to.
    variables: BTreeMap<String, Option<String>>,
    /// Folders of the packages on this machine that took part, and cargo's ids of these.
    folders: BTreeMap<PathBuf, String>,
    /// Files and folders that matter besides those.
    others: BTreeSet<PathBuf>,
    /// All files by the SHA-256 of their content, none for one that did not exist. Empty if
    /// something changed while it was being built.
    files: BTreeMap<PathBuf, Option<String>>,
    /// One of these changed while it was being built.
    #[serde(skip)]
    disturbed: bool,
}

/// What a build was made of.
pub(super) struct Ingredients<'a> {
    /// The manifest's.
    pub folder: &'a Path,
    /// The workspace's.
    pub root: &'a Path,
    pub sysroot: &'a Path,
    pub built: &'a Built,
    pub executable: &'a Path,
    /// Where build scripts leave what they said.
    pub host: &'a Path,
    /// The record of the same build before.
    pub last: Option<&'a Build>,
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
fn likely_places(folder: &Path, arch: Arch, destination: Destination) -> Vec<PathBuf> {
    let place = |target: PathBuf| place(&target, folder, arch, destination);
    let given = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .map(|target| folder.join(target))
        .or_else(|| Settings::of(folder).target_folder());
    match given {
        Some(target) => vec![place(target)],
        None => folder.ancestors().map(|up| place(up.join("target"))).collect(),
    }
}

/// The functions' code as it was built last, by function: those that were built from the sources
/// as they are now, as the manifest says now, under the same variables. Asks nobody.
pub(super) fn current(
    manifest: &Manifest,
    folder: &Path,
    arch: Arch,
    destination: Destination,
) -> BTreeMap<String, Zipped> {
    let places = likely_places(folder, arch, destination);
    let found = places.iter().find_map(|place| Some((place, Record::load(place)?)));
    let Some((place, record)) = found else { return BTreeMap::new() };
    let mut sources = Sources::default();
    let mut unchanged = HashMap::new();
    let mut zips = BTreeMap::new();
    for (id, function) in &manifest.functions {
        let Some(said) = record.functions.get(id) else { continue };
        let Some(build) = record.builds.get(&said.build) else { continue };
        let same =
            unchanged.entry(said.build.as_str()).or_insert_with(|| build.unchanged(&mut sources));
        if *same && *said == Said::of(function, &said.build) {
            zips.extend(build.zip(place, &said.build).map(|zipped| (id.clone(), zipped)));
        }
    }
    zips
}

impl Record {
    pub fn load(place: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(place.join(RECORD)).ok()?).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    pub fn build(&self, wanted: &Wanted) -> Option<&Build> {
        self.builds.get(&key(wanted))
    }

    /// The zip of this very executable, if it was made before.
    pub fn zipped(&self, place: &Path, wanted: &Wanted, executable: &str) -> Option<Zipped> {
        let build = self.build(wanted).filter(|build| build.executable == executable)?;
        build.zip(place, &key(wanted))
    }

    /// Ids of packages that changed with old times, so that cargo would not see it.
    pub fn backdated(&self) -> BTreeSet<String> {
        let mut sources = Sources::default();
        self.builds.values().flat_map(|build| build.backdated(&mut sources)).collect()
    }

    /// Writes the zips, then the record of what they were made of, and removes those of before.
    pub fn store(
        place: &Path,
        manifest: &Manifest,
        wanted: &BTreeMap<String, Wanted>,
        made: &BTreeMap<Wanted, (Build, Zipped)>,
    ) -> Result<()> {
        fs::create_dir_all(place).with_context(|| format!("could not make {}", place.display()))?;
        let mut record = Self { format: FORMAT, ..Self::default() };
        for (id, function) in &manifest.functions {
            if let Some(wanted) = wanted.get(id) {
                record.functions.insert(id.clone(), Said::of(function, &key(wanted)));
            }
        }
        let mut kept = BTreeSet::from([place.join(RECORD)]);
        for (wanted, (build, zipped)) in made {
            let key = key(wanted);
            let path = zip_path(place, &key);
            let there = fs::read(&path).is_ok_and(|zip| *zip == *zipped.zip);
            if !there {
                write(&path, &zipped.zip)?;
            }
            kept.insert(path);
            record.builds.insert(key, build.clone());
        }
        write(&place.join(RECORD), &serde_json::to_vec(&record)?)?;
        for entry in fs::read_dir(place)?.flatten() {
            if !kept.contains(&entry.path()) {
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(())
    }
}

impl Said {
    fn of(function: &Function, build: &str) -> Self {
        Self {
            package: function.package.clone(),
            bin: function.bin.clone(),
            features: function.features.clone(),
            default_features: function.default_features,
            build: build.to_owned(),
        }
    }
}

impl Build {
    pub fn new(executable: &str, zipped: &Zipped, made_of: &Ingredients<'_>) -> Self {
        let built = made_of.built;
        let folders: BTreeMap<_, _> = built
            .local_packages
            .iter()
            .map(|(folder, package)| (folder.clone(), package.id.clone()))
            .collect();
        let mut others = sources::configuration(made_of.folder);
        others.insert(made_of.root.join("Cargo.toml"));
        let lock = made_of.root.join("Cargo.lock");
        others.insert(lock.clone());
        others.extend(sources::dep_info(&made_of.executable.with_extension("d")));
        let files = Sources::default().snapshot(folders.keys(), &others);
        // The clock of a file system can lag behind by some milliseconds.
        let started = made_of.started - Duration::from_millis(20);
        let disturbed = files
            .keys()
            .any(|path| *path != lock && modified(path).is_some_and(|time| time >= started));
        let depended = match made_of.last {
            Some(last) if !built.compiled => last.variables.keys().cloned().collect(),
            _ => sources::env_dependencies(built, made_of.executable, made_of.host),
        };
        Self {
            package: zipped.package.clone(),
            executable: executable.to_owned(),
            sha256: zipped.sha256.clone(),
            findings: zipped.findings.clone(),
            paths: zipped.paths.clone(),
            zig: made_of.zig,
            finished: nanoseconds(SystemTime::now()),
            compiler: compiler(&made_of.sysroot.join("bin").join(RUSTC)),
            variables: sources::variables(depended.iter()),
            folders,
            others,
            files,
            disturbed,
        }
    }

    /// Whether it was made of these very sources. If they changed meanwhile that is so where
    /// cargo, asked once more, left them as they are (`before` is its first answer), or where the
    /// same executable is known to come of them (`last`). Otherwise they are not known.
    pub fn settle(&mut self, last: Option<&Self>, before: Option<Self>) -> bool {
        let known =
            last.is_some_and(|last| last.executable == self.executable && last.files == self.files);
        let Some(before) = before else { return !self.disturbed || known };
        let settled = !self.disturbed || known || before.files == self.files;
        if !settled {
            self.files.clear();
        }
        settled
    }

    /// Nothing that is known to have gone into it has changed.
    fn unchanged(&self, sources: &mut Sources) -> bool {
        let same = |known: &(PathBuf, u64, u128)| compiler(&known.0).as_ref() == Some(known);
        !self.files.is_empty()
            && self.compiler.as_ref().is_some_and(same)
            && sources::variables(self.variables.keys()) == self.variables
            && sources.snapshot(self.folders.keys(), &self.others) == self.files
    }

    fn zip(&self, place: &Path, key: &str) -> Option<Zipped> {
        let zip = fs::read(zip_path(place, key)).ok()?;
        (super::code_sha256(&zip) == self.sha256).then(|| Zipped {
            package: self.package.clone(),
            zip: zip.into(),
            sha256: self.sha256.clone(),
            findings: self.findings.clone(),
            paths: self.paths.clone(),
        })
    }

    fn backdated(&self, sources: &mut Sources) -> BTreeSet<String> {
        if self.files.is_empty() {
            return BTreeSet::new();
        }
        let now = sources.snapshot(self.folders.keys(), &self.others);
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
}

const RUSTC: &str = if cfg!(windows) { "rustc.exe" } else { "rustc" };

fn compiler(path: &Path) -> Option<(PathBuf, u64, u128)> {
    let metadata = fs::metadata(path).ok()?;
    Some((path.to_owned(), metadata.len(), nanoseconds(metadata.modified().ok()?)))
}

/// What a build's files are called: readable, and unlike those of every other build.
fn key(wanted: &Wanted) -> String {
    let Wanted { package, binary, features, default_features, id: _ } = wanted;
    let hash =
        &hex(format!("{package}\0{binary}\0{features:?}\0{default_features}").as_bytes())[..8];
    format!("{package}-{binary}-{hash}")
}

fn zip_path(place: &Path, key: &str) -> PathBuf {
    place.join(format!("{key}.zip"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).with_context(|| format!("could not write {}", path.display()))?;
    Ok(())
}

/// The SHA-256.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
