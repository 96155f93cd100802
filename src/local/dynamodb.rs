//! DynamoDB: an engine per Region, behind our ARNs and our roles.

mod about;
mod authorise;
mod depth;
pub(super) mod engine;
mod names;
pub(super) mod partiql;
mod tokens;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dynoxide::streams::{LOCAL_ACCOUNT, LOCAL_REGION, table_arn};
use dynoxide::{Database, DynoxideError};
use serde_json::{Value, json};

use super::ACCOUNT;
use super::call::{ApiCall, Principal, Reply};
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::tagging::Tagged;
use engine::run;
use tokens::{Claim, Tokens};

const TRANSACTION: &str = "TransactWriteItems";
/// Operations on so few items that handing them to another thread would take longer.
const SHORT: [&str; 7] = [
    "GetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchGetItem",
    "TransactGetItems",
    TRANSACTION,
];

/// The engines that have been asked for, by Region.
pub struct Engines {
    dir: PathBuf,
    open: Mutex<HashMap<String, Database>>,
    tokens: Tokens,
    /// Shared with every request under way that may take long.
    long: Arc<()>,
}

impl Engines {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::default(), tokens: Tokens::default(), long: Arc::default() }
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

    /// Removes items whose time to live is over, in the Regions that are in use.
    pub fn expire(&self) -> Result<(), AwsError> {
        let engines: Vec<_> =
            self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for engine in engines {
            engine.sweep_ttl().map_err(AwsError::internal)?;
        }
        Ok(())
    }

    /// The ARNs of a Region's tables with their tags.
    pub fn tagged(&self, region: &str) -> Result<Tagged, AwsError> {
        let engine = self.get(region)?;
        let failed = |error: DynoxideError| AwsError::internal(error);
        let parse = |text: String| serde_json::from_str(&text).map_err(AwsError::from);
        let mut found = Vec::new();
        for table in engine.table_stats().map_err(failed)? {
            let own = table_arn(&table.table_name);
            let body = json!({"ResourceArn": own}).to_string();
            let answer: Value = parse(run(&engine, "ListTagsOfResource", &body).map_err(failed)?)?;
            let tags = answer["Tags"].as_array().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            found.push((
                outward(own, region),
                tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect(),
            ));
        }
        Ok(found)
    }
}

/// What a function's call needs; its owner needs nothing, and is not kept waiting for it. The call is
/// then carried out as it was read here: of members that are there twice, one counts.
pub fn needs(cloud: &LocalCloud, call: &mut ApiCall) -> Result<Vec<Need>, AwsError> {
    if call.principal == Principal::Operator {
        return Ok(Vec::new());
    }
    let request: Value = serde_json::from_slice(&call.body)
        .map_err(|error| AwsError::new(400, "SerializationException", error.to_string()))?;
    let needs = authorise::needs(&cloud.dynamodb.get(&call.region)?, call, &request)?;
    call.body = request.to_string().into();
    Ok(needs)
}

pub async fn handle(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    let body = std::str::from_utf8(&call.body)
        .map_err(|_| AwsError::new(400, "SerializationException", "the body is not UTF-8"))?;
    depth::check(body)?;
    let engine = cloud.dynamodb.get(&call.region)?;
    // What cannot be read is the engine's to report.
    let transaction = (call.operation == TRANSACTION).then(|| serde_json::from_str(body));
    let claim = match transaction {
        Some(Ok(request)) => cloud.dynamodb.tokens.claim(&call.region, request)?,
        _ => Claim::None,
    };
    let (first, body) = match claim {
        Claim::None => (None, inward(body, &call.region)),
        Claim::First(first, request) => (Some(first), inward(&request.to_string(), &call.region)),
        Claim::Again => {
            return Ok(Reply { status: 200, headers: Vec::new(), body: tokens::ANSWER.into() });
        }
    };
    let (operation, region) = (call.operation.clone(), call.region.clone());
    let answer = move || {
        let reply = answer(&engine, &operation, &body, &region)?;
        if let Some(first) = first
            && reply.status == 200
        {
            first.done();
        }
        Ok(reply)
    };
    // The engine does one thing at a time: behind what is long, the short would keep this thread.
    let long = &cloud.dynamodb.long;
    if SHORT.contains(&call.operation.as_str()) && Arc::strong_count(long) == 1 {
        return answer();
    }
    let under_way = Arc::clone(long);
    tokio::task::spawn_blocking(move || {
        let answer = answer();
        drop(under_way);
        answer
    })
    .await
    .map_err(AwsError::internal)?
}

fn answer(engine: &Database, operation: &str, body: &str, region: &str) -> Result<Reply, AwsError> {
    match operation {
        // No table has either here.
        "DescribeContinuousBackups" => {
            let table = answer(engine, "DescribeTable", body, region)?;
            if table.status != 200 {
                return Ok(table);
            }
            return Reply::json(&json!({ "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "DISABLED",
                "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": "DISABLED" },
            }}));
        }
        "GetResourcePolicy" => {
            let message = "Resource-based policy not found for the provided ResourceArn";
            return Err(AwsError::new(400, "PolicyNotFoundException", message));
        }
        _ => {}
    }
    let _named = names::claim(engine, operation, body)?;
    match run(engine, operation, body) {
        Ok(json) => {
            let mut reply = Reply::empty(200);
            reply.body = outward(json, region).into();
            Ok(reply)
        }
        // The engine has it that AWS hides from whoever asks whether there is such a table. An
        // account's administrator is told.
        Err(DynoxideError::AccessDeniedException(message)) => {
            let arn = message.rsplit_once(' ').map_or("", |(_, arn)| arn).to_owned();
            Err(AwsError::new(
                400,
                "ResourceNotFoundException",
                format!(
                    "Requested resource not found: ResourcArn: {} not found",
                    outward(arn, region)
                ),
            ))
        }
        Err(DynoxideError::UnsupportedCapability(_)) => {
            Err(AwsError::unknown(format_args!("dynamodb:{operation}")))
        }
        Err(error) if error.status_code() >= 500 => Err(AwsError::internal(error)),
        Err(error) => {
            let mut reply = Reply::empty(error.status_code());
            reply.body = outward(error.to_json(), region).into();
            Ok(reply)
        }
    }
}

/// The engine's ARNs have a Region of its own, and it knows tables by their names only, not by
/// ARN as AWS does.
fn inward(body: &str, region: &str) -> String {
    let ours = format!("arn:aws:dynamodb:{region}:{ACCOUNT}:");
    if !body.contains(&ours) {
        return body.to_owned();
    }
    let text = body.replace(&ours, &format!("arn:aws:dynamodb:{LOCAL_REGION}:{LOCAL_ACCOUNT}:"));
    match serde_json::from_str(&text) {
        Ok(mut value) => {
            name_tables(&mut value);
            value.to_string()
        }
        // Its error is the engine's to report.
        Err(_) => text,
    }
}

/// Puts names in the place of ARNs wherever a request names a table.
fn name_tables(value: &mut Value) {
    let name = |arn: &str| arn.strip_prefix(&table_arn("")).map(ToOwned::to_owned);
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_tables),
        Value::Object(members) => {
            if let Some(Value::Object(tables)) = members.get_mut("RequestItems") {
                let named = std::mem::take(tables).into_iter();
                *tables = named.map(|(table, v)| (name(&table).unwrap_or(table), v)).collect();
            }
            if let Some(Value::String(table)) = members.get_mut("TableName")
                && let Some(name) = name(table)
            {
                *table = name;
            }
            for member in ["TransactItems", "Get", "Put", "Update", "Delete", "ConditionCheck"] {
                members.get_mut(member).map(name_tables);
            }
        }
        _ => {}
    }
}

fn outward(text: String, region: &str) -> String {
    let own = format!("arn:aws:dynamodb:{LOCAL_REGION}:{LOCAL_ACCOUNT}:");
    if text.contains(&own) {
        text.replace(&own, &format!("arn:aws:dynamodb:{region}:{ACCOUNT}:"))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_become_names_and_come_back() {
        let ours = "arn:aws:dynamodb:eu-west-1:000000000000:table/t";
        let body = json!({
            "TransactItems": [{"Put": {"TableName": ours, "Item": {"TableName": {"S": ours}}}}],
            "RequestItems": {ours: {"Keys": []}},
        });
        let inside: Value = serde_json::from_str(&inward(&body.to_string(), "eu-west-1")).unwrap();
        assert_eq!(inside["TransactItems"][0]["Put"]["TableName"], "t");
        assert_eq!(inside["RequestItems"], json!({"t": {"Keys": []}}));
        let item = inside["TransactItems"][0]["Put"]["Item"].to_string();
        assert_eq!(outward(item, "eu-west-1"), json!({"TableName": {"S": ours}}).to_string());
    }
}
