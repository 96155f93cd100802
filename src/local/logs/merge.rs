//! The events of several streams in one order, read a little at a time.

use std::collections::{BinaryHeap, VecDeque};

use rusqlite::params;

use crate::local::error::AwsError;
use crate::local::store::Db;

/// How many events of a stream are looked up at first, and at most. Only where they stand: texts
/// are read one by one.
const FIRST: usize = 4;
const MOST: usize = 512;

/// Where an event stands: time and number.
pub type Position = (i64, i64);

pub struct Merge<'a> {
    db: &'a Db<'a>,
    forward: bool,
    /// The time at which it ends: exclusive forwards, inclusive backwards.
    end: i64,
    streams: Vec<Stream>,
    /// The next event of each stream that has one.
    next: BinaryHeap<(Order, usize)>,
}

struct Stream {
    id: i64,
    known: VecDeque<Position>,
    /// Of the last one that was looked up.
    last: Position,
    chunk: usize,
}

/// The greatest is the next.
type Order = (i128, i128);

fn order(forward: bool, (time, id): Position) -> Order {
    let sign = if forward { -1 } else { 1 };
    (sign * i128::from(time), sign * i128::from(id))
}

impl<'a> Merge<'a> {
    /// Events of these streams after (or before) a place, in the time from (inclusive) to
    /// (exclusive).
    pub fn new(
        db: &'a Db<'a>,
        streams: impl Iterator<Item = i64>,
        forward: bool,
        after: Option<Position>,
        (from, to): (i64, i64),
    ) -> Result<Self, AwsError> {
        // Numbers begin with 1.
        let begin = if forward { (from, 0) } else { (to, 0) };
        let last = match after {
            Some(after) if forward => after.max(begin),
            Some(after) => after.min(begin),
            None => begin,
        };
        let end = if forward { to } else { from };
        let stream = |id| Stream { id, known: VecDeque::new(), last, chunk: FIRST };
        let streams = streams.map(stream).collect();
        let mut merge = Self { db, forward, end, streams, next: BinaryHeap::new() };
        for index in 0..merge.streams.len() {
            merge.advance(index)?;
        }
        Ok(merge)
    }

    /// The next event and the position of its stream.
    pub fn next(&mut self) -> Result<Option<(Position, usize)>, AwsError> {
        let Some((_, index)) = self.next.pop() else { return Ok(None) };
        let place = self.streams[index].known.pop_front();
        self.advance(index)?;
        Ok(place.map(|place| (place, index)))
    }

    fn advance(&mut self, index: usize) -> Result<(), AwsError> {
        let stream = &mut self.streams[index];
        if stream.known.is_empty() {
            let mut statement = self.db.conn().prepare_cached(if self.forward {
                "SELECT time, id FROM log_event WHERE stream = ?1 AND (time, id) > (?2, ?3)
                 AND time < ?4 ORDER BY time, id LIMIT ?5"
            } else {
                "SELECT time, id FROM log_event WHERE stream = ?1 AND (time, id) < (?2, ?3)
                 AND time >= ?4 ORDER BY time DESC, id DESC LIMIT ?5"
            })?;
            let (time, id) = stream.last;
            let rows = statement
                .query_map(params![stream.id, time, id, self.end, stream.chunk], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            stream.known = rows.collect::<rusqlite::Result<_>>()?;
            stream.chunk = (2 * stream.chunk).min(MOST);
            stream.last = stream.known.back().copied().unwrap_or(stream.last);
        }
        if let Some(place) = self.streams[index].known.front() {
            self.next.push((order(self.forward, *place), index));
        }
        Ok(())
    }
}
