//! DynamoDB: an engine per Region, behind our ARNs and our roles.

mod authorise;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dynoxide::streams::{LOCAL_ACCOUNT, LOCAL_REGION};
use dynoxide::{Database, DynoxideError};

use super::ACCOUNT;
use super::call::{Call, Principal, Reply};
use super::cloud::Cloud;
use super::error::AwsError;

/// The engines that have been asked for, by Region.
pub struct Engines {
    dir: PathBuf,
    open: Mutex<HashMap<String, Database>>,
}

impl Engines {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::default() }
    }

    fn get(&self, region: &str) -> Result<Database, AwsError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = open.get(region) {
            return Ok(engine.clone());
        }
        std::fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(format!("{region}.sqlite"));
        let engine = path
            .to_str()
            .ok_or_else(|| AwsError::internal("the state's path is not UTF-8"))
            .and_then(|path| Database::new(path).map_err(AwsError::internal))?;
        // Its way back from bulk loading sets `synchronous = NORMAL`: with a write-ahead log that
        // is safe when a process dies, and saves a disk flush with every write.
        engine.disable_bulk_loading().map_err(AwsError::internal)?;
        open.insert(region.to_owned(), engine.clone());
        Ok(engine)
    }

    /// The Regions that may have tables.
    pub fn regions(&self) -> Result<Vec<String>, AwsError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut regions = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(region) = name.to_str().and_then(|name| name.strip_suffix(".sqlite")) {
                regions.push(region.to_owned());
            }
        }
        Ok(regions)
    }

    /// How many tables there are in all Regions.
    pub fn count(&self) -> Result<usize, AwsError> {
        self.regions()?.iter().try_fold(0, |sum, region| {
            Ok(sum + self.get(region)?.table_count().map_err(AwsError::internal)?)
        })
    }

    /// The ARNs of a Region's tables with their tags.
    pub fn tagged(
        &self,
        region: &str,
    ) -> Result<Vec<(String, std::collections::BTreeMap<String, String>)>, AwsError> {
        let engine = self.get(region)?;
        let failed = |error: DynoxideError| AwsError::internal(error);
        let parse = |text: String| serde_json::from_str(&text).map_err(AwsError::from);
        let mut found = Vec::new();
        for table in engine.table_stats().map_err(failed)? {
            let own = dynoxide::streams::table_arn(&table.table_name);
            let body = serde_json::json!({"ResourceArn": own}).to_string();
            let answer: serde_json::Value =
                parse(run(&engine, "ListTagsOfResource", &body).map_err(failed)?)?;
            let tags = answer["Tags"].as_array().into_iter().flatten();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            found.push((
                outward(own, region),
                tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect(),
            ));
        }
        Ok(found)
    }
}

pub async fn handle(cloud: &Arc<Cloud>, call: &Call) -> Result<Reply, AwsError> {
    let body = std::str::from_utf8(&call.body)
        .map_err(|_| AwsError::new(400, "SerializationException", "the body is not UTF-8"))?;
    if let Principal::Function { .. } = call.principal {
        authorise::check(cloud, call, body)?;
    }
    let engine = cloud.dynamodb.get(&call.region)?;
    let body = inward(body, &call.region);
    let (operation, region) = (call.operation.clone(), call.region.clone());
    // It waits for the disk.
    tokio::task::spawn_blocking(move || match run(&engine, &operation, &body) {
        Ok(json) => {
            let mut reply = Reply::empty(200);
            reply.body = outward(json, &region).into();
            Ok(reply)
        }
        Err(DynoxideError::UnsupportedCapability(_)) => {
            Err(AwsError::unknown(format_args!("dynamodb:{operation}")))
        }
        Err(error) => {
            let mut reply = Reply::empty(error.status_code());
            reply.body = outward(error.to_json(), &region).into();
            Ok(reply)
        }
    })
    .await
    .map_err(AwsError::internal)?
}

/// The engine's ARNs have a Region of its own.
fn inward(text: &str, region: &str) -> String {
    text.replace(
        &format!("arn:aws:dynamodb:{region}:{ACCOUNT}:"),
        &format!("arn:aws:dynamodb:{LOCAL_REGION}:{LOCAL_ACCOUNT}:"),
    )
}

fn outward(text: String, region: &str) -> String {
    let own = format!("arn:aws:dynamodb:{LOCAL_REGION}:{LOCAL_ACCOUNT}:");
    if text.contains(&own) {
        text.replace(&own, &format!("arn:aws:dynamodb:{region}:{ACCOUNT}:"))
    } else {
        text
    }
}

/// One operation of the engine, JSON to JSON.
fn run(engine: &Database, operation: &str, body: &str) -> Result<String, DynoxideError> {
    macro_rules! operations {
        ($($name:literal => $method:ident,)*) => {
            match operation {
                $($name => {
                    let request = serde_json::from_str(body).map_err(|error| {
                        DynoxideError::SerializationException(error.to_string())
                    })?;
                    let answer = engine.$method(request).map_err(|error| enveloped(operation, error))?;
                    serde_json::to_string(&answer)
                        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
                })*
                _ => Err(DynoxideError::UnsupportedCapability(operation.to_owned())),
            }
        };
    }
    operations! {
        "CreateTable" => create_table,
        "DeleteTable" => delete_table,
        "DescribeTable" => describe_table,
        "ListTables" => list_tables,
        "UpdateTable" => update_table,
        "PutItem" => put_item,
        "GetItem" => get_item,
        "DeleteItem" => delete_item,
        "UpdateItem" => update_item,
        "Query" => query,
        "Scan" => scan,
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "TransactWriteItems" => transact_write_items,
        "TransactGetItems" => transact_get_items,
        "ListStreams" => list_streams,
        "DescribeStream" => describe_stream,
        "GetShardIterator" => get_shard_iterator,
        "GetRecords" => get_records,
        "UpdateTimeToLive" => update_time_to_live,
        "DescribeTimeToLive" => describe_time_to_live,
        "ExecuteStatement" => execute_statement,
        "ExecuteTransaction" => execute_transaction,
        "BatchExecuteStatement" => batch_execute_statement,
        "TagResource" => tag_resource,
        "UntagResource" => untag_resource,
        "ListTagsOfResource" => list_tags_of_resource,
    }
}

/// These three operations put some of their refusals into an envelope; the engine leaves that to
/// its HTTP server.
fn enveloped(operation: &str, error: DynoxideError) -> DynoxideError {
    match error {
        DynoxideError::EnvelopedValidation(message)
            if matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem") =>
        {
            DynoxideError::ValidationException(format!("1 validation error detected: {message}"))
        }
        other => other,
    }
}
