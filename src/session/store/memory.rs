//! The store that forgets: sessions live as long as the process. For tests, demos and one-process caches of nothing worth keeping.

use super::{Found, SessionStore, Sighting, StoreError, Tombstone, Touch, Updated, Version, Whose};
use crate::clock::Timestamp;
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Epoch, Record};
use async_trait::async_trait;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// After this many creations expired records are swept out.
const SWEEP_EVERY: u64 = 1024;

/// Records in a map, with indexes by user and by handle.
#[derive(Debug, Default)]
pub struct MemoryStore {
    shelves: RwLock<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    records: HashMap<SessionKey, Arc<Record>>,
    by_user: HashMap<String, BTreeSet<SessionKey>>,
    by_handle: HashMap<Handle, BTreeSet<SessionKey>>,
    epochs: HashMap<String, (Epoch, Timestamp)>,
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
        if let Some(handle) = &record.handle {
            self.by_handle.entry(handle.clone()).or_default().insert(key.clone());
        }
        self.records.insert(key.clone(), record);
    }

    fn take(&mut self, key: &SessionKey) -> Option<Arc<Record>> {
        let record = self.records.remove(key)?;
        if let Some(user) = &record.user {
            strike(&mut self.by_user, user, key);
        }
        if let Some(handle) = &record.handle {
            strike(&mut self.by_handle, handle, key);
        }
        Some(record)
    }

    fn sweep(&mut self, now: Timestamp) {
        let over: Vec<SessionKey> = self.records.iter().filter(|(_, r)| r.is_over(now)).map(|(k, _)| k.clone()).collect();
        over.iter().for_each(|key| drop(self.take(key)));
    }

    fn keys_of(&self, whose: &Whose) -> Vec<SessionKey> {
        let is_older = |record: &Record| match whose {
            Whose::Older(than) => record.created_at.is_none_or(|began| began < *than),
            _ => true,
        };
        match whose {
            Whose::User(user) => self.by_user.get(user).into_iter().flatten().cloned().collect(),
            _ => self.records.iter().filter(|(_, r)| r.ended.is_none() && is_older(r)).map(|(key, _)| key.clone()).collect(),
        }
    }

    fn live<'a>(
        &'a self,
        keys: Option<&'a BTreeSet<SessionKey>>,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a SessionKey, &'a Arc<Record>)> {
        let found = keys.into_iter().flatten().filter_map(|key| Some((key, self.records.get(key)?)));
        found.filter(move |(_, record)| record.is_live(now))
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

fn strike<Name: Eq + Hash>(index: &mut HashMap<Name, BTreeSet<SessionKey>>, name: &Name, key: &SessionKey) {
    if let Some(keys) = index.get_mut(name) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(name);
        }
    }
}

fn version(record: &Record) -> Version {
    Version { revision: Some(record.revision), session: None }
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

    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError> {
        let mut shelves = self.write();
        let keys = shelves.keys_of(whose);
        for key in &keys {
            if let Some(record) = shelves.take(key) {
                shelves.put(key, Arc::new(Record::clone(&record).tombstone(tombstone.why, tombstone.until)));
            }
        }
        Ok(keys.len() as u64)
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        let shelves = self.read();
        let live = shelves.live(shelves.by_user.get(user), now);
        Ok(live.map(|(key, record)| (key.clone(), record.clone())).collect())
    }

    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        let shelves = self.read();
        let live = shelves.live(shelves.by_user.get(user), now);
        let mut found: Vec<Arc<Record>> =
            live.filter(|(_, r)| r.handle.is_some() && r.handle.as_ref() > after).map(|(_, r)| r.clone()).collect();
        found.sort_by(|a, b| a.handle.cmp(&b.handle));
        found.truncate(most);
        Ok(found)
    }

    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        let shelves = self.read();
        let live = shelves.live(shelves.by_handle.get(handle), now);
        Ok(live.map(|(key, record)| Sighting { key: key.clone(), record: record.clone(), version: version(record) }).collect())
    }

    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError> {
        Ok(self.read().epochs.get(user).map(|(epoch, _)| *epoch).unwrap_or_default())
    }

    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        let epochs = &mut self.write().epochs;
        epochs.retain(|_, (_, until)| *until > now);
        let (epoch, kept) = epochs.entry(user.to_owned()).or_insert((Epoch::default(), until));
        *epoch = epoch.raised(now);
        *kept = until;
        Ok(())
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        Ok(Some(self.read().records.len() as u64))
    }

    fn describe(&self) -> String {
        "memory (forgotten when Cloakroom stops)".to_owned()
    }
}
