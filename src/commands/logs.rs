//! `advent logs`: what the functions logged.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::json;

use super::session::Session;
use crate::aws::{Call, Names};
use crate::cli::{Global, Logs};
use crate::failure::Failure;
use crate::report::Report;

/// Pause between two looks of `--follow`.
const PAUSE: Duration = Duration::from_secs(1);
/// Events may come to light this much later than others with a later time.
const LATE_MS: i64 = 10_000;

struct Event {
    function: String,
    event: FilteredLogEvent,
}

pub async fn run(global: &Global, args: &Logs, report: &Report) -> Result<u8> {
    let since = since(&args.since)?;
    let session = Session::open(global, report).await?;
    let functions = functions(&session, args.function.as_deref())?;
    let several = functions.len() > 1;
    let mut from = now().saturating_sub(since);
    let mut seen = BTreeSet::new();
    loop {
        let mut events = Vec::new();
        for function in &functions {
            events.extend(fetch(&session, function, from, args.follow).await?);
        }
        events.sort_by_key(|event| event.event.timestamp());
        // Ids are optional: what has none is told apart by where and when it was logged.
        let first = seen.is_empty();
        events.retain(|event| seen.insert(identity(&event.event)) || first);
        if global.json && !args.follow {
            let events: Vec<_> = events.iter().map(document).collect();
            report.document(&json!({ "events": events }));
            return Ok(0);
        }
        for event in &events {
            let line = if global.json { document(event).to_string() } else { line(event, several) };
            report.data(&line);
        }
        if !args.follow {
            if events.is_empty() {
                report.note(&format!("nothing was logged in the last {}", args.since));
            }
            return Ok(0);
        }
        let latest = events.iter().filter_map(|event| event.event.timestamp()).max();
        from = latest.map_or(from, |latest| from.max(latest.saturating_sub(LATE_MS)));
        if report.is_closed() {
            return Ok(0);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Physical names of the functions that are asked for, by what the manifest or AWS calls them.
fn functions(session: &Session<'_>, wanted: Option<&str>) -> Result<Vec<String>> {
    let all = session.app.manifest.functions.iter();
    let names = all.map(|(id, function)| {
        (id.as_str(), session.cloud.names.function(function.name.as_deref(), id))
    });
    let Some(wanted) = wanted else { return Ok(names.map(|(_, name)| name).collect()) };
    let mut known = Vec::new();
    for (id, name) in names {
        if id == wanted || name == wanted {
            return Ok(vec![name]);
        }
        known.push(id);
    }
    let what = format!("advent.toml has no function `{wanted}`");
    Err(Failure::refused(what).hint(format!("it has {}", known.join(", "))).into())
}

/// Events of one function since `from`, in milliseconds since the epoch.
async fn fetch(
    session: &Session<'_>,
    function: &str,
    from: i64,
    follow: bool,
) -> Result<Vec<Event>> {
    let group = Names::log_group(function);
    let (mut events, mut token) = (Vec::new(), None);
    loop {
        let request = session
            .cloud
            .logs
            .filter_log_events()
            .log_group_name(&group)
            .start_time(from)
            .set_next_token(token);
        let answer =
            Call::new("logs:FilterLogEvents", &group).send(|| request.clone().send()).await;
        let page = match answer {
            Ok(page) => page,
            Err(error) if error.is_not_found() && follow => return Ok(events),
            Err(error) if error.is_not_found() => {
                let what = format!("{function} has no log group");
                return Err(Failure::new(what).hint("bring the stack up: `advent up`").into());
            }
            Err(error) => return Err(error.into()),
        };
        let own = page.events.unwrap_or_default().into_iter();
        events.extend(own.map(|event| Event { function: function.to_owned(), event }));
        token = page.next_token;
        if token.is_none() {
            return Ok(events);
        }
    }
}

fn line(event: &Event, several: bool) -> String {
    let time = moment(event.event.timestamp().unwrap_or_default());
    // A function's log is its author's text: line breaks within one event stay one event.
    let message = event.event.message().unwrap_or_default().trim_end().replace(['\r', '\n'], " ");
    if several {
        format!("{time} {} {message}", event.function)
    } else {
        format!("{time} {message}")
    }
}

fn document(event: &Event) -> serde_json::Value {
    json!({
        "function": event.function,
        "timestamp": event.event.timestamp(),
        "message": event.event.message(),
    })
}

/// `2026-11-23T18:05:37Z` from milliseconds since the epoch.
fn moment(ms: i64) -> String {
    let seconds = DateTime::from_secs(ms.div_euclid(1000));
    seconds.fmt(Format::DateTime).unwrap_or_else(|_| ms.to_string())
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds of `30s`, `10m`, `2h` or `1d`.
fn since(text: &str) -> Result<i64, Failure> {
    let bad = || {
        Failure::refused(format!("`{text}` is no span of time"))
            .hint("write it as 30s, 10m, 2h or 1d")
    };
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    number.checked_mul(seconds * 1_000).filter(|ms| *ms >= 0).ok_or_else(bad)
}

fn identity(event: &FilteredLogEvent) -> String {
    let placed = || {
        let (stream, message) = (event.log_stream_name(), event.message());
        format!("{stream:?} {:?} {message:?}", event.timestamp())
    };
    event.event_id().map_or_else(placed, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        assert_eq!(since("90s").ok(), Some(90_000));
        assert_eq!(since("2h").ok(), Some(7_200_000));
        for bad in ["", "h", "-1h", "1", "1w", "9999999999999999d", "1é"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(1_795_457_137_123), "2026-11-23T18:05:37Z");
    }
}
