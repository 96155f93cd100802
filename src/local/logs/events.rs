//! Log events: put, read and searched.

use rusqlite::{OptionalExtension as _, Row, params};
use serde::Deserialize;
use serde_json::json;

use super::super::call::{ApiCall, Reply};
use super::super::clock::now_ms;
use super::super::error::AwsError;
use super::super::store::Db;
use super::filter::Filter;
use super::merge::Merge;
use super::{existing_stream, groups, invalid};

/// AWS no longer looks at these tokens, and still sends them.
pub const SEQUENCE_TOKEN: &str = "49500000000000000000000000000000000000000000000000000000";
/// Events and bytes of one answer or one batch; each event counts 26 bytes more.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1 << 20;
const OVERHEAD: usize = 26;
/// Events that one call of `FilterLogEvents` looks at, and about how many bytes of them it reads.
const LOOKED: usize = MAX_EVENTS;
const READ: usize = 4 << 20;
/// From when on the latest events can be asked for first: 2024, in milliseconds.
const BACKWARD: i64 = 1_704_067_200_000;
/// Milliseconds that an event may be old or ahead.
const OLDEST: i64 = 14 * 86_400_000;
const NEWEST: i64 = 2 * 3_600_000;

/// An event and where it stands: events are ordered by time, then as they came.
struct LogEvent {
    id: i64,
    time: i64,
    ingested: i64,
    message: String,
}

impl LogEvent {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, time: row.get(1)?, ingested: row.get(2)?, message: row.get(3)? })
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

pub fn put(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
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
fn limit(call: &ApiCall) -> Result<usize, AwsError> {
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
fn period(call: &ApiCall, horizon: i64) -> (i64, i64) {
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

pub fn get(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
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
        "SELECT id, time, ingested, message FROM log_event WHERE stream = ?1
         AND (time, id) > (?2, ?3) AND time < ?4 ORDER BY time, id LIMIT ?5"
    } else {
        "SELECT id, time, ingested, message FROM log_event WHERE stream = ?1
         AND (time, id) < (?2, ?3) AND time >= ?4 ORDER BY time DESC, id DESC LIMIT ?5"
    })?;
    // One bound at each side, so that what is before it is not looked at. Numbers begin with 1.
    let (from, to) =
        if forward { (from.max((start, 0)), end) } else { (from.min((end, 0)), start) };
    let rows = statement.query_map(params![stream, from.0, from.1, to, limit], LogEvent::read)?;
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
    let place = |event: Option<&LogEvent>| event.map(|event| (event.time, event.id));
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

/// Looks at a bounded number of events: an answer may hold fewer than there are, or none, and a
/// token to go on with.
pub fn filter(db: &Db<'_>, call: &ApiCall) -> Result<Reply, AwsError> {
    let group = groups::existing(db, call)?;
    let period = period(call, group.horizon());
    let limit = limit(call)?;
    let filter = Filter::parse(call.text("filterPattern").unwrap_or_default())?;
    let at = call.text("nextToken").map(position).transpose()?;
    let forward = match at {
        Some((direction, _)) => direction == 'f',
        None => call.params["startFromHead"] != false,
    };
    if at.is_none() && !forward && call.params["startTime"].as_i64().unwrap_or_default() < BACKWARD
    {
        return Err(invalid(
            "startFromHead can be false only when startTime is on or after January 1, 2024.",
        ));
    }
    let streams = streams(db, call, &group.name)?;
    let ids = streams.iter().map(|(id, _)| *id);
    let mut merge = Merge::new(db, ids, forward, at.map(|(_, at)| at), period)?;
    let mut message =
        db.conn().prepare_cached("SELECT ingested, message FROM log_event WHERE id = ?")?;
    let (mut events, mut bytes, mut read, mut looked) = (Vec::new(), 0, 0, 0);
    let mut last = at.map(|(_, at)| at);
    let direction = if forward { 'f' } else { 'b' };
    let mut next = None;
    while let Some(((time, id), stream)) = merge.next()? {
        if let Some(last) = last
            && (looked == LOOKED || read > READ)
        {
            next = Some(token(direction, last));
            break;
        }
        looked += 1;
        let row =
            message.query_row([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        let Some((ingested, message)) = row.optional()? else { continue };
        read += message.len();
        if filter.fits(&message) {
            bytes += message.len() + OVERHEAD;
            if let Some(last) = last
                && (events.len() == limit || (bytes > MAX_BYTES && !events.is_empty()))
            {
                next = Some(token(direction, last));
                break;
            }
            events.push(json!({
                "logStreamName": streams[stream].1, "timestamp": time,
                "message": message, "ingestionTime": ingested,
                "eventId": format!("{time:020}{id:036}"),
            }));
        }
        last = Some((time, id));
    }
    let mut answer = json!({"events": events, "searchedLogStreams": []});
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Reply::json(&answer)
}

/// Numbers and names of the streams that a call names; without any, all of the group.
fn streams(db: &Db<'_>, call: &ApiCall, group: &str) -> Result<Vec<(i64, String)>, AwsError> {
    let names: Option<Vec<&str>> = call.params["logStreamNames"]
        .as_array()
        .map(|names| names.iter().filter_map(serde_json::Value::as_str).collect());
    let prefix = call.text("logStreamNamePrefix");
    if names.is_some() && prefix.is_some() {
        return Err(invalid("logStreamNamePrefix and logStreamNames are mutually exclusive."));
    }
    let mut statement = db
        .conn()
        .prepare_cached("SELECT id, name FROM log_stream WHERE region = ? AND log_group = ?")?;
    let streams = statement.query_map([call.region.as_str(), group], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut streams = streams.collect::<rusqlite::Result<Vec<_>>>()?;
    if let Some(names) = &names
        && names.iter().any(|wanted| !streams.iter().any(|(_, name)| name == wanted))
    {
        return Err(super::no_stream());
    }
    streams.retain(|(_, name)| {
        names.as_ref().is_none_or(|names| names.contains(&name.as_str()))
            && prefix.is_none_or(|prefix| name.starts_with(prefix))
    });
    Ok(streams)
}
