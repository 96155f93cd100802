//! What cargo calls instead of rustc: this executable, which calls rustc so that neither the
//! folder nor the machine leaves a trace in what is compiled.
//!
//! Flags given to cargo would do half of it: they replace those of the user, differ from project to
//! project, so that projects that share a target folder compile each other's dependencies again,
//! and do not reach what cargo derives from paths itself.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::cache::hex;
use crate::invocation::shell_word;

/// The environment variable with the [`Recipe`], which makes this executable stand in for rustc.
pub(super) const VARIABLE: &str = "ADVENT_COMPILES";

/// What the stand-in has to know, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recipe {
    /// The workspace's folder.
    pub root: PathBuf,
    pub cargo_home: Option<PathBuf>,
    /// The target folder.
    pub target: PathBuf,
    /// What cargo takes for its wrapper of workspace members, see [`make_member`]: a path of this
    /// workspace's own. Cargo tells packages of workspaces that share a target folder
    /// apart by it, and by nothing else if they are called alike.
    pub member: PathBuf,
    /// The user's own `rustc-wrapper`, such as sccache.
    pub wrapper: Option<PathBuf>,
    /// The user's own `rustc-workspace-wrapper`.
    pub workspace_wrapper: Option<PathBuf>,
}

/// One crate, as cargo's environment describes it.
#[derive(Debug, Default)]
struct Crate {
    name: String,
    version: String,
    folder: PathBuf,
    out_dir: Option<PathBuf>,
}

/// Where a crate's sources are, in words that hold on every machine.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// From a registry: cargo's own name for it knows nothing of this machine.
    Registry(String),
    /// Below cargo's home, as what comes from git is.
    Home,
    /// On this machine, in the workspace: relative to it. Outside of it what cargo tells packages
    /// on one machine apart by: it refuses two of one name and version in one lock file.
    Local(String),
}

/// Makes the file that cargo takes for its wrapper of workspace members. The stand-in leaves it
/// out; a cargo that a build script runs without the stand-in runs it, as it would run the user's.
pub(super) fn make_member(member: &Path, wrapper: Option<&Path>) -> io::Result<()> {
    let wrapper = wrapper.map(|wrapper| shell_word(&wrapper.to_string_lossy()) + " ");
    let text = format!("#!/bin/sh\nexec {}\"$@\"\n", wrapper.unwrap_or_default());
    if fs::read(member).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(member.parent().unwrap_or(member))?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    file.persist(member).map_err(|error| error.error)?;
    Ok(())
}

/// Runs rustc for cargo, if that is what this process was started for, which a command line of
/// `advent`'s own, as `is_own` knows it by its first argument, never is. The process ends with it:
/// with exit code 101, and the reason for cargo to show, where it could not be run.
pub fn stand_in(is_own: impl FnOnce(&OsStr) -> bool) -> Option<Result<ExitCode>> {
    let recipe = std::env::var_os(VARIABLE).filter(|recipe| !recipe.is_empty())?;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.first().is_none_or(|first| is_own(first)) {
        return None;
    }
    Some(run(&recipe, &arguments))
}

fn run(recipe: &OsStr, arguments: &[OsString]) -> Result<ExitCode> {
    let parsed = serde_json::from_slice(recipe.as_encoded_bytes());
    let recipe: Recipe = parsed.with_context(|| {
        format!(
            "the environment variable {VARIABLE} is not what this version of advent sets while \
             cargo compiles for it: unset it"
        )
    })?;
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let krate = Crate {
        name: variable("CARGO_PKG_NAME"),
        version: variable("CARGO_PKG_VERSION"),
        folder: variable("CARGO_MANIFEST_DIR").into(),
        out_dir: std::env::var_os("OUT_DIR").map(Into::into),
    };
    let line = recipe.command_line(arguments, &krate);
    let (program, arguments) = line.split_first().context("no compiler was named")?;
    let failed = || format!("could not run {}", program.display());
    let mut command = Command::new(program);
    command.args(arguments).env_remove(VARIABLE);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        Err(command.exec()).with_context(failed)
    }
    #[cfg(not(unix))]
    {
        let code =
            command.status().with_context(failed)?.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(101)))
    }
}

impl Recipe {
    /// What to run for `arguments`, the first of which is what cargo would have run.
    fn command_line(&self, arguments: &[OsString], krate: &Crate) -> Vec<OsString> {
        let member = arguments.first().is_some_and(|first| first == self.member.as_os_str());
        let rest = &arguments[usize::from(member)..];
        let mut line: Vec<OsString> = Vec::with_capacity(rest.len() + 8);
        line.extend(self.wrapper.as_ref().map(Into::into));
        if member {
            line.extend(self.workspace_wrapper.as_ref().map(Into::into));
        }
        let Some((rustc, rest)) = rest.split_first() else { return line };
        line.push(rustc.clone());
        // Questions, such as `-vV`, are passed on as they are.
        let Some(metadata) = metadata(rest) else {
            line.extend_from_slice(rest);
            return line;
        };
        // The last that fits counts: the user's own flags come later.
        for (from, to) in self.remapped(krate) {
            if let Some(from) = from.to_str().filter(|from| *from != "/") {
                line.push(format!("--remap-path-prefix={from}={to}").into());
            }
        }
        let identity = self.identity(krate, rest);
        for (index, argument) in rest.iter().enumerate() {
            line.push(match &identity {
                Some(identity) if index == metadata => format!("metadata={identity}").into(),
                _ => argument.clone(),
            });
        }
        line
    }

    fn origin(&self, krate: &Crate) -> Origin {
        if let Some(home) = &self.cargo_home
            && let Ok(below) = krate.folder.strip_prefix(home)
        {
            return if below.starts_with("registry") {
                Origin::Registry(format!("/crates/{}-{}", krate.name, krate.version))
            } else {
                Origin::Home
            };
        }
        let name = format!("{}-{}", krate.name, krate.version);
        match krate.folder.strip_prefix(&self.root) {
            Ok(below) => Origin::Local(way(below)),
            // A copy of what is in a registry, which has its own name for it.
            Err(_) if krate.folder.join(".cargo-checksum.json").exists() => {
                Origin::Registry(format!("/crates/{name}"))
            }
            Err(_) => Origin::Local(format!("/outside/{name}")),
        }
    }

    /// Folders, and what is to be seen of them instead; what fits better comes later.
    fn remapped(&self, krate: &Crate) -> Vec<(PathBuf, String)> {
        let mut folders = vec![(self.root.clone(), ".".to_owned())];
        folders.extend(self.cargo_home.clone().map(|home| (home, "/cargo".to_owned())));
        folders.push((self.target.clone(), "/target".to_owned()));
        match self.origin(krate) {
            // Its folder depends on which mirror it came from.
            Origin::Registry(name) => folders.push((krate.folder.clone(), name)),
            Origin::Local(path) if !krate.folder.starts_with(&self.root) => {
                folders.push((krate.folder.clone(), path));
            }
            Origin::Local(_) | Origin::Home => {}
        }
        // Flags that change no code are in its path.
        let out = |folder| (folder, format!("/out/{}-{}", krate.name, krate.version));
        folders.extend(krate.out_dir.clone().map(out));
        folders
    }

    /// What tells a local crate apart from all others of a program, which cargo would derive from
    /// where it and what it depends on lie. It becomes part of every symbol's name.
    fn identity(&self, krate: &Crate, arguments: &[OsString]) -> Option<String> {
        let Origin::Local(place) = self.origin(krate) else { return None };
        let mut parts = vec![krate.version.clone(), place];
        let mut features = Vec::new();
        let mut words = arguments.iter().filter_map(|argument| argument.to_str()).peekable();
        while let Some(word) = words.next() {
            match word {
                "--crate-name" | "--crate-type" => parts.extend(words.peek().map(|w| (*w).into())),
                "--test" => parts.push(word.into()),
                "--cfg" => features.extend(words.peek().filter(|w| w.starts_with("feature="))),
                _ => {}
            }
        }
        features.sort_unstable();
        parts.extend(features.into_iter().map(str::to_owned));
        Some(hex(parts.join("\0").as_bytes())[..16].to_owned())
    }
}

/// Index of the argument after `-C` that says `metadata=…`, which every crate of cargo's has.
fn metadata(arguments: &[OsString]) -> Option<usize> {
    arguments
        .windows(2)
        .position(|pair| pair[0] == "-C" && pair[1].as_encoded_bytes().starts_with(b"metadata="))
        .map(|index| index + 1)
}

/// A way below a folder, with `/` between its steps on every system.
fn way(below: &Path) -> String {
    let steps: Vec<_> = below.iter().map(OsStr::to_string_lossy).collect();
    // What follows the last `=` is what rustc takes for the replacement.
    if steps.is_empty() { ".".to_owned() } else { steps.join("/").replace('=', "-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATE: [&str; 13] = [
        "--crate-name",
        "one",
        "--edition=2024",
        "src/main.rs",
        "--crate-type",
        "bin",
        "--cfg",
        "feature=\"x\"",
        "-C",
        "metadata=0123",
        "-C",
        "extra-filename=-4567",
        "--remap-path-prefix=/mine=/theirs",
    ];

    fn recipe() -> Recipe {
        Recipe {
            root: "/home/me/app".into(),
            cargo_home: Some("/home/me/.cargo".into()),
            target: "/home/me/app/target".into(),
            member: "/home/me/app/target/member".into(),
            ..Recipe::default()
        }
    }

    fn krate(folder: &str) -> Crate {
        Crate { name: "one".into(), version: "1.2.3".into(), folder: folder.into(), out_dir: None }
    }

    fn line(recipe: &Recipe, before: &[&str], arguments: &[&str], krate: &Crate) -> Vec<String> {
        let arguments: Vec<_> = before.iter().chain(arguments).map(OsString::from).collect();
        let line = recipe.command_line(&arguments, krate);
        line.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    fn identity(recipe: &Recipe, krate: &Crate, arguments: &[&str]) -> Option<String> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        recipe.identity(krate, &arguments)
    }

    #[test]
    fn questions_are_passed_on() {
        let mut recipe = recipe();
        let one = krate("/home/me/app/one");
        assert_eq!(line(&recipe, &["rustc"], &["-vV"], &one), ["rustc", "-vV"]);
        recipe.wrapper = Some("sccache".into());
        assert_eq!(line(&recipe, &["rustc"], &["-vV"], &one), ["sccache", "rustc", "-vV"]);
        let member = "/home/me/app/target/member";
        assert_eq!(line(&recipe, &[member, "rustc"], &["-vV"], &one), ["sccache", "rustc", "-vV"]);
        recipe.workspace_wrapper = Some("lint".into());
        let both = line(&recipe, &[member, "rustc"], &["-vV"], &one);
        assert_eq!(both, ["sccache", "lint", "rustc", "-vV"]);
        assert!(line(&recipe, &[], &[], &one).len() < 2, "nothing to run is no panic");
    }

    #[test]
    fn the_users_flags_come_last_and_win() {
        let mut one = krate("/home/me/app/one");
        one.out_dir = Some("/home/me/app/target/x/build/one-89/out".into());
        let line = line(&recipe(), &["rustc"], &CRATE, &one);
        assert_eq!(
            line[..5],
            [
                "rustc",
                "--remap-path-prefix=/home/me/app=.",
                "--remap-path-prefix=/home/me/.cargo=/cargo",
                "--remap-path-prefix=/home/me/app/target=/target",
                "--remap-path-prefix=/home/me/app/target/x/build/one-89/out=/out/one-1.2.3",
            ]
        );
        assert_eq!(line[5..14], CRATE[..9]);
        assert!(line[14].starts_with("metadata=") && line[14] != "metadata=0123", "{line:?}");
        assert_eq!(line[15..], CRATE[10..]);
    }

    #[test]
    fn what_comes_from_elsewhere_has_a_place_too() {
        let recipe = recipe();
        let registry = krate("/home/me/.cargo/registry/src/mirror-12/one-1.2.3");
        let line_of = |krate: &Crate| line(&recipe, &["rustc"], &CRATE, krate);
        let words = line_of(&registry);
        let wanted = "--remap-path-prefix=/home/me/.cargo/registry/src/mirror-12/one-1.2.3\
                      =/crates/one-1.2.3";
        assert!(words.iter().any(|word| word == wanted), "{words:?}");
        assert!(words.iter().any(|word| word == "metadata=0123"), "cargo's own: {words:?}");

        let outside = krate("/home/me/libs/one");
        let words = line_of(&outside);
        let wanted = "--remap-path-prefix=/home/me/libs/one=/outside/one-1.2.3";
        assert!(words.iter().any(|word| word == wanted), "{words:?}");
        assert!(!words.iter().any(|word| word == "metadata=0123"), "{words:?}");
    }

    #[test]
    fn what_a_crate_is_depends_on_no_folder() {
        let here = recipe();
        let there = Recipe { root: "/srv/x".into(), target: "/t".into(), ..recipe() };
        let of = |arguments: &[&str]| identity(&here, &krate("/home/me/app/one"), arguments);
        let one = of(&CRATE);
        assert_eq!(one, identity(&there, &krate("/srv/x/one"), &CRATE));
        assert_eq!(
            identity(&here, &krate("/home/me/libs/one"), &CRATE),
            identity(&there, &krate("/elsewhere/deep/in/here"), &CRATE)
        );
        assert_ne!(one, identity(&here, &krate("/home/me/app/two"), &CRATE), "another package");
        for (index, word) in [(1, "other"), (5, "lib"), (7, "feature=\"y\"")] {
            let mut changed = CRATE;
            changed[index] = word;
            assert_ne!(one, of(&changed), "{word}");
        }
        for (index, word) in [(9, "metadata=x"), (11, "extra-filename=x"), (12, "-Dwarnings")] {
            let mut changed = CRATE;
            changed[index] = word;
            assert_eq!(one, of(&changed), "{word}");
        }
    }

    #[test]
    fn ways_are_words() {
        for (below, words) in [("c/d", "c/d"), ("", "."), ("b=c/d", "b-c/d")] {
            assert_eq!(way(Path::new(below)), words);
        }
    }
}
