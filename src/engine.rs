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

pub use apply::{Applied, Options, Outcome, Report};
pub use event::{Event, Reporter};
pub use graph::Interrupt;
pub use notice::{Notices, Unread, Watched};
pub use plan::{Action, Goal, Known, Plan, Step};
pub use resource::{
    AlreadyExists, Change, Changes, Context, Diff, Found, Overtaken, Part, Purpose, Resource,
};
pub use stack::{Handle, Place, Stack};

#[cfg(test)]
mod tests;
