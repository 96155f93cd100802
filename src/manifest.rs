//! `advent.toml`: the types it becomes once parsed and checked.

mod account;
mod diagnostic;
mod find;
mod function;
pub(crate) mod keys;
mod names;
mod parse;
mod place;
mod reference;
mod route;
mod schema;
mod section;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

#[cfg(any(test, fuzzing))]
pub(crate) use find::decode;
pub use place::refusal;
pub use schema::{reference, schema};

use crate::failure::Failure;
use crate::slack::Caller;

/// A manifest has at most this many bytes; a larger file is no manifest.
const MAX_BYTES: usize = 512 * 1024;

/// An application as its author declared it. Everything in it has been checked: references
/// resolve, names are legal, physical names are unique.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Stack name: `[a-z][a-z0-9-]{0,30}`.
    pub name: String,
    /// Where any stage may be deployed to, unless its own entry says.
    pub guard: Guard,
    /// By stage.
    pub stages: BTreeMap<String, Guard>,
    /// ARN of the managed policy that bounds every role; may hold `${account}`.
    pub permissions_boundary: Option<String>,
    /// The author's own, on everything that takes tags.
    pub tags: BTreeMap<String, String>,
    /// Days that log groups keep events; one of the values `CloudWatch` Logs accepts.
    pub log_retention_days: i32,
    /// By their ids in the manifest.
    pub tables: BTreeMap<String, Table>,
    pub topics: BTreeMap<String, Topic>,
    pub functions: BTreeMap<String, Function>,
    /// Present exactly if a function has a route.
    pub http_api: Option<HttpApi>,
}

impl Manifest {
    /// Parses and checks the text of a manifest. `path` is how error messages call it.
    ///
    /// The first mistake is a refusal that shows its line and says what would be right.
    pub fn parse(text: &str, path: &str) -> Result<Self, Failure> {
        parse::parse(text).map_err(|diagnostic| diagnostic.into_failure(text, path))
    }

    /// Where a stage may be deployed to.
    pub fn guard(&self, stage: &str) -> Guard {
        let own = self.stages.get(stage).cloned().unwrap_or_default();
        let or =
            |own: Vec<String>, all: &Vec<String>| if own.is_empty() { all.clone() } else { own };
        Guard {
            accounts: or(own.accounts, &self.guard.accounts),
            regions: or(own.regions, &self.guard.regions),
        }
    }
}

/// A resource of one of [`Function::statements`], its references replaced by what `resolve` says
/// of them. `resolve` is never given a literal or a secret; IAM's own variables, such as
/// `${aws:username}`, stay.
pub fn expand(resource: &str, resolve: impl FnMut(&Value) -> String) -> String {
    reference::expand(resource, resolve)
}

/// Accounts and Regions that may be deployed to; none is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// 12 digits each.
    pub accounts: Vec<String>,
    pub regions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Physical name given verbatim.
    pub name: Option<String>,
    /// Partition key, a string.
    pub key: String,
    /// Attribute that holds the time at which an item expires, in seconds since the epoch.
    pub ttl: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub name: Option<String>,
    /// Cargo package that has the function's binary. Without one it is named after the function's
    /// id, or it is the only package with a binary of that name.
    pub package: Option<String>,
    /// The binary, where the package has several.
    pub bin: Option<String>,
    /// Features of the package that it is built with, besides the default ones.
    pub features: Vec<String>,
    /// Whether it is built with the package's default features. Default true.
    pub default_features: bool,
    /// Name of its role before the Region is appended.
    pub role: Option<String>,
    /// ARN of a role that exists, instead of one that is made; may hold `${account}`.
    pub role_arn: Option<String>,
    /// MB, 128 to 10,240. Default 256.
    pub memory: i32,
    /// Seconds, 1 to 900. Default 10.
    pub timeout: i32,
    pub environment: BTreeMap<String, Value>,
    pub grants: Vec<Grant>,
    /// Statements of its author's own, as IAM JSON objects: `Effect` (`Allow` unless said),
    /// `Action` and `Resource`, the latter two arrays. Resources may hold references: [`expand`].
    pub statements: Vec<serde_json::Value>,
    /// Route keys, `METHOD /path` or `$default`.
    pub routes: Vec<String>,
    /// Who calls them, if that is declared.
    pub caller: Option<Caller>,
    /// Ids of the topics that trigger it.
    pub topics: Vec<String>,
    /// The keys that its author wrote.
    pub written: BTreeSet<String>,
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Literal(String),
    /// Taken from the operator's environment variable of this name, never printed. If that is
    /// not set, the function does not get the variable.
    Secret(String),
    TableName(String),
    TableArn(String),
    TopicName(String),
    TopicArn(String),
    FunctionName(String),
}

/// What a function may do to a table or a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub right: Right,
    /// Id of the table, or of the topic for [`Right::Publish`].
    pub target: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// `GetItem`, `BatchGetItem`, `Query`, `Scan`.
    Read,
    /// `PutItem`.
    Put,
    /// `UpdateItem`.
    Update,
    /// `DeleteItem`.
    Delete,
    /// `sns:Publish`.
    Publish,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HttpApi {
    pub name: Option<String>,
    /// Requests a second that the `$default` stage lets through on average. Default 10.
    pub throttle_rate: f64,
    /// Requests that may come at once. Default 20.
    pub throttle_burst: i32,
    /// Routes that the account may give one API. Default 300, API Gateway's quota, which AWS raises
    /// on request.
    pub route_quota: i32,
}

/// Where a manifest and its functions come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The folder that holds `advent.toml`.
    Folder(PathBuf),
    /// The running executable.
    Embedded,
}
