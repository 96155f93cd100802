//! Functions from source: cargo, checked for Lambda, zipped, kept for the next time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::cache::{self, Ingredients, Record, Zipped};
use super::cargo::{Built, Cargo};
use super::elf::{self, Findings, Obstacle};
use super::target::{self, Method, Tools};
use super::workspace::{Wanted, Workspace};
use super::{Arch, Artifact, Destination, Progress, zip};
use crate::failure::Failure;
use crate::manifest::Manifest;

type Report<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// Builds what changed. `folder` is the manifest's.
pub(super) async fn artifacts(
    manifest: &Manifest,
    folder: &Path,
    arch: Arch,
    destination: Destination,
    progress: Report<'_>,
) -> Result<Vec<Artifact>> {
    if manifest.functions.is_empty() {
        return Ok(Vec::new());
    }
    let folder = &folder
        .canonicalize()
        .with_context(|| format!("could not find the folder {}", folder.display()))?;
    let packages: BTreeSet<_> =
        manifest.functions.values().map(|function| function.package.as_str()).collect();

    let zips =
        match unchanged(&cache::likely_places(folder, arch, destination), &packages, destination) {
            Some(zips) => {
                progress(Progress::Cached);
                zips
            }
            None => build(manifest, folder, arch, destination, progress).await?,
        };
    let mut artifacts = Vec::new();
    for (function, declared) in &manifest.functions {
        let Some(zipped) = zips.get(&declared.package) else { continue };
        let warnings = judge(function, &zipped.findings, arch, destination)?;
        progress(Progress::Packed { function, bytes: zipped.zip.len() as u64 });
        artifacts.push(Artifact {
            function: function.clone(),
            package: declared.package.clone(),
            arch,
            zip: zipped.zip.clone(),
            sha256: zipped.sha256.clone(),
            findings: zipped.findings.clone(),
            warnings,
        });
    }
    Ok(artifacts)
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

fn unchanged(
    places: &[PathBuf],
    packages: &BTreeSet<&str>,
    destination: Destination,
) -> Option<BTreeMap<String, Zipped>> {
    let zips = places.iter().find_map(|place| Record::load(place)?.zips(place, packages))?;
    // Something may have been installed since that helps.
    let hopeless = destination == Destination::Aws
        && zips.values().any(|zipped| zipped.findings.obstacle.is_some());
    (!hopeless).then_some(zips)
}

async fn build(
    manifest: &Manifest,
    folder: &Path,
    arch: Arch,
    destination: Destination,
    progress: Report<'_>,
) -> Result<BTreeMap<String, Zipped>> {
    let cargo = Cargo::new(folder);
    let (workspace, sysroot) = tokio::try_join!(Workspace::around(&cargo), cargo.sysroot())?;
    let place = cache::place(&workspace.target_directory, folder, arch, destination);
    // A target directory that only cargo's configuration knows of.
    let packages: BTreeSet<_> =
        manifest.functions.values().map(|function| function.package.as_str()).collect();
    if let Some(zips) = unchanged(std::slice::from_ref(&place), &packages, destination) {
        progress(Progress::Cached);
        return Ok(zips);
    }
    let wanted = workspace.wanted(manifest)?;
    let tools = Tools::of_this_machine(&sysroot);
    let last = Record::load(&place);
    let profile = workspace.profile(destination);
    let job =
        Job { cargo: &cargo, workspace: &workspace, wanted: &wanted, arch, profile, progress };

    let lambda_glibc = tools.against_lambda_glibc(arch);
    let mut method = match &last {
        Some(last) if last.zig && lambda_glibc.is_some() => lambda_glibc.clone(),
        _ => None,
    }
    .map_or_else(|| tools.method(arch), Ok)?;
    let backdated = last.map(|last| last.backdated()).unwrap_or_default();
    let mut started = SystemTime::now();
    let (mut built, mut executables) = job.run(&method, &backdated).await?;
    let too_new = |(_, findings): &(PathBuf, Findings)| {
        matches!(findings.obstacle, Some(Obstacle::Glibc { .. }))
    };
    if let (Method::Native, Some(zig)) = (&method, lambda_glibc)
        && executables.values().any(too_new)
    {
        method = zig;
        started = SystemTime::now();
        (built, executables) = job.run(&method, &backdated).await?;
    }

    let zips = pack(&executables).await?;
    let made_of = Ingredients {
        folder,
        workspace: &workspace,
        sysroot: &sysroot,
        local_packages: &built.local_packages,
        executables: executables.values().map(|(path, _)| path.as_path()).collect(),
        triple: method.triple(),
        profile: destination.profile(),
        started,
        zig: matches!(method, Method::Zig { .. }),
    };
    if let Err(error) = Record::store(&place, &zips, &made_of) {
        progress(Progress::Output(&format!("the zips could not be kept: {error:#}")));
    }
    Ok(zips)
}

struct Job<'a> {
    cargo: &'a Cargo,
    workspace: &'a Workspace,
    wanted: &'a BTreeMap<String, Wanted>,
    arch: Arch,
    /// Arguments that select it.
    profile: Vec<String>,
    progress: Report<'a>,
}

impl Job<'_> {
    /// One build of all packages: the executables by package, examined.
    async fn run(
        &self,
        method: &Method,
        backdated: &BTreeSet<String>,
    ) -> Result<(Built, BTreeMap<String, (PathBuf, Findings)>)> {
        if !backdated.is_empty() {
            let mut clean = vec!["clean"];
            clean.extend(self.profile.iter().map(String::as_str));
            clean.extend(method.triple().into_iter().flat_map(|triple| ["--target", triple]));
            clean.extend(backdated.iter().flat_map(|id| ["--package", id]));
            self.cargo.output(&clean).await?;
        }
        let mut arguments: Vec<OsString> = method.arguments().into_iter().map(Into::into).collect();
        arguments.extend(self.profile.iter().map(Into::into));
        arguments.extend(self.remapped_paths());
        for wanted in self.wanted.values() {
            for argument in ["--package", &wanted.id, "--bin", &wanted.binary] {
                arguments.push(argument.into());
            }
        }
        let built = self.cargo.build(&arguments, self.progress).await?;
        let mut executables = BTreeMap::new();
        for (package, wanted) in self.wanted {
            let path = built
                .executables
                .get(&wanted.id)
                .and_then(|paths| {
                    paths.iter().find(|path| path.file_stem() == Some(wanted.binary.as_ref()))
                })
                .with_context(|| format!("cargo said nothing of the binary `{}`", wanted.binary))?;
            let bytes = std::fs::read(path)
                .with_context(|| format!("could not read {}", path.display()))?;
            let findings = elf::examine(&bytes, self.arch)
                .with_context(|| format!("could not examine {}", path.display()))?;
            executables.insert(package.clone(), (path.clone(), findings));
        }
        Ok((built, executables))
    }

    /// Keeps this machine's folders out of the executables, so that the same source gives the
    /// same bytes wherever it lies. Flags of the user's own win over these.
    fn remapped_paths(&self) -> Vec<OsString> {
        let own = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"];
        if own.iter().any(|name| std::env::var_os(name).is_some()) {
            return Vec::new();
        }
        let mut flags = Vec::new();
        let root = Some(self.workspace.root.clone());
        for (from, to) in [(root, "."), (target::cargo_home(), "/cargo")] {
            if let Some(from) = from.and_then(|from| from.to_str().map(str::to_owned))
                && !from.contains('\'')
            {
                flags.push(format!("'--remap-path-prefix={from}={to}'"));
            }
        }
        vec!["--config".into(), format!("build.rustflags=[{}]", flags.join(",")).into()]
    }
}

/// Zips all executables at once; the work is compression.
async fn pack(
    executables: &BTreeMap<String, (PathBuf, Findings)>,
) -> Result<BTreeMap<String, Zipped>> {
    let jobs = executables.iter().map(|(package, (path, findings))| {
        let (package, path, findings) = (package.clone(), path.clone(), findings.clone());
        tokio::task::spawn_blocking(move || -> Result<_> {
            let zip = zip::pack(&package, &std::fs::read(&path)?)?;
            let sha256 = super::code_sha256(&zip);
            Ok((package, Zipped { zip: zip.into(), sha256, findings }))
        })
    });
    let mut zips = BTreeMap::new();
    for done in futures::future::join_all(jobs).await {
        let (package, zipped) = done.context("zipping was interrupted")??;
        zips.insert(package, zipped);
    }
    Ok(zips)
}
