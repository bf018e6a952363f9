//! Sessions that were ended while the store refused: this proxy turns them away from memory until the store has let them go.

use super::id::{Handle, SessionKey};
use super::lifecycle::Lapse;
use super::record::Record;
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More than this many unconfirmed ends are not remembered: the answer said that the end was not confirmed.
const MOST: usize = 100_000;

/// The ends that wait for their store. Empty nearly always, and then asking costs one atomic load.
#[derive(Debug, Default)]
pub struct Ended {
    count: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    keys: HashMap<SessionKey, Option<Handle>>,
    /// How many of the keys name it.
    handles: HashMap<Handle, usize>,
    users: HashMap<String, Timestamp>,
}

impl Waiting {
    fn put(&mut self, key: &SessionKey, handle: Option<Handle>) {
        // Whoever ends it again may know less of it.
        let handle = handle.or_else(|| self.keys.get(key).cloned().flatten());
        self.take(key);
        if let Some(handle) = &handle {
            *self.handles.entry(handle.clone()).or_default() += 1;
        }
        self.keys.insert(key.clone(), handle);
    }

    fn take(&mut self, key: &SessionKey) {
        let Some(Some(handle)) = self.keys.remove(key) else { return };
        let Some(named) = self.handles.get_mut(&handle) else { return };
        *named -= 1;
        if *named == 0 {
            self.handles.remove(&handle);
        }
    }
}

/// One end that the store has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// This session's; with its handle, if it is known, also under any id that a renewal gave it meanwhile.
    Session(SessionKey, Option<Handle>, Lapse),
    /// Those of all sessions of a user that began before the moment.
    User(String, Timestamp),
}

impl Ended {
    /// Remembers; whether there was room.
    pub fn insert(&self, end: &Unconfirmed) -> bool {
        let mut waiting = self.lock();
        if waiting.keys.len() + waiting.users.len() >= MOST {
            return false;
        }
        match end {
            Unconfirmed::Session(key, handle, _) => waiting.put(key, handle.clone()),
            Unconfirmed::User(user, at) => {
                let latest = waiting.users.entry(user.clone()).or_insert(*at);
                *latest = (*latest).max(*at);
            }
        }
        self.recount(&waiting);
        true
    }

    /// Forgets, once the store has confirmed.
    pub fn remove(&self, end: &Unconfirmed) {
        let mut waiting = self.lock();
        match end {
            Unconfirmed::Session(key, ..) => waiting.take(key),
            // A later end of all waits for its own confirmation.
            Unconfirmed::User(user, at) if waiting.users.get(user).is_some_and(|latest| latest <= at) => drop(waiting.users.remove(user)),
            Unconfirmed::User(..) => {}
        }
        self.recount(&waiting);
    }

    /// Whether no end waits.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether the session of this key, or of this handle, was ended here.
    pub fn covers(&self, key: &SessionKey, handle: Option<&Handle>) -> bool {
        if self.is_empty() {
            return false;
        }
        let waiting = self.lock();
        waiting.keys.contains_key(key) || handle.is_some_and(|handle| waiting.handles.contains_key(handle))
    }

    /// Whether this record's user ended all their sessions here after it began.
    pub fn covers_user(&self, user: Option<&str>, record: &Record) -> bool {
        let Some(user) = user else { return false };
        !self.is_empty() && self.lock().users.get(user).is_some_and(|ended| record.created_at.is_none_or(|began| began <= *ended))
    }

    fn recount(&self, waiting: &Waiting) {
        self.count.store(waiting.keys.len() + waiting.users.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_knows_no_handle_forgets_none() {
        let (ended, handle) = (Ended::default(), Handle::stored("h".to_owned()));
        let [old, new] = ["old", "new"].map(|name| SessionKey::stored(name.to_owned()));

        for known in [Some(handle.clone()), None] {
            ended.insert(&Unconfirmed::Session(old.clone(), known, Lapse::Ended));
        }

        assert!(ended.covers(&new, Some(&handle)), "also under the id that a renewal gave it");
    }
}
