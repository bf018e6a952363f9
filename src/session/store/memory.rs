//! The store that forgets: sessions live as long as the process. For tests, demos and one-process caches of nothing worth keeping.

use super::{Found, SessionStore, StoreError, Touch, Updated, Version};
use crate::clock::Timestamp;
use crate::session::id::SessionKey;
use crate::session::record::Record;
use async_trait::async_trait;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// After this many creations expired records are swept out.
const SWEEP_EVERY: u64 = 1024;

/// Records in a map, with an index by user.
#[derive(Debug, Default)]
pub struct MemoryStore {
    shelves: RwLock<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    records: HashMap<SessionKey, Arc<Record>>,
    by_user: HashMap<String, BTreeSet<SessionKey>>,
    creations: u64,
}

impl MemoryStore {
    fn read(&self) -> RwLockReadGuard<'_, Shelves> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self, key: &SessionKey, now: Timestamp) -> Found {
        match self.read().records.get(key) {
            Some(record) if record.is_live(now) => Found::Live(record.clone(), Version { revision: Some(record.revision), session: None }),
            Some(record) => Found::Expired(record.clone()),
            None => Found::Absent,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelves> {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn put(&mut self, key: &SessionKey, record: Arc<Record>) {
        self.take(key);
        if let Some(user) = &record.user {
            self.by_user.entry(user.clone()).or_default().insert(key.clone());
        }
        self.records.insert(key.clone(), record);
    }

    fn take(&mut self, key: &SessionKey) -> Option<Arc<Record>> {
        let record = self.records.remove(key)?;
        if let Some(user) = &record.user
            && let Some(keys) = self.by_user.get_mut(user)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.by_user.remove(user);
            }
        }
        Some(record)
    }

    fn sweep(&mut self, now: Timestamp) {
        let dead: Vec<SessionKey> = self.records.iter().filter(|(_, r)| !r.is_live(now)).map(|(k, _)| k.clone()).collect();
        dead.iter().for_each(|key| drop(self.take(key)));
    }

    /// The record if it is the version seen, else what to answer.
    fn seen(&self, key: &SessionKey, seen: &Version, now: Timestamp) -> Result<&Arc<Record>, Updated> {
        match self.records.get(key) {
            Some(record) if !record.is_live(now) => Err(Updated::Gone),
            Some(record) if Some(record.revision) != seen.revision => Err(Updated::Stale),
            Some(record) => Ok(record),
            None => Err(Updated::Gone),
        }
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        let mut shelves = self.write();
        if shelves.records.contains_key(key) {
            return Err(StoreError::Taken);
        }
        shelves.creations += 1;
        if shelves.creations.is_multiple_of(SWEEP_EVERY)
            && let Some(now) = record.created_at
        {
            shelves.sweep(now);
        }
        shelves.put(key, record);
        Ok(())
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        Ok(self.found(key, now))
    }

    fn at_hand(&self, key: &SessionKey, now: Timestamp) -> Option<Found> {
        Some(self.found(key, now))
    }

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        let mut shelves = self.write();
        if let Err(answer) = shelves.seen(key, seen, now) {
            return Ok(answer);
        }
        shelves.put(key, record);
        Ok(Updated::Done)
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        let mut shelves = self.write();
        let mut record = match shelves.seen(key, seen, now) {
            Ok(record) => Record::clone(record),
            Err(answer) => return Ok(answer),
        };
        record.expires_at = record.expires_at.map(|old| touch.expires_at.map_or(old, |new| old.max(new)));
        record.updated_at = Some(touch.updated_at);
        record.client = touch.client.clone().or(record.client);
        shelves.put(key, Arc::new(record));
        Ok(Updated::Done)
    }

    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError> {
        Ok(self.write().take(key).is_some())
    }

    async fn remove_all_of(&self, user: &str) -> Result<u64, StoreError> {
        let mut shelves = self.write();
        let keys = shelves.by_user.remove(user).unwrap_or_default();
        keys.iter().for_each(|key| drop(shelves.records.remove(key)));
        Ok(keys.len() as u64)
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        let shelves = self.read();
        let keys = shelves.by_user.get(user).into_iter().flatten();
        Ok(keys
            .filter_map(|key| Some((key.clone(), shelves.records.get(key)?.clone())))
            .filter(|(_, record)| record.is_live(now))
            .collect())
    }

    fn describe(&self) -> String {
        "memory (forgotten when Cloakroom stops)".to_owned()
    }
}
