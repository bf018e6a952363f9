//! How a store is doing, for the operator: start-up line, readiness, statistics.

use std::time::Duration;

/// A store and what stands in front of it. What is absent is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    pub cache: Option<CacheHealth>,
    pub breaker: Option<BreakerHealth>,
}

/// The circuit breaker in front of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerHealth {
    /// For how long the circuit has been open; `None`: it is closed.
    pub open_for: Option<Duration>,
    /// How often it has opened since the process began.
    pub trips: u64,
    /// Failures in a row.
    pub failures: u32,
}

/// A cache, since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheHealth {
    /// Live sessions held.
    pub entries: u64,
    /// What they take, estimated.
    pub bytes: u64,
    /// Ids held of which it is known that nothing is behind them.
    pub gone: u64,
    /// Questions answered from memory.
    pub hits: u64,
    /// Questions for which the store was read.
    pub misses: u64,
    pub stream: StreamHealth,
}

/// The change stream by which a store tells what others write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamHealth {
    /// Nothing has been heard of it yet.
    Unknown,
    /// There is none: what others change is seen one `ttl` later.
    Absent,
    /// There is one and it is silent: until it is back, what others change is seen one `ttl` later.
    Broken {
        /// How long ago it was last heard; `None`: never.
        last_batch: Option<Duration>,
    },
    /// What others change is seen at once.
    Live {
        /// How long ago it was last heard.
        last_batch: Duration,
    },
}
