//! What the store keeps of one session.

use super::cookie::Attributes;
use super::id::{Handle, SessionKey, hex};
use super::lifecycle::Lapse;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use super::data::{Data, Field};

/// One session as the store keeps it: connect-mongo's document plus our own top-level fields. The default is nobody's and holds nothing.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Set in what is left of a session that is over, whatever `expires` says: why.
    pub ended: Option<Lapse>,
    /// The user's epoch when this session began, which its renewals keep; `None`: nobody's, or a Node app began it.
    pub epoch: Option<Epoch>,
    /// What the login desk has checked, which renewals keep too; `None`: the user signed in elsewhere, or nobody did.
    pub credential: Option<Credential>,
}

/// How often a user's sessions have all been ended, as a number that only grows. Whoever inserts a session of an older epoch than the
/// user's takes it back: the end of all may have looked before it was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next one: by the clock, so that it is above those that have been forgotten, but above this one whatever the clock says.
    pub fn raised(self, now: Timestamp) -> Self {
        Epoch(u64::try_from(now.0).unwrap_or(0).max(self.0 + 1))
    }
}

/// Stands for what the user could prove when this session began: a digest of their name and of the stored hash of their password, made by
/// the desk that has checked it (`auth/credential.rs`). When the desk does not hold by it any more, the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credential(pub [u8; 16]);

impl Credential {
    /// Reads what [`Credential::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| is_ours).map(|number| Credential(number.to_be_bytes()))
    }

    /// Reads what a store holds. What is none of ours is nobody's: no desk holds by it, and the session is over.
    pub fn stored(text: &str) -> Self {
        Credential::parse(text).unwrap_or(Credential([0; 16]))
    }

    /// 32 hex digits.
    pub fn to_text(self) -> String {
        hex(&self.0)
    }
}

/// express-session's cookie object inside the stored session. `attributes` are written for Node readers and never believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// When the visitor was told; the pointer leads nowhere `renew_grace` later, whatever `expires` says. `None`: not yet, and the old id
    /// opens the session as the new one does.
    pub at: Option<Timestamp>,
}

impl Record {
    /// What is left of a session that is over: why, and nothing else. It is never live; the store may take it away from `until` on.
    pub fn tombstone(self, why: Lapse, until: Timestamp) -> Self {
        Record {
            data: Data::default(),
            cookie: StoredCookie::default(),
            user: None,
            handle: None,
            client: None,
            login_at: None,
            epoch: None,
            credential: None,
            moved: None,
            expires_at: Some(until),
            ended: Some(why),
            revision: self.revision + 1,
            ..self
        }
    }

    /// Whether the record is alive at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && !self.is_over(now)
    }

    /// Whether nothing of the record is of use any more at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
