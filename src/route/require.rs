//! What a route asks of a signed-in visitor beyond being signed in.

use std::collections::BTreeSet;
use std::time::Duration;

/// `require`: everything that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Require {
    /// The user is one of these; `None`: anybody.
    pub user: Option<BTreeSet<String>>,
    /// One of the fields is as wanted; empty: nothing is asked.
    pub any: Vec<Wanted>,
    /// Each of the fields is as wanted.
    pub all: Vec<Wanted>,
    /// The login is at most this old.
    pub login_age: Option<Duration>,
}

/// A field of the session's data and the values of which it must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A dotted path: `role`, or `user.role`.
    pub path: Vec<String>,
    /// At least one.
    pub values: BTreeSet<String>,
}

impl Require {
    /// The top-level fields that it looks at: an app that may write `"all"` may not write these.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.any.iter().chain(&self.all).filter_map(|wanted| wanted.path.first()).map(String::as_str)
    }
}
