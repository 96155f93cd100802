//! The stack as it is: a header, a line per resource, and what drifted.

use console::measure_text_width;

use super::style::Paint;
use super::{notices, plan, summary, text};
use crate::engine::{Action, Plan, Step};
use crate::resources::function::UNBUILT;

const STATES: [&str; 6] = ["in sync", "missing", "drifted", "unsure", "foreign", "orphan"];

/// How far what differs is moved in.
const INDENT: &str = "     ";

/// `width` is that of the terminal, if it is one.
pub(super) fn text(
    header: &[(&str, String)],
    plan: &Plan,
    width: Option<usize>,
    paint: Paint,
) -> String {
    let mut lines = summary::table(header, "", paint);
    lines.push(String::new());
    // What neither is nor should be is of no interest.
    let shown = || plan.steps.iter().filter(|s| s.exists() || s.action != Action::Keep);
    let kind_width = text::widest(shown().map(|step| step.kind));
    let name_width = text::widest(shown().map(|step| step.name.as_str()));
    for step in shown() {
        let (state, remark) = state(step);
        let names = format!(
            "{}  {}",
            text::column(step.kind, kind_width),
            text::column(&step.name, name_width)
        );
        let line = format!("{}  {names}  {}", glyph(state, paint), coloured(state, paint));
        let has_remark = !remark.is_empty();
        let remark = paint.dim(&format!("  ({remark})"));
        // It is not worth another line.
        let fits = |width| measure_text_width(&line) + measure_text_width(&remark) < width;
        let shown = has_remark && width.is_none_or(fits);
        lines.push(if shown { line + &remark } else { line });
        let changes = step.action.changes().iter();
        lines.extend(changes.map(|change| plan::change(change, INDENT, width, paint)));
        lines.extend(plan::removals(step, INDENT, paint));
        lines.extend(notices::lines(&step.notices, INDENT, paint));
    }
    let counts: Vec<_> = STATES
        .iter()
        .map(|name| (shown().filter(|step| state(step).0 == *name).count(), name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .chain(notices::counts(plan))
        .collect();
    lines.extend([String::new(), format!("{} resources: {}", shown().count(), counts.join(", "))]);
    lines.join("\n")
}

fn state(step: &Step) -> (&'static str, String) {
    match &step.action {
        Action::Keep if !step.notices.unread.is_empty() => {
            ("unsure", "not everything could be looked at".to_owned())
        }
        Action::Keep => ("in sync", watched(step.notices.watched.len())),
        Action::Create => ("missing", String::new()),
        Action::Update(changes)
            if step.removes.is_empty() && changes.iter().all(|change| change.to == UNBUILT) =>
        {
            ("unsure", String::new())
        }
        Action::Update(_) => ("drifted", String::new()),
        Action::Replace(_) => ("drifted", "must be replaced".to_owned()),
        Action::Recheck => ("unsure", "what it needs is missing".to_owned()),
        Action::Foreign(whose) => ("foreign", whose.clone()),
        Action::Delete => ("orphan", "no longer in advent.toml".to_owned()),
    }
}

fn watched(differences: usize) -> String {
    match differences {
        0 => String::new(),
        1 => "but for 1 watched difference".to_owned(),
        more => format!("but for {more} watched differences"),
    }
}

fn glyph(state: &str, paint: Paint) -> String {
    match state {
        "in sync" => paint.green("✓"),
        "missing" | "foreign" => paint.red("✗"),
        _ => paint.yellow("~"),
    }
}

fn coloured(state: &str, paint: Paint) -> String {
    match state {
        "in sync" => paint.green(state),
        "missing" | "foreign" => paint.red(state),
        _ => paint.yellow(state),
    }
}
