//! The last hour, minute by minute: what only grows is looked at from time to time, and the differences are told.

use crate::session::Counts;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often it is looked. The last minute ends now, so it may be shorter than a minute by this much.
const EVERY: Duration = Duration::from_secs(10);

const LOOKS_PER_MINUTE: usize = 6;

const MINUTES: usize = 60;

/// What has been counted since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub sessions: Counts,
    pub requests: u64,
}

/// The totals of the last hour, the newest last.
#[derive(Default)]
pub struct Hour(Mutex<VecDeque<Totals>>);

impl Hour {
    /// Looks until it is dropped.
    pub async fn keep(&self, look: impl Fn() -> Totals) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            self.note(look());
        }
    }

    fn note(&self, totals: Totals) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back(totals);
        if seen.len() > MINUTES * LOOKS_PER_MINUTE {
            seen.pop_front();
        }
    }

    /// What was counted in each minute, the oldest first; the last one ends now. Fewer than sixty if the process is younger than an hour.
    pub fn minutes(&self, now: Totals) -> Vec<Totals> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at that many times: so many minutes old, the one under way included.
        let known = seen.len().div_ceil(LOOKS_PER_MINUTE).clamp(1, MINUTES);
        // Before the first look nothing had happened.
        let ago = |minutes: usize| match minutes * LOOKS_PER_MINUTE {
            0 => now,
            looks => seen.len().checked_sub(looks).and_then(|at| seen.get(at)).copied().unwrap_or_default(),
        };
        (0..known).rev().map(|minute| ago(minute).since(ago(minute + 1))).collect()
    }
}

impl Totals {
    fn since(self, earlier: Totals) -> Totals {
        let (now, then) = (self.sessions, earlier.sessions);
        Totals {
            sessions: Counts {
                begun: now.begun.saturating_sub(then.begun),
                logins: now.logins.saturating_sub(then.logins),
                left: now.left.saturating_sub(then.left),
                revoked: now.revoked.saturating_sub(then.revoked),
            },
            requests: self.requests.saturating_sub(earlier.requests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64) -> Totals {
        Totals { requests: count, ..Totals::default() }
    }

    fn told(hour: &Hour, now: u64) -> Vec<u64> {
        hour.minutes(requests(now)).iter().map(|minute| minute.requests).collect()
    }

    #[test]
    fn a_young_process_tells_the_minutes_that_it_has_lived() {
        let hour = Hour::default();
        assert_eq!(told(&hour, 3), [3]);

        (0..=LOOKS_PER_MINUTE).for_each(|look| hour.note(requests(look as u64)));

        // 0 to 6 at the looks, 10 now: one look of the six before the last minute.
        assert_eq!(told(&hour, 10), [1, 9]);
    }

    #[test]
    fn an_hour_later_each_minute_has_what_happened_in_it() {
        let hour = Hour::default();
        (0..2 * MINUTES * LOOKS_PER_MINUTE).for_each(|look| hour.note(requests(2 * look as u64)));
        let newest = 2 * (2 * MINUTES * LOOKS_PER_MINUTE - 1) as u64;

        let minutes = told(&hour, newest + 2);

        assert_eq!(minutes, [12; MINUTES]);
        assert_eq!(told(&hour, newest + 5002).last(), Some(&5012), "what happens now belongs to the last minute");
    }
}
