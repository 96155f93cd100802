//! What went over the wire: counts, writes, the longest chain of dependent requests.

use std::fmt;
use std::time::Instant;

use super::operation::Operation;

#[derive(Debug, Clone)]
pub struct Record {
    pub operation: Operation,
    pub start: Instant,
    /// When the answer was ready for the client; `None` while it is not, or never was.
    pub end: Option<Instant>,
    pub status: Option<u16>,
}

impl Record {
    /// Changes the cloud, and was not refused.
    pub fn wrote(&self) -> bool {
        self.operation.mutating && self.status.is_none_or(|status| status < 300)
    }
}

/// Requests in the order in which they arrived.
#[derive(Debug, Clone, Default)]
pub struct Records(pub Vec<Record>);

impl Records {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `service:Operation subject` of every request that asked for a change.
    pub fn mutating(&self) -> Vec<String> {
        self.0.iter().filter(|record| record.operation.mutating).map(describe).collect()
    }

    pub fn count(&self, service: &str, name: &str) -> usize {
        self.0.iter().filter(|record| record.operation.is(service, name)).count()
    }

    /// The longest sequence of requests of which each began after the one before had ended.
    ///
    /// Requests are intervals, so the earliest end is always a right choice for the next link.
    pub fn chain(&self) -> Vec<&Record> {
        let mut ended: Vec<(Instant, &Record)> =
            self.0.iter().filter_map(|record| Some((record.end?, record))).collect();
        ended.sort_by_key(|(end, _)| *end);
        let mut chain: Vec<(Instant, &Record)> = Vec::new();
        for (end, record) in ended {
            if chain.last().is_none_or(|(last, _)| record.start >= *last) {
                chain.push((end, record));
            }
        }
        chain.into_iter().map(|(_, record)| record).collect()
    }
}

fn describe(record: &Record) -> String {
    let Operation { service, name, subject, .. } = &record.operation;
    format!("{service}:{name} {subject}").trim_end().to_owned()
}

/// A table of all requests with start and end in milliseconds, links of the chain marked `*`.
impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.chain();
        writeln!(f, "{} requests, chain of {}", self.0.len(), chain.len())?;
        let Some(origin) = self.0.iter().map(|record| record.start).min() else { return Ok(()) };
        for record in &self.0 {
            let link = chain.iter().any(|link| std::ptr::eq(*link, record));
            let end = record.end.map_or_else(
                || "-".into(),
                |end| end.duration_since(origin).as_millis().to_string(),
            );
            let status = record.status.map_or_else(|| "-".into(), |status| status.to_string());
            writeln!(
                f,
                "{} {:>6} {:>6} {:>4} {}",
                if link { '*' } else { ' ' },
                record.start.duration_since(origin).as_millis(),
                end,
                status,
                describe(record)
            )?;
        }
        Ok(())
    }
}
