//! An application of functions that print something and end, without dependencies.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use zip::ZipArchive;

use super::cli::{Cli, Run};

/// Logs the name of every crate that is compiled, and goes on with what it was given: as sccache.
const WRAPPER: &str = r#"#!/bin/sh
name=
for word; do
  [ "$name" = next ] && name=$word
  [ "$word" = --crate-name ] && name=next
done
[ -z "$name" ] || [ "$name" = ___ ] || echo "$name" >> "$COMPILED"
exec "$@"
"#;

/// An application of functions that print something and end, without dependencies.
pub struct App {
    pub dir: TempDir,
    pub folder: PathBuf,
    pub cli: Cli,
}

impl App {
    /// `members` is what the workspace's manifest says of them.
    pub fn new(members: &str, advent: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let folder = dir.path().join("app");
        let app = Self { cli: Cli::new(&folder), folder, dir };
        let app = Self { cli: app.cli.clone().arg("--local"), ..app };
        app.write(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[profile.lambda]\n\
                 inherits = \"release\"\nopt-level = 1\n\n[profile.lambda-local]\n\
                 inherits = \"lambda\"\nstrip = true\npanic = \"abort\"\n"
            ),
        );
        app.write("advent.toml", &format!("name = \"app\"\n{advent}"));
        app
    }

    /// Counts what is compiled from now on.
    pub fn logged(mut self) -> Self {
        let (wrapper, log) = (self.dir.path().join("wrapper"), self.dir.path().join("compiled"));
        fs::write(&wrapper, WRAPPER).expect("a wrapper");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("permissions");
        self.cli = self.cli.env("RUSTC_WRAPPER", wrapper).env("COMPILED", log);
        self
    }

    /// Crates that were compiled since the last look.
    pub fn compiled(&self) -> Vec<String> {
        let log = self.dir.path().join("compiled");
        let text = fs::read_to_string(&log).unwrap_or_default();
        drop(fs::remove_file(log));
        let mut names: Vec<_> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the project");
        fs::write(path, text).expect("a file of the project");
    }

    /// A package with this source, and `more` in its manifest.
    pub fn package(&self, path: &str, source: &str, text: &str, more: &str) {
        let name = path.rsplit('/').next().expect("a name");
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{more}");
        self.write(&format!("{path}/Cargo.toml"), &manifest);
        self.write(&format!("{path}/{source}"), text);
    }

    /// What each function's executable prints, and its zip.
    #[track_caller]
    pub fn build(&self) -> Zips {
        built(&self.cli)
    }
}

/// What this command line builds.
#[track_caller]
pub fn built(cli: &Cli) -> Zips {
    // Cargo takes what was written in the moment of a build for older.
    std::thread::sleep(Duration::from_millis(30));
    let out = TempDir::new().expect("a folder for the zips");
    let run = cli.ok(["build", "--out", out.path().to_str().expect("UTF-8")]);
    let mut zips = BTreeMap::new();
    for entry in fs::read_dir(out.path()).expect("zips") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
        zips.insert(name, fs::read(path).expect("a zip"));
    }
    Zips { zips, run }
}

pub struct Zips {
    pub zips: BTreeMap<String, Vec<u8>>,
    pub run: Run,
}

impl Zips {
    pub fn executable(&self, function: &str) -> Vec<u8> {
        let mut archive = ZipArchive::new(Cursor::new(&self.zips[function])).expect("a zip");
        let mut bytes = Vec::new();
        let mut entry = archive.by_name("bootstrap").expect("a bootstrap");
        std::io::copy(&mut entry, &mut bytes).expect("a bootstrap");
        bytes
    }

    pub fn prints(&self, function: &str) -> String {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("bootstrap");
        fs::write(&path, self.executable(function)).expect("an executable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        // Another test may have forked while it was open for writing.
        let copy = dir.path().join("copy");
        let copied = Command::new("cp").arg(&path).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()), "cp");
        let output = Command::new(copy).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

pub fn says(text: &str) -> String {
    format!("fn main() {{ println!(\"{text}\") }}\n")
}
