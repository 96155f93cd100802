//! Which Cargo packages an application's functions are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::cargo::Cargo;
use super::settings::Settings;
use super::{Destination, cargo_lambda};
use crate::failure::Failure;
use crate::manifest::{Function, Manifest};

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
    /// The table `[workspace.metadata]`.
    #[serde(default)]
    metadata: Value,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    default_run: Option<String>,
    targets: Vec<Target>,
    /// The table `[package.metadata]`.
    #[serde(default)]
    metadata: Value,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// One executable to build: what functions share that are built alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// Name of the package.
    pub package: String,
    /// Cargo's id of it.
    pub id: String,
    pub binary: String,
    pub features: Vec<String>,
    pub default_features: bool,
}

impl Workspace {
    pub async fn around(cargo: &Cargo) -> Result<Self> {
        let text = cargo.output(&["metadata", "--format-version", "1", "--no-deps"]).await?;
        serde_json::from_str(&text).context("could not read what `cargo metadata` says")
    }

    /// What each function is built from, by the function's id.
    pub fn wanted(&self, manifest: &Manifest) -> Result<BTreeMap<String, Wanted>> {
        let functions = manifest.functions.iter();
        functions.map(|(id, function)| Ok((id.clone(), self.find(id, function)?))).collect()
    }

    fn find(&self, id: &str, function: &Function) -> Result<Wanted> {
        let package = match &function.package {
            Some(name) => self.package(id, name)?,
            None => match self.packages.iter().find(|package| package.name == id) {
                Some(package) => package,
                None => self.package_with(id, function.bin.as_deref().unwrap_or(id))?,
            },
        };
        Ok(Wanted {
            package: package.name.clone(),
            id: package.id.clone(),
            binary: package.binary(id, function)?.to_owned(),
            features: function.features.clone(),
            default_features: function.default_features,
        })
    }

    fn package(&self, id: &str, name: &str) -> Result<&Package> {
        let named = self.packages.iter().find(|package| package.name == name);
        named.ok_or_else(|| {
            let what =
                format!("function `{id}` is the Cargo package `{name}`, which does not exist");
            self.nowhere(id, what).into()
        })
    }

    /// The only package with this binary.
    fn package_with(&self, id: &str, binary: &str) -> Result<&Package> {
        let has = |package: &&Package| package.binaries().any(|found| found == binary);
        let found: Vec<_> = self.packages.iter().filter(has).collect();
        match found[..] {
            [only] => Ok(only),
            [] => {
                let what = format!(
                    "function `{id}` is the Cargo package `{id}`, which does not exist, and no \
                     package has a binary `{binary}`"
                );
                Err(self.nowhere(id, what).into())
            }
            _ => Err(Failure::new(format!(
                "function `{id}` is the binary `{binary}`, which several packages have: {}",
                quoted(found.iter().map(|package| package.name.as_str()))
            ))
            .hint(format!("name one with `package = \"...\"` under [function.{id}]"))
            .into()),
        }
    }

    fn nowhere(&self, id: &str, what: String) -> Failure {
        let root = self.root.display();
        let programs = self.packages.iter().filter(|package| package.binaries().next().is_some());
        let known = match quoted(programs.map(|package| package.name.as_str())) {
            none if none.is_empty() => "has no package with a binary".to_owned(),
            names => format!("has {names}"),
        };
        Failure::new(what).hint(format!(
            "the workspace {root} {known}; name one with `package = \"...\"` under \
             [function.{id}], or make this one a member of the workspace"
        ))
    }

    /// What cargo-lambda is told in Cargo.toml about a function, and advent does not do.
    pub fn ignored(&self, id: &str, function: &Function, wanted: &Wanted) -> Vec<String> {
        let package = self.packages.iter().find(|package| package.id == wanted.id);
        let tables = [&self.metadata].into_iter().chain(package.map(|package| &package.metadata));
        cargo_lambda::ignored(id, function, wanted, tables)
    }

    /// Arguments that select the profile, defining what of it is not defined: all of one that
    /// neither the workspace's manifest has nor, with what it inherits, cargo's configuration, but for
    /// the keys that are `configured`, which cargo would let these arguments overrule.
    pub fn profile(&self, destination: Destination, configured: &Settings) -> Vec<String> {
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
            if !defined(name) && !configured.has_profile_key(name, "inherits") {
                let key = |setting: &str| setting.split('=').next().map(str::to_owned);
                let is_free = |setting: &&&str| {
                    key(setting).is_some_and(|key| !configured.has_profile_key(name, &key))
                };
                for setting in settings.iter().filter(is_free) {
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

    /// The binary that a function is.
    fn binary(&self, id: &str, function: &Function) -> Result<&str> {
        let name = &self.name;
        let binaries: Vec<_> = self.binaries().collect();
        let has = |choice: &str| binaries.iter().copied().find(|binary| *binary == choice);
        let which = format!("function `{id}` is the Cargo package `{name}`, which has");
        if let Some(bin) = &function.bin {
            return has(bin).ok_or_else(|| {
                let failure = Failure::new(format!("{which} no binary `{bin}`"));
                let hint = match quoted(binaries.iter().copied()) {
                    none if none.is_empty() => "it has no binary at all".to_owned(),
                    names => format!("it has {names}"),
                };
                failure.hint(hint).into()
            });
        }
        // The package may be named for all its functions, and the id for the one.
        let own = Some(id).filter(|id| name != id);
        match binaries[..] {
            [] => Err(Failure::new(format!("{which} no binary"))
                .hint(format!("give `{name}` a src/main.rs that runs the function's handler"))
                .into()),
            [only] => Ok(only),
            _ => [own, self.default_run.as_deref(), Some(name)]
                .into_iter()
                .flatten()
                .find_map(has)
                .ok_or_else(|| {
                    let names = quoted(binaries.iter().copied());
                    Failure::new(format!("{which} the binaries {names}"))
                        .hint(format!(
                            "name the function's with `bin = \"...\"` under [function.{id}]"
                        ))
                        .into()
                }),
        }
    }
}

/// In order, for a message.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    names.sort();
    names.join(", ")
}
