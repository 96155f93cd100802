//! A plan as text, with the glyphs that Terraform and `OpenTofu` have made common.

use console::measure_text_width;

use super::style::Paint;
use super::{notices, text};
use crate::engine::{Action, Change, Goal, Part, Plan, Step};

/// How far the fields of a resource are moved in.
const INDENT: &str = "        ";
/// What is kept of a common beginning that is cut away.
const CONTEXT: usize = 16;
/// Columns that a value gets however narrow the terminal is.
const NARROWEST: usize = 32;

/// `width` is that of the terminal, if it is one: long values are cut to it.
pub(super) fn text(plan: &Plan, width: Option<usize>, paint: Paint) -> String {
    let shown =
        || plan.steps.iter().filter(|it| it.action != Action::Keep || !it.notices.is_empty());
    let kind_width = text::widest(shown().map(|step| step.kind));
    let mut lines = Vec::new();
    for step in shown() {
        lines.push(head(step, plan.goal, kind_width, paint));
        lines.extend(below(step, width, paint));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(summary(plan, paint));
    lines.join("\n")
}

fn head(step: &Step, goal: Goal, kind_width: usize, paint: Paint) -> String {
    let Step { kind, name, .. } = step;
    let (glyph, remark) = match &step.action {
        // Shown for what is left alone.
        Action::Keep => (paint.yellow("  *"), "left alone".to_owned()),
        Action::Create => (paint.green("  +"), String::new()),
        Action::Update(_) => (paint.yellow("  ~"), String::new()),
        Action::Recheck => (paint.yellow("  ~"), "known after apply".to_owned()),
        Action::Replace(_) => (paint.red("-/+"), "must be replaced".to_owned()),
        Action::Delete if goal == Goal::Up => {
            (paint.red("  -"), "no longer in advent.toml".to_owned())
        }
        Action::Delete => (paint.red("  -"), String::new()),
        Action::Foreign(whose) => (paint.red("  !"), format!("foreign: {whose}")),
    };
    let line = format!("{glyph} {}  {name}", text::column(kind, kind_width));
    if remark.is_empty() { line } else { format!("{line}  {}", paint.dim(&format!("({remark})"))) }
}

fn below(step: &Step, width: Option<usize>, paint: Paint) -> Vec<String> {
    let mut lines: Vec<_> =
        step.action.changes().iter().map(|each| change(each, INDENT, width, paint)).collect();
    lines.extend(removals(step, INDENT, paint));
    if let (Action::Delete | Action::Replace(_), Some(data)) = (&step.action, step.loss.data()) {
        lines.push(format!("{INDENT}{}", paint.red(&format!("permanently deletes {data}"))));
    }
    lines.extend(notices::lines(&step.notices, INDENT, paint));
    lines
}

/// What is deleted besides, a line each.
pub(super) fn removals<'a>(
    step: &'a Step,
    indent: &'a str,
    paint: Paint,
) -> impl Iterator<Item = String> {
    let line = move |part: &Part| format!("{indent}{}", paint.red(&format!("- {part}")));
    step.removes.iter().map(line)
}

/// `field: from -> to`, or one below the other where they do not fit.
pub(super) fn change(change: &Change, indent: &str, width: Option<usize>, paint: Paint) -> String {
    let one_line = |value: &str| value.replace('\r', "").replace('\n', "\\n");
    let (field, from, to) = (&change.field, one_line(&change.from), one_line(&change.to));
    let line =
        format!("{indent}{field}: {} {} {}", paint.red(&from), paint.dim("->"), paint.green(&to));
    let Some(width) = width.filter(|width| measure_text_width(&line) >= *width) else {
        return line;
    };
    let room = width.saturating_sub(indent.len() + 5).max(NARROWEST);
    let (from, to) = fitted(&from, &to, room);
    let (minus, plus) = (paint.red(&format!("- {from}")), paint.green(&format!("+ {to}")));
    format!("{indent}{field}:\n{indent}  {minus}\n{indent}  {plus}")
}

/// Each in `room` columns, so that what differs is seen.
fn fitted(from: &str, to: &str, room: usize) -> (String, String) {
    let common = from.chars().zip(to.chars()).take_while(|(one, other)| one == other).count();
    let tail = |text: &str| {
        let hidden = common.saturating_sub(CONTEXT);
        if measure_text_width(text) <= room || hidden == 0 {
            return text.to_owned();
        }
        format!("…{}", text.chars().skip(hidden).collect::<String>())
    };
    (text::cut(&tail(from), room), text::cut(&tail(to), room))
}

fn summary(plan: &Plan, paint: Paint) -> String {
    let count = |is: fn(&Action) -> bool| plan.steps.iter().filter(|step| is(&step.action)).count();
    let foreign = count(|action| matches!(action, Action::Foreign(_)));
    let foreign_text = if foreign > 0 { format!(" {foreign} foreign.") } else { String::new() };
    if plan.is_empty() {
        return match plan.goal {
            Goal::Up if foreign == 0 => match notices::counts(plan).as_slice() {
                [] => "No changes: the stack is as advent.toml says.".to_owned(),
                counts => format!(
                    "No changes: the stack is as advent.toml says, but for {}.",
                    counts.join(" and ")
                ),
            },
            Goal::Up => format!("No changes.{foreign_text}"),
            Goal::Down => format!("Nothing to delete.{foreign_text}"),
        };
    }
    let parts: usize = plan.steps.iter().map(|step| step.removes.len()).sum();
    let delete = count(|action| *action == Action::Delete) + parts;
    let label = paint.bold("Plan:");
    if plan.goal == Goal::Down {
        return format!("{label} {delete} to delete.{foreign_text}");
    }
    let create = count(|action| *action == Action::Create);
    let update = count(|action| matches!(action, Action::Update(_) | Action::Recheck));
    let replace = match count(|action| matches!(action, Action::Replace(_))) {
        0 => String::new(),
        replace => format!("{replace} to replace, "),
    };
    let kept =
        plan.steps.iter().filter(|step| step.action == Action::Keep && step.exists()).count();
    let kept = if kept > 0 { format!(" {kept} unchanged.") } else { String::new() };
    format!(
        "{label} {create} to create, {update} to update, {replace}{delete} to delete.{kept}{foreign_text}"
    )
}
