//! What the store tells of records, and what this proxy passes on to whoever holds a session's connections open.

use crate::clock::Timestamp;
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Record, WriteToken};

/// A change of one record, as the store's change stream tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was removed.
    Removed,
    /// It was written; what the writer said of it. Writers that are not ours say nothing.
    Written {
        revision: Option<u64>,
        mark: Option<WriteToken>,
        expires_at: Option<Timestamp>,
        /// It became a pointer to the session's new record.
        moved: bool,
        /// It became a tombstone.
        ended: bool,
    },
    /// Only a use was noted, or the end of life moved.
    Touched { expires_at: Option<Timestamp>, updated_at: Option<Timestamp> },
}

impl Change {
    /// Whether it is the store's echo of a write of this record that leaves the session alive. Of an end the listeners must hear even if
    /// the write's own answer is lost.
    pub(super) fn echoes(&self, record: &Record, now: Timestamp) -> bool {
        match self {
            Change::Written { revision, mark: Some(mark), .. } => {
                *revision == Some(record.revision) && record.last_write.as_ref() == Some(mark) && !self.is_end(now)
            }
            _ => false,
        }
    }

    /// Whether it ends the session.
    pub(super) fn is_end(&self, now: Timestamp) -> bool {
        match self {
            Change::Removed => true,
            Change::Written { expires_at, moved, ended, .. } => *ended || !moved && expires_at.is_some_and(|at| at <= now),
            // Whoever is told looks: the one that is late may be followed by another.
            Change::Touched { .. } => false,
        }
    }
}

/// What has become of sessions. Whoever misses some, because too many came at once, looks at everything, as after a [`News::Gap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The session is over. Its handle is told if its record was cached.
    Ended { key: SessionKey, handle: Option<Handle> },
    /// All sessions of the user are over.
    UserEnded { user: String },
    /// Somebody else changed the session, or removed what may have been it, or a pointer to it.
    Changed { key: SessionKey, handle: Option<Handle> },
    /// There may have been more news.
    Gap,
}
