//! The store of one machine: a SQLite file, crash-safe, opened by one Cloakroom at a time.
//!
//! One thread writes and commits whatever waits in one transaction (group commit, flushed: acknowledged is durable). Others
//! read, with connections of their own, so no async worker ever waits for a disk.

mod file;
mod readers;
mod rows;
mod writer;

use super::{Applied, Found, Operation, SessionStore, Sighting, StoreError, Tombstone, Touch, Updated, Version, Whose};
use crate::clock::Timestamp;
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Epoch, Record};
use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

pub use file::{OpenError, secret_beside};
use readers::Readers;
use writer::{Failed, Writer};

/// Reads at the same time.
const READERS: usize = 2;

/// A queue is full, or its threads have ended.
#[derive(Debug, thiserror::Error)]
#[error("too many operations wait for the disk")]
pub(super) struct Full;

/// How long an operation may take before it counts as unavailable.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub read: Duration,
    pub write: Duration,
}

/// Sessions in a file.
pub struct EmbeddedStore {
    path: PathBuf,
    limits: Limits,
    // Dropped in this order: the readers' connections close first, so that the writer's takes the log away, and the lock goes last.
    readers: Readers,
    writer: Writer,
    _lock: file::Lock,
}

impl EmbeddedStore {
    /// Opens the file, or makes it (mode 0600). Refuses a file that another process has open, and one that is no store of ours.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        let lock = file::Lock::take(path)?;
        let writer = Writer::start(file::open_for_writing(path)?)?;
        let connections = (0..READERS).map(|_| file::open_for_reading(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(EmbeddedStore { path: path.to_owned(), limits, readers: Readers::start(connections)?, writer, _lock: lock })
    }

    async fn read<T: Send + 'static>(
        &self,
        during: Operation,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.readers.submit(query).map_err(|full| unavailable(during, Applied::No, full))?;
        match timeout(self.limits.read, answer).await {
            Ok(Ok(result)) => result.map_err(|error| unavailable(during, Applied::No, error)),
            Ok(Err(gone)) => Err(unavailable(during, Applied::No, gone)),
            Err(late) => Err(unavailable(during, Applied::No, late)),
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        during: Operation,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_within(self.limits.write, during, change).await
    }

    async fn write_within<T: Send + 'static>(
        &self,
        limit: Duration,
        during: Operation,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.writer.submit(change).map_err(|full| unavailable(during, Applied::No, full))?;
        match timeout(limit, answer).await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(Failed { error, .. }))) if has_code(&error, ErrorCode::ConstraintViolation) => Err(StoreError::Taken),
            Ok(Ok(Err(Failed { error, .. }))) if has_code(&error, ErrorCode::TooBig) => Err(StoreError::TooLarge),
            Ok(Ok(Err(Failed { error, applied }))) => Err(unavailable(during, applied, error)),
            Ok(Err(gone)) => Err(unavailable(during, Applied::Unknown, gone)),
            Err(late) => Err(unavailable(during, Applied::Unknown, late)),
        }
    }
}

fn version(record: &Record) -> Version {
    Version { revision: Some(record.revision), session: None }
}

/// Those that can be read: what cannot is kept for a human to look at.
fn readable(rows: Vec<(SessionKey, rows::Stored)>) -> impl Iterator<Item = (SessionKey, Arc<Record>)> {
    rows.into_iter().filter_map(|(key, row)| Some((key, Arc::new(row.into_record().ok()?))))
}

fn has_code(error: &rusqlite::Error, code: ErrorCode) -> bool {
    error.sqlite_error_code() == Some(code)
}

fn unavailable(during: Operation, applied: Applied, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable { during, applied, source: Box::new(source) }
}

#[async_trait]
impl SessionStore for EmbeddedStore {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(Operation::Create, move |db| rows::insert(db, &key, &record)).await
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        let key = key.clone();
        let Some(row) = self.read(Operation::Load, move |db| rows::find(db, &key)).await? else { return Ok(Found::Absent) };
        let record = Arc::new(row.into_record().map_err(|reason| StoreError::Unreadable { reason })?);
        Ok(if record.is_live(now) { Found::Live(record.clone(), version(&record)) } else { Found::Expired(record) })
    }

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        let (key, seen) = (key.clone(), seen.clone());
        self.write(Operation::Update, move |db| rows::update(db, &key, &seen, &record, now)).await
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        let (key, seen, touch) = (key.clone(), seen.clone(), touch.clone());
        self.write(Operation::Touch, move |db| rows::touch(db, &key, &seen, &touch, now)).await
    }

    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let key = key.clone();
        self.write(Operation::Remove, move |db| rows::remove(db, &key)).await
    }

    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError> {
        let (limit, whose, tombstone) = (whose.patience(self.limits.write), whose.clone(), *tombstone);
        self.write_within(limit, Operation::Bury, move |db| rows::bury(db, &whose, &tombstone)).await
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        let user = user.to_owned();
        let found = self.read(Operation::List, move |db| rows::list(db, &user, now)).await?;
        Ok(readable(found).collect())
    }

    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        let (user, after) = (user.to_owned(), after.map(|handle| handle.as_str().to_owned()).unwrap_or_default());
        let found = self.read(Operation::List, move |db| rows::page(db, &user, &after, most, now)).await?;
        Ok(readable(found).map(|(_, record)| record).collect())
    }

    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        let handle = handle.clone();
        let found = self.read(Operation::Find, move |db| rows::with_handle(db, &handle, now)).await?;
        Ok(readable(found).map(|(key, record)| Sighting { key, version: version(&record), record }).collect())
    }

    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError> {
        let user = user.to_owned();
        self.read(Operation::Epoch, move |db| rows::epoch(db, &user)).await
    }

    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        let user = user.to_owned();
        self.write(Operation::RaiseEpoch, move |db| rows::raise_epoch(db, &user, now, until)).await
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        self.read(Operation::Estimate, rows::count).await.map(Some)
    }

    fn describe(&self) -> String {
        format!("the file {}", self.path.display())
    }
}
