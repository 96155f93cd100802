//! What a call needs. Each service tells it in one place, its `needs`, from the very members that it
//! carries the call out on; the gateway asks the caller's policies before it hands the call over.

/// One thing that the caller's policies must allow.
#[derive(Debug)]
pub struct Need {
    /// `service:Operation`.
    pub action: String,
    /// An ARN in its one form, whatever the caller wrote; `*` for what names none.
    pub resource: String,
    /// Condition keys with their values. One without values is known not to be in the request; one
    /// that is missing here is not known, and closes whatever asks for it.
    pub context: Vec<(&'static str, Vec<String>)>,
}

impl Need {
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: Vec::new() }
    }
}
