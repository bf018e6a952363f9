//! Operations under way: what each may do to the shelf when it ends.

use super::super::{Found, Touch, Version, Whose};
use super::news::News;
use super::shelf::{Generation, Shelf};
use crate::clock::{Moment, Timestamp};
use crate::session::id::SessionKey;
use crate::session::record::Record;
use std::sync::{Arc, MutexGuard};

/// When an operation began, by the shelf's generations and by the clock.
#[derive(Clone, Copy)]
pub struct Ticket<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) key: &'a SessionKey,
    pub(super) generation: u64,
    pub(super) at: Moment,
}

/// A read under way.
pub struct Reading<'a>(pub(super) Ticket<'a>);

impl Reading<'_> {
    /// What it found; kept unless the record may have been written since it began.
    pub fn found(self, found: &Found) {
        let Ticket { shelf, key, generation: began, at } = self.0;
        let generation = shelf.generation(key);
        if generation.number == began {
            shelf.put(key, found, at);
        }
    }

    /// What it found past every cache: a write of unknown outcome may have come after what lies here was read, or is about to be put here.
    pub fn settled(self, found: &Found) {
        let Ticket { shelf, key, generation: began, at } = self.0;
        let mut generation = shelf.generation(key);
        match generation.number == began {
            true => shelf.put(key, found, at),
            false => shelf.drop_record(key),
        }
        generation.number += 1;
    }
}

/// A write under way. Unless it is told how it ended, also when the caller goes away, what is cached of the record goes.
pub struct Writing<'a> {
    pub(super) ticket: Ticket<'a>,
    /// What is being written, if the store's echo of it can be told from others' writes.
    pub(super) record: Option<Arc<Record>>,
    pub(super) is_settled: bool,
}

impl<'a> Writing<'a> {
    /// The record is stored, as this version if that is known.
    pub fn stored(mut self, record: &Arc<Record>, version: Option<Version>, now: Timestamp) {
        let Ticket { shelf, key, generation: began, at } = self.ticket;
        let mut generation = self.settle();
        let is_last = generation.number == began;
        generation.number += 1;
        let before = shelf.peek(key);
        let is_live = record.is_live(now);
        match version {
            // Another write may have come after this one.
            _ if !is_last => shelf.drop_record(key),
            Some(version) if is_live => shelf.put(key, &Found::Live(record.clone(), version), at),
            None if is_live => shelf.drop_record(key),
            _ => shelf.put(key, &Found::Expired(record.clone()), at),
        }
        drop(generation);
        if !is_live && record.moved.is_none() {
            shelf.tell_end(key, before);
        }
    }

    /// The use of the version seen is noted. Whatever else came and went: a use of the version that lies here is a use of it.
    pub fn touched(mut self, seen: &Version, touch: &Touch) {
        let Ticket { shelf, key, .. } = self.ticket;
        let mut generation = self.settle();
        generation.number += 1;
        match shelf.peek(key) {
            Some(slot) if slot.read().is_some_and(|(_, version)| version == *seen) => {
                shelf.put_touched(key, &slot, touch.expires_at, Some(touch.updated_at), touch.client.as_ref());
            }
            _ => shelf.drop_record(key),
        }
    }

    /// The record is no more.
    pub fn removed(mut self) {
        let Ticket { shelf, key, at, .. } = self.ticket;
        let mut generation = self.settle();
        generation.number += 1;
        let before = shelf.peek(key);
        shelf.put(key, &Found::Absent, at);
        drop(generation);
        shelf.tell_removal(key, before);
    }

    /// Surely nothing was written.
    pub fn undone(mut self) {
        drop(self.settle());
    }

    /// From here on the store's echo of this write is a change like any other.
    fn settle(&mut self) -> MutexGuard<'a, Generation> {
        self.is_settled = true;
        let mut generation = self.ticket.shelf.generation(self.ticket.key);
        if let Some(record) = &self.record {
            generation.being_written.retain(|other| !Arc::ptr_eq(other, record));
        }
        generation
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            let mut generation = self.settle();
            generation.number += 1;
            self.ticket.shelf.drop_record(self.ticket.key);
        }
    }
}

/// Many sessions are being ended. However that goes, what is cached of them goes.
pub struct Burying<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) whose: &'a Whose,
}

impl Drop for Burying<'_> {
    fn drop(&mut self) {
        self.shelf.forget(self.whose);
        self.shelf.tell(match self.whose {
            Whose::User(user) => News::UserEnded { user: user.clone() },
            Whose::Older(_) | Whose::Everybody => News::Gap,
        });
    }
}
