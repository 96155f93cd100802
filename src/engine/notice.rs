//! What a resource has that the stack does not speak of.

/// Of one resource: what somebody has set, and what could not be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    pub watched: Vec<Watched>,
    pub unread: Vec<Unread>,
}

/// A property that is not as it is when nobody has touched it. It is shown, and left alone.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Watched {
    pub property: String,
    pub found: String,
    /// What it is where nobody has touched it; `None`: nothing.
    pub usual: Option<String>,
    /// What follows from it, where that is urgent.
    pub alarm: Option<String>,
}

/// Properties that were not looked at, so that nobody can say whether they are as they should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    pub what: String,
    pub why: String,
}

impl Notices {
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty() && self.unread.is_empty()
    }

    pub fn extend(&mut self, other: Self) {
        self.watched.extend(other.watched);
        self.unread.extend(other.unread);
    }
}
