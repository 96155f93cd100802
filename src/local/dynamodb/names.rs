//! Names that DynamoDB takes and the engine cannot hold: it makes each table, and each index, a table
//! of SQLite's, which knows no case and has tables of its own. The engine fails half-way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dynoxide::Database;
use serde_json::{Value, json};

use super::engine::run;
use crate::local::error::AwsError;

/// The engine's own.
const TAKEN: [&str; 3] = ["_config", "_tables", "_stream_records"];
/// SQLite's own begin so.
const RESERVED: &str = "sqlite_";
/// Nobody makes the other one of two between looking and making.
static LOOKING: Mutex<()> = Mutex::new(());

/// Lets one call at a time make names, and only such as the engine can hold. What else is wrong with
/// the request is the engine's to say.
pub fn claim(
    engine: &Database,
    operation: &str,
    body: &str,
) -> Result<Option<MutexGuard<'static, ()>>, AwsError> {
    if !matches!(operation, "CreateTable" | "UpdateTable") {
        return Ok(None);
    }
    let guard = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(request) = serde_json::from_str::<Value>(body) else { return Ok(Some(guard)) };
    let table = request["TableName"].as_str().unwrap_or_default();
    let made = if operation == "CreateTable" {
        let lower = table.to_ascii_lowercase();
        if TAKEN.contains(&lower.as_str()) || lower.starts_with(RESERVED) {
            return Err(refused("a table", table, "its engine has the name for itself"));
        }
        alone("a table", table, &tables(engine))?;
        // The engine keeps the two sorts apart.
        ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"].map(|list| indexes(&request[list]))
    } else {
        let described = ask(engine, "DescribeTable", &json!({ "TableName": table }));
        let updates = request["GlobalSecondaryIndexUpdates"].as_array().into_iter().flatten();
        let mut names = indexes(&described["Table"]["GlobalSecondaryIndexes"]);
        names
            .extend(updates.filter_map(|it| it["Create"]["IndexName"].as_str()).map(str::to_owned));
        [names, Vec::new()]
    };
    for names in made {
        for (index, name) in names.iter().enumerate() {
            alone("an index", name, &names[..index])?;
        }
    }
    Ok(Some(guard))
}

/// # Errors
/// Another differs from it in case only.
fn alone(kind: &str, name: &str, others: &[String]) -> Result<(), AwsError> {
    let same = |other: &&String| *other != name && other.eq_ignore_ascii_case(name);
    match others.iter().find(same) {
        Some(other) => {
            let why = format!("its engine takes it for `{other}`, which differs in case only");
            Err(refused(kind, name, &why))
        }
        None => Ok(()),
    }
}

fn refused(kind: &str, name: &str, why: &str) -> AwsError {
    let message = format!("the local cloud cannot have {kind} named `{name}`: {why}");
    AwsError::new(400, "ValidationException", message)
}

fn indexes(list: &Value) -> Vec<String> {
    let names = list.as_array().into_iter().flatten().filter_map(|it| it["IndexName"].as_str());
    names.map(str::to_owned).collect()
}

fn tables(engine: &Database) -> Vec<String> {
    let (mut all, mut request) = (Vec::new(), json!({}));
    loop {
        let page = ask(engine, "ListTables", &request);
        let names = page["TableNames"].as_array().into_iter().flatten();
        all.extend(names.filter_map(Value::as_str).map(str::to_owned));
        match page["LastEvaluatedTableName"].as_str() {
            Some(last) => request = json!({ "ExclusiveStartTableName": last }),
            None => return all,
        }
    }
}

/// Nothing where the engine refuses: it will say so itself.
fn ask(engine: &Database, operation: &str, request: &Value) -> Value {
    let answer = run(engine, operation, &request.to_string());
    answer.ok().and_then(|answer| serde_json::from_str(&answer).ok()).unwrap_or_default()
}
