//! The application as bytes: built, checked, zipped, embedded.

mod build;
mod cache;
mod cargo;
mod cargo_lambda;
mod cargo_progress;
mod compiler;
mod elf;
mod embed;
mod process;
mod settings;
mod sources;
mod target;
#[cfg(test)]
mod tests;
mod traces;
mod workspace;
mod zip;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

pub use compiler::stand_in;

use crate::failure::Failure;
use crate::manifest::{Manifest, Source};

/// Processor architecture of the functions, named as Lambda names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Arm64,
}

impl Arch {
    /// The one of this machine, or the nearest thing that Lambda has.
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "x86_64" => Ok(Self::X86_64),
            "arm64" => Ok(Self::Arm64),
            _ => Err("Lambda has x86_64 and arm64".into()),
        }
    }
}

/// An application, and where it comes from.
#[derive(Debug, Clone)]
pub struct Application {
    pub manifest: Manifest,
    /// The manifest's text.
    pub toml: String,
    pub source: Source,
}

impl Application {
    /// The application of the folder `start`, or of one above it; otherwise the one that the
    /// running executable carries. Refuses where there is neither, and a manifest with mistakes.
    pub fn find(start: &Path) -> Result<Self> {
        if let Some((folder, toml, manifest)) = Manifest::find(start)? {
            return Ok(Self { manifest, toml, source: Source::Folder(folder) });
        }
        if let Some(carrier) = embed::Carrier::running()? {
            let toml = carrier.manifest().to_owned();
            let manifest = Manifest::parse(&toml, "advent.toml")?;
            return Ok(Self { manifest, toml, source: Source::Embedded });
        }
        Err(Failure::refused(format!(
            "there is no advent.toml in {} or above it, and this executable carries no \
             application",
            start.display()
        ))
        .hint("go to a folder with an advent.toml; README.md shows how to write one")
        .into())
    }

    /// The architecture to take where none is asked for: this machine's, or the one that the
    /// running executable carries the functions for.
    pub fn arch(&self) -> Result<Arch> {
        match self.source {
            Source::Folder(_) => Ok(Arch::host()),
            Source::Embedded => carrier()?.arch(),
        }
    }
}

/// A function's code, ready for Lambda.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Id of the function in the manifest.
    pub function: String,
    /// Cargo package that it was built from.
    pub package: String,
    pub arch: Arch,
    pub zip: Arc<[u8]>,
    /// Base64 of the SHA-256 of the zip: what Lambda reports as `CodeSha256`.
    pub sha256: String,
    findings: elf::Findings,
    /// What may go wrong on Lambda.
    pub warnings: Vec<String>,
}

/// How a build goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// `done` of `total` crates are compiled, and `krate` is one of those under way; empty if
    /// cargo does not say.
    Compiling {
        done: usize,
        total: usize,
        krate: &'a str,
    },
    /// A line of the compiler's warnings, or what cargo waits for. Errors are in the failure.
    Output(&'a str),
    Packed {
        function: &'a str,
        bytes: u64,
    },
    /// Nothing changed since the last build.
    Cached,
}

/// Where functions are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// As small as they get; one that could not start on Lambda is refused.
    Aws,
    /// Built again quickly after a change; one that could not start on Lambda is kept, with a
    /// warning: it may well run on this machine.
    Local,
}

impl Destination {
    /// The cargo profile that functions are built with.
    fn profile(self) -> &'static str {
        match self {
            Self::Aws => "lambda",
            Self::Local => "lambda-local",
        }
    }
}

/// The code of all functions, in the order of their ids: built from source where `app` comes
/// from a folder, else what the running executable carries.
pub async fn artifacts(
    app: &Application,
    arch: Arch,
    destination: Destination,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Vec<Artifact>> {
    let folder = match &app.source {
        Source::Folder(folder) => folder,
        Source::Embedded => return embedded(arch, destination, progress),
    };
    build::artifacts(&app.manifest, folder, arch, destination, progress).await
}

/// What the running executable carries, if it carries an application.
///
/// # Errors
/// It is damaged.
pub fn carried() -> Result<Option<Carried>> {
    let Some(carrier) = embed::Carrier::running()? else { return Ok(None) };
    let manifest = Manifest::parse(carrier.manifest(), "advent.toml")?;
    let functions = manifest.functions.into_keys().collect();
    Ok(Some(Carried { stack: manifest.name, functions, arch: carrier.arch()? }))
}

/// What an executable carries.
#[derive(Debug)]
pub struct Carried {
    pub stack: String,
    /// By their ids in the manifest.
    pub functions: Vec<String>,
    pub arch: Arch,
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, functions, arch } = self;
        write!(f, "the application {stack} ({}; {arch})", functions.join(", "))
    }
}

/// The functions' code without building anything: what was built last, of functions whose sources
/// are still those of then. It is a look at the sources and no proof: [`artifacts`] asks cargo.
pub fn last_built(
    app: &Application,
    arch: Arch,
    destination: Destination,
) -> Result<Vec<Artifact>> {
    match &app.source {
        Source::Folder(folder) => build::last(&app.manifest, folder, arch, destination),
        Source::Embedded => embedded(arch, destination, &|_| ()),
    }
}

/// Ends what builds start, such as compilers, at once: this process is about to end.
pub fn end_builds() {
    process::end_all();
}

fn carrier() -> Result<embed::Carrier> {
    embed::Carrier::running()?.context("this executable carries no application")
}

fn embedded(
    arch: Arch,
    destination: Destination,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Vec<Artifact>> {
    let mut artifacts = carrier()?.artifacts(arch)?;
    progress(Progress::Cached);
    for artifact in &mut artifacts {
        // It may have been packed from what was built for the local cloud only.
        artifact.warnings =
            build::judge(&artifact.function, &artifact.findings, arch, destination)?;
    }
    Ok(artifacts)
}

/// Writes an executable to `out` that is `base` and carries the application, replacing what
/// `base` carries already. Returns its size in bytes.
pub fn pack(app: &Application, artifacts: &[Artifact], base: &Path, out: &Path) -> Result<u64> {
    let arch = artifacts.first().map_or_else(Arch::host, |artifact| artifact.arch);
    embed::write(&app.toml, artifacts, arch, base, &destination(out)?)
}

/// Refuses an `out` that [`pack`] would not write to.
///
/// # Errors
/// It exists and is no file.
pub fn check_out(out: &Path) -> Result<()> {
    destination(out).map(drop)
}

/// The file that is to be written: `out`, or what it links to.
///
/// # Errors
/// A refusal where something is there that is no file: a folder, a device, a link to nothing.
fn destination(out: &Path) -> Result<PathBuf> {
    let Ok(there) = out.symlink_metadata() else { return Ok(out.to_owned()) };
    let real = if there.is_symlink() { std::fs::canonicalize(out) } else { Ok(out.to_owned()) };
    match real {
        Ok(real) if real.is_file() => Ok(real),
        _ => Err(Failure::refused(format!("{} exists and is not a file", out.display()))
            .hint("choose another name: `--out FILE`")
            .into()),
    }
}

/// Base64 of the SHA-256, as Lambda reports it.
fn code_sha256(zip: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(zip))
}
