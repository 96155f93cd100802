//! Parsing and checking `advent.toml` as a whole; its functions are in `function.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Result, quoted};
use super::function::owned;
use super::keys::{self, RETENTION};
use super::names::{ID, TABLE, TOPIC, Taken};
use super::reference::Ids;
use super::section::{Item, Section, SpannedStr};
use super::{HttpApi, MAX_BYTES, Manifest, Table, Topic, account};

/// What one part of the manifest must know of the others.
pub(super) struct Checker<'a> {
    pub(super) stack: &'a str,
    pub(super) ids: Ids<'a>,
    pub(super) taken: Taken,
    /// By what they match.
    pub(super) routes: BTreeMap<String, (Range<usize>, &'a str)>,
}

pub(super) fn parse(text: &str) -> Result<Manifest> {
    if text.len() > MAX_BYTES {
        return Err(Diagnostic::new(0..0, "the manifest is too large")
            .hint(format!("It may have {} KiB.", MAX_BYTES / 1024)));
    }
    let document = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    let root = Section::root(document.get_ref());
    root.only_declared()?;
    let name = root.required("name")?;
    let guard = account::guard(&root)?;
    let stages = each(&members(&root, "stage", "[stage.NAME]")?, account::stage)?;
    let permissions_boundary = account::boundary(&root)?;
    let tags = account::tags(&root)?;
    let log_retention_days = retention(&root)?;

    let tables = members(&root, "table", "[table.ID]")?;
    let topics = members(&root, "topic", "[topic.ID]")?;
    let functions = members(&root, "function", "[function.ID]")?;
    let mut checker = Checker {
        stack: name.get_ref(),
        ids: Ids { tables: ids(&tables), topics: ids(&topics), functions: ids(&functions) },
        taken: Taken::default(),
        routes: BTreeMap::new(),
    };
    Ok(Manifest {
        name: (*name.get_ref()).to_owned(),
        guard,
        stages,
        permissions_boundary,
        tags,
        log_retention_days,
        tables: each(&tables, |id, item| checker.table(id, item))?,
        topics: each(&topics, |id, item| checker.topic(id, item))?,
        functions: each(&functions, |id, item| checker.function(id, item))?,
        http_api: checker.http_api(&root)?,
    })
}

fn syntax(text: &str, error: &toml::de::Error) -> Diagnostic {
    let at = error.span().unwrap_or(text.len()..text.len());
    let message = error.message();
    let diagnostic = Diagnostic::new(at, format!("not valid TOML: {message}"));
    let hints = [
        ("string values must be quoted", "Put it in quotes."),
        ("duplicate key", "Leave one of them out: a key or table stands once."),
        ("invalid basic string", "Close the string with `\"` on its own line."),
    ];
    match hints.iter().find(|(start, _)| message.starts_with(start)) {
        Some((_, hint)) => diagnostic.hint(*hint),
        None => diagnostic,
    }
}

fn retention(root: &Section<'_>) -> Result<i32> {
    const KEY: &str = "log_retention_days";
    let days = root.whole(KEY)?;
    match (RETENTION.contains(&days), root.get(KEY)) {
        (false, Some((_, item))) => {
            let all = RETENTION.map(|days| days.to_string()).join(", ");
            Err(Diagnostic::new(item.span(), format!("logs cannot be kept for {days} days"))
                .hint(format!("CloudWatch Logs takes one of {all}.")))
        }
        _ => Ok(days),
    }
}

type Members<'a> = Vec<(SpannedStr<'a>, &'a Item<'a>)>;

/// What is declared as `[kind.ID]`, in the order of the file.
fn members<'a>(root: &Section<'a>, kind: &str, example: &str) -> Result<Members<'a>> {
    let Some((key, item)) = root.get(kind) else { return Ok(Vec::new()) };
    let section = Section::new(format!("[{kind}]"), key.span(), item, example)?;
    let mut members = Vec::new();
    for (id, item) in section.entries() {
        let id = Spanned::new(id.span(), id.get_ref().as_ref());
        if !matches!(item.get_ref(), DeValue::Table(_) | DeValue::Array(_)) {
            let what =
                format!("{} stands in [{kind}] itself, not in a {kind}", quoted(id.get_ref()));
            return Err(Diagnostic::new(id.span(), what)
                .hint(format!("Each {kind} is a table with an id: `{example}`.")));
        }
        ID.check(&id)?;
        members.push((id, item));
    }
    Ok(members)
}

fn ids<'a>(members: &Members<'a>) -> BTreeSet<&'a str> {
    members.iter().map(|(id, _)| *id.get_ref()).collect()
}

fn each<'a, T>(
    members: &Members<'a>,
    mut parse: impl FnMut(&SpannedStr<'a>, &'a Item<'a>) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    members.iter().map(|(id, item)| Ok(((*id.get_ref()).to_owned(), parse(id, item)?))).collect()
}

impl<'a> Checker<'a> {
    fn table(&mut self, id: &SpannedStr<'a>, item: &'a Item<'a>) -> Result<Table> {
        let title = format!("[table.{}]", id.get_ref());
        let section = Section::declared(&keys::TABLE, title, id.span(), item)?;
        let name = section.string("name")?;
        self.taken.claim(&TABLE, self.stack, id, name.as_ref())?;
        let key = section.required("key")?;
        let ttl = section.text("ttl")?;
        if let Some(ttl) = ttl.as_ref().filter(|ttl| ttl.get_ref() == key.get_ref()) {
            let what = format!("{} is both key and ttl", quoted(ttl.get_ref()));
            return Err(Diagnostic::new(ttl.span(), what)
                .related(key.span(), "the key is here")
                .hint("The key is a string and the ttl a number. Choose another attribute."));
        }
        Ok(Table { name: owned(name), key: key.into_inner().to_owned(), ttl: owned(ttl) })
    }

    fn topic(&mut self, id: &SpannedStr<'a>, item: &'a Item<'a>) -> Result<Topic> {
        let title = format!("[topic.{}]", id.get_ref());
        let section = Section::declared(&keys::TOPIC, title, id.span(), item)?;
        let name = section.string("name")?;
        self.taken.claim(&TOPIC, self.stack, id, name.as_ref())?;
        Ok(Topic { name: owned(name) })
    }

    /// After the functions, because their routes decide whether there is one.
    fn http_api(&self, root: &Section<'a>) -> Result<Option<HttpApi>> {
        let none = DeTable::new();
        let written = root.get("http_api");
        let section = match written {
            Some((key, item)) => Section::declared(
                &keys::HTTP_API,
                keys::HTTP_API.title.to_owned(),
                key.span(),
                item,
            )?,
            None if self.routes.is_empty() => return Ok(None),
            None => Section::empty(&keys::HTTP_API, &none),
        };
        let name = section.text("name")?;
        let throttle_rate = section.positive("throttle_rate")?;
        let throttle_burst = section.whole("throttle_burst")?;
        if let (true, Some((key, _))) = (self.routes.is_empty(), written) {
            return Err(Diagnostic::new(key.span(), "[http_api] without a route").hint(
                "Give a function a route, as `route = \"ANY /hello\"`, or leave [http_api] out.",
            ));
        }
        let route_quota = section.whole("route_quota")?;
        Ok(Some(HttpApi { name: owned(name), throttle_rate, throttle_burst, route_quota }))
    }
}
