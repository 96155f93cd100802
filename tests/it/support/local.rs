//! A local cloud of a test's own, and the applications of this repository to deploy to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use advent::local::{Access, Key};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use tempfile::TempDir;

use super::cli::Cli;
pub use super::local_project::Local;
use super::local_project::give_key;
use super::python::{Boto, Python};

/// How long what happens by itself, such as a delivery, may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The root of this repository, its functions built for the local cloud.
pub fn article() -> PathBuf {
    built(Path::new(env!("CARGO_MANIFEST_DIR")), &["--local"])
}

/// The same, its functions built as for AWS: what any other endpoint gets.
pub fn shipped_article() -> PathBuf {
    built(Path::new(env!("CARGO_MANIFEST_DIR")), &[])
}

/// A folder of `examples`, its functions built for the local cloud.
pub fn example(name: &str) -> PathBuf {
    built(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name), &["--local"])
}

/// One build at a time, so that none spends the time that a command may take waiting for cargo's
/// lock. What is built already costs a moment.
fn built(folder: &Path, args: &[&str]) -> PathBuf {
    static BUILD: Mutex<()> = Mutex::new(());
    let _one = BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    let out = TempDir::new().expect("a folder for the zips");
    let out = out.path().to_str().expect("a path in UTF-8");
    let cli = args.iter().fold(Cli::new(folder), |cli, arg| cli.arg(arg));
    cli.ok(["build", "--out", out]);
    folder.to_owned()
}

/// Started by the first command that needs it, stopped and forgotten when dropped.
pub struct LocalCloud {
    dir: TempDir,
    control: Cli,
}

impl LocalCloud {
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a folder for the local cloud");
        let control = Cli::new(dir.path()).local(&dir.path().join("local"));
        Self { dir, control }
    }

    /// One whose key is `test`, for commands that take it for an endpoint like another.
    pub fn with_secret(secret: &str) -> Self {
        let cloud = Self::new();
        give_key(&cloud.dir(), secret);
        cloud
    }

    /// Where its state is.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("local")
    }

    /// Commands in this folder, with `--local`.
    pub fn cli(&self, folder: &Path) -> Cli {
        Cli::new(folder).local(&self.dir())
    }

    /// Its endpoint; `None` if it does not run.
    pub fn url(&self) -> Option<String> {
        Some(variable(&self.variables()?, "AWS_ENDPOINT_URL"))
    }

    /// What other tools find it by; `None` if it does not run.
    pub fn variables(&self) -> Option<Value> {
        let env = self.control.run(["local", "env", "--json"]);
        (env.code == Some(0)).then(|| env.json())
    }

    /// Its endpoint and its owner's key.
    pub fn access(&self) -> Access {
        let variables = self.variables().expect("a local cloud runs");
        let key = Key {
            access_key_id: variable(&variables, "AWS_ACCESS_KEY_ID"),
            secret_access_key: variable(&variables, "AWS_SECRET_ACCESS_KEY"),
        };
        Access { url: variable(&variables, "AWS_ENDPOINT_URL"), key }
    }

    /// boto3 with its owner's key.
    pub fn boto<'a>(&self, python: &'a Python) -> Boto<'a> {
        Boto::of(python, &self.variables().expect("a local cloud runs"))
    }

    /// Runs it in the background, whether something is in it or not.
    pub fn start(&self) -> super::cli::Running {
        let running = self.control.spawn(["local", "start"]);
        eventually("the local cloud answers", || self.url());
        running
    }

    pub fn stop(&self) {
        self.control.ok(["local", "stop"]);
    }

    /// Every item of a table, its texts and numbers, read with the SDK and not through advent.
    pub fn items(&self, table: &str) -> Vec<BTreeMap<String, String>> {
        let Access { url, key } = self.access();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(
                key.access_key_id,
                key.secret_access_key,
                None,
                None,
                "test",
            ))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(url)
            .build();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let scan = aws_sdk_dynamodb::Client::from_conf(config)
            .scan()
            .table_name(table)
            .consistent_read(true)
            .send();
        let scan = runtime.block_on(scan);
        let text = |value| match value {
            AttributeValue::S(text) | AttributeValue::N(text) => Some(text),
            _ => None,
        };
        let items = scan.unwrap_or_else(|error| panic!("no scan of {table}: {error:?}")).items;
        let item = |item: std::collections::HashMap<_, _>| {
            item.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
        };
        items.unwrap_or_default().into_iter().map(item).collect()
    }

    /// The words of a table that is counted in.
    pub fn counts(&self, table: &str) -> BTreeMap<String, u64> {
        let count = |mut item: BTreeMap<String, String>| {
            Some((item.remove("word")?, item.remove("count")?.parse().expect("a number")))
        };
        self.items(table).into_iter().filter_map(count).collect()
    }

    /// Waits until a table counts this, and exactly this.
    #[track_caller]
    pub fn wait_for_counts(&self, table: &str, wanted: &[(&str, u64)]) {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.counts(table);
            if counts == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{table} counts {counts:?}, not {wanted:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn variable(variables: &Value, name: &str) -> String {
    variables[name].as_str().expect("a variable is a string").to_owned()
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        drop(self.control.run(["local", "stop"]));
    }
}

/// Waits for what happens by itself.
#[track_caller]
pub fn eventually<T>(what: &str, happened: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(Instant::now() < deadline, "after {PATIENCE:?} it is still not so that {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
