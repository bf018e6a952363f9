//! How many tries there are: slows down, never locks out (ASVS 6.3.1; NIST SP 800-63B, throttling).
//!
//! Counters live in this process and are bounded: with several proxies the limits are as many times larger, and whoever has as many
//! addresses as there are places can flush them.

use crate::clock::Moment;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Users, and as many client networks, that are remembered.
const PLACES: usize = 50_000;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// So many failures in a row of one user are worth a line that wakes somebody up.
const ALARM: u32 = 100;

/// So many in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub within: Duration,
}

/// The limits; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Failures of one user, wherever they come from; a device that has signed in before is exempt.
    pub per_user: Option<Rate>,
    /// Failures from one client network: an IPv4 address, or the /64 of an IPv6 one.
    pub per_client: Option<Rate>,
}

impl Default for Throttle {
    fn default() -> Self {
        let within = Duration::from_secs(300);
        Throttle { per_user: Some(Rate { count: 5, within }), per_client: Some(Rate { count: 20, within }) }
    }
}

/// Counts failures. Names and addresses are kept as hashes under a key of this process.
pub struct Counters {
    limits: Throttle,
    key: RandomState,
    state: Mutex<State>,
}

struct State {
    users: Places,
    clients: Places,
}

/// A try that was let through. It counts as a failure until it is said to be something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    user: u64,
    client: u64,
    at: Moment,
    is_exempt: bool,
}

impl Counters {
    pub fn new(limits: Throttle) -> Self {
        Counters { limits, key: RandomState::new(), state: Mutex::new(State { users: Places::new(PLACES), clients: Places::new(PLACES) }) }
    }

    /// A number for a name: the same as long as this process lives, and not to be foreseen. Upper and lower case are one, since a source
    /// may take them for one: otherwise `ALICE` would be another try at `alice`.
    pub fn number(&self, user: &str) -> u64 {
        self.key.hash_one(user.to_lowercase())
    }

    /// A short name for somebody whom no source knows: what was typed may be a password.
    pub fn alias(&self, user: &str) -> String {
        format!("{:016x}", self.number(user))
    }

    /// Lets a try through, or says how long to wait. A try that must wait counts nothing: nobody is kept out by others' impatience.
    pub fn admit(&self, user: &str, client: IpAddr, known_device: bool, now: Moment) -> Result<Try, Duration> {
        let (user, client) = (self.number(user), self.key.hash_one(network(client)));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let by_client = state.clients.at(client).wait(self.limits.per_client, now);
        let by_user = if known_device { None } else { state.users.at(user).wait(self.limits.per_user, now) };
        if let Some(wait) = by_client.max(by_user) {
            return Err(wait);
        }
        state.clients.at(client).fail(self.limits.per_client, user, now);
        if !known_device {
            state.users.at(user).fail(self.limits.per_user, client, now);
        }
        Ok(Try { user, client, at: now, is_exempt: known_device })
    }

    /// The password was wrong. Whether this is one of the hundreds in a row that somebody should know of.
    pub fn failed(&self, of: Try) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let user = state.users.at(of.user);
        user.in_a_row = user.in_a_row.saturating_add(1);
        user.in_a_row.is_multiple_of(ALARM)
    }

    /// The password was right: what this client did wrong with this name is forgiven, and no more than that. Otherwise the owner's
    /// sign-ins would give a guesser more tries, or a guesser's own account would.
    pub fn succeeded(&self, of: Try) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clients.at(of.client).forgive(self.limits.per_client, of.user);
        let user = state.users.at(of.user);
        user.forgive(self.limits.per_user, of.client);
        user.in_a_row = 0;
    }

    /// Nothing was hashed after all.
    pub fn withdrawn(&self, of: Try) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clients.at(of.client).take_back(of.user, of.at);
        if !of.is_exempt {
            state.users.at(of.user).take_back(of.client, of.at);
        }
    }
}

/// One subscriber's addresses: IPv4 whole, of IPv6 the first half.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

/// What one user or one network did wrong.
#[derive(Default)]
struct Track {
    /// When, and with which network or user.
    failures: VecDeque<(Moment, u64)>,
    /// Tries let through beyond the limit.
    beyond: u32,
    not_before: Option<Moment>,
    in_a_row: u32,
}

impl Track {
    /// How long the next try must wait.
    fn wait(&mut self, limit: Option<Rate>, now: Moment) -> Option<Duration> {
        let limit = limit?;
        self.failures.retain(|(at, _)| now.since(*at) < limit.within);
        if self.failures.len() < limit.count as usize {
            (self.beyond, self.not_before) = (0, None);
            return None;
        }
        let wait = self.not_before?.since(now);
        (!wait.is_zero()).then_some(wait)
    }

    fn fail(&mut self, limit: Option<Rate>, other: u64, now: Moment) {
        let Some(limit) = limit else { return };
        self.failures.push_back((now, other));
        if self.failures.len() >= limit.count as usize {
            let wait = Duration::from_secs(1 << self.beyond.min(6)).min(LONGEST_WAIT);
            (self.beyond, self.not_before) = (self.beyond.saturating_add(1), Some(now.plus(wait)));
        }
    }

    fn forgive(&mut self, limit: Option<Rate>, other: u64) {
        self.failures.retain(|(_, with)| *with != other);
        if limit.is_none_or(|limit| self.failures.len() < limit.count as usize) {
            (self.beyond, self.not_before) = (0, None);
        }
    }

    fn take_back(&mut self, other: u64, at: Moment) {
        if let Some(place) = self.failures.iter().rposition(|failure| *failure == (at, other)) {
            self.failures.remove(place);
        }
    }
}

/// Two generations: when the young one is full the old one goes, so the places are bounded and the longest unused are lost first.
struct Places {
    young: HashMap<u64, Track>,
    old: HashMap<u64, Track>,
    most: usize,
}

impl Places {
    fn new(most: usize) -> Self {
        Places { young: HashMap::new(), old: HashMap::new(), most: (most / 2).max(1) }
    }

    fn at(&mut self, key: u64) -> &mut Track {
        if !self.young.contains_key(&key) && self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        let Places { young, old, .. } = self;
        young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "192.0.2.1";
    const AWAY: &str = "198.51.100.7";
    const SECOND: Duration = Duration::from_secs(1);

    struct Desk {
        counters: Counters,
        now: Moment,
    }

    impl Desk {
        fn new(per_user: u32, per_client: u32) -> Self {
            let rate = |count| Some(Rate { count, within: 300 * SECOND });
            Desk { counters: Counters::new(Throttle { per_user: rate(per_user), per_client: rate(per_client) }), now: Moment(1_000_000) }
        }

        fn admit(&self, user: &str, client: &str) -> Result<Try, Duration> {
            self.counters.admit(user, client.parse().unwrap(), false, self.now)
        }

        fn fail(&self, user: &str, client: &str) -> Option<Duration> {
            self.admit(user, client).map(|of| self.counters.failed(of)).err()
        }

        fn succeed(&self, user: &str, client: &str) {
            self.counters.succeeded(self.admit(user, client).unwrap());
        }

        fn wait(&mut self, length: Duration) {
            self.now = self.now.plus(length);
        }
    }

    #[test]
    fn beyond_the_limit_waits_grow_from_one_second_to_a_minute() {
        let mut desk = Desk::new(5, 1000);
        for _ in 0..5 {
            assert_eq!(desk.fail("alice", HOME), None);
        }

        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = desk.fail("alice", AWAY).unwrap();
            desk.wait(wait);
            assert_eq!(desk.fail("alice", AWAY), None);
            waits.push(wait.as_secs());
        }

        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn impatience_makes_no_wait_longer() {
        let mut desk = Desk::new(1, 1000);
        desk.fail("alice", HOME);

        for _ in 0..1000 {
            assert_eq!(desk.fail("alice", HOME), Some(SECOND));
        }

        desk.wait(SECOND);
        assert_eq!(desk.fail("alice", HOME), None);
    }

    #[test]
    fn the_window_slides() {
        let mut desk = Desk::new(2, 1000);
        desk.fail("alice", HOME);
        desk.wait(200 * SECOND);
        desk.fail("alice", HOME);
        desk.wait(100 * SECOND);

        let after_the_first_is_forgotten = (desk.fail("alice", HOME), desk.fail("alice", HOME));

        assert_eq!(after_the_first_is_forgotten, (None, Some(SECOND)));
    }

    #[test]
    fn a_network_is_slowed_down_whatever_names_it_tries() {
        let desk = Desk::new(1000, 3);
        let addresses = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3", "2001:db8:1:2::4", "2001:db8:1:3::1"];

        let waits: Vec<_> = (0..).zip(addresses).map(|(number, from)| desk.fail(&format!("user{number}"), from)).collect();

        assert_eq!(waits, [None, None, None, Some(SECOND), None]);
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), network("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_known_device_is_not_kept_out_by_others() {
        let desk = Desk::new(1, 1000);
        desk.fail("alice", AWAY);

        let (stranger, owner) = (desk.admit("alice", HOME), desk.counters.admit("alice", HOME.parse().unwrap(), true, desk.now));

        assert_eq!(stranger, Err(SECOND));
        assert_eq!(desk.admit("ALICE", HOME), Err(SECOND));
        assert!(owner.is_ok());
    }

    #[test]
    fn success_forgives_this_client_this_user_and_nothing_else() {
        let mut desk = Desk::new(3, 3);
        desk.fail("alice", HOME);
        desk.fail("alice", AWAY);
        desk.fail("bob", HOME);

        desk.succeed("alice", HOME);

        // Of alice's failures the one from away is left, and of home's the one with bob.
        assert_eq!([desk.fail("alice", "203.0.113.1"), desk.fail("alice", "203.0.113.2")], [None, None]);
        assert_eq!(desk.fail("alice", "203.0.113.3"), Some(SECOND));
        desk.wait(SECOND);
        assert_eq!([desk.fail("eve", HOME), desk.fail("eve", HOME)], [None, None]);
        assert_eq!(desk.fail("carol", HOME), Some(SECOND));
    }

    #[test]
    fn what_was_never_hashed_does_not_count() {
        let desk = Desk::new(1, 1);

        for _ in 0..10 {
            desk.counters.withdrawn(desk.admit("alice", HOME).unwrap());
        }

        assert_eq!(desk.fail("alice", HOME), None);
    }

    #[test]
    fn tries_at_the_same_time_count_before_they_are_answered() {
        let desk = Desk::new(5, 1000);

        let admitted = (0..50).filter(|_| desk.admit("alice", HOME).is_ok()).count();

        assert_eq!(admitted, 5);
    }

    #[test]
    fn every_hundredth_failure_in_a_row_is_told() {
        let mut desk = Desk::new(1, 1_000_000);
        let mut told = Vec::new();
        for number in 1..=200 {
            desk.wait(60 * SECOND);
            if desk.counters.failed(desk.admit("alice", &format!("10.0.0.{number}")).unwrap()) {
                told.push(number);
            }
        }

        assert_eq!(told, [100, 200]);
    }

    #[test]
    fn places_are_bounded_and_the_longest_unused_go_first() {
        let mut places = Places::new(100);
        places.at(0).in_a_row = 1;
        for key in 1..100_000 {
            places.at(key);
            places.at(7).in_a_row = 7;
            assert!(places.young.len() + places.old.len() <= 100);
        }

        assert_eq!((places.at(7).in_a_row, places.at(0).in_a_row), (7, 0));
    }

    #[test]
    fn without_limits_nobody_waits() {
        let counters = Counters::new(Throttle { per_user: None, per_client: None });

        let waits = (0..1000).filter(|_| counters.admit("alice", HOME.parse().unwrap(), false, Moment(0)).is_err()).count();

        assert_eq!(waits, 0);
    }
}
