//! Log events: put, read and searched.

use rusqlite::{Row, params, params_from_iter};
use serde::Deserialize;
use serde_json::json;

use super::super::call::{Call, Reply};
use super::super::clock::now_ms;
use super::super::error::AwsError;
use super::super::store::Db;
use super::filter::Filter;
use super::{existing_stream, groups, invalid};

/// AWS no longer looks at these tokens, and still sends them.
pub const SEQUENCE_TOKEN: &str = "49500000000000000000000000000000000000000000000000000000";
/// Events and bytes of one answer or one batch; each event counts 26 bytes more.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1 << 20;
const OVERHEAD: usize = 26;
/// Milliseconds that an event may be old or ahead.
const OLDEST: i64 = 14 * 86_400_000;
const NEWEST: i64 = 2 * 3_600_000;

/// An event and where it stands: events are ordered by time, then as they came.
struct Event {
    id: i64,
    time: i64,
    ingested: i64,
    message: String,
    stream: String,
}

impl Event {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            time: row.get(1)?,
            ingested: row.get(2)?,
            message: row.get(3)?,
            stream: row.get(4)?,
        })
    }

    fn size(&self) -> usize {
        self.message.len() + OVERHEAD
    }
}

pub fn insert(
    db: &Db<'_>,
    stream: i64,
    time: i64,
    ingested: i64,
    message: &str,
) -> Result<(), AwsError> {
    db.conn()
        .prepare_cached(
            "INSERT INTO log_event (stream, time, ingested, message) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![stream, time, ingested, message])?;
    Ok(())
}

pub fn put(db: &Db<'_>, call: &Call) -> Result<Reply, AwsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        log_events: Vec<InputEvent>,
    }
    #[derive(Deserialize)]
    struct InputEvent {
        timestamp: i64,
        message: String,
    }
    let stream = existing_stream(db, call)?;
    let events = call.input::<Input>()?.log_events;
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(invalid(format!(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: \
             Member must have length between 1 and {MAX_EVENTS}"
        )));
    }
    if events.iter().any(|event| event.message.is_empty()) {
        return Err(invalid(
            "1 validation error detected: Value at 'logEvents.member.message' failed to satisfy \
             constraint: Member must have length greater than or equal to 1",
        ));
    }
    let size: usize = events.iter().map(|event| event.message.len() + OVERHEAD).sum();
    if size > MAX_BYTES {
        return Err(invalid(format!(
            "Upload too large: {size} bytes exceeds limit of {MAX_BYTES}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let now = now_ms();
    let too_old = events.iter().take_while(|event| event.timestamp < now - OLDEST).count();
    let too_new = events.iter().position(|event| event.timestamp > now + NEWEST);
    for event in &events[too_old..too_new.unwrap_or(events.len())] {
        insert(db, stream, event.timestamp, now, &event.message)?;
    }
    let mut answer = json!({"nextSequenceToken": SEQUENCE_TOKEN});
    if too_old > 0 {
        answer["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] = json!(too_old);
    }
    if let Some(too_new) = too_new {
        answer["rejectedLogEventsInfo"]["tooNewLogEventStartIndex"] = json!(too_new);
    }
    Reply::json(&answer)
}

/// `limit`, of all that an answer can hold.
fn limit(call: &Call) -> Result<usize, AwsError> {
    match &call.params["limit"] {
        serde_json::Value::Null => Ok(MAX_EVENTS),
        limit => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=MAX_EVENTS).contains(limit))
            .ok_or_else(|| invalid(format!("limit must be between 1 and {MAX_EVENTS}"))),
    }
}

/// From when (inclusive) until when (exclusive).
fn period(call: &Call, horizon: i64) -> (i64, i64) {
    let start = call.params["startTime"].as_i64().unwrap_or(i64::MIN);
    (start.max(horizon), call.params["endTime"].as_i64().unwrap_or(i64::MAX))
}

/// A position as tokens carry it: `f/TIME/ID`.
fn token(direction: char, (time, id): (i64, i64)) -> String {
    format!("{direction}/{time}/{id}")
}

fn position(token: &str) -> Result<(char, (i64, i64)), AwsError> {
    let parse = || {
        let mut parts = token.splitn(3, '/');
        let direction = parts.next()?.chars().next()?;
        Some((direction, (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)))
    };
    parse().ok_or_else(|| invalid("The specified nextToken is invalid."))
}

pub fn get(db: &Db<'_>, call: &Call) -> Result<Reply, AwsError> {
    let horizon = groups::existing(db, call)?.horizon();
    let stream = existing_stream(db, call)?;
    let (start, end) = period(call, horizon);
    let limit = limit(call)?;
    let at = call.text("nextToken").map(position).transpose()?;
    let forward = match at {
        Some((direction, _)) => direction == 'f',
        None => call.params["startFromHead"] == true,
    };
    let beginning = if forward { (i64::MIN, i64::MIN) } else { (i64::MAX, i64::MAX) };
    let from = at.map_or(beginning, |(_, from)| from);
    let mut statement = db.conn().prepare_cached(if forward {
        "SELECT id, time, ingested, message, '' FROM log_event WHERE stream = ?1 AND time >= ?2
         AND time < ?3 AND (time, id) > (?4, ?5) ORDER BY time, id LIMIT ?6"
    } else {
        "SELECT id, time, ingested, message, '' FROM log_event WHERE stream = ?1 AND time >= ?2
         AND time < ?3 AND (time, id) < (?4, ?5) ORDER BY time DESC, id DESC LIMIT ?6"
    })?;
    let rows =
        statement.query_map(params![stream, start, end, from.0, from.1, limit], Event::read)?;
    let mut events = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let event = row?;
        bytes += event.size();
        if bytes > MAX_BYTES && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    if !forward {
        events.reverse();
    }
    let place = |event: Option<&Event>| event.map(|event| (event.time, event.id));
    // At the end a token leads to itself.
    let known = at.map_or((0, 0), |(_, at)| at);
    let (first, last) =
        (place(events.first()).unwrap_or(known), place(events.last()).unwrap_or(known));
    let shown: Vec<_> = events
        .iter()
        .map(|e| json!({"timestamp": e.time, "message": e.message, "ingestionTime": e.ingested}))
        .collect();
    Reply::json(&json!({
        "events": shown,
        "nextForwardToken": token('f', last),
        "nextBackwardToken": token('b', first),
    }))
}

pub fn filter(db: &Db<'_>, call: &Call) -> Result<Reply, AwsError> {
    let group = groups::existing(db, call)?;
    let (start, end) = period(call, group.horizon());
    let limit = limit(call)?;
    let filter = Filter::parse(call.text("filterPattern").unwrap_or_default())?;
    let names: Option<Vec<&str>> = call.params["logStreamNames"]
        .as_array()
        .map(|names| names.iter().filter_map(serde_json::Value::as_str).collect());
    let prefix = call.text("logStreamNamePrefix");
    if names.is_some() && prefix.is_some() {
        return Err(invalid("logStreamNamePrefix and logStreamNames are mutually exclusive."));
    }
    let from = match call.text("nextToken") {
        Some(token) => position(token)?.1,
        None => (i64::MIN, i64::MIN),
    };
    let mut statement = db
        .conn()
        .prepare_cached("SELECT id, name FROM log_stream WHERE region = ? AND log_group = ?")?;
    let streams = statement.query_map([&call.region, &group.name], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut streams = streams.collect::<rusqlite::Result<Vec<_>>>()?;
    if let Some(names) = &names
        && let Some(missing) = names.iter().find(|n| !streams.iter().any(|(_, name)| name == *n))
    {
        let _ = missing;
        return Err(super::no_stream());
    }
    streams.retain(|(_, name)| {
        names.as_ref().is_none_or(|names| names.contains(&name.as_str()))
            && prefix.is_none_or(|prefix| name.starts_with(prefix))
    });
    let ids = serde_json::to_string(&streams.iter().map(|(id, _)| id).collect::<Vec<_>>())?;
    let mut statement = db.conn().prepare_cached(
        "SELECT e.id, e.time, e.ingested, e.message, s.name
         FROM log_event e JOIN log_stream s ON s.id = e.stream
         WHERE e.stream IN (SELECT value FROM json_each(?1)) AND e.time >= ?2 AND e.time < ?3
         AND (e.time, e.id) > (?4, ?5) ORDER BY e.time, e.id",
    )?;
    let values: [&dyn rusqlite::ToSql; 5] = [&ids, &start, &end, &from.0, &from.1];
    let mut rows = statement.query(params_from_iter(values))?;
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut last = from;
    let mut next = None;
    while let Some(row) = rows.next()? {
        let event = Event::read(row)?;
        if filter.fits(&event.message) {
            bytes += event.size();
            if events.len() == limit || (bytes > MAX_BYTES && !events.is_empty()) {
                next = Some(token('f', last));
                break;
            }
            events.push(json!({
                "logStreamName": event.stream, "timestamp": event.time,
                "message": event.message, "ingestionTime": event.ingested,
                "eventId": format!("{:020}{:036}", event.time, event.id),
            }));
        }
        last = (event.time, event.id);
    }
    let mut answer = json!({"events": events, "searchedLogStreams": []});
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Reply::json(&answer)
}
