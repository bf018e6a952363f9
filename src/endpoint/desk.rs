//! What `[login]` says, ready for use: where visitors sign in and out, and who may.

use super::ReturnTo;
use crate::auth::Gatekeeper;
use crate::random::Entropy;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;

/// Within a value of a query, what can stay as it is for reading.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The desk where visitors sign in.
pub struct Desk {
    pub login_path: String,
    pub logout_path: String,
    /// For visitors who were going nowhere.
    pub default_return: ReturnTo,
    pub logout_return: ReturnTo,
    /// Whether the form offers to stay signed in.
    pub offers_remember: bool,
    /// Whether a logout also empties the browser's cache of this site.
    pub clears_cache: bool,
    pub gatekeeper: Arc<Gatekeeper>,
    pub entropy: Arc<dyn Entropy>,
}

impl Desk {
    /// Where the visitor goes next; `None` if that is nowhere, or one of our own forms, which would lead in a circle.
    pub fn onward(&self, raw: &str) -> Option<ReturnTo> {
        ReturnTo::parse(raw).filter(|to| to.path() != self.login_path && to.path() != self.logout_path)
    }

    /// The form for a visitor who wants to go there. With `fresh`, one who is signed in already is asked again.
    pub fn login_url(&self, return_to: &ReturnTo, fresh: bool) -> String {
        let fresh = if fresh { "&fresh=1" } else { "" };
        format!("{}?return_to={}{fresh}", self.login_path, utf8_percent_encode(return_to.as_str(), VALUE))
    }
}
