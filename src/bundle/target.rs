//! How functions are compiled and linked for an architecture on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Arch;
use super::elf::LAMBDA_GLIBC;
use crate::failure::Failure;

/// How cargo is asked to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    /// As any program on this machine.
    Native,
    /// For another architecture, with that cross linker, or with one that is configured.
    Cross { triple: &'static str, linker: Option<String> },
    /// With zig as the linker, which can link against the glibc that Lambda has.
    Zig { triple: &'static str },
}

impl Method {
    /// Cargo's subcommand and its target arguments.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Native => vec!["build".into()],
            Self::Cross { triple, linker } => {
                let mut arguments = vec!["build".into(), "--target".into(), (*triple).into()];
                if let Some(linker) = linker {
                    let config = format!("target.{triple}.linker='{linker}'");
                    arguments.extend(["--config".into(), config]);
                }
                arguments
            }
            Self::Zig { triple } => {
                vec!["zigbuild".into(), "--target".into(), format!("{triple}.{LAMBDA_GLIBC}")]
            }
        }
    }
}

/// What this machine has for building.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools {
    /// Architecture of this machine, if it runs Linux.
    linux: Option<Arch>,
    pub zigbuild: bool,
    /// Triples whose Rust standard library is installed.
    standard_libraries: BTreeSet<&'static str>,
    /// Triples with a linker set by environment variable, as cargo documents it.
    configured_linkers: BTreeSet<&'static str>,
    /// Cross linkers found, such as `aarch64-linux-gnu-gcc`.
    linkers: BTreeSet<&'static str>,
}

impl Tools {
    /// Looks around. `sysroot` is the folder of the Rust toolchain.
    pub fn of_this_machine(sysroot: &Path) -> Self {
        let both = [Arch::X86_64, Arch::Arm64];
        let standard_library = |triple: &str| sysroot.join("lib/rustlib").join(triple).join("lib");
        Self {
            linux: cfg!(target_os = "linux").then(Arch::host),
            zigbuild: program("cargo-zigbuild"),
            standard_libraries: both
                .map(triple)
                .into_iter()
                .filter(|triple| standard_library(triple).is_dir())
                .collect(),
            configured_linkers: both
                .map(triple)
                .into_iter()
                .filter(|triple| std::env::var_os(linker_variable(triple)).is_some())
                .collect(),
            linkers: both.map(gcc).into_iter().filter(|gcc| program(gcc)).collect(),
        }
    }

    /// How to build for `arch`. Refuses, with the commands that help, where this machine cannot.
    pub fn method(&self, arch: Arch) -> Result<Method> {
        if self.linux == Some(arch) {
            return Ok(Method::Native);
        }
        let triple = triple(arch);
        let gcc = gcc(arch);
        if self.standard_libraries.contains(triple) {
            if self.zigbuild {
                return Ok(Method::Zig { triple });
            }
            if self.configured_linkers.contains(triple) {
                return Ok(Method::Cross { triple, linker: None });
            }
            if self.linkers.contains(gcc) {
                return Ok(Method::Cross { triple, linker: Some(gcc.into()) });
            }
        }
        let mut commands = Vec::new();
        if !self.standard_libraries.contains(triple) {
            commands.push(format!("rustup target add {triple}"));
        }
        if !self.zigbuild {
            commands.push("cargo install --locked cargo-zigbuild".into());
            commands.push("pip install ziglang".into());
        }
        let lacks = match (self.standard_libraries.contains(triple), self.zigbuild) {
            (false, true) => "the Rust target is",
            (true, false) => "a linker is",
            _ => "the Rust target and a linker are",
        };
        Err(Failure::refused(format!("cannot build for Linux on {arch}: {lacks} not installed"))
            .hint(format!("install what is missing:\n  {}", commands.join("\n  ")))
            .into())
    }

    /// How to build for `arch` against Lambda's glibc.
    pub fn against_lambda_glibc(&self, arch: Arch) -> Option<Method> {
        let triple = triple(arch);
        let possible = self.zigbuild && self.standard_libraries.contains(triple);
        possible.then_some(Method::Zig { triple })
    }
}

pub(super) fn triple(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-unknown-linux-gnu",
        Arch::Arm64 => "aarch64-unknown-linux-gnu",
    }
}

fn gcc(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-linux-gnu-gcc",
        Arch::Arm64 => "aarch64-linux-gnu-gcc",
    }
}

fn linker_variable(triple: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"))
}

/// Whether a program is on the PATH or where `cargo install` puts it.
fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(cargo_home().map(|home| home.join("bin")));
    folders
        .iter()
        .any(|folder| folder.join(name).is_file() || folder.join(format!("{name}.exe")).is_file())
}

/// `CARGO_HOME`, or its default.
pub(super) fn cargo_home() -> Option<PathBuf> {
    home("CARGO_HOME", ".cargo")
}

/// `RUSTUP_HOME`, or its default.
pub(super) fn rustup_home() -> Option<PathBuf> {
    home("RUSTUP_HOME", ".rustup")
}

fn home(variable: &str, default: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set.or_else(|| std::env::home_dir().map(|home| home.join(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(linux: Option<Arch>) -> Tools {
        Tools { linux, ..Tools::default() }
    }

    #[test]
    fn own_architecture_on_linux_needs_nothing() {
        let method = tools(Some(Arch::Arm64)).method(Arch::Arm64).unwrap();
        assert_eq!(method, Method::Native);
        assert_eq!(method.arguments(), ["build"]);
    }

    #[test]
    fn what_is_missing_is_named_by_command() {
        let refusal = |tools: &Tools| {
            let error = tools.method(Arch::Arm64).unwrap_err();
            let failure = Failure::of(&error).unwrap();
            assert_eq!(failure.exit, 2);
            (failure.what.clone(), failure.hint.clone().unwrap())
        };
        let mut tools = tools(Some(Arch::X86_64));
        let (what, hint) = refusal(&tools);
        assert!(what.contains("arm64") && what.contains("target and a linker"), "{what}");
        let commands: Vec<_> = hint.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            commands,
            [
                "rustup target add aarch64-unknown-linux-gnu",
                "cargo install --locked cargo-zigbuild",
                "pip install ziglang"
            ]
        );
        tools.zigbuild = true;
        assert!(!refusal(&tools).1.contains("ziglang"));
        tools.zigbuild = false;
        tools.standard_libraries.insert("aarch64-unknown-linux-gnu");
        assert!(!refusal(&tools).1.contains("rustup"));
    }

    #[test]
    fn zig_comes_before_other_cross_linkers() {
        let triple = "aarch64-unknown-linux-gnu";
        let mut tools = tools(None);
        tools.standard_libraries.insert(triple);
        tools.linkers.insert("aarch64-linux-gnu-gcc");
        let cross = tools.method(Arch::Arm64).unwrap();
        assert_eq!(
            cross.arguments(),
            [
                "build",
                "--target",
                triple,
                "--config",
                "target.aarch64-unknown-linux-gnu.linker='aarch64-linux-gnu-gcc'"
            ]
        );
        tools.configured_linkers.insert(triple);
        assert_eq!(
            tools.method(Arch::Arm64).unwrap(),
            Method::Cross { triple, linker: None },
            "what is configured is not overruled"
        );
        tools.zigbuild = true;
        let zig = tools.method(Arch::Arm64).unwrap();
        assert_eq!(zig.arguments(), ["zigbuild", "--target", "aarch64-unknown-linux-gnu.2.34"]);
    }

    #[test]
    fn other_systems_always_cross_build() {
        let error = tools(None).method(Arch::host()).unwrap_err();
        assert!(Failure::of(&error).is_some());
        assert_eq!(linker_variable("a-b-c"), "CARGO_TARGET_A_B_C_LINKER");
    }
}
