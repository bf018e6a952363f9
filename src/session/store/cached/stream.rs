//! What is known of the store's change stream, and so up to when a cached record is vouched for.

use super::super::health::StreamHealth;
use crate::clock::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stream that has been silent for longer vouches for nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// No moment: never, or not yet.
const NEVER: u64 = u64::MAX;

/// Written by the task that follows the stream, read with every cached record that is older than its `ttl`.
#[derive(Debug)]
pub struct Stream {
    /// Changes since then have been told, or will be.
    since: AtomicU64,
    /// Every change until then has been told.
    heard: AtomicU64,
    absent: AtomicU64,
}

impl Default for Stream {
    fn default() -> Self {
        Stream { since: AtomicU64::new(NEVER), heard: AtomicU64::new(NEVER), absent: AtomicU64::new(0) }
    }
}

impl Stream {
    /// It begins: what was read before may have been changed unnoticed.
    pub fn begin(&self, at: Moment) {
        self.absent.store(0, Ordering::Relaxed);
        self.since.store(at.0, Ordering::Release);
    }

    /// Every change until `at` has been told.
    pub fn hear(&self, at: Moment) {
        self.heard.store(at.0, Ordering::Release);
    }

    /// It is over, and changes may have been missed.
    pub fn lose(&self) {
        self.since.store(NEVER, Ordering::Release);
    }

    /// The store has none.
    pub fn declare_absent(&self) {
        self.lose();
        self.absent.store(1, Ordering::Relaxed);
    }

    /// Whether a record that was read at `read_at` can be told unchanged at `at`.
    pub fn vouches(&self, read_at: Moment, at: Moment) -> bool {
        let (since, heard) = (self.since.load(Ordering::Acquire), self.heard.load(Ordering::Acquire));
        since != NEVER && heard != NEVER && since <= read_at.0 && at.since(Moment(heard)) <= PATIENCE
    }

    /// For the operator.
    pub fn health(&self, at: Moment) -> StreamHealth {
        let heard = Some(self.heard.load(Ordering::Acquire)).filter(|heard| *heard != NEVER);
        let last_batch = heard.map(|heard| at.since(Moment(heard)));
        match last_batch {
            _ if self.absent.load(Ordering::Relaxed) == 1 => StreamHealth::Absent,
            Some(last_batch) if last_batch <= PATIENCE && self.since.load(Ordering::Acquire) != NEVER => StreamHealth::Live { last_batch },
            None if self.since.load(Ordering::Acquire) == NEVER => StreamHealth::Unknown,
            last_batch => StreamHealth::Broken { last_batch },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_vouches_for_what_was_read_since_it_began_and_only_while_it_is_heard() {
        let stream = Stream::default();
        let vouches = |read: u64, at: u64| stream.vouches(Moment(read), Moment(at));

        assert!(!vouches(0, 0), "nothing is known of it");
        stream.begin(Moment(100));
        assert!(!vouches(100, 100), "it has begun and not been heard");
        stream.hear(Moment(200));
        assert_eq!([vouches(99, 200), vouches(100, 200), vouches(100, 1200), vouches(100, 1201)], [false, true, true, false]);
        stream.lose();
        assert!(!vouches(100, 200));
    }

    #[test]
    fn its_state_is_told() {
        let stream = Stream::default();
        let told = |at: u64| stream.health(Moment(at));

        assert_eq!(told(0), StreamHealth::Unknown);
        stream.begin(Moment(0));
        stream.hear(Moment(5));
        assert_eq!(told(10), StreamHealth::Live { last_batch: Duration::from_millis(5) });
        assert_eq!(told(1006), StreamHealth::Broken { last_batch: Some(Duration::from_millis(1001)) });
        stream.declare_absent();
        assert_eq!(told(10), StreamHealth::Absent);
    }
}
