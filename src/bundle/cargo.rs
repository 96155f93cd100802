//! Running cargo: a clean environment, its progress as events, its errors as failures.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use super::Progress;
use super::cargo_progress::read_progress;
use super::compiler::{self, Recipe};
use super::process::{self, Group};
use crate::failure::Failure;

/// What `cargo run`, `cargo test` and build scripts set for their children, which would mislead
/// another cargo. What a person sets (`CARGO_HOME`, `CARGO_TARGET_DIR`, `RUSTFLAGS`, ...) stays.
const INHERITED: [&str; 19] = [
    "CARGO",
    "CARGO_CRATE_NAME",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_RUSTC_CURRENT_DIR",
    "CARGO_TARGET_TMPDIR",
    "DEBUG",
    "HOST",
    "MAKEFLAGS",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUST_RECURSION_COUNT",
    "TARGET",
];

/// How cargo is called in one folder.
#[derive(Debug)]
pub(super) struct Cargo {
    program: PathBuf,
    folder: PathBuf,
    /// Set for builds.
    variables: Vec<(&'static str, OsString)>,
    /// Arguments that say where to compile.
    target: Vec<OsString>,
    /// Warnings that were said: what several executables are made of warns with each of them.
    said: Mutex<BTreeSet<String>>,
}

/// The one executable that a build is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binary<'a> {
    /// Cargo's id of the package.
    pub package: &'a str,
    pub name: &'a str,
}

/// What a build left.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// Where cargo says that the wanted executable is.
    pub executable: Option<PathBuf>,
    /// The packages on this machine (not from a registry) that took part, by folder.
    pub local_packages: BTreeMap<PathBuf, LocalPackage>,
    /// Something was compiled.
    pub compiled: bool,
}

#[derive(Debug, Default)]
pub(super) struct LocalPackage {
    pub id: String,
    /// Names of its libraries, binaries and build scripts.
    pub targets: BTreeSet<String>,
}

impl Cargo {
    pub fn new(folder: &Path) -> Self {
        // Under `cargo run` it is the very cargo that runs, also where none is on the PATH.
        let running = std::env::var_os("CARGO").map(PathBuf::from).filter(|path| path.is_file());
        let program = running.unwrap_or_else(|| "cargo".into());
        Self::with_program(&program, folder)
    }

    /// One whose builds call `advent`, this executable, in the place of the compiler.
    pub fn through(mut self, advent: &Path, recipe: &Recipe) -> Result<Self> {
        self.variables = vec![
            ("RUSTC_WRAPPER", advent.into()),
            ("RUSTC_WORKSPACE_WRAPPER", recipe.member.clone().into()),
            (compiler::VARIABLE, serde_json::to_string(recipe)?.into()),
        ];
        // No variables: a build script that runs cargo would wait for the lock of this very build.
        self.target = vec!["--target-dir".into(), recipe.target.clone().into()];
        if let Some(target) = recipe.target.to_str() {
            // The folder of what is intermediate, where cargo's configuration has another.
            let target = toml::Value::from(target);
            self.target.extend(["--config".into(), format!("build.build-dir={target}").into()]);
        }
        Ok(self)
    }

    fn with_program(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            variables: Vec::new(),
            target: Vec::new(),
            said: Mutex::default(),
        }
    }

    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        #[cfg(unix)]
        if Group::is_apart() {
            command.process_group(0);
        }
        for (name, _) in std::env::vars_os() {
            if is_inherited(&name) {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `cargo clean` with these arguments.
    pub async fn clean(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(self.program.as_os_str());
        command.arg("clean").args(arguments).args(&self.target);
        self.output_of(command).await.map(drop)
    }

    /// Standard output of a short command of cargo's.
    pub async fn output(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(self.program.as_os_str());
        command.args(arguments);
        self.output_of(command).await
    }

    async fn output_of(&self, mut command: Command) -> Result<String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| self.not_started(error))?;
        let group = Group::new(child.id());
        let output = child.wait_with_output().await?;
        group.ended();
        if !output.status.success() {
            process::was_ended(output.status).await;
            return Err(self.failed(&String::from_utf8_lossy(&output.stderr)).into());
        }
        String::from_utf8(output.stdout).context("cargo's output is not UTF-8")
    }

    /// Folder of the Rust toolchain that cargo uses here.
    pub async fn sysroot(&self) -> Result<PathBuf> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = self.command(&rustc).args(["--print", "sysroot"]).output().await;
        let output = output.context("could not run `rustc`")?;
        if !output.status.success() {
            return Err(self.failed(&String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
    }

    /// Runs a build of one executable. `arguments` begin with the subcommand. What it has started
    /// ends when this is dropped.
    pub async fn build(
        &self,
        arguments: &[OsString],
        binary: Binary<'_>,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Built> {
        let mut command = self.command(self.program.as_os_str());
        command
            .args(arguments)
            .args(&self.target)
            .args(["--message-format", "json"])
            // A bar of any width says "n/m: crates"; a narrow one leaves the crates out.
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "200")
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_QUIET", "false")
            .env("CARGO_TERM_VERBOSE", "false")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.not_started(error))?;
        let group = Group::new(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            anyhow::bail!("cargo's output could not be read");
        };
        let (messages, text) =
            tokio::try_join!(read_messages(stdout, binary), read_progress(stderr, progress))?;
        let status = child.wait().await?;
        group.ended();
        let succeeded = status.success();
        if process::was_ended(status).await {
            return Err(self.failed(&format!("it was ended: {status}")).into());
        }
        // What cargo and the compiler warn of is said once, not again with every look whether
        // something has to be compiled.
        if messages.built.compiled || !succeeded {
            let news = messages.warnings.iter().filter(|it| self.is_news(it));
            let warned = news.flat_map(|warning| warning.lines());
            let own = text.lines().filter(|_| succeeded);
            warned.chain(own).for_each(|line| progress(Progress::Output(line)));
        }
        if succeeded {
            return Ok(messages.built);
        }
        Err(if messages.errors.is_empty() {
            self.failed(&text).into()
        } else {
            does_not_compile(&messages).into()
        })
    }

    fn is_news(&self, warning: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(warning.to_owned())
    }

    fn not_started(&self, error: std::io::Error) -> Failure {
        let failure = Failure::new(format!("could not run `{}`", self.program.display()));
        if error.kind() == std::io::ErrorKind::NotFound {
            return failure.source(error).hint(
                "building functions from source needs Rust: install it from https://rustup.rs, \
                 or use an executable that `advent pack` wrote",
            );
        }
        failure.source(error)
    }

    fn failed(&self, stderr: &str) -> Failure {
        let text = stderr.trim();
        if text.contains("Failed to find zig") {
            return Failure::new("cargo-zigbuild could not find zig")
                .hint("install what is missing:\n  pip install ziglang");
        }
        let failure = Failure::new(format!("cargo failed in {}", self.folder.display()))
            .source(text.strip_prefix("error: ").unwrap_or(text));
        if text.contains("could not find `Cargo.toml`") {
            return failure.hint(
                "each function is a Cargo package of its own, in the folder of advent.toml or below",
            );
        }
        if text.contains("requires the features") || text.contains("contain this feature") {
            return failure.hint(
                "name the features that it is built with by `features = [\"...\"]` under \
                 [function.ID] in advent.toml",
            );
        }
        failure
    }
}

fn is_inherited(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    INHERITED.contains(&name)
        || ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact {
        package_id: String,
        manifest_path: PathBuf,
        target: Target,
        executable: Option<PathBuf>,
        fresh: bool,
    },
    #[serde(rename = "compiler-message")]
    Diagnostic { manifest_path: PathBuf, target: Target, message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

#[derive(Default)]
struct Messages {
    built: Built,
    /// Rendered.
    warnings: Vec<String>,
    /// Rendered errors, and the folder and target of the package that has them.
    errors: Vec<String>,
    culprit: Option<(PathBuf, String)>,
}

async fn read_messages(stdout: impl AsyncRead + Unpin, binary: Binary<'_>) -> Result<Messages> {
    let mut messages = Messages::default();
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.context("could not read cargo's messages")? {
        // A build script or a macro may print to standard output as well.
        let Ok(message) = serde_json::from_str(&line) else { continue };
        match message {
            Message::Artifact { package_id, manifest_path, target, executable, fresh } => {
                if package_id.starts_with("path+") {
                    let folder = manifest_path.parent().unwrap_or(&manifest_path).to_owned();
                    let package = messages.built.local_packages.entry(folder).or_default();
                    package.id.clone_from(&package_id);
                    package.targets.insert(target.name.clone());
                }
                messages.built.compiled |= !fresh;
                // Tests and examples may have the name too.
                if package_id == binary.package
                    && target.name == binary.name
                    && target.kind.iter().any(|kind| kind == "bin")
                {
                    messages.built.executable = executable.or(messages.built.executable);
                }
            }
            Message::Diagnostic { manifest_path, target, message } => {
                let Some(rendered) = message.rendered else { continue };
                if message.level.starts_with("error") {
                    messages.errors.push(rendered.trim_end().to_owned());
                    messages.culprit.get_or_insert((manifest_path, target.name));
                } else {
                    messages.warnings.push(rendered);
                }
            }
            Message::Other => {}
        }
    }
    Ok(messages)
}

fn does_not_compile(messages: &Messages) -> Failure {
    // One line per failed package at the end, which says nothing new.
    let errors: Vec<_> = messages
        .errors
        .iter()
        .filter(|error| !error.starts_with("error: aborting due to"))
        .map(String::as_str)
        .collect();
    let text = errors.join("\n\n");
    let (manifest, target) = messages.culprit.clone().unwrap_or_default();
    let folder = manifest.parent().unwrap_or(&manifest).display().to_string();
    if text.contains("linker `") && text.contains("not found") {
        return Failure::new(format!("`{target}` could not be linked")).source(text).hint(
            "install a C compiler and linker: `apt install build-essential` on Debian and \
             Ubuntu, `dnf install gcc` on Fedora, `xcode-select --install` on macOS",
        );
    }
    Failure::new(format!("`{target}` in {folder} does not compile"))
        .source(text)
        .hint("fix what the compiler shows and run the command again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cargo_sets_for_children_is_cleared() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_BIN_EXE_advent", "OUT_DIR"] {
            assert!(is_inherited(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME", "RUSTFLAGS", "PATH"] {
            assert!(!is_inherited(OsStr::new(name)), "{name}");
        }
    }

    #[tokio::test]
    async fn without_cargo_it_says_where_to_get_it() {
        let cargo = Cargo::with_program(Path::new("/nonexistent/cargo"), Path::new("/"));
        let binary = Binary { package: "p", name: "b" };
        let error = cargo.build(&["build".into()], binary, &|_| ()).await.unwrap_err();
        let failure = Failure::of(&error).unwrap();
        assert!(failure.what.contains("could not run `/nonexistent/cargo`"), "{failure}");
        assert!(failure.hint.as_ref().unwrap().contains("rustup.rs"));
    }
}
