//! The small project and a local cloud of its own under it.

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
        let state = TempDir::new().expect("a folder for the local cloud");
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

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.cli.run(["local", "stop"]));
    }
}
