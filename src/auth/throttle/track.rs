//! What one user, network, pair of both, or device did wrong; and a bounded number of such records.

use super::Rate;
use crate::clock::Moment;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Failures and tries in flight under one key.
#[derive(Default)]
pub(super) struct Track {
    /// When, and with which network or user.
    failures: VecDeque<(Moment, u64)>,
    /// Let through, and not answered yet.
    pub in_flight: u32,
    /// Failures in a row, of a user.
    pub in_a_row: u32,
    /// Failures beyond the limit.
    beyond: u32,
    not_before: Option<Moment>,
}

impl Track {
    fn is_over(&self, limit: Rate, now: Moment) -> bool {
        let failures = self.failures.iter().filter(|(at, _)| now.since(*at) < limit.within).count();
        failures.saturating_add(self.in_flight as usize) >= limit.count as usize
    }

    /// How long the next try must wait.
    fn wait(&self, limit: Rate, now: Moment) -> Option<Duration> {
        if !self.is_over(limit, now) {
            return None;
        }
        if self.in_flight > 0 {
            return Some(SECOND);
        }
        let wait = self.not_before?.since(now);
        (!wait.is_zero()).then_some(wait)
    }

    pub fn land(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub fn fail(&mut self, limit: Option<Rate>, with: u64, at: Moment) {
        let Some(limit) = limit else { return };
        self.failures.retain(|(earlier, _)| at.since(*earlier) < limit.within);
        if self.failures.len() < limit.count as usize {
            self.wait_no_more();
        }
        self.failures.push_back((at, with));
        if self.failures.len() >= limit.count as usize {
            let wait = Duration::from_secs(1 << self.beyond.min(6)).min(LONGEST_WAIT);
            (self.beyond, self.not_before) = (self.beyond.saturating_add(1), Some(at.plus(wait)));
        }
    }

    pub fn forgive(&mut self, limit: Option<Rate>, with: u64) {
        self.failures.retain(|(_, other)| *other != with);
        if limit.is_none_or(|limit| self.failures.len() < limit.count as usize) {
            self.wait_no_more();
        }
    }

    pub fn wait_no_more(&mut self) {
        (self.beyond, self.not_before) = (0, None);
    }

    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.in_flight == 0 && self.in_a_row == 0
    }
}

/// Two generations: when the young one is full the old one goes, so the places are bounded and the longest unused are lost first. Looking
/// takes no place and makes none younger.
pub(super) struct Places {
    young: HashMap<u64, Track>,
    old: HashMap<u64, Track>,
    most: usize,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Places { young: HashMap::new(), old: HashMap::new(), most: (most / 2).max(1) }
    }

    fn get(&self, key: u64) -> Option<&Track> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    pub fn is_over(&self, key: u64, limit: Option<Rate>, now: Moment) -> bool {
        // A limit of zero is over from the start.
        limit.is_some_and(|limit| self.get(key).map_or(limit.count == 0, |track| track.is_over(limit, now)))
    }

    pub fn wait(&self, key: u64, limit: Option<Rate>, now: Moment) -> Option<Duration> {
        self.get(key)?.wait(limit?, now)
    }

    pub fn in_flight(&self, key: u64) -> u32 {
        self.get(key).map_or(0, |track| track.in_flight)
    }

    /// Takes a place.
    pub fn at(&mut self, key: u64) -> &mut Track {
        if !self.young.contains_key(&key) && self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        let Places { young, old, .. } = self;
        young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    /// Gives up a place that says nothing.
    pub fn tidy(&mut self, key: u64) {
        if self.young.get(&key).is_some_and(Track::is_empty) {
            self.young.remove(&key);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_the_longest_unused_go_first() {
        let mut places = Places::new(100);
        places.at(0).in_a_row = 1;
        for key in 1..100_000 {
            places.at(key);
            places.at(7).in_a_row = 7;
            assert!(places.len() <= 100);
        }

        assert_eq!((places.at(7).in_a_row, places.at(0).in_a_row), (7, 0));
    }
}
