//! Terraform with the article's application, where it is installed and has its AWS provider at hand.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::say;

const APPLICATION: &str = include_str!("../terraform/main.tf");
const PROVIDER: &str = "registry.terraform.io/hashicorp/aws";
/// Says where providers are, in the layout of `terraform providers mirror`.
const PLUGINS: &str = "ADVENT_BENCH_TERRAFORM_PLUGINS";

/// The application in a folder of its own.
pub struct Terraform {
    folder: TempDir,
    endpoint: String,
    through_s3: bool,
}

impl Terraform {
    /// With the zips in `zips`, as most write it or with the code sent through S3. `None`, and why on stderr, without a
    /// Terraform that can run here.
    pub fn prepare(zips: &Path, endpoint: &str, through_s3: bool) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("main.tf"), APPLICATION).expect("the application");
        for zip in fs::read_dir(zips).expect("zips") {
            let zip = zip.expect("a zip");
            fs::copy(zip.path(), folder.path().join(zip.file_name())).expect("a copy");
        }
        let terraform = Self { folder, endpoint: endpoint.to_owned(), through_s3 };
        let mut init = terraform.terraform();
        init.args(["init", "-input=false", "-no-color"]);
        if let Some(plugins) = plugins() {
            init.arg(format!("-plugin-dir={}", plugins.display()));
        }
        let why = match init.output() {
            Ok(done) if done.status.success() => return Some(terraform),
            Ok(done) => String::from_utf8_lossy(&done.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        say(&format!("Terraform is not measured ({PLUGINS} may say where its provider is): {why}"));
        None
    }

    /// `apply`, `plan` or `destroy`; nothing is asked.
    pub fn command(&self, name: &str) -> Command {
        let mut command = self.terraform();
        command.args([name, "-input=false", "-no-color", "-var=zips=."]);
        if name != "plan" {
            command.arg("-auto-approve");
        }
        command.arg(format!("-var=through_s3={}", self.through_s3));
        command
    }

    /// Other code for a function.
    pub fn change(&self, function: &str, zip: &[u8]) {
        fs::write(self.folder.path().join(format!("{function}.zip")), zip).expect("a zip");
    }

    /// What it says of itself.
    pub fn version(&self) -> String {
        let said = self.terraform().arg("version").stderr(Stdio::null()).output();
        let said = said.expect("Terraform runs").stdout;
        let said = String::from_utf8_lossy(&said);
        let words =
            said.lines().filter(|line| line.starts_with("Terraform v") || line.starts_with("+ "));
        words.map(|line| line.trim_start_matches("+ provider ")).collect::<Vec<_>>().join(", ")
    }

    fn terraform(&self) -> Command {
        let mut command = Command::new("terraform");
        command
            .current_dir(self.folder.path())
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("CHECKPOINT_DISABLE", "1");
        command
    }
}

/// A folder with the provider: where Terraform itself would look, or an add-on of this machine.
fn plugins() -> Option<PathBuf> {
    let named = env::var_os(PLUGINS).map(PathBuf::from);
    let home = env::home_dir().map(|home| home.join(".terraform.d/plugins"));
    let usual = ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"];
    let added = fs::read_dir("/opt").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all = named.into_iter().chain(home).chain(usual.map(PathBuf::from)).chain(added);
    all.find(|folder| folder.join(PROVIDER).is_dir())
}
