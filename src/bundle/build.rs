//! Functions from source: cargo, checked for Lambda, zipped, kept for the next time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::cache::{self, Build, Ingredients, Record, Zipped};
use super::cargo::{Binary, Built, Cargo};
use super::compiler::{self, Recipe};
use super::elf::{self, Findings, Obstacle};
use super::settings::Settings;
use super::target::{self, Method, Tools};
use super::workspace::{Wanted, Workspace};
use super::{Arch, Artifact, Destination, Progress, traces, zip};
use crate::failure::Failure;
use crate::manifest::Manifest;

/// Folder below the target folder in which functions are compiled. Nobody else compiles there:
/// cargo would take what was compiled without [`Recipe`] for what is compiled with it.
/// The number changes with what [`Recipe`] does to a command line, which cargo does not see.
const WORKSHOP: &str = "advent/cargo-2";

type OnProgress<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// Builds what changed, which is what cargo says. `folder` is the manifest's.
pub(super) async fn artifacts(
    manifest: &Manifest,
    folder: &Path,
    arch: Arch,
    destination: Destination,
    progress: OnProgress<'_>,
) -> Result<Vec<Artifact>> {
    if manifest.functions.is_empty() {
        return Ok(Vec::new());
    }
    let folder = &found(folder)?;
    let cargo = Cargo::new(folder);
    let (workspace, sysroot) = tokio::try_join!(Workspace::around(&cargo), cargo.sysroot())?;
    let wanted = workspace.wanted(manifest)?;
    let place = cache::place(&workspace.target_directory, folder, arch, destination);
    let workshop = workspace.target_directory.join(WORKSHOP);
    let settings = Settings::of(folder);
    let cargo = compiling(cargo, folder, &workspace, &workshop, &settings)?;
    let _lock = Lock::of(&workshop, progress).await?;

    let last = Record::load(&place).unwrap_or_default();
    let job = Job {
        cargo: &cargo,
        workspace: &workspace,
        folder,
        tools: Tools::of_this_machine(&sysroot),
        sysroot: &sysroot,
        host: workshop.join(destination.profile()),
        arch,
        profile: workspace.profile(destination, &settings),
        place: &place,
        last: &last,
        progress,
    };
    job.clean(&last.backdated()).await?;
    let mut made = BTreeMap::new();
    let mut compiled = false;
    // One after another, each for itself: cargo gives what it builds at once the features of all.
    // At the same time they take no less: each holds cargo's lock for most of its time.
    for wanted in wanted.values().collect::<BTreeSet<_>>() {
        let (build, zipped, anew) = job.build(wanted).await?;
        compiled |= anew;
        made.insert(wanted.clone(), (build, zipped));
    }
    if !compiled {
        progress(Progress::Cached);
    }
    if let Err(error) = Record::store(&place, manifest, &wanted, &made) {
        progress(Progress::Output(&format!("the zips could not be kept: {error:#}")));
    }
    let mut artifacts = Vec::new();
    for (id, wanted) in &wanted {
        let Some((_, zipped)) = made.get(wanted) else { continue };
        let mut artifact = artifact(id, zipped, arch, destination)?;
        progress(Progress::Packed { function: id, bytes: zipped.zip.len() as u64 });
        if let Some(declared) = manifest.functions.get(id) {
            artifact.warnings.extend(workspace.ignored(id, declared, wanted));
        }
        artifacts.push(artifact);
    }
    Ok(artifacts)
}

/// What was built last from the sources as they are now; of functions that were not, nothing.
pub(super) fn last(
    manifest: &Manifest,
    folder: &Path,
    arch: Arch,
    destination: Destination,
) -> Result<Vec<Artifact>> {
    let zips = cache::current(manifest, &found(folder)?, arch, destination);
    // Whether it would start is said where it is built.
    zips.iter().map(|(id, zipped)| artifact(id, zipped, arch, Destination::Local)).collect()
}

fn found(folder: &Path) -> Result<PathBuf> {
    let found = folder.canonicalize();
    found.with_context(|| format!("could not find the folder {}", folder.display()))
}

fn artifact(
    function: &str,
    zipped: &Zipped,
    arch: Arch,
    destination: Destination,
) -> Result<Artifact> {
    let mut warnings = judge(function, &zipped.findings, arch, destination)?;
    warnings.extend(traces::warning(function, &zipped.paths));
    Ok(Artifact {
        function: function.to_owned(),
        package: zipped.package.clone(),
        arch,
        zip: zipped.zip.clone(),
        sha256: zipped.sha256.clone(),
        findings: zipped.findings.clone(),
        warnings,
    })
}

/// A cargo whose compiler is called through this executable.
fn compiling(
    cargo: Cargo,
    folder: &Path,
    workspace: &Workspace,
    workshop: &Path,
    settings: &Settings,
) -> Result<Cargo> {
    let own = std::env::current_exe().context("could not find this executable")?;
    let wrapper = ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"];
    let workspace_wrapper = ["RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER"];
    let workspace_wrapper = settings.program(folder, &workspace_wrapper, "rustc-workspace-wrapper");
    // Cargo compiles members anew when their wrapper is another.
    let mut told_by = workspace.root.as_os_str().as_encoded_bytes().to_vec();
    if let Some(wrapper) = &workspace_wrapper {
        told_by.push(0);
        told_by.extend(wrapper.as_os_str().as_encoded_bytes());
    }
    let member = workshop.join("members").join(&cache::hex(&told_by)[..16]);
    let made = fs::create_dir_all(workshop.join("members"))
        .and_then(|()| mark(&workspace.target_directory))
        .and_then(|()| compiler::make_member(&member, workspace_wrapper.as_deref()));
    made.with_context(|| format!("could not make {}", member.display()))?;
    let recipe = Recipe {
        root: workspace.root.clone(),
        cargo_home: target::cargo_home().map(|home| folder.join(home)),
        target: workshop.to_owned(),
        member,
        wrapper: settings.program(folder, &wrapper, "rustc-wrapper"),
        workspace_wrapper,
    };
    cargo.through(&own, &recipe)
}

/// Marks cargo's target folder as what it is, as cargo does where it makes the folder itself:
/// backups leave it out, and nobody takes what is in it for sources (Cache Directory Tagging
/// Specification).
fn mark(target: &Path) -> std::io::Result<()> {
    let tag = target.join("CACHEDIR.TAG");
    if tag.exists() {
        return Ok(());
    }
    fs::write(
        tag,
        "Signature: 8a477f597d28d172789f06886806bc55\n# What cargo and advent compile.\n",
    )
}

/// Held while executables are built and read: packages may have binaries of one name, which cargo
/// puts into one place, the last one built.
struct Lock {
    _file: File,
}

impl Lock {
    async fn of(workshop: &Path, progress: OnProgress<'_>) -> Result<Self> {
        let path = workshop.join("lock");
        let opened = File::options().append(true).create(true).open(&path);
        let file = opened.with_context(|| format!("could not make {}", path.display()))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            progress(Progress::Output("waiting for another advent that builds here"));
            let waiting = file.try_clone()?;
            tokio::task::spawn_blocking(move || waiting.lock()).await??;
        }
        Ok(Self { _file: file })
    }
}

/// What a start on Lambda would stumble over: warnings, or a failure where it must ship.
pub(super) fn judge(
    function: &str,
    findings: &Findings,
    arch: Arch,
    destination: Destination,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Some(obstacle) = &findings.obstacle {
        let what = format!("function `{function}` would not start on Lambda: {obstacle}");
        if destination == Destination::Aws {
            return Err(Failure::new(what).hint(remedy(obstacle, arch)).into());
        }
        warnings.push(what);
    }
    if !findings.libraries.is_empty() {
        warnings.push(format!(
            "function `{function}` needs {}, which Lambda may not have; link statically instead",
            findings.libraries.join(", ")
        ));
    }
    Ok(warnings)
}

fn remedy(obstacle: &Obstacle, arch: Arch) -> String {
    let triple = target::triple(arch);
    match obstacle {
        Obstacle::Glibc { .. } => format!(
            "let zig link against Lambda's glibc (used by itself once installed):\n  \
             cargo install --locked cargo-zigbuild\n  \
             pip install ziglang\n\
             or link statically:\n  \
             rustup target add {musl}\n  \
             export CARGO_BUILD_TARGET={musl}",
            musl = triple.replace("gnu", "musl")
        ),
        Obstacle::Machine(_) | Obstacle::Format => format!(
            "look for `build.target` in .cargo/config.toml and for CARGO_BUILD_TARGET: \
             it must be {triple}, or not set"
        ),
        Obstacle::Loader(_) => format!(
            "link statically, which is the default for {}: look for `-crt-static` in RUSTFLAGS \
             and .cargo/config.toml",
            triple.replace("gnu", "musl")
        ),
    }
}

struct Job<'a> {
    cargo: &'a Cargo,
    workspace: &'a Workspace,
    /// The manifest's.
    folder: &'a Path,
    tools: Tools,
    sysroot: &'a Path,
    /// Where cargo puts what is for this machine.
    host: PathBuf,
    arch: Arch,
    /// Arguments that select it.
    profile: Vec<String>,
    /// Where the zips are.
    place: &'a Path,
    last: &'a Record,
    progress: OnProgress<'a>,
}

impl Job<'_> {
    /// Makes cargo forget packages.
    async fn clean(&self, packages: &BTreeSet<String>) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let triple = target::triple(self.arch);
        for target in [None, Some(triple)] {
            let mut clean: Vec<&str> = Vec::new();
            clean.extend(self.profile.iter().map(String::as_str));
            clean.extend(target.into_iter().flat_map(|triple| ["--target", triple]));
            clean.extend(packages.iter().flat_map(|id| ["--package", id]));
            // Not of a package that is gone, or has another version: cargo knows that one by itself.
            if let Err(error) = self.cargo.clean(&clean).await {
                let text = format!("what carries old times could not be cleaned: {error:#}");
                (self.progress)(Progress::Output(&text));
            }
        }
        Ok(())
    }

    /// The executable as a zip, and whether something had to be compiled for it.
    async fn build(&self, wanted: &Wanted) -> Result<(Build, Zipped, bool)> {
        let last = self.last.build(wanted);
        let lambda_glibc = self.tools.against_lambda_glibc(self.arch);
        let mut method = match last {
            Some(last) if last.zig && lambda_glibc.is_some() => lambda_glibc.clone(),
            _ => None,
        }
        .map_or_else(|| self.tools.method(self.arch), Ok)?;
        let mut before = None;
        let mut compiled = false;
        loop {
            let started = SystemTime::now();
            let mut built = self.run(&method, wanted).await?;
            compiled |= built.compiled;
            built.compiled = compiled;
            let path = built
                .executable
                .as_deref()
                .with_context(|| format!("cargo said nothing of the binary `{}`", wanted.binary))?;
            let bytes =
                fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
            let executable = cache::hex(&bytes);
            let zipped = match self.last.zipped(self.place, wanted, &executable) {
                Some(zipped) => zipped,
                None => self.zip(wanted, path, bytes).await?,
            };
            let too_new = matches!(zipped.findings.obstacle, Some(Obstacle::Glibc { .. }));
            if let (Method::Native, Some(zig), true) = (&method, &lambda_glibc, too_new) {
                method = zig.clone();
                continue;
            }
            let made_of = Ingredients {
                folder: self.folder,
                root: &self.workspace.root,
                sysroot: self.sysroot,
                built: &built,
                executable: path,
                host: &self.host,
                last,
                started,
                zig: matches!(method, Method::Zig { .. }),
            };
            let mut record = Build::new(&executable, &zipped, &made_of);
            // A build script that writes among the sources changes them while they are built, as
            // a person may: what another look by cargo finds unchanged is what was built.
            let asked_twice = before.is_some();
            if record.settle(last, before.take()) || asked_twice {
                return Ok((record, zipped, compiled));
            }
            before = Some(record);
        }
    }

    /// What `cargo build --package PACKAGE --bin BINARY` gives.
    async fn run(&self, method: &Method, wanted: &Wanted) -> Result<Built> {
        let mut arguments: Vec<OsString> = method.arguments().into_iter().map(Into::into).collect();
        arguments.extend(self.profile.iter().map(Into::into));
        for argument in ["--package", &wanted.id, "--bin", &wanted.binary] {
            arguments.push(argument.into());
        }
        if !wanted.features.is_empty() {
            arguments.extend(["--features".into(), wanted.features.join(",").into()]);
        }
        if !wanted.default_features {
            arguments.push("--no-default-features".into());
        }
        let binary = Binary { package: &wanted.id, name: &wanted.binary };
        self.cargo.build(&arguments, binary, self.progress).await
    }

    async fn zip(&self, wanted: &Wanted, path: &Path, bytes: Vec<u8>) -> Result<Zipped> {
        let findings = elf::examine(&bytes, self.arch)
            .with_context(|| format!("could not examine {}", path.display()))?;
        let paths = traces::find(&bytes, &self.workspace.root);
        let package = wanted.package.clone();
        let work = tokio::task::spawn_blocking(move || -> Result<_> {
            let zip = zip::pack(&package, &bytes)?;
            let sha256 = super::code_sha256(&zip);
            Ok(Zipped { package, zip: zip.into(), sha256, findings, paths })
        });
        work.await.context("zipping was interrupted")?
    }
}
