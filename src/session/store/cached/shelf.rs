//! The cached records, and who may put what there: nothing that was read before a write or an end ever lands after it.
//!
//! Every key belongs to one of many generation counters. A read notes the counter when it begins and may put its record there only
//! if the counter still stands; every write, end and told change moves it. Asking takes no part in this: a hit is a look into a map.
//! The one told change that moves nothing is the echo of a write of ours that comes before the write's own answer.

use super::super::health::CacheHealth;
use super::super::{Found, Version, Whose};
use super::CacheSettings;
use super::desk::{Desk, Slot};
use super::filed::Filed;
use super::news::{Change, News};
use super::stream::Stream;
use super::ticket::{Burying, Reading, Ticket, Writing};
use super::weight::Scale;
use crate::clock::{Clock, Moment, Timestamp};
use crate::session::id::SessionKey;
use crate::session::record::{Client, Record, WriteToken};
use quick_cache::sync::Cache;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Generation counters: more of them make it rarer that a write next door keeps a read off the shelf.
const STRIPES: usize = 1024;

/// One id in so many sessions may be remembered as gone.
const GONE_SHARE: usize = 8;

/// News that a slow listener may fall behind before it is told to look at everything.
const BACKLOG: usize = 8192;

/// One byte in so many is for the records that lie open.
const OPEN_SHARE: u64 = 32;

/// Nothing, or a record that has expired: only its times are kept.
#[derive(Clone, Debug)]
struct Gone {
    record: Option<Arc<Record>>,
    read_at: Moment,
}

/// One of the generation counters.
#[derive(Debug, Default)]
pub(super) struct Generation {
    pub(super) number: u64,
    /// What this proxy is writing just now under the counter's keys.
    pub(super) being_written: Vec<Arc<Record>>,
}

/// The cached records. Those that are gone are bounded on their own, so that asking for many of them drives no live one out.
pub struct Shelf {
    live: Cache<Filed, Arc<Slot>, Scale>,
    desk: Desk,
    gone: Cache<Filed, Gone>,
    generations: Box<[Mutex<Generation>]>,
    spare: Mutex<Generation>,
    hasher: RandomState,
    settings: CacheSettings,
    clock: Arc<dyn Clock>,
    stream: Stream,
    news: broadcast::Sender<News>,
    misses: AtomicU64,
    /// Looks that found a record too old to tell.
    aged: AtomicU64,
}

impl Shelf {
    pub fn new(settings: CacheSettings, clock: Arc<dyn Clock>) -> Self {
        let remembered = (settings.sessions / GONE_SHARE).max(1);
        let open = settings.bytes / OPEN_SHARE;
        let packed = settings.bytes - open;
        Shelf {
            live: Cache::with_weighter(settings.sessions, packed, Scale::new(settings.sessions, packed)),
            desk: Desk::new(usize::try_from(open).unwrap_or(usize::MAX)),
            gone: Cache::new(remembered),
            generations: (0..STRIPES).map(|_| Mutex::default()).collect(),
            spare: Mutex::default(),
            hasher: RandomState::new(),
            settings,
            clock,
            stream: Stream::default(),
            news: broadcast::channel(BACKLOG).0,
            misses: AtomicU64::new(0),
            aged: AtomicU64::new(0),
        }
    }

    /// The record, if what is cached of it may still be told.
    pub fn find(&self, key: &SessionKey, now: Timestamp) -> Option<Found> {
        let at = self.clock.moment();
        let key = &Filed::sought(key);
        if let Some(slot) = self.live.get(key) {
            // One that has expired is read again: another proxy may have noted a use.
            if self.may_tell(slot.read_at, at)
                && let Some((record, version)) = self.desk.open(&slot)
                && record.is_live(now)
            {
                return Some(Found::Live(record, version));
            }
            return self.aged();
        }
        let gone = self.gone.get(key)?;
        match gone.record {
            _ if at.since(gone.read_at) >= self.settings.ttl => self.aged(),
            // Alive after all if the clock was set back.
            Some(record) if record.is_live(now) => self.aged(),
            Some(record) => Some(Found::Expired(record)),
            None => Some(Found::Absent),
        }
    }

    fn aged(&self) -> Option<Found> {
        self.aged.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn may_tell(&self, read_at: Moment, at: Moment) -> bool {
        at.since(read_at) < self.settings.ttl || self.stream.vouches(read_at, at)
    }

    /// A read begins.
    pub fn reading<'a>(&'a self, key: &'a SessionKey) -> Reading<'a> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        Reading(self.ticket(key))
    }

    /// A write begins; of this record, unless nothing will tell it from others' writes.
    pub fn writing<'a>(&'a self, key: &'a SessionKey, record: Option<&Arc<Record>>) -> Writing<'a> {
        let record = record.filter(|record| record.last_write.is_some()).cloned();
        let ticket = self.ticket(key);
        if let Some(record) = &record {
            self.generation(key).being_written.push(record.clone());
        }
        Writing { ticket, record, is_settled: false }
    }

    /// Many records are to go.
    pub fn burying<'a>(&'a self, whose: &'a Whose) -> Burying<'a> {
        Burying { shelf: self, whose }
    }

    fn ticket<'a>(&'a self, key: &'a SessionKey) -> Ticket<'a> {
        // The moment first: a record is never taken for younger than it is.
        let at = self.clock.moment();
        Ticket { shelf: self, key, generation: self.generation(key).number, at }
    }

    pub(super) fn generation(&self, key: &SessionKey) -> MutexGuard<'_, Generation> {
        let stripe = usize::try_from(self.hasher.hash_one(key) % STRIPES as u64).unwrap_or_default();
        // There is one for each: the spare is never taken.
        self.generations.get(stripe).unwrap_or(&self.spare).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new generation everywhere: no read that is under way may put anything here.
    fn move_on(&self) {
        for generation in &self.generations {
            generation.lock().unwrap_or_else(PoisonError::into_inner).number += 1;
        }
    }

    /// What is cached of these goes.
    pub(super) fn forget(&self, whose: &Whose) {
        self.move_on();
        match whose {
            Whose::User(user) => self.live.retain(|_, slot| slot.packed().label().is_some_and(|label| label.user != Some(user))),
            Whose::Older(moment) => {
                self.live.retain(|_, slot| slot.packed().label().and_then(|label| label.created_at).is_some_and(|began| began >= *moment));
            }
            Whose::Everybody => self.live.clear(),
        }
    }

    /// Everything goes: changes may have been missed.
    pub fn clear(&self) {
        self.move_on();
        self.live.clear();
        self.gone.clear();
        self.tell(News::Gap);
    }

    /// The store told that somebody, perhaps this proxy, changed a record.
    pub fn changed(&self, key: &SessionKey, change: &Change) {
        let mut generation = self.generation(key);
        if generation.being_written.iter().any(|record| change.echoes(record, self.clock.now())) {
            // The write's own answer is on its way, and puts the record here, or takes it away.
            return;
        }
        generation.number += 1;
        let known = self.live.peek(&Filed::sought(key));
        let now = self.clock.now();
        match (change, &known) {
            (Change::Written { mark, revision, .. }, Some(slot)) if knows(slot, mark.as_ref(), *revision) => return,
            (Change::Touched { expires_at, updated_at }, Some(slot)) if !is_shorter(*expires_at, slot) => {
                // One from before a change that is known already would lengthen the life that the change has set.
                if is_later(*updated_at, slot) {
                    self.put_touched(key, slot, *expires_at, *updated_at, None);
                }
                return;
            }
            // What is remembered as expired may live on.
            (Change::Touched { expires_at, .. }, None) if expires_at.is_none_or(|at| at > now) => {
                return drop(self.gone.remove(&Filed::sought(key)));
            }
            _ => self.drop_record(key),
        }
        drop(generation);
        if *change == Change::Removed {
            self.tell_removal(key, known);
        } else if change.is_end(now) {
            self.tell_end(key, known);
        } else {
            let handle = known.and_then(|slot| slot.read()).and_then(|(record, _)| record.handle.clone());
            self.tell(News::Changed { key: key.clone(), handle });
        }
    }

    /// Passes on that a session is over. A pointer goes without notice: its session lives on.
    pub(super) fn tell_end(&self, key: &SessionKey, known: Option<Arc<Slot>>) {
        let known = known.and_then(|slot| slot.read());
        if known.as_ref().is_none_or(|(record, _)| record.moved.is_none()) {
            let handle = known.and_then(|(record, _)| record.handle.clone());
            self.tell(News::Ended { key: key.clone(), handle });
        }
    }

    /// Passes on that a record is no more. Of one that is not cached nobody knows whether it was a session's or led to one that lives on.
    pub(super) fn tell_removal(&self, key: &SessionKey, known: Option<Arc<Slot>>) {
        match known {
            Some(_) => self.tell_end(key, known),
            None => self.tell(News::Changed { key: key.clone(), handle: None }),
        }
    }

    // What follows, down to `put_touched`, is for whoever holds the key's generation.

    pub(super) fn peek(&self, key: &SessionKey) -> Option<Arc<Slot>> {
        self.live.peek(&Filed::sought(key))
    }

    pub(super) fn drop_record(&self, key: &SessionKey) {
        self.live.remove(&Filed::sought(key));
        self.gone.remove(&Filed::sought(key));
    }

    pub(super) fn put(&self, key: &SessionKey, found: &Found, read_at: Moment) {
        match found {
            Found::Live(record, version) => {
                self.gone.remove(&Filed::sought(key));
                if let Some(slot) = self.put_packed(key, record, version, read_at) {
                    self.desk.open_with(&slot, (record.clone(), version.clone()));
                }
            }
            Found::Expired(record) => self.put_gone(key, Some(record), read_at),
            Found::Absent => self.put_gone(key, None, read_at),
        }
    }

    /// `None`: it cannot be packed, and nothing is cached.
    fn put_packed(&self, key: &SessionKey, record: &Record, version: &Version, read_at: Moment) -> Option<Arc<Slot>> {
        let slot = Slot::new(record, version, read_at);
        match &slot {
            Some(slot) => self.live.insert(Filed::sought(key).to_owned(), slot.clone()),
            None => drop(self.live.remove(&Filed::sought(key))),
        }
        slot
    }

    fn put_gone(&self, key: &SessionKey, record: Option<&Arc<Record>>, read_at: Moment) {
        self.live.remove(&Filed::sought(key));
        let record = record.map(|record| Arc::new(times_only(record)));
        self.gone.insert(Filed::sought(key).to_owned(), Gone { record, read_at });
    }

    pub(super) fn put_touched(
        &self,
        key: &SessionKey,
        slot: &Slot,
        expires_at: Option<Timestamp>,
        updated_at: Option<Timestamp>,
        client: Option<&Client>,
    ) {
        let Some((record, version)) = slot.read() else { return self.drop_record(key) };
        let mut record = Arc::unwrap_or_clone(record);
        record.expires_at = record.expires_at.map(|old| expires_at.map_or(old, |new| old.max(new)));
        record.updated_at = record.updated_at.max(updated_at);
        record.client = client.cloned().or(record.client);
        let slot = Slot::new(&record, &version, slot.read_at);
        // Only in the place of the one that was found: an end of many sweeps the shelf whatever the key's generation.
        let replaced = slot.map(|slot| self.live.replace(Filed::sought(key).to_owned(), slot, true));
        if !matches!(replaced, Some(Ok(()))) {
            self.drop_record(key);
        }
    }

    /// The change stream's state, which the task that follows it keeps.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The present on the wall.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present on the clock that ages are told by.
    pub fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// What becomes of sessions, here and, while the change stream is live, elsewhere.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody listens: nobody needs it.
        let _ = self.news.send(news);
    }

    pub fn health(&self) -> CacheHealth {
        let misses = self.misses.load(Ordering::Relaxed);
        let found = self.live.hits() + self.gone.hits();
        CacheHealth {
            entries: self.live.len() as u64,
            bytes: self.live.weight() + self.desk.taken() as u64,
            gone: self.gone.len() as u64,
            hits: found.saturating_sub(self.aged.load(Ordering::Relaxed)),
            misses,
            stream: self.stream.health(self.clock.moment()),
        }
    }
}

/// When a session that is over was what, and why it ended. Who it was takes room that nobody counts.
fn times_only(record: &Record) -> Record {
    Record {
        created_at: record.created_at,
        updated_at: record.updated_at,
        login_at: record.login_at,
        expires_at: record.expires_at,
        max_age: record.max_age,
        moved: record.moved.clone(),
        ended: record.ended,
        ..Record::default()
    }
}

/// Whether this is what the writer wrote, or something later. The mark alone does not tell: a record that is made a dead one keeps it.
fn knows(slot: &Slot, mark: Option<&WriteToken>, revision: Option<u64>) -> bool {
    let (Some((record, Version { revision: Some(own), .. })), Some(told)) = (slot.read(), revision) else { return false };
    own > told || own == told && mark.is_some() && record.last_write.as_ref() == mark
}

/// Whether a life that ends then is shorter than what is known of it. We only ever lengthen one; a Node app, or a human, may do otherwise.
fn is_shorter(expires_at: Option<Timestamp>, slot: &Slot) -> bool {
    let known = slot.read().and_then(|(record, _)| record.expires_at);
    expires_at.is_some_and(|told| known.is_none_or(|known| told < known))
}

/// Whether a use then is news. One that is not marked may be.
fn is_later(updated_at: Option<Timestamp>, slot: &Slot) -> bool {
    let known = slot.read().and_then(|(record, _)| record.updated_at);
    updated_at.is_none_or(|told| known.is_none_or(|known| told > known))
}
