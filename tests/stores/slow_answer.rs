//! A store that keeps nothing, and whose answers come when a test says so.

use async_trait::async_trait;
use cloakroom::clock::Timestamp;
use cloakroom::session::id::{Handle, SessionKey};
use cloakroom::session::record::{Epoch, Record};
use cloakroom::session::store::{Found, MemoryStore, SessionStore, Sighting, StoreError, Tombstone, Touch, Updated, Version, Whose};
use std::sync::Arc;
use tokio::sync::Notify;

/// A store whose loads, touches and changes to revision 2 wait for their answer, and that has done everything else already.
pub struct SlowAnswer {
    found: Found,
    pub asked: Notify,
    pub answer: Notify,
    /// Who tells the versions of what was written.
    versions: Arc<dyn SessionStore>,
}

impl SlowAnswer {
    pub fn of(found: Found) -> Self {
        SlowAnswer { found, asked: Notify::new(), answer: Notify::new(), versions: Arc::new(MemoryStore::default()) }
    }

    /// One whose records have the versions that they would have in this store.
    pub fn like(store: Arc<dyn SessionStore>) -> Self {
        SlowAnswer { versions: store, ..SlowAnswer::of(Found::Absent) }
    }
}

#[async_trait]
impl SessionStore for SlowAnswer {
    async fn create(&self, _: &SessionKey, _: Arc<Record>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn load(&self, _: &SessionKey, _: Timestamp) -> Result<Found, StoreError> {
        self.asked.notify_one();
        self.answer.notified().await;
        Ok(self.found.clone())
    }

    async fn update(&self, _: &SessionKey, _: &Version, record: Arc<Record>, _: Timestamp) -> Result<Updated, StoreError> {
        if record.revision == 2 {
            self.asked.notify_one();
            self.answer.notified().await;
        }
        Ok(Updated::Done)
    }

    async fn touch(&self, _: &SessionKey, _: &Version, _: &Touch, _: Timestamp) -> Result<Updated, StoreError> {
        self.asked.notify_one();
        self.answer.notified().await;
        Ok(Updated::Done)
    }

    async fn remove(&self, _: &SessionKey) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn bury(&self, _: &Whose, _: &Tombstone) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn list(&self, _: &str, _: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        Ok(Vec::new())
    }

    async fn page(&self, _: &str, _: Option<&Handle>, _: usize, _: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        Ok(Vec::new())
    }

    async fn find(&self, _: &Handle, _: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        Ok(Vec::new())
    }

    async fn epoch(&self, _: &str) -> Result<Epoch, StoreError> {
        Ok(Epoch::default())
    }

    async fn raise_epoch(&self, _: &str, _: Timestamp, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        String::new()
    }

    fn version_after(&self, record: &Record, before: Option<&Version>, now: Timestamp) -> Option<Version> {
        self.versions.version_after(record, before, now)
    }
}
