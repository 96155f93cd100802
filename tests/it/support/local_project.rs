//! The small project and a local cloud of its own under it.

use std::fs::DirBuilder;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::cli::Cli;
use super::project::Project;
use super::python::{Boto, Python};

/// Both end with it.
pub struct Local {
    pub project: Project,
    pub cli: Cli,
    /// Address of the local cloud.
    pub url: String,
    _state: TempDir,
}

impl Local {
    /// Starts the local cloud, with nothing in it.
    pub fn start() -> Self {
        Self::with_secret("test")
    }

    /// The same, with this secret key.
    pub fn with_secret(secret: &str) -> Self {
        let state = TempDir::new().expect("a folder for the local cloud");
        give_key(&state.path().join("local"), secret);
        let project = Project::new();
        let cli = Cli::new(project.path()).local(&state.path().join("local"));
        cli.ok(["status", "--quiet"]);
        let variables = cli.ok(["local", "env", "--json"]).json();
        let url = variables["AWS_ENDPOINT_URL"].as_str().expect("an address").to_owned();
        Self { project, cli, url, _state: state }
    }

    pub fn boto<'a>(&self, python: &'a Python) -> Boto<'a> {
        Boto::new(python, &self.url)
    }
}

/// Its key is `test`, as that of every emulator: commands reach it through a proxy too, and as an
/// endpoint like another.
pub fn give_key(dir: &Path, secret: &str) {
    std::os::unix::fs::DirBuilderExt::mode(&mut DirBuilder::new(), 0o700)
        .create(dir)
        .expect("a folder for the local cloud");
    let key = json!({"access_key_id": "test", "secret_access_key": secret});
    std::fs::write(dir.join("key.json"), key.to_string()).expect("a key");
}

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.cli.run(["local", "stop"]));
    }
}
