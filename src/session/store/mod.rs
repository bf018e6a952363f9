//! The store's promise. One contract suite (`tests/stores.rs`) runs over every implementation.

use super::id::{Handle, SessionKey};
use super::lifecycle::Lapse;
use super::record::{Client, Epoch, Record};
use crate::clock::Timestamp;
use async_trait::async_trait;
use cached::News;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

pub mod cached;
pub mod embedded;
pub mod guard;
pub mod health;
pub mod memory;
pub mod mongo;

mod json;

pub use cached::CachedStore;
pub use embedded::EmbeddedStore;
pub use guard::GuardedStore;
pub use health::StoreHealth;
pub use memory::MemoryStore;
pub use mongo::MongoStore;

/// Some millions of sessions are buried in that time.
const MANY: Duration = Duration::from_secs(120);

/// Keeps records. Every operation is bounded in time by the implementation itself; none of them panics.
///
/// - `create` refuses a taken key; it is the only operation that inserts.
/// - `load` never returns an expired record as live.
/// - `update` and `touch` change only what exists, is not expired and is the version seen: else [`Updated::Stale`] or [`Updated::Gone`].
/// - `remove` is final and idempotent.
/// - A record that says why it ended is never live: `load` gives it as [`Found::Expired`], everything else passes it by.
/// - *Unavailable* is never reported as *absent*.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Inserts a record under a fresh key. [`StoreError::Taken`] if the key exists, even if expired.
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError>;

    /// Reads one record.
    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError>;

    /// Reads one record past every cache, and nothing of it that the store may yet take back (what only a primary has that is about to be
    /// deposed). Slower than [`SessionStore::load`]: for what decides whether a write happened.
    async fn load_settled(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        self.load(key, now).await
    }

    /// Replaces the record if it is live at `now` and still the version `seen`.
    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError>;

    /// Moves `expires` forward (never back) and notes the use; the data and the revision stay.
    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError>;

    /// Removes the record for good; whether there was one.
    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError>;

    /// Swaps many records for tombstones, those of a user by index; how many there were.
    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError>;

    /// The live records of a user, by index.
    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError>;

    /// At most `most` of them in the order of their handles, from the first one after `after` on, by index.
    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError>;

    /// The live records of a handle, by index: one, or more while a renewal is under way.
    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError>;

    /// The user's epoch; zero if it was never raised, or so long ago that it is forgotten.
    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError>;

    /// Raises the user's epoch above every earlier one. It may be forgotten from `until` on.
    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError>;

    /// About how many records there are, those that are over and not yet swept out included; `None`: nobody counts.
    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// What the start-up line says of this store: kind and place, never a password.
    fn describe(&self) -> String;

    /// What can be told of a record at once, without asking anybody. `None`: [`SessionStore::load`] it.
    fn at_hand(&self, _key: &SessionKey, _now: Timestamp) -> Option<Found> {
        None
    }

    /// The version of a record that this store wrote at `now` over `before` (`None`: created it); `None` if only reading it back can tell.
    fn version_after(&self, record: &Record, _before: Option<&Version>, _now: Timestamp) -> Option<Version> {
        Some(Version { revision: Some(record.revision), session: None })
    }

    /// What the store tells of the others' doings, and of ours; `None`: nothing.
    fn news(&self) -> Option<broadcast::Receiver<News>> {
        None
    }

    /// How this store and what stands in front of it are doing.
    fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }
}

/// What a key leads to.
#[derive(Clone, Debug)]
pub enum Found {
    /// A live record, and the version to name when changing it.
    Live(Arc<Record>, Version),
    /// A record that has expired and is still there; only its times are of use.
    Expired(Arc<Record>),
    /// Nothing.
    Absent,
}

/// A live record: its key, and the version to name when changing it.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub key: SessionKey,
    pub record: Arc<Record>,
    pub version: Version,
}

/// Which records end together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A user's.
    User(String),
    /// Those that began before the moment, or nobody knows when.
    Older(Timestamp),
    Everybody,
}

impl Whose {
    /// How long their end is waited for: a user's, which goes by index, as long as any write; one that looks at everybody much longer.
    fn patience(&self, write_timeout: Duration) -> Duration {
        match self {
            Whose::User(_) => write_timeout,
            Whose::Older(_) | Whose::Everybody => write_timeout.max(MANY),
        }
    }
}

/// What is left of a session that somebody else ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub why: Lapse,
    /// From when on it may be taken away.
    pub until: Timestamp,
}

/// The version of a record that a reader saw; opaque outside the stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The revision seen; `None` when the record has no such field (a Node app's).
    pub(crate) revision: Option<u64>,
    /// The stored `session` value as read, where writers exist that never raise the revision.
    pub(crate) session: Option<Arc<[u8]>>,
}

/// What became of an `update` or a `touch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It is stored.
    Done,
    /// Somebody else changed the record first: read it again.
    Stale,
    /// The record is no more (or has expired): nothing was written, and nothing will bring it back.
    Gone,
}

/// A use of a session that changes none of its data.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The new end of life; `None` leaves a record that never expires as it is.
    pub expires_at: Option<Timestamp>,
    /// Now.
    pub updated_at: Timestamp,
    /// Who used it.
    pub client: Option<Client>,
}

/// Which operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Load,
    Update,
    Touch,
    Remove,
    Bury,
    List,
    Find,
    Epoch,
    RaiseEpoch,
    Estimate,
}

impl Operation {
    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        matches!(self, Operation::Load | Operation::List | Operation::Find | Operation::Epoch | Operation::Estimate)
    }
}

/// Whether a failed write may have happened all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Surely not.
    No,
    /// Perhaps: read back before trying again.
    Unknown,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, is too slow, or refuses. Never means that a record is absent.
    #[error("the session store is unavailable during {during:?} (applied: {applied:?})")]
    Unavailable {
        during: Operation,
        applied: Applied,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `create` met an existing key.
    #[error("the session key is taken")]
    Taken,
    /// The record is larger than the store can hold.
    #[error("the session is larger than the store can hold")]
    TooLarge,
    /// The record is there but cannot be understood; it is kept for a human to look at.
    #[error("the stored session is unreadable: {reason}")]
    Unreadable { reason: String },
}
