//! What several steps were not allowed to do, as one policy to ask for.

use serde_json::Value;

use crate::aws::denial::Denial;
use crate::engine::{Outcome, StepReport};
use crate::report::Report;

/// The policy that the steps of a run lack, if statements help.
pub fn missing(steps: &[StepReport]) -> Option<Value> {
    let denials: Vec<_> = steps
        .iter()
        .filter_map(|step| match &step.outcome {
            Outcome::Failed(error) => Denial::of(error),
            _ => None,
        })
        .collect();
    Denial::policy_for(&denials)
}

/// Each step has said what it lacks; this says it of all at once.
pub fn ask(report: &Report, steps: &[StepReport]) {
    if let Some(policy) = missing(steps)
        && policy["Statement"].as_array().is_some_and(|statements| statements.len() > 1)
    {
        report.note(&format!("what was missing, as one policy to ask for:\n{policy:#}"));
    }
}
