//! Operations under way: what each may do to the shelf when it ends.

use super::super::{Found, Touch, Version, Whose};
use super::news::News;
use super::shelf::Shelf;
use crate::clock::{Moment, Timestamp};
use crate::session::id::SessionKey;
use crate::session::record::Record;
use std::sync::Arc;

/// When an operation began, by the shelf's generations and by the clock.
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
        if *generation == began {
            shelf.put(key, found, at);
        }
    }
}

/// A write under way. Unless it is told how it ended, also when the caller goes away, what is cached of the record goes.
pub struct Writing<'a> {
    pub(super) ticket: Ticket<'a>,
    pub(super) is_settled: bool,
}

impl Writing<'_> {
    /// The record is stored, as this version if that is known.
    pub fn stored(mut self, record: &Arc<Record>, version: Option<Version>, now: Timestamp) {
        self.is_settled = true;
        let Ticket { shelf, key, generation: began, at } = self.ticket;
        let mut generation = shelf.generation(key);
        let is_last = *generation == began;
        *generation += 1;
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

    /// The use of the version seen is noted.
    pub fn touched(mut self, seen: &Version, touch: &Touch) {
        self.is_settled = true;
        let Ticket { shelf, key, generation: began, .. } = self.ticket;
        let mut generation = shelf.generation(key);
        let is_last = *generation == began;
        *generation += 1;
        match shelf.peek(key) {
            Some(slot) if is_last && slot.read().is_some_and(|(_, version)| version == *seen) => {
                shelf.put_touched(key, &slot, touch.expires_at, Some(touch.updated_at), touch.client.as_ref());
            }
            _ => shelf.drop_record(key),
        }
    }

    /// The record is no more.
    pub fn removed(mut self) {
        self.is_settled = true;
        let Ticket { shelf, key, at, .. } = self.ticket;
        let mut generation = shelf.generation(key);
        *generation += 1;
        let before = shelf.peek(key);
        shelf.put(key, &Found::Absent, at);
        drop(generation);
        shelf.tell_end(key, before);
    }

    /// Surely nothing was written.
    pub fn undone(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            let Ticket { shelf, key, .. } = self.ticket;
            *shelf.generation(key) += 1;
            shelf.drop_record(key);
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
