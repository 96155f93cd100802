//! CloudWatch Logs: groups, streams and events.

mod events;
mod filter;
mod groups;
mod merge;

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use serde_json::json;

use super::call::{ApiCall, Reply};
use super::clock::now_ms;
use super::cloud::LocalCloud;
use super::error::AwsError;
use super::need::Need;
use super::store::Db;

pub use groups::tagged;

/// Streams and events; the groups are documents.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS log_stream (
    id INTEGER PRIMARY KEY, region TEXT NOT NULL, log_group TEXT NOT NULL, name TEXT NOT NULL,
    created INTEGER NOT NULL, UNIQUE (region, log_group, name)
);
CREATE TABLE IF NOT EXISTS log_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, time INTEGER NOT NULL,
    ingested INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS log_event_by_time ON log_event (stream, time, id)";

/// What an operation is about.
enum About {
    Groups,
    Group,
    Stream,
    /// A group, by the ARN in `resourceArn`.
    Tagged,
}

fn about(operation: &str) -> Option<About> {
    Some(match operation {
        "DescribeLogGroups" => About::Groups,
        "CreateLogGroup"
        | "DeleteLogGroup"
        | "PutRetentionPolicy"
        | "DeleteRetentionPolicy"
        | "DescribeLogStreams"
        | "FilterLogEvents" => About::Group,
        "CreateLogStream" | "DeleteLogStream" | "PutLogEvents" | "GetLogEvents" => About::Stream,
        "TagResource" | "UntagResource" | "ListTagsForResource" => About::Tagged,
        _ => return None,
    })
}

/// What a call needs.
pub fn needs(call: &ApiCall) -> Result<Vec<Need>, AwsError> {
    let about = about(&call.operation).ok_or_else(|| AwsError::unknown_call(call))?;
    let resource = match about {
        About::Groups => "log-group::log-stream:".to_owned(),
        About::Group => format!("log-group:{}:log-stream:", group_name(call)?),
        About::Stream => {
            let stream = call.need("logStreamName")?;
            format!("log-group:{}:log-stream:{stream}", group_name(call)?)
        }
        About::Tagged => format!("log-group:{}", group_name(call)?),
    };
    let action = format!("logs:{}", call.operation);
    Ok(vec![Need::new(action, call.arn("logs", &resource))])
}

pub fn handle(cloud: &Arc<LocalCloud>, call: &ApiCall) -> Result<Reply, AwsError> {
    match call.operation.as_str() {
        "CreateLogGroup" => cloud.store.write(|db| groups::create(db, call)),
        "DescribeLogGroups" => cloud.store.read(|db| groups::describe(db, call)),
        "DeleteLogGroup" => cloud.store.write(|db| groups::delete(db, call)),
        "PutRetentionPolicy" => cloud.store.write(|db| groups::put_retention(db, call)),
        "DeleteRetentionPolicy" => cloud.store.write(|db| groups::delete_retention(db, call)),
        "TagResource" => cloud.store.write(|db| groups::tag(db, call)),
        "UntagResource" => cloud.store.write(|db| groups::untag(db, call)),
        "ListTagsForResource" => cloud.store.read(|db| groups::list_tags(db, call)),
        "CreateLogStream" => cloud.store.write(|db| create_stream(db, call)),
        "DeleteLogStream" => cloud.store.write(|db| delete_stream(db, call)),
        "DescribeLogStreams" => beside(cloud, |db| describe_streams(db, call)),
        "PutLogEvents" => cloud.store.write(|db| events::put(db, call)),
        "GetLogEvents" => beside(cloud, |db| events::get(db, call)),
        "FilterLogEvents" => beside(cloud, |db| events::filter(db, call)),
        _ => Err(AwsError::unknown_call(call)),
    }
}

/// Reads, without holding anybody up: neither who writes, nor what else this thread does.
fn beside<T>(
    cloud: &LocalCloud,
    read: impl FnOnce(&Db<'_>) -> Result<T, AwsError>,
) -> Result<T, AwsError> {
    tokio::task::block_in_place(|| cloud.store.read_beside(read))
}

/// The group that a call is about, by the one member that its operation takes: what else may name
/// one counts for nothing.
fn group_name(call: &ApiCall) -> Result<&str, AwsError> {
    match call.operation.as_str() {
        // Its ARN without `:*`.
        "TagResource" | "UntagResource" | "ListTagsForResource" => {
            let arn = call.need("resourceArn")?;
            arn.strip_prefix(&call.arn("logs", "log-group:"))
                .filter(|name| !name.contains(':'))
                .ok_or_else(|| invalid(format!("Invalid resourceArn: {arn}")))
        }
        "DescribeLogStreams" | "FilterLogEvents" | "GetLogEvents" => {
            match (call.text("logGroupIdentifier"), call.text("logGroupName")) {
                (Some(_), Some(_)) => Err(invalid(
                    "LogGroup name and LogGroup identifier are mutually exclusive: give one.",
                )),
                (Some(identifier), None) => Ok(match identifier.split_once(":log-group:") {
                    Some((_, name)) => name.trim_end_matches(":*"),
                    None => identifier,
                }),
                (None, _) => call.need("logGroupName"),
            }
        }
        _ => call.need("logGroupName"),
    }
}

/// One line of a log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    pub message: String,
}

/// Appends to a stream, made if need be. False, with nothing kept, when there is no such group:
/// whoever wants logs has made the group.
pub fn append(
    cloud: &LocalCloud,
    region: &str,
    group: &str,
    stream: &str,
    lines: &[LogLine],
) -> Result<bool, AwsError> {
    cloud.store.write(|db| {
        if !groups::exists(db, region, group)? {
            return Ok(false);
        }
        let id = match stream_id(db, region, group, stream)? {
            Some(id) => id,
            None => insert_stream(db, region, group, stream)?,
        };
        let now = now_ms();
        for line in lines {
            events::insert(db, id, line.timestamp_ms, now, &line.message)?;
        }
        Ok(true)
    })
}

/// So many events are removed at once.
const EXPIRED: usize = 5_000;

/// Removes events that are older than their group keeps them.
pub fn expire(cloud: &LocalCloud) -> Result<(), AwsError> {
    let groups = cloud.store.read(|db| {
        let mut all = Vec::new();
        for region in db.regions(groups::KIND)? {
            let groups = db.list::<groups::Group>(groups::KIND, &region)?;
            all.extend(groups.into_iter().map(|(name, group)| (region.clone(), name, group)));
        }
        Ok(all)
    })?;
    for (region, name, group) in groups {
        // A little at a time: meanwhile nobody else writes.
        while cloud.store.write(|db| {
            let some = "DELETE FROM log_event WHERE id IN
                 (SELECT e.id FROM log_stream s JOIN log_event e ON e.stream = s.id
                  WHERE s.region = ?2 AND s.log_group = ?3 AND e.time < ?1 LIMIT ?4)";
            let mut statement = db.conn().prepare_cached(some)?;
            Ok(statement.execute(params![group.horizon(), region, name, EXPIRED])?)
        })? == EXPIRED
        {}
    }
    Ok(())
}

fn stream_id(
    db: &Db<'_>,
    region: &str,
    group: &str,
    stream: &str,
) -> Result<Option<i64>, AwsError> {
    Ok(db
        .conn()
        .prepare_cached(
            "SELECT id FROM log_stream WHERE region = ? AND log_group = ? AND name = ?",
        )?
        .query_row([region, group, stream], |row| row.get(0))
        .optional()?)
}

fn insert_stream(db: &Db<'_>, region: &str, group: &str, stream: &str) -> Result<i64, AwsError> {
    db.conn()
        .prepare_cached(
            "INSERT INTO log_stream (region, log_group, name, created) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![region, group, stream, now_ms()])?;
    Ok(db.conn().last_insert_rowid())
}

fn no_stream() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "The specified log stream does not exist.")
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidParameterException", message)
}

/// A stream that must exist, in a group that must exist.
fn existing_stream(db: &Db<'_>, call: &ApiCall) -> Result<i64, AwsError> {
    let group = groups::existing(db, call)?;
    stream_id(db, &call.region, &group.name, call.need("logStreamName")?)?.ok_or_else(no_stream)
}

fn create_stream(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let group = groups::existing(db, call)?;
    let name = call.need("logStreamName")?;
    if name.is_empty() || name.chars().count() > 512 || name.contains([':', '*']) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'logStreamName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [^:*]*"
        )));
    }
    if stream_id(db, &call.region, &group.name, name)?.is_some() {
        return Err(AwsError::new(
            400,
            "ResourceAlreadyExistsException",
            "The specified log stream already exists",
        ));
    }
    insert_stream(db, &call.region, &group.name, name)?;
    Reply::json(&json!({}))
}

fn delete_stream(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let id = existing_stream(db, call)?;
    db.conn().execute("DELETE FROM log_event WHERE stream = ?", [id])?;
    db.conn().execute("DELETE FROM log_stream WHERE id = ?", [id])?;
    Reply::json(&json!({}))
}

fn describe_streams(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let group = groups::existing(db, call)?;
    let prefix = call.text("logStreamNamePrefix").unwrap_or_default();
    let by_time = call.text("orderBy") == Some("LastEventTime");
    if by_time && !prefix.is_empty() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let mut statement = db.conn().prepare_cached(
        "SELECT name, created,
                (SELECT min(time) FROM log_event WHERE stream = s.id),
                (SELECT max(time) FROM log_event WHERE stream = s.id),
                (SELECT ingested FROM log_event WHERE stream = s.id
                 ORDER BY time DESC, id DESC LIMIT 1)
         FROM log_stream s WHERE region = ? AND log_group = ? ORDER BY name",
    )?;
    let rows = statement.query_map([&call.region, &group.name], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, Option<i64>>(2)?,
            row.get::<_, Option<i64>>(3)?,
            row.get::<_, Option<i64>>(4)?,
        ))
    })?;
    let mut streams = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    streams.retain(|stream| stream.0.starts_with(prefix));
    if by_time {
        streams.sort_by(|a, b| a.3.cmp(&b.3).then_with(|| a.0.cmp(&b.0)));
    }
    if call.params["descending"] == true {
        streams.reverse();
    }
    let (page, next) = page(call, streams)?;
    let page: Vec<_> = page
        .into_iter()
        .map(|(name, created, first, last, ingested)| {
            let mut stream = json!({
                "arn": call.arn("logs", &format!("log-group:{}:log-stream:{name}", group.name)),
                "logStreamName": name, "creationTime": created, "storedBytes": 0,
                "uploadSequenceToken": events::SEQUENCE_TOKEN,
            });
            for (member, value) in [
                ("firstEventTimestamp", first),
                ("lastEventTimestamp", last),
                ("lastIngestionTime", ingested),
            ] {
                if let Some(value) = value {
                    stream[member] = json!(value);
                }
            }
            stream
        })
        .collect();
    let mut answer = json!({"logStreams": page});
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Reply::json(&answer)
}

/// One page of a list of up to 50. The token is where the next one begins.
fn page<T>(call: &ApiCall, items: Vec<T>) -> Result<(Vec<T>, Option<String>), AwsError> {
    let size = match &call.params["limit"] {
        serde_json::Value::Null => 50,
        limit => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=50).contains(limit))
            .ok_or_else(|| invalid("limit must be between 1 and 50"))?,
    };
    let start: usize = match call.text("nextToken") {
        None => 0,
        Some(token) => token.parse().map_err(|_| invalid("The specified nextToken is invalid."))?,
    };
    let end = start.saturating_add(size);
    let more = items.len() > end;
    let page = items.into_iter().skip(start).take(size).collect();
    Ok((page, more.then(|| end.to_string())))
}

type Tags = BTreeMap<String, String>;
