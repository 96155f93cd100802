//! `advent logs`: what the functions logged.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::session::Session;
use crate::aws::{ApiError, Call, Context, Names, Pages};
use crate::cli::{Global, Logs};
use crate::engine::Stack;
use crate::failure::Failure;
use crate::report::Report;

/// Pause between two looks of `--follow`, and what each group of logs adds to it: of the 5 to 10
/// requests a second that an account may make of this kind, half are left to others.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_PER_GROUP: Duration = Duration::from_millis(400);
/// How far back most looks go, and how far those go that find what came late: Lambda's logs may
/// take 10 minutes to show up (Lambda guide, "monitoring with CloudWatch Logs"). Milliseconds.
const NEAR_MS: i64 = 30_000;
const LATE_MS: i64 = 15 * 60_000;
/// Pause between two looks that go far back; long ones are made more rarely.
const LATE_PAUSE: Duration = Duration::from_secs(5);
const LATE_SHARE: u32 = 4;

struct LogLine {
    function: String,
    event: FilteredLogEvent,
}

pub async fn run(global: &Global, args: &Logs, report: &Report) -> Result<u8> {
    let since = since(&args.since)?;
    if args.raw {
        report.let_through();
    }
    let session = Session::open(global, report).await?;
    let functions = functions(&session, args.function.as_deref())?;
    let start = now().saturating_sub(since);
    if args.follow {
        return follow(&session, &functions, start).await;
    }
    let cx = Stack::context(&session.cloud);
    let mut look = Look::begin(&cx, &functions, start).await;
    if let Some(error) = look.trouble.take() {
        return Err(error.into());
    }
    if look.missing.len() == functions.len() {
        return Err(not_up(&session, &functions).into());
    }
    for function in &look.missing {
        report.warn(&format!("{function} has no log group: `advent up` makes it"));
    }
    let mut list = global.json.then(|| report.list("events"));
    let mut any = false;
    while let Some(event) = look.next().await
        && look.trouble.is_none()
        && !report.is_closed()
    {
        any = true;
        match &mut list {
            Some(list) => list.push(&document(&event)),
            None => show(&session, &event, functions.len() > 1),
        }
    }
    let trouble = look.trouble.map(anyhow::Error::from);
    if let Some(list) = list {
        list.end(trouble.as_ref());
    } else if !any && trouble.is_none() {
        report.note(&format!("nothing was logged in the last {}", args.since));
    }
    trouble.map_or(Ok(0), Err)
}

fn not_up(session: &Session<'_>, functions: &[String]) -> Failure {
    let Names { stack, stage, account, region, .. } = &session.cloud.names;
    let what = match functions {
        [] => format!("the stack {stack} has no functions, and so no logs"),
        [one] => format!("{one} has no log group in account {account}, {region}"),
        _ => format!("the stack {stack}, stage {stage}, is not up in account {account}, {region}"),
    };
    let failure = Failure::new(what);
    if functions.is_empty() { failure } else { failure.hint("bring it up: `advent up`") }
}

/// Shows what comes until the end of time, or of who reads it.
async fn follow(session: &Session<'_>, functions: &[String], start: i64) -> Result<u8> {
    let report = session.report;
    if functions.is_empty() {
        return Err(not_up(session, functions).into());
    }
    let cx = Stack::context(&session.cloud);
    let pause = PAUSE.max(PAUSE_PER_GROUP * u32::try_from(functions.len()).unwrap_or(u32::MAX));
    let mut seen = Seen::default();
    let mut absent: Option<Vec<&str>> = None;
    // The first look goes as far back as was asked for, some later ones as far as may be late.
    let (mut first, mut far, mut silent, mut ill) = (true, Instant::now(), true, false);
    loop {
        let begun = Instant::now();
        let is_far = first || begun >= far;
        let back = if is_far { LATE_MS } else { NEAR_MS };
        let horizon = now().saturating_sub(LATE_MS);
        let from = if first { start } else { start.max(now().saturating_sub(back)) };
        let mut look = Look::begin(&cx, functions, from).await;
        while let Some(event) = look.next().await
            && !report.is_closed()
        {
            if seen.is_new(&event.event, horizon) {
                show(session, &event, functions.len() > 1);
                silent = false;
            }
        }
        let Look { missing, trouble, .. } = look;
        match trouble {
            // Whoever follows for hours outlives a lost network and a busy account.
            Some(error) if !first && (error.is_fault() || error.is_throttling()) => {
                if !ill {
                    report.warn(&format!("{error}: going on trying"));
                }
                ill = true;
            }
            Some(error) => return Err(error.into()),
            None => ill = false,
        }
        if !ill && absent.as_ref() != Some(&missing) {
            if !missing.is_empty() {
                let what = not_up(session, functions).what;
                let what = if missing.len() == functions.len() {
                    what
                } else {
                    format!("no log group yet: {}", missing.join(", "))
                };
                report.note(&format!("{what}: waiting (`advent up` makes it)"));
            } else if silent {
                report.note("nothing was logged yet: waiting");
            }
            absent = Some(missing);
        }
        if report.is_closed() {
            return Ok(0);
        }
        if is_far && !ill {
            seen.forget(horizon);
            far = Instant::now() + LATE_PAUSE.max(begun.elapsed() * LATE_SHARE);
            first = false;
        }
        sleep(pause).await;
    }
}

/// The events that were shown already, as far back as any look goes: by a hash of what tells them
/// apart, with their times.
#[derive(Default)]
struct Seen(HashMap<[u8; 16], i64>);

impl Seen {
    /// Whether it was not seen before; from then on it was. What is older than `horizon`, in
    /// milliseconds since the epoch, is looked at once only and not kept.
    fn is_new(&mut self, event: &FilteredLogEvent, horizon: i64) -> bool {
        let time = event.timestamp().unwrap_or_default();
        let mut digest = Sha256::new();
        match event.event_id() {
            Some(id) => digest.update(id),
            // Ids are optional: what has none is told apart by where and when it was logged.
            None => {
                digest.update(format!(
                    "{:?} {time} {:?}",
                    event.log_stream_name(),
                    event.message()
                ));
            }
        }
        let mut key = [0; 16];
        key.copy_from_slice(&digest.finalize()[..16]);
        time < horizon || self.0.insert(key, time).is_none()
    }

    fn forget(&mut self, horizon: i64) {
        self.0.retain(|_, time| *time >= horizon);
    }
}

fn show(session: &Session<'_>, event: &LogLine, several: bool) {
    let json = session.global.json;
    let line = if json { document(event).to_string() } else { line(event, several) };
    session.report.data(&line);
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

/// The events of several functions in order of time, a page of each at once: however many there
/// are, memory does not grow with them.
struct Look<'a> {
    cx: &'a Context<'a>,
    sources: Vec<Source<'a>>,
    /// The functions that have no log group.
    missing: Vec<&'a str>,
    /// Why the rest of one function's events is not among them.
    trouble: Option<ApiError>,
}

struct Source<'a> {
    function: &'a str,
    from: i64,
    pages: Pages,
    page: std::vec::IntoIter<FilteredLogEvent>,
    /// Of the next page; the first one has none.
    token: Option<String>,
    /// Whether there is a next page.
    more: bool,
}

impl<'a> Look<'a> {
    /// Everything since `from`, in milliseconds since the epoch.
    async fn begin(cx: &'a Context<'a>, functions: &'a [String], from: i64) -> Self {
        let mut look = Self { cx, sources: Vec::new(), missing: Vec::new(), trouble: None };
        for function in functions {
            let group = Names::log_group(function);
            let pages = Pages::of_any_number("logs:FilterLogEvents", &group);
            let page = Vec::new().into_iter();
            let mut source = Source { function, from, pages, page, token: None, more: true };
            match source.fill(cx).await {
                Ok(true) => look.sources.push(source),
                Ok(false) => look.missing.push(function),
                Err(error) => look.trouble = Some(error),
            }
        }
        look
    }

    async fn next(&mut self) -> Option<LogLine> {
        let mut trouble = None;
        for source in &mut self.sources {
            if let Err(error) = source.fill(self.cx).await {
                source.more = false;
                trouble = Some(error);
            }
        }
        self.trouble = trouble.or(self.trouble.take());
        let time =
            |source: &Source<'_>| source.page.as_slice().first().map(FilteredLogEvent::timestamp);
        let sources = self.sources.iter_mut().filter_map(|it| Some((time(it)?, it)));
        // The first of several: `min_by_key` keeps the order of functions.
        let (_, source) = sources.min_by_key(|(time, _)| *time)?;
        let function = source.function.to_owned();
        source.page.next().map(|event| LogLine { function, event })
    }
}

impl Source<'_> {
    /// Reads on until there is an event, or no more. False if there is no log group.
    async fn fill(&mut self, cx: &Context<'_>) -> Result<bool, ApiError> {
        let group = Names::log_group(self.function);
        while self.page.as_slice().is_empty() && self.more {
            let logs = &cx.cloud.logs;
            let request = logs.filter_log_events().log_group_name(&group);
            let request = request.start_time(self.from.max(0)).set_next_token(self.token.take());
            let call = Call::new("logs:FilterLogEvents", &group);
            let page = match call.send(|| request.clone().send()).await {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) => return Err(error),
            };
            self.page = page.events.unwrap_or_default().into_iter();
            if !self.page.as_slice().is_empty() {
                self.pages.not_empty();
            }
            self.token = self.pages.next(page.next_token)?;
            self.more = self.token.is_some();
        }
        Ok(true)
    }
}

fn line(event: &LogLine, several: bool) -> String {
    let time = moment(event.event.timestamp().unwrap_or_default());
    // A function's log is its author's text: line breaks within one event stay one event.
    let message = event.event.message().unwrap_or_default().trim_end().replace(['\r', '\n'], " ");
    if several {
        format!("{time} {} {message}", event.function)
    } else {
        format!("{time} {message}")
    }
}

fn document(event: &LogLine) -> serde_json::Value {
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
    fn each_event_is_new_once_and_forgotten_when_no_look_reaches_it() {
        let event = |id: Option<&str>, time: i64, message: &str| {
            let builder = FilteredLogEvent::builder().timestamp(time).message(message);
            builder.set_event_id(id.map(str::to_owned)).log_stream_name("s").build()
        };
        let mut seen = Seen::default();
        assert!(seen.is_new(&event(Some("a"), 1_000, "x"), 500));
        assert!(!seen.is_new(&event(Some("a"), 1_000, "x"), 500));
        // The same line at the same time, which is another event.
        assert!(seen.is_new(&event(Some("b"), 1_000, "x"), 500));
        assert!(seen.is_new(&event(None, 1_000, "x"), 500));
        assert!(!seen.is_new(&event(None, 1_000, "x"), 500));
        assert!(seen.is_new(&event(Some("old"), 400, "x"), 500));
        assert_eq!(seen.0.len(), 3);
        seen.forget(1_000);
        assert_eq!(seen.0.len(), 3);
        seen.forget(1_001);
        assert!(seen.0.is_empty());
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(1_795_457_137_123), "2026-11-23T18:05:37Z");
    }
}
