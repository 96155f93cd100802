//! Lambda: functions, their policies, invocations, and the processes that run them.

pub(super) mod code;
mod configuration;
mod function;
mod host;
mod invoke;
mod manage;
pub(super) mod output;
mod permission;
pub(super) mod pool;
mod process;
mod queue;
mod settings;
mod strays;
pub(super) mod worker;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;

use super::call::{ApiCall, Reply};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::store::Db;
use super::tagging::Tagged;
use super::{clock, rest, signature};
use code::CodeStore;
pub use function::Function;
use pool::{Limits, Outcome, Pool};
pub use queue::SCHEMA;
pub(super) use queue::enqueue;

/// The store's kind of functions; their name there is the function's.
pub const KIND: &str = "function";

/// The path under which packages are.
pub const PACKAGES: &str = "/_aws/lambda/code/";

pub const OPERATIONS: rest::Operations = include_str!("lambda/operations.txt");

/// The running half of Lambda.
pub struct Runtime {
    pub pool: Arc<Pool>,
    code: CodeStore,
    /// Held while a package is stored and named by a function, or while unnamed ones are removed.
    code_in_use: tokio::sync::Mutex<()>,
    queue: queue::Queue,
}

/// Where a cloud keeps its [`Runtime`], once it has been started.
#[derive(Default)]
pub struct Slot(OnceLock<Arc<Runtime>>);

impl Slot {
    pub fn get(&self) -> Result<&Arc<Runtime>, AwsError> {
        self.0.get().ok_or_else(|| {
            AwsError::new(503, "ServiceUnavailableException", "the local cloud is still starting")
        })
    }
}

/// Makes functions run, and goes on with the events that an earlier run left.
pub fn start(cloud: &Arc<LocalCloud>) -> anyhow::Result<()> {
    let limits = Limits { processes: cloud.bounds.processes, ..Limits::default() };
    start_with(cloud, limits, queue::retry_from_environment())
}

fn start_with(
    cloud: &Arc<LocalCloud>,
    limits: Limits,
    retry: std::time::Duration,
) -> anyhow::Result<()> {
    host::end_leftovers(&cloud.dir);
    strays::end_of_folder(&cloud.dir);
    let code = CodeStore::open(cloud.dir.join(code::CODE))?;
    let pool = Pool::new(Arc::new(host::CloudHost::new(cloud)?), code.clone(), limits);
    let queue = queue::Queue::new(retry);
    let runtime = Runtime { pool, code, code_in_use: tokio::sync::Mutex::default(), queue };
    if cloud.lambda.0.set(Arc::new(runtime)).is_ok() {
        queue::start(cloud)?;
    }
    Ok(())
}

/// Shortens the minute before the first retry.
#[cfg(test)]
pub fn set_retry(cloud: &Arc<LocalCloud>, wait: std::time::Duration) {
    if let Ok(runtime) = cloud.lambda.get() {
        runtime.queue.set_retry(wait);
    }
}

/// Ends all functions. Events whose function has not answered wait for the next start.
pub async fn stop(cloud: &Arc<LocalCloud>) {
    if let Ok(runtime) = cloud.lambda.get() {
        runtime.queue.stop();
        runtime.pool.shutdown().await;
        let dir = cloud.dir.clone();
        let _ = tokio::task::spawn_blocking(move || strays::end_of_folder(&dir)).await;
        runtime.queue.ended().await;
    }
}

/// The function that a call is about; `None` for one about all of them.
fn subject(call: &ApiCall) -> Result<Option<String>, AwsError> {
    Ok(Some(match call.operation.as_str() {
        "ListFunctions" => return Ok(None),
        "CreateFunction" => function::name(call, call.need("FunctionName")?)?,
        "TagResource" | "UntagResource" | "ListTags" => function::name_of_arn(call, call.label(0))?,
        "GetFunction"
        | "GetFunctionConfiguration"
        | "ListFunctionUrlConfigs"
        | "UpdateFunctionCode"
        | "UpdateFunctionConfiguration"
        | "DeleteFunction"
        | "Invoke"
        | "AddPermission"
        | "RemovePermission"
        | "GetPolicy"
        | "PutFunctionEventInvokeConfig"
        | "UpdateFunctionEventInvokeConfig"
        | "GetFunctionEventInvokeConfig"
        | "DeleteFunctionEventInvokeConfig" => function::name(call, call.label(0))?,
        _ => return Err(AwsError::unknown_call(call)),
    }))
}

/// What a call needs.
pub fn needs(call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    let resource = match subject(call)? {
        Some(name) => call.arn("lambda", &format!("function:{name}")),
        None => "*".to_owned(),
    };
    let action = match call.operation.as_str() {
        "Invoke" => "InvokeFunction",
        operation => operation,
    };
    let mut needs = vec![Need::new(format!("lambda:{action}"), resource)];
    if matches!(call.operation.as_str(), "CreateFunction" | "UpdateFunctionConfiguration")
        && let Some(role) = call.text("Role")
    {
        needs.push(Need::new("iam:PassRole", role));
    }
    Ok(needs)
}

pub async fn handle(cloud: &Arc<LocalCloud>, call: &mut ApiCall) -> Result<Reply, AwsError> {
    let Some(name) = subject(call)? else { return manage::list(cloud, call) };
    match call.operation.as_str() {
        "TagResource" | "UntagResource" | "ListTags" => manage::tags(cloud, call, &name),
        "CreateFunction" => manage::create(cloud, call, &name).await,
        "GetFunction" => manage::get(cloud, call, &name),
        "GetFunctionConfiguration" => {
            Reply::json(&function::require(cloud, call, &name)?.configuration())
        }
        // No function has an address of its own here.
        "ListFunctionUrlConfigs" => {
            function::require(cloud, call, &name)?;
            Reply::json(&serde_json::json!({ "FunctionUrlConfigs": [] }))
        }
        "UpdateFunctionCode" => manage::update_code(cloud, call, &name).await,
        "UpdateFunctionConfiguration" => manage::update_configuration(cloud, call, &name),
        "DeleteFunction" => manage::delete(cloud, call, &name).await,
        "Invoke" => invoke::handle(cloud, call, &name).await,
        "AddPermission" => permission::add(cloud, call, &name),
        "RemovePermission" => permission::remove(cloud, call, &name, call.label(1)),
        "GetPolicy" => permission::get(cloud, call, &name),
        "PutFunctionEventInvokeConfig" | "UpdateFunctionEventInvokeConfig" => {
            settings::put(cloud, call, &name)
        }
        "GetFunctionEventInvokeConfig" => settings::get(cloud, call, &name),
        "DeleteFunctionEventInvokeConfig" => settings::delete(cloud, call, &name),
        _ => Err(AwsError::unknown_call(call)),
    }
}

/// Why a service could not invoke a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no such function.
    Missing,
    /// Its resource policy does not allow this source.
    Policy,
    /// Too many invocations at once.
    Throttled,
    /// The local cloud is ending.
    Stopping,
}

/// Invokes a function in the name of a service such as `apigateway.amazonaws.com`, if its resource
/// policy lets `source` (an ARN) do so.
pub async fn invoke_for(
    cloud: &Arc<LocalCloud>,
    service: &str,
    source: &str,
    function: &str,
    payload: Bytes,
) -> Result<Outcome, Denied> {
    let Some((region, name)) = function::parse_arn(function) else { return Err(Denied::Missing) };
    let function = cloud
        .store
        .read(|db| db.shared::<Function>(KIND, region, name))
        .ok()
        .flatten()
        .ok_or(Denied::Missing)?;
    if !permission::allows(&function, service, source) {
        return Err(Denied::Policy);
    }
    let Ok(runtime) = cloud.lambda.get() else { return Err(Denied::Stopping) };
    let spec = Arc::new(function.spec());
    runtime.pool.invoke(&spec, payload, pool::Options::default()).await.map_err(|error| match error
    {
        pool::Refused::Throttled => Denied::Throttled,
        pool::Refused::Gone => Denied::Stopping,
    })
}

/// Whether a service may hand an event from `source` to a function, which exists.
pub fn may_invoke(db: &Db<'_>, service: &str, source: &str, function: &str) -> bool {
    function::parse_arn(function)
        .and_then(|(region, name)| db.shared::<Function>(KIND, region, name).ok().flatten())
        .is_some_and(|function| permission::allows(&function, service, source))
}

/// Region and name of a function's ARN.
pub(super) fn parse_arn(arn: &str) -> Option<(&str, &str)> {
    function::parse_arn(arn)
}

/// Events were queued: somebody should look.
pub fn events_queued(cloud: &LocalCloud) {
    if let Ok(runtime) = cloud.lambda.get() {
        runtime.queue.wake();
    }
}

/// The asynchronous events that failed for good, newest first.
pub fn failed_events(cloud: &Arc<LocalCloud>) -> Result<Vec<serde_json::Value>, AwsError> {
    queue::failed(cloud)
}

/// Where a package can be had, as the URL that AWS gives: for ten minutes, by whoever has it.
fn location(cloud: &LocalCloud, code: &str) -> String {
    let file = format!("{code}.zip");
    let until = (clock::now_ms() / 1000 + 600).to_string();
    let proof = package_proof(cloud, &file, &until);
    format!("{}{PACKAGES}{file}?Expires={until}&Signature={proof}", cloud.url)
}

fn package_proof(cloud: &LocalCloud, file: &str, until: &str) -> String {
    let text = format!("{file}\n{until}");
    signature::proof(&cloud.key.secret_access_key, "package", &text)
}

/// The zip of a function's code, by the name (`HASH.zip`) and the query of the URL that
/// `GetFunction` gave.
pub fn package(cloud: &LocalCloud, file: &str, query: &str) -> Option<std::path::PathBuf> {
    let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let until = query.get("Expires")?;
    let proof = package_proof(cloud, file, until);
    if !signature::equal(&proof, query.get("Signature")?)
        || until.parse::<i64>().ok()? < clock::now_ms() / 1000
    {
        return None;
    }
    let legal = file
        .strip_suffix(".zip")?
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let path = cloud.dir.join(code::CODE).join(Path::new(file));
    (legal && path.is_file()).then_some(path)
}

/// ARNs and tags of all functions of a Region.
pub fn tagged(db: &Db<'_>, region: &str) -> Result<Tagged, AwsError> {
    let functions = db.list::<Function>(KIND, region)?;
    Ok(functions.into_iter().map(|(_, function)| (function.arn(), function.tags)).collect())
}
