//! What a cached session weighs, so that one number bounds both how many there are and what they take.

use super::desk::{Opened, Slot};
use super::filed::Filed;
use crate::session::record::{Field, Record};
use quick_cache::Weighter;
use std::sync::Arc;

/// What the map, the allocator and the counters take beside a record (measured).
const AROUND: usize = 340;

/// What the allocator and the desk take beside an open record (estimated: some twenty blocks).
const AROUND_OPEN: usize = 240;

/// What the allocator takes beside a field's text (measured).
const PER_FIELD: usize = size_of::<Field>() + 16;

/// Bytes, but never less than an equal share of the bound: then no more than the wanted number fits, and no more than the bytes.
#[derive(Clone, Debug)]
pub struct Scale {
    share: u64,
}

impl Scale {
    /// For `sessions` sessions in `bytes` bytes.
    pub fn new(sessions: usize, bytes: u64) -> Self {
        Scale { share: (bytes / (sessions as u64).max(1)).max(1) }
    }
}

impl Weighter<Filed, Arc<Slot>> for Scale {
    fn weight(&self, key: &Filed, slot: &Arc<Slot>) -> u64 {
        ((AROUND + key.outside() + slot.packed().len()) as u64).max(self.share)
    }
}

/// What an open record takes in memory, estimated.
pub fn opened((record, version): &Opened) -> usize {
    let seen = version.session.as_ref().map_or(0, |seen| seen.len());
    let data: usize = record.data.iter().map(|field| PER_FIELD + field.name().map_or(8, str::len) + field.json().len()).sum();
    let texts = [
        record.user.as_ref().map_or(0, String::len),
        record.last_write.as_ref().map_or(0, |mark| mark.0.len()),
        record.handle.as_ref().map_or(0, |handle| handle.as_str().len()),
        record.client.as_ref().map_or(0, |client| client.agent.len() + client.address.len()),
    ];
    AROUND_OPEN + size_of::<Record>() + seen + data + texts.iter().sum::<usize>()
}
