//! A small application made on the spot, whose code a test can change and build in a second.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const FUNCTION: &str = include_str!("project/function.rs");

const MANIFEST: &str = r#"name = "small"

[table.items]
key = "id"

[topic.news]

[function.front]
route = "ANY /front"
update = { TABLE = "items" }
publish = { TOPIC = "news" }
environment = { GREETING = "hello" }

[function.back]
topic = "news"
"#;

/// Two functions, `front` behind a route and `back` behind a topic. Each logs its version and the
/// event, and answers 200 with its version and the variable `GREETING`.
pub struct Project {
    dir: TempDir,
}

impl Project {
    pub fn new() -> Self {
        let project = Self { dir: TempDir::new().expect("a project folder") };
        project.write("Cargo.toml", include_str!("project/workspace.toml"));
        project.write("advent.toml", MANIFEST);
        for function in ["front", "back"] {
            let manifest = format!(
                "[package]\nname = \"{function}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"
            );
            project.write(&format!("functions/{function}/Cargo.toml"), &manifest);
            project.set_version(function, &format!("{function}-1"));
        }
        project
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the project");
        fs::write(path, text).expect("a file in the project");
    }

    /// Changes a function's code.
    pub fn set_version(&self, function: &str, version: &str) {
        let source = FUNCTION.replace("@VERSION@", version);
        self.write(&format!("functions/{function}/src/main.rs"), &source);
    }

    /// Changes the manifest. The text to replace must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.dir.path().join("advent.toml");
        let text = fs::read_to_string(&path).expect("the manifest");
        assert!(text.contains(from), "the manifest has no {from:?}: {text}");
        fs::write(path, text.replace(from, to)).expect("the manifest");
    }

    /// A function built and zipped without advent.
    pub fn zip(&self, function: &str) -> Vec<u8> {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "--package", function])
            .current_dir(self.path())
            .env("CARGO_TARGET_DIR", self.target())
            .status();
        assert!(status.expect("cargo runs").success(), "{function} does not compile");
        let program = self.target().join("debug").join(function);
        pack(&fs::read(program).expect("the built function"))
    }

    /// A zip with this `bootstrap`, as boto3 takes it.
    pub fn archive(bootstrap: &[u8]) -> Value {
        json!({ "base64": STANDARD.encode(pack(bootstrap)) })
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }
}

pub fn pack(bootstrap: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).expect("an entry in the zip");
    zip.write_all(bootstrap).expect("the zip");
    zip.finish().expect("the zip").into_inner()
}
