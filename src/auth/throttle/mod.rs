//! How many tries there are: slows down, never locks out (ASVS 6.3.1; NIST SP 800-63B, throttling).
//!
//! - A **known device** (it has signed in as this user before) has a counter of its own in the place of all others: nobody else can use it
//!   up. Over its limit, it is a stranger like any other.
//! - A stranger's **network** is slowed down when it has failed too often, whatever names it tries.
//! - When a **user** has had too many failures by strangers, each network waits for itself after its own failures with that name; one
//!   that has (nearly) none tries at once. So one attacker, however eager, does not keep the owner's new device out. A cap on all
//!   networks together, [`NETWORKS`] times what one can do, bounds the guesses: beyond it the whole user waits.
//! - Beyond a limit tries come one at a time, each failure doubling the wait: 1 s, 2 s, 4 s ... 60 s. Waiting costs nothing, and writes
//!   nothing: only a try that was let through takes a place in memory.
//! - A try **in flight** counts against every limit until it is answered, and at most [`AT_ONCE`] are in flight of a user and network;
//!   as many more of all the user's known devices there, since whoever has an account may have any number of those.
//!
//! Counters live in this process and are bounded: with several proxies the limits are as many times larger. To flush them takes tries
//! that are let through, [`PLACES`] / 2 of them: about a thousand networks at the shipped limits.

mod track;

use crate::clock::Moment;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use track::{LONGEST_WAIT, Places, SECOND};

/// Users that are remembered, and as many networks, pairs of both, and known devices.
const PLACES: usize = 50_000;
/// So many failures in a row of one user are worth a line that wakes somebody up.
const ALARM: u32 = 100;
/// Tries at a time of one user and network, or of one known device.
const AT_ONCE: u32 = 4;
/// Failures of a network with a user whom others have used up the tries of, before the network waits.
const OWN: u32 = 2;
/// As many networks guess one name with full vigour; more share what is left.
const NETWORKS: u32 = 4;

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
    /// Failures of one user, wherever they come from; a known device has as many of its own.
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

impl Throttle {
    /// Of a network with a user whose tries are used up.
    fn of_pair(&self) -> Option<Rate> {
        self.per_user.map(|rate| Rate { count: rate.count.min(OWN), ..rate })
    }

    /// Of a user and all networks: so much that one network alone never gets there.
    fn of_all(&self) -> Option<Rate> {
        let slowest = |rate: Rate| u32::try_from(rate.within.as_secs() / LONGEST_WAIT.as_secs()).unwrap_or(u32::MAX);
        self.per_user.map(|rate| Rate { count: rate.count.saturating_add(slowest(rate)).saturating_mul(NETWORKS), ..rate })
    }

    fn of_device(&self) -> Option<Rate> {
        self.per_user.or(self.per_client)
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
    networks: Places,
    pairs: Places,
    devices: Places,
}

/// What a try counts under.
#[derive(Clone, Copy)]
struct Keys {
    user: u64,
    network: u64,
    pair: u64,
    /// A known device that has not failed too often: counts in the place of the others.
    device: Option<Known>,
}

/// A known device, and with it all those of its user in the same network.
#[derive(Clone, Copy)]
struct Known {
    device: u64,
    household: u64,
}

/// A try that was let through. One that is dropped unanswered has failed: its caller hung up.
#[must_use]
pub struct Try<'a> {
    counters: &'a Counters,
    keys: Keys,
    at: Moment,
    is_answered: bool,
}

impl Counters {
    pub fn new(limits: Throttle) -> Self {
        let [users, networks, pairs, devices] = std::array::from_fn(|_| Places::new(PLACES));
        Counters { limits, key: RandomState::new(), state: Mutex::new(State { users, networks, pairs, devices }) }
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

    /// Lets a try through, or says how long to wait. `device`: the id of one that has signed in as this user before.
    pub fn admit(&self, user: &str, client: IpAddr, device: Option<&str>, now: Moment) -> Result<Try<'_>, Duration> {
        let (user, network) = (self.number(user), self.key.hash_one(network(client)));
        let mut state = self.state();
        let device = device.map(|id| self.key.hash_one((id, user)));
        let device = device.filter(|device| !state.devices.is_over(*device, self.limits.of_device(), now));
        let known = |device| Known { device, household: self.key.hash_one((user, network, "devices")) };
        let keys = Keys { user, network, pair: self.key.hash_one((user, network)), device: device.map(known) };
        if let Some(wait) = state.wait(&self.limits, keys, now) {
            return Err(wait);
        }
        state.under(keys).for_each(|(places, key)| places.at(key).in_flight += 1);
        Ok(Try { counters: self, keys, at: now, is_answered: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Try<'a> {
    /// The password was wrong. Whether this is one of the hundreds in a row that somebody should know of.
    pub fn failed(mut self) -> bool {
        self.fail()
    }

    /// The password was right: what this device, or this network with this name, did wrong is forgiven, and no more than that. Otherwise
    /// the owner's sign-ins would give a guesser more tries, or a guesser's own account would. Tries in flight stay what they are.
    pub fn succeeded(mut self) {
        let (Keys { user, network, pair, device }, limits) = (self.keys, &self.counters.limits);
        let mut state = self.land();
        state.users.at(user).in_a_row = 0;
        match device {
            Some(known) => state.devices.at(known.device).forgive(limits.of_device(), user),
            None => {
                state.networks.at(network).forgive(limits.per_client, user);
                state.pairs.at(pair).forgive(limits.of_pair(), user);
                state.users.at(user).forgive(limits.of_all(), network);
            }
        }
        state.tidy(self.keys);
    }

    /// Nothing was hashed after all.
    pub fn withdrawn(mut self) {
        let keys = self.keys;
        self.land().tidy(keys);
    }

    fn fail(&mut self) -> bool {
        let (Keys { user, network, pair, device }, limits, at) = (self.keys, &self.counters.limits, self.at);
        let mut state = self.land();
        match device {
            Some(known) => state.devices.at(known.device).fail(limits.of_device(), user, at),
            None => {
                state.networks.at(network).fail(limits.per_client, user, at);
                state.users.at(user).fail(limits.of_all(), network, at);
                let is_slowed = state.users.is_over(user, limits.per_user, at);
                state.pairs.at(pair).fail(limits.of_pair(), user, at);
                if !is_slowed {
                    state.pairs.at(pair).wait_no_more();
                }
            }
        }
        let in_a_row = &mut state.users.at(user).in_a_row;
        *in_a_row = in_a_row.saturating_add(1);
        let is_alarming = in_a_row.is_multiple_of(ALARM);
        state.tidy(self.keys);
        is_alarming
    }

    /// The try is not in flight any more.
    fn land(&mut self) -> MutexGuard<'a, State> {
        self.is_answered = true;
        let mut state = self.counters.state();
        state.under(self.keys).for_each(|(places, key)| places.at(key).land());
        state
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.fail();
        }
    }
}

impl State {
    /// Writes nothing.
    fn wait(&self, limits: &Throttle, of: Keys, now: Moment) -> Option<Duration> {
        let is_crowded = |places: &Places, key, limit: Option<Rate>| limit.is_some() && places.in_flight(key) >= AT_ONCE;
        if let Some(Known { device, household }) = of.device {
            let limit = limits.of_device();
            return (is_crowded(&self.devices, device, limit) || is_crowded(&self.pairs, household, limit)).then_some(SECOND);
        }
        if let Some(wait) = self.networks.wait(of.network, limits.per_client, now) {
            return Some(wait);
        }
        if is_crowded(&self.pairs, of.pair, limits.per_user) {
            return Some(SECOND);
        }
        if !self.users.is_over(of.user, limits.per_user, now) {
            return None;
        }
        self.pairs.wait(of.pair, limits.of_pair(), now).max(self.users.wait(of.user, limits.of_all(), now))
    }

    /// Where the try counts.
    fn under(&mut self, of: Keys) -> impl Iterator<Item = (&mut Places, u64)> {
        let State { users, networks, pairs, devices } = self;
        let (own, shared) = match of.device {
            Some(Known { device, household }) => (Some([(devices, device), (pairs, household)]), None),
            None => (None, Some([(users, of.user), (networks, of.network), (pairs, of.pair)])),
        };
        own.into_iter().flatten().chain(shared.into_iter().flatten())
    }

    /// Gives up places that say nothing.
    fn tidy(&mut self, of: Keys) {
        self.under(of).for_each(|(places, key)| places.tidy(key));
        self.users.tidy(of.user);
    }
}

/// One subscriber's addresses: IPv4 whole, of IPv6 the first half.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests;
