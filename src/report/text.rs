//! Words, numbers and columns that all texts share.

use std::time::Duration;

use console::{Alignment, measure_text_width, pad_str, truncate_str};

use super::style::Paint;
use crate::engine::Action;

/// An action while it goes on, and when it is over.
pub(super) fn verbs(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Keep | Action::Foreign(_) => ("keeping", "kept"),
        Action::Create => ("creating", "created"),
        Action::Update(_) | Action::Recheck => ("updating", "updated"),
        Action::Replace(_) => ("replacing", "replaced"),
        Action::Delete => ("deleting", "deleted"),
    }
}

/// `47 ms`, `12.3 s`, `2m 05s`.
pub(super) fn duration(took: Duration) -> String {
    // What would be rounded up to the next unit is one of it.
    match took.as_millis() {
        ms @ 0..950 => return format!("{ms} ms"),
        950..59_950 => return format!("{:.1} s", took.as_secs_f32()),
        _ => {}
    }
    let seconds = (took + Duration::from_millis(500)).as_secs();
    format!("{}m {:02}s", seconds / 60, seconds % 60)
}

/// Decimal units, as Lambda's limits on zips are read: `740 B`, `1.6 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..999_950 => tenths(bytes / 100, "kB"),
        _ => tenths(bytes.saturating_add(50_000) / 100_000, "MB"),
    }
}

fn tenths(tenths: u64, unit: &str) -> String {
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Exactly `width` columns wide, cut at the end if need be.
pub(super) fn column(text: &str, width: usize) -> String {
    let cut = truncate_str(text, width, "…");
    pad_str(&cut, width, Alignment::Left, None).into_owned()
}

/// At most `width` columns wide.
pub(super) fn cut(text: &str, width: usize) -> String {
    truncate_str(text, width, "…").into_owned()
}

/// Columns that the widest of these takes.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts.into_iter().map(measure_text_width).max().unwrap_or(0)
}

/// `text` with every line but the empty ones moved in.
pub(super) fn indented(text: &str, by: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => String::new(),
        line => format!("{by}{line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A question of one line is asked as it is; a longer one is asked again at its end.
pub(super) fn question(question: &str, paint: Paint) -> String {
    let question = question.trim_end();
    match question.split_once('\n') {
        None => format!("{} [y/N] ", paint.bold(question)),
        Some((first, rest)) => {
            format!("{}\n{rest}\n\n{} [y/N] ", paint.bold(first), paint.bold("go ahead?"))
        }
    }
}

pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
