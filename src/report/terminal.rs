//! How the work goes on a terminal: lines that stay for what is done, and below them a picture
//! of what is under way.

use std::time::{Duration, Instant};

use console::measure_text_width;

use super::style::Paint;
use super::work::{Phase, Row, RowState, Work};
use super::{Doing, errors, text};
use crate::engine::{Action, Event, Outcome};

const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const BAR: usize = 24;
/// Columns of the words and of the times, and the widest name that is shown in full.
const WORD: usize = 9;
const TIME: usize = 8;
const NAME: usize = 48;

/// The lines that stay of an event that was taken in already.
pub(super) fn event(work: &Work, event: &Event<'_>, width: usize, paint: Paint) -> Option<String> {
    let Event::Finished { id, action, outcome, took } = event else { return None };
    let row = work.row(id)?;
    let (_, done) = text::verbs(action);
    let took = format!("{:>TIME$}", text::duration(*took));
    let start = |glyph: String| format!("{glyph} {}", names(work, row, width));
    match outcome {
        Outcome::Skipped => None,
        Outcome::Done if matches!(action, Action::Keep | Action::Foreign(_)) => None,
        Outcome::Done => {
            let start = start(paint.green("✓"));
            Some(format!("{start}  {done:<WORD$}{}", paint.dim(&took)))
        }
        Outcome::Failed(error) => {
            let start = start(paint.red("✗"));
            let what = paint.red(&format!("{:<WORD$}", "failed"));
            let details = errors::details(error, "    ", paint);
            Some(format!("{start}  {what}{}\n{details}", paint.dim(&took)))
        }
    }
}

/// The line that stays of a phase.
pub(super) fn phase_took(what: &str, took: Duration, paint: Paint) -> String {
    paint.dim(&format!("{what}  {}", text::duration(took)))
}

/// What is under way, in less than `height` lines of less than `width` columns.
pub(super) fn picture(
    doing: &Doing,
    (width, height): (usize, usize),
    now: Instant,
    paint: Paint,
) -> String {
    let mut lines = Vec::new();
    lines.extend(doing.phase.as_ref().map(|phase| phase_line(phase, width, now, paint)));
    if let Some(work) = &doing.work {
        let under_way: Vec<_> =
            work.rows.iter().filter_map(|row| row_line(work, row, width, now, paint)).collect();
        let room = height.saturating_sub(4).max(1);
        let more = under_way.len().saturating_sub(room);
        lines.extend(under_way.into_iter().take(room));
        if more > 0 {
            lines.push(paint.dim(&format!("  and {more} more")));
        }
        lines.push(total_line(work, now, paint));
    }
    // A line as wide as the terminal makes some terminals begin another one.
    let lines = lines.iter().map(|line| text::cut(line, width.saturating_sub(1)));
    lines.collect::<Vec<_>>().join("\n")
}

fn phase_line(phase: &Phase, width: usize, now: Instant, paint: Paint) -> String {
    let spinner = spinner(phase.begun, now, paint);
    let took = running(now.saturating_duration_since(phase.begun), 0, paint);
    let mut line = format!("{spinner} {}", phase.what);
    let mut detail = phase.note.clone();
    if let Some((done, total, krate)) = &phase.crates {
        line = format!("{line}  {}", bar(*done, *total, paint));
        detail = format!("{done}/{total} {krate}");
    }
    let room = width.saturating_sub(measure_text_width(&line) + 2 + TIME + 2 + 1);
    if !detail.is_empty() && room > 8 {
        line = format!("{line}  {}", text::cut(&detail, room));
    }
    if took.is_empty() { line } else { format!("{line}  {took}") }
}

fn row_line(work: &Work, row: &Row, width: usize, now: Instant, paint: Paint) -> Option<String> {
    let RowState::Doing { verb, begun, note, .. } = &row.state else { return None };
    let start = format!("{} {}", spinner(*begun, now, paint), names(work, row, width));
    let took = running(now.saturating_duration_since(*begun), TIME, paint);
    let line = format!("{start}  {verb:<WORD$}{took}");
    let room = width.saturating_sub(measure_text_width(&line) + 3);
    Some(if note.is_empty() || room < 8 {
        line
    } else {
        format!("{line}  {}", paint.dim(&text::cut(note, room)))
    })
}

fn total_line(work: &Work, now: Instant, paint: Paint) -> String {
    let (done, total) = (work.count(&RowState::Done), work.total());
    let took = running(now.saturating_duration_since(work.begun), TIME, paint);
    let failed = match work.count(&RowState::Failed) {
        0 => String::new(),
        failed => paint.red(&format!("  {failed} failed")),
    };
    format!("  {}  {done}/{total}{failed}{took}", bar(done, total, paint))
}

/// Kind and name in columns, so that all lines of a piece of work are aligned.
fn names(work: &Work, row: &Row, width: usize) -> String {
    let rest = 2 + work.kind_width + 2 + 2 + WORD + TIME + 1;
    let name_width = work.name_width.min(NAME).min(width.saturating_sub(rest).max(8));
    format!("{}  {}", text::column(row.kind, work.kind_width), text::column(&row.name, name_width))
}

/// A time that is still growing. The first second is too short to be read.
fn running(took: Duration, width: usize, paint: Paint) -> String {
    let took = if took.as_secs() == 0 { String::new() } else { text::duration(took) };
    if width == 0 && took.is_empty() { took } else { paint.dim(&format!("{took:>width$}")) }
}

fn spinner(begun: Instant, now: Instant, paint: Paint) -> String {
    let frame = now.saturating_duration_since(begun).as_millis() / super::FRAME.as_millis();
    let frame = usize::try_from(frame).unwrap_or(0) % SPINNER.len();
    paint.cyan(&SPINNER[frame].to_string())
}

fn bar(done: usize, total: usize, paint: Paint) -> String {
    let full = (done.min(total) * BAR).checked_div(total).unwrap_or(0);
    let rest = if paint.on { "━" } else { "─" };
    format!("{}{}", paint.cyan(&"━".repeat(full)), paint.dim(&rest.repeat(BAR - full)))
}
