//! What a resource has that advent.toml does not speak of.

use super::style::Paint;
use super::text;
use crate::engine::{Notices, Plan};

/// Of a value no more is shown where it ends nowhere.
const LONGEST: usize = 160;

/// A line for each, moved in by `indent`.
pub(super) fn lines(notices: &Notices, indent: &str, paint: Paint) -> Vec<String> {
    let watched = notices.watched.iter().map(|it| {
        let found = text::cut(&it.found.replace('\n', " "), LONGEST);
        let usual =
            it.usual.as_ref().map_or_else(String::new, |usual| format!(" (usually {usual})"));
        match &it.alarm {
            Some(alarm) => {
                let line = format!("! {}: {found}{usual}: {alarm}", it.property);
                format!("{indent}{}", paint.red(&line))
            }
            None => format!("{indent}{} {}: {found}{usual}", paint.yellow("*"), it.property),
        }
    });
    let unread = notices
        .unread
        .iter()
        .map(|it| format!("{indent}{} {}: not looked at: {}", paint.yellow("?"), it.what, it.why));
    watched.chain(unread).collect()
}

/// `2 watched differences, which are left alone`; nothing if there are none.
pub(super) fn counts(plan: &Plan) -> Vec<String> {
    let watched: usize = plan.steps.iter().map(|step| step.notices.watched.len()).sum();
    let mut counts = Vec::new();
    match watched {
        0 => {}
        1 => counts.push("1 watched difference".to_owned()),
        more => counts.push(format!("{more} watched differences")),
    }
    match plan.unread().count() {
        0 => {}
        more => counts.push(format!("{more} not looked at")),
    }
    counts
}
