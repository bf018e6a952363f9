//! What `[login]` says, ready for use: who may sign in, and where visitors go then.

use super::ReturnTo;
use crate::auth::Gatekeeper;
use crate::random::Entropy;
use std::sync::Arc;

/// The desk where visitors sign in.
pub struct Desk {
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
