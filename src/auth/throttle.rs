//! How many tries there are: slows down, never locks out.

use std::time::Duration;

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
        let minutes = Duration::from_secs(300);
        Throttle { per_user: Some(Rate { count: 5, within: minutes }), per_client: Some(Rate { count: 20, within: minutes }) }
    }
}
