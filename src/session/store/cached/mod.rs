//! A cache in front of a store: a known session costs the store nothing while what is cached of it may be told.
//!
//! A record may be told for `ttl` after the read that brought it began, and for longer while the store's change stream vouches for it.
//! So what another proxy ends or changes is seen here after `ttl` and one read at the latest, and what this proxy ends or changes at
//! once. The single flight of parallel first loads is in front of this, in [`super::super::flight`].

mod desk;
mod filed;
mod news;
mod packed;
mod shelf;
mod stream;
mod ticket;
mod weight;

use super::{Applied, Found, SessionStore, Sighting, StoreError, StoreHealth, Tombstone, Touch, Updated, Version, Whose};
use crate::clock::{Clock, Timestamp};
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Epoch, Record};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

pub use news::{Change, News};
pub use shelf::Shelf;

/// How much is cached, and for how long it may be told without a look at the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    pub ttl: Duration,
    /// At most this many live sessions.
    pub sessions: usize,
    /// And at most about this much memory for them.
    pub bytes: u64,
}

/// A store with a cache in front of it.
pub struct CachedStore {
    inner: Arc<dyn SessionStore>,
    shelf: Arc<Shelf>,
}

impl CachedStore {
    pub fn new(inner: Arc<dyn SessionStore>, settings: CacheSettings, clock: Arc<dyn Clock>) -> Self {
        CachedStore { inner, shelf: Arc::new(Shelf::new(settings, clock)) }
    }

    /// Where the task that follows the store's change stream tells what it hears.
    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }
}

#[async_trait]
impl SessionStore for CachedStore {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        let writing = self.shelf.writing(key, None);
        let now = self.shelf.now();
        self.inner.create(key, record.clone()).await?;
        writing.stored(&record, self.inner.version_after(&record, None, now), now);
        Ok(())
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        if let Some(found) = self.shelf.find(key, now) {
            return Ok(found);
        }
        let reading = self.shelf.reading(key);
        let found = self.inner.load(key, now).await?;
        reading.found(&found);
        Ok(found)
    }

    async fn load_settled(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        let reading = self.shelf.reading(key);
        let found = self.inner.load_settled(key, now).await?;
        reading.settled(&found);
        Ok(found)
    }

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        let writing = self.shelf.writing(key, Some(&record));
        let updated = self.inner.update(key, seen, record.clone(), now).await;
        match &updated {
            Ok(Updated::Done) => writing.stored(&record, self.inner.version_after(&record, Some(seen), now), now),
            Err(error) if surely_failed(error) => writing.undone(),
            Ok(Updated::Stale | Updated::Gone) | Err(_) => drop(writing),
        }
        updated
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        let writing = self.shelf.writing(key, None);
        let updated = self.inner.touch(key, seen, touch, now).await;
        match &updated {
            Ok(Updated::Done) => writing.touched(seen, touch),
            // Noted or not: what is cached is as true as before.
            Err(_) => writing.undone(),
            Ok(Updated::Stale | Updated::Gone) => drop(writing),
        }
        updated
    }

    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let writing = self.shelf.writing(key, None);
        let removed = self.inner.remove(key).await?;
        writing.removed();
        Ok(removed)
    }

    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError> {
        let _burying = self.shelf.burying(whose);
        self.inner.bury(whose, tombstone).await
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        self.inner.list(user, now).await
    }

    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        self.inner.page(user, after, most, now).await
    }

    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        self.inner.find(handle, now).await
    }

    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError> {
        self.inner.epoch(user).await
    }

    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        self.inner.raise_epoch(user, now, until).await
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        self.inner.estimate().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn at_hand(&self, key: &SessionKey, now: Timestamp) -> Option<Found> {
        self.shelf.find(key, now)
    }

    fn version_after(&self, record: &Record, before: Option<&Version>, now: Timestamp) -> Option<Version> {
        self.inner.version_after(record, before, now)
    }

    fn news(&self) -> Option<broadcast::Receiver<News>> {
        Some(self.shelf.news())
    }

    fn health(&self) -> StoreHealth {
        StoreHealth { cache: Some(self.shelf.health()), ..self.inner.health() }
    }
}

fn surely_failed(error: &StoreError) -> bool {
    matches!(error, StoreError::TooLarge | StoreError::Unavailable { applied: Applied::No, .. })
}
