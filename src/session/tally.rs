//! How many sessions begin and end through this process, for the operator. Costs an addition for each, and nothing for a plain use.

use super::changes::Event;
use super::lifecycle::Lapse;
use super::sessions::Sessions;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What has been counted since the process began; only grows. Sessions that expire unseen are nobody's doing and not here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New sessions: of visitors who had none, and of logins.
    pub begun: u64,
    /// Those of them that a login began.
    pub logins: u64,
    /// Ended by their own visitor or app.
    pub left: u64,
    /// Ended by somebody else: on another device, by an operator, by a change of the users, by `max_per_user`.
    pub revoked: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    begun: AtomicU64,
    logins: AtomicU64,
    left: AtomicU64,
    revoked: AtomicU64,
}

impl Tally {
    /// What became of an answer's changes. Ends are counted where they happen.
    pub(super) fn note(&self, event: Event) {
        if matches!(event, Event::Started | Event::LoggedIn) {
            self.begun.fetch_add(1, Relaxed);
        }
        if event == Event::LoggedIn {
            self.logins.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn ended(&self, why: Lapse, sessions: u64) {
        let counter = if why == Lapse::Ended { &self.left } else { &self.revoked };
        counter.fetch_add(sessions, Relaxed);
    }
}

impl Sessions {
    /// What has begun and ended through this process.
    pub fn counts(&self) -> Counts {
        let Tally { begun, logins, left, revoked } = &self.tally;
        Counts { begun: begun.load(Relaxed), logins: logins.load(Relaxed), left: left.load(Relaxed), revoked: revoked.load(Relaxed) }
    }
}
