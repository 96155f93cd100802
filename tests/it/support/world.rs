//! Everything that is in a cloud, as an independent client sees it, and how two such worlds differ.

use std::fmt::Write as _;

use serde_json::Value;

use super::cli::{Cli, Run};
use super::python::Boto;

/// The document that `client.py` makes: tables, topics, roles, functions, log groups, APIs.
#[derive(Debug, Clone, PartialEq)]
pub struct World(pub Value);

impl World {
    pub fn read(boto: &Boto<'_>) -> Self {
        Self(boto.world())
    }

    /// Nothing of any kind.
    pub fn is_empty(&self) -> bool {
        self.kinds().all(|(_, count)| count == 0)
    }

    /// `3 functions, 1 table`: how much there is of each kind.
    pub fn summary(&self) -> String {
        let kinds: Vec<_> = self
            .kinds()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        kinds.join(", ")
    }

    fn kinds(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.as_object().expect("a world is an object").iter().map(|(kind, things)| {
            let count = things.as_object().map(serde_json::Map::len);
            (kind.as_str(), count.or(things.as_array().map(Vec::len)).unwrap_or_default())
        })
    }

    /// A line per value that differs, `path: this -> that`; empty if none does.
    pub fn difference(&self, that: &Self) -> String {
        let mut lines = String::new();
        compare(&mut lines, "", &self.0, &that.0);
        lines
    }

    #[track_caller]
    pub fn assert_same(&self, that: &Self, when: &str) {
        let difference = self.difference(that);
        assert!(difference.is_empty(), "{when}, the world differs:\n{difference}");
    }

    /// The command is refused for want of `--yes`, and leaves all as it is.
    #[track_caller]
    pub fn refused<const N: usize>(boto: &Boto<'_>, cli: &Cli, args: [&str; N]) -> Run {
        let before = Self::read(boto);
        let run = cli.run(args).code(2).says("--yes");
        before.assert_same(&Self::read(boto), "refused");
        run
    }

    #[track_caller]
    pub fn assert_empty(&self, when: &str) {
        assert!(self.is_empty(), "{when}, there still is: {}\n{:#}", self.summary(), self.0);
    }
}

fn compare(lines: &mut String, path: &str, this: &Value, that: &Value) {
    match (this, that) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<_> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (a, b) = (a.get(key), b.get(key));
                let path = format!("{path}/{key}");
                compare(lines, &path, a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(lines, &format!("{path}/{index}"), a, b);
            }
        }
        (a, b) if a == b => {}
        (a, b) => drop(writeln!(lines, "{path}: {a} -> {b}")),
    }
}
