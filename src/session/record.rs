//! What the store keeps of one session.

use super::cookie::Attributes;
use super::id::{Handle, SessionKey};
use crate::clock::Timestamp;
use std::time::Duration;

pub use super::data::{Data, Field};

/// One session as the store keeps it: connect-mongo's document plus our own top-level fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The app's data, in stored order; never contains `cookie`.
    pub data: Data,
    /// express-session's `session.cookie` object.
    pub cookie: StoredCookie,
    /// This session's own lifetime (`X-Session-Max-Age`, a login that is to be remembered, or a Node app's `cookie.maxAge`); `None`: the
    /// configured one.
    pub max_age: Option<Duration>,
    /// The signed-in user; `None`: anonymous. (`userId` in the document.)
    pub user: Option<String>,
    /// When the session began; `None` in documents of Node apps without timestamps, until our next write.
    pub created_at: Option<Timestamp>,
    /// The last touch or change.
    pub updated_at: Option<Timestamp>,
    /// When the password was last checked.
    pub login_at: Option<Timestamp>,
    /// When the record is dead; `None` never (a Node document without `expires`).
    pub expires_at: Option<Timestamp>,
    /// Goes up with each change, never with a touch; 0 in records that only Node apps wrote.
    pub revision: u64,
    /// A random mark of the last change, so that its unknown outcome can be resolved by reading back.
    pub last_write: Option<WriteToken>,
    /// The public name; `None` in records that only Node apps wrote.
    pub handle: Option<Handle>,
    /// Who used it last.
    pub client: Option<Client>,
    /// Set in the pointer that a renewal leaves behind: such a record has no data and only leads to the new one.
    pub moved: Option<Moved>,
}

/// express-session's cookie object inside the stored session. `attributes` are written for Node readers and never believed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredCookie {
    /// Milliseconds that each touch restores; `None`: until the browser closes.
    pub original_max_age: Option<i64>,
    /// When the browser's copy dies, as of the last full write; `None`: when the browser closes.
    pub expires: Option<Timestamp>,
    /// The rest: path, domain, flags.
    pub attributes: Attributes,
}

/// A random mark of one write: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteToken(pub String);

/// The client of a session's last use, for the visitor's list of devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The `User-Agent`, cut to 256 bytes, printable characters only.
    pub agent: String,
    /// The client's address as text.
    pub address: String,
}

/// Where a renewed session went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The key of the record that replaced this one.
    pub to: SessionKey,
    /// When; the pointer leads nowhere `renew_grace` later, whatever `expires` says.
    pub at: Timestamp,
}

impl Record {
    /// What a session is swapped for before it is removed: no data, no user, no life.
    pub fn dead(self, now: Timestamp) -> Self {
        Record { data: Data::default(), user: None, handle: None, expires_at: Some(now), moved: None, revision: self.revision + 1, ..self }
    }

    /// Whether the record is alive at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}
