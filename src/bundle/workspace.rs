//! Which Cargo packages an application's functions are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Destination;
use super::cargo::Cargo;
use crate::failure::Failure;
use crate::manifest::Manifest;

/// The profile of functions for AWS: size and start-up before peak speed.
const LAMBDA: [&str; 6] = [
    "inherits='release'",
    "opt-level='s'",
    "lto='fat'",
    "codegen-units=1",
    "panic='abort'",
    "strip=true",
];

/// The one for the local cloud: the same, but a change is not paid for by optimising and linking
/// the whole program again. Not optimising at all would save the first build another third, and
/// run code that has less in common with what ships.
const LAMBDA_LOCAL: [&str; 4] =
    ["inherits='lambda'", "lto='off'", "codegen-units=16", "incremental=true"];

/// What `cargo metadata` says of the workspace around a folder.
#[derive(Debug, Deserialize)]
pub(super) struct Workspace {
    packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    pub target_directory: PathBuf,
    /// Where cargo keeps intermediate files; older versions do not say.
    build_directory: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    default_run: Option<String>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// One package to build, and which of its binaries is the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub package: String,
    pub id: String,
    pub binary: String,
}

impl Workspace {
    pub async fn around(cargo: &Cargo) -> Result<Self> {
        let text = cargo.output(&["metadata", "--format-version", "1", "--no-deps"]).await?;
        serde_json::from_str(&text).context("could not read what `cargo metadata` says")
    }

    pub fn build_directory(&self) -> &Path {
        self.build_directory.as_deref().unwrap_or(&self.target_directory)
    }

    /// The functions' packages, each once, by name.
    pub fn wanted(&self, manifest: &Manifest) -> Result<BTreeMap<String, Wanted>> {
        let mut wanted = BTreeMap::new();
        for (id, function) in &manifest.functions {
            let name = &function.package;
            if !wanted.contains_key(name) {
                wanted.insert(name.clone(), self.find(id, name)?);
            }
        }
        Ok(wanted)
    }

    fn find(&self, function: &str, name: &str) -> Result<Wanted> {
        let root = self.root.display();
        let Some(package) = self.packages.iter().find(|package| package.name == name) else {
            let mut names: Vec<_> = self
                .packages
                .iter()
                .filter(|package| package.binaries().next().is_some())
                .map(|package| format!("`{}`", package.name))
                .collect();
            names.sort();
            let known = match names.len() {
                0 => "has no package with a binary".to_owned(),
                _ => format!("has {}", names.join(", ")),
            };
            return Err(Failure::new(format!(
                "function `{function}` is the Cargo package `{name}`, which does not exist"
            ))
            .hint(format!(
                "the workspace {root} {known}; name one with `package = \"...\"` under \
                 [function.{function}], or make this one a member of the workspace"
            ))
            .into());
        };
        let binaries: Vec<_> = package.binaries().collect();
        let binary = match binaries[..] {
            [] => {
                return Err(Failure::new(format!(
                    "function `{function}` is the Cargo package `{name}`, which has no binary"
                ))
                .hint(format!("give `{name}` a src/main.rs that runs the function's handler"))
                .into());
            }
            [only] => only,
            _ => [package.default_run.as_deref(), Some(name)]
                .into_iter()
                .flatten()
                .find_map(|choice| binaries.iter().find(|binary| **binary == choice))
                .copied()
                .ok_or_else(|| {
                    Failure::new(format!(
                        "function `{function}` is the Cargo package `{name}`, which has the \
                         binaries {}",
                        binaries.join(", ")
                    ))
                    .hint("name the function's with `default-run` in that package's Cargo.toml")
                })?,
        };
        Ok(Wanted { package: name.into(), id: package.id.clone(), binary: binary.into() })
    }

    /// Arguments that select the profile, defining what of it the workspace does not.
    pub fn profile(&self, destination: Destination) -> Vec<String> {
        let manifest = std::fs::read_to_string(self.root.join("Cargo.toml"));
        let manifest = manifest.ok().and_then(|text| text.parse::<toml::Table>().ok());
        let defined = |name| {
            manifest.as_ref().is_some_and(|table| {
                table.get("profile").and_then(|profiles| profiles.get(name)).is_some()
            })
        };
        let mut arguments = vec!["--profile".to_owned(), destination.profile().to_owned()];
        let mut define = |destination: Destination, settings: &[&str]| {
            let name = destination.profile();
            if !defined(name) {
                for setting in settings {
                    arguments.extend(["--config".into(), format!("profile.{name}.{setting}")]);
                }
            }
        };
        define(Destination::Aws, &LAMBDA);
        if destination == Destination::Local {
            define(Destination::Local, &LAMBDA_LOCAL);
        }
        arguments
    }
}

impl Package {
    fn binaries(&self) -> impl Iterator<Item = &str> {
        let bins = self.targets.iter().filter(|target| target.kind.iter().any(|k| k == "bin"));
        bins.map(|target| target.name.as_str())
    }
}
