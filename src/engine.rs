//! How any stack is deployed: read, plan, apply. Knows no AWS and prints nothing.
//!
//! Declare a [`Stack`] of [`Resource`]s, ask it for a [`Plan`], show it, apply it.

mod apply;
mod event;
mod graph;
mod notice;
mod plan;
mod resource;
mod stack;

pub use apply::{Applied, Options, Outcome, StepReport};
pub use event::{Event, Reporter};
pub use graph::Interrupt;
pub use notice::{Notices, Unread, Watched};
pub use plan::{Action, Goal, Observed, Plan, Step};
pub use resource::{
    AlreadyExists, Change, Changes, ClientOf, Conflict, Context, Diff, Found, Identity, Loss, Part,
    Resource, StateOf,
};
pub use stack::{Handle, NodeId, Stack};

#[cfg(test)]
mod tests;
