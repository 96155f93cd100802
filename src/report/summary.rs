//! How a command ended.

use super::style::Paint;
use super::text;
use super::work::{RowState, Work};

pub(super) fn text(title: &str, rows: &[(&str, String)], next: &[String], paint: Paint) -> String {
    let mut lines = vec![format!("{} {}", paint.green("✓"), paint.bold(title))];
    if !rows.is_empty() {
        lines.push(String::new());
        lines.extend(table(rows, "  ", paint));
    }
    if !next.is_empty() {
        lines.extend([String::new(), "next:".to_owned()]);
        lines.extend(next.iter().map(|next| format!("  {}", bare(next))));
    }
    lines.join("\n")
}

/// A line that is one command as it is typed, without its quotes.
fn bare(line: &str) -> &str {
    let inner = line.strip_prefix('`').and_then(|line| line.strip_suffix('`'));
    inner.filter(|inner| !inner.contains('`')).unwrap_or(line)
}

/// Labels and values in two columns. Addresses stand out.
pub(super) fn table(rows: &[(&str, String)], indent: &str, paint: Paint) -> Vec<String> {
    let width = text::widest(rows.iter().map(|(label, _)| *label));
    let row = |(label, value): &(&str, String)| {
        let label = paint.dim(&text::column(label, width));
        let is_address = value.starts_with("http://") || value.starts_with("https://");
        let value = if is_address { paint.cyan(value) } else { value.clone() };
        format!("{indent}{label}  {value}")
    };
    rows.iter().map(row).collect()
}

/// `2 failed, 3 not begun`, if not everything was done.
pub(super) fn of_failures(work: &Work, paint: Paint) -> Option<String> {
    let (failed, waiting) = (work.count(&RowState::Failed), work.count(&RowState::Waiting));
    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(paint.red(&format!("{failed} failed")));
    }
    if waiting > 0 {
        parts.push(format!("{waiting} not begun"));
    }
    if parts.is_empty() {
        return None;
    }
    parts.push(format!("{} of {} done", work.count(&RowState::Done), work.total()));
    Some(parts.join(", "))
}
