//! Time as the product sees it: one wall clock and one that only goes forward, injected, so that tests move them by hand.

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment: milliseconds since the Unix epoch, UTC. BSON dates and JavaScript dates have the same grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus a length; saturates at the ends of the scale.
    pub fn plus(self, length: Duration) -> Self {
        Timestamp(self.0.saturating_add(millis(length)))
    }

    /// This moment minus a length; saturates at the ends of the scale.
    pub fn minus(self, length: Duration) -> Self {
        Timestamp(self.0.saturating_sub(millis(length)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// The same moment for the standard library; moments before 1970 become 1970.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.max(0).unsigned_abs())
    }

    /// JavaScript's `Date.prototype.toISOString`: `2026-11-24T00:40:53.123Z`. `None` outside the years 0 to 9999.
    pub fn to_iso(self) -> Option<String> {
        const ISO: &[time::format_description::FormatItem<'_>] =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let moment = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).ok()?;
        moment.format(ISO).ok().filter(|text| !text.starts_with(['-', '+']))
    }

    /// Reads what [`Timestamp::to_iso`] writes, and other RFC 3339 spellings of a moment.
    pub fn from_iso(text: &str) -> Option<Self> {
        let moment = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Timestamp)
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// A moment on the clock that only goes forward: milliseconds since some moment of this process. For ages, never for storing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment plus a length; saturates.
    pub fn plus(self, length: Duration) -> Self {
        Moment(self.0.saturating_add(millis(length).unsigned_abs()))
    }
}

/// Where the present comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Timestamp;

    /// The present on a clock that nobody sets.
    fn moment(&self) -> Moment;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since))
    }

    fn moment(&self) -> Moment {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Moment(u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    passed: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        ManualClock { wall: AtomicI64::new(start.0), passed: AtomicU64::new(0) }
    }

    /// Lets time pass.
    pub fn advance(&self, length: Duration) {
        self.wall.fetch_add(millis(length), Ordering::SeqCst);
        self.passed.fetch_add(millis(length).unsigned_abs(), Ordering::SeqCst);
    }

    /// Sets the wall clock, forward or back: no time passes.
    pub fn set(&self, now: Timestamp) {
        self.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn moment(&self) -> Moment {
        Moment(self.passed.load(Ordering::SeqCst))
    }
}
