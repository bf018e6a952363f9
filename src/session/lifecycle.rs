//! How long sessions live: idle and absolute limits, when to touch, when to send the cookie again.

use super::cookie;
use super::record::Record;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The configured lengths.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Without a request for this long a session is over; `None`: no such limit.
    pub idle_timeout: Option<Duration>,
    /// However busy, a session is over this long after it began; `None`: no such limit.
    pub absolute_timeout: Option<Duration>,
    /// What the browser is told; `None`: until it closes.
    pub max_age: Option<Duration>,
    /// A session is touched at most once per this length (or a quarter of its life, if that is shorter).
    pub touch_after: Duration,
    /// For this long after a renewal the old id still leads to the session; `None`: not at all.
    pub renew_grace: Option<Duration>,
    /// When an unchanged session's cookie is sent again.
    pub rolling: Rolling,
}

/// `rolling`: when the cookie of a session that nobody changed is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolling {
    /// When less than half of its lifetime is left.
    Auto,
    /// On every response.
    Always,
    /// Only with changes (express-session's `rolling: false`).
    Never,
}

/// Why a visitor's session is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lapse {
    /// Away for longer than the idle limit.
    Idle,
    /// Older than the absolute limit.
    Absolute,
    /// The visitor or the app ended it.
    Ended,
    /// An operator, or the visitor on another device, ended it.
    Revoked,
    /// A newer session took its place.
    Replaced,
    /// Gone, and nothing says why.
    Unknown,
}

impl Lapse {
    /// The word in logs and in the body of a 401.
    pub fn as_str(self) -> &'static str {
        match self {
            Lapse::Idle => "idle",
            Lapse::Absolute => "absolute",
            Lapse::Ended => "ended",
            Lapse::Revoked => "revoked",
            Lapse::Replaced => "replaced",
            Lapse::Unknown => "unknown",
        }
    }

    /// The reason that a store kept; [`Lapse::Unknown`] for a word of somebody else's.
    pub fn stored(word: &str) -> Self {
        let known = [Lapse::Idle, Lapse::Absolute, Lapse::Ended, Lapse::Revoked, Lapse::Replaced];
        known.into_iter().find(|lapse| lapse.as_str() == word).unwrap_or(Lapse::Unknown)
    }
}

impl Lifecycle {
    /// How long the record lives from its last use: its own lifetime if it has one, else the smaller of idle limit and max-age. Of a
    /// session that its browser forgets on closing the idle limit alone.
    pub fn lifetime(&self, record: &Record) -> Option<Duration> {
        let configured = match (self.idle_timeout, self.max_age) {
            (Some(idle), Some(_)) if self.browser_age(record).is_none() => Some(idle),
            (Some(idle), Some(max_age)) => Some(idle.min(max_age)),
            (idle, max_age) => idle.or(max_age),
        };
        record.max_age.or(configured)
    }

    /// When the record ends if it is used now and never again: `min(now + lifetime, created_at + absolute_timeout)`.
    pub fn expires_at(&self, record: &Record, now: Timestamp) -> Option<Timestamp> {
        let idle_end = self.lifetime(record).map(|lifetime| now.plus(lifetime));
        match (idle_end, self.absolute_end(record)) {
            (Some(idle), Some(absolute)) => Some(idle.min(absolute)),
            (idle, absolute) => idle.or(absolute),
        }
    }

    /// When the record is over at the latest, however busy it is.
    pub fn last_end(&self, record: &Record, now: Timestamp) -> Timestamp {
        self.absolute_end(record).unwrap_or_else(|| now.plus(cookie::LONGEST))
    }

    /// Whether the record is past its absolute limit, also where a Node app's touches moved `expires` beyond it.
    pub fn is_too_old(&self, record: &Record, now: Timestamp) -> bool {
        self.absolute_end(record).is_some_and(|end| end <= now)
    }

    /// Why an expired record ended.
    pub fn lapse(&self, record: &Record, now: Timestamp) -> Lapse {
        match (record.ended, &record.moved) {
            (Some(why), _) => why,
            (None, Some(_)) => Lapse::Replaced,
            (None, None) if self.is_too_old(record, now) => Lapse::Absolute,
            (None, None) => Lapse::Idle,
        }
    }

    /// Whether a use at `now` is to be noted. A quarter of the session's own life bounds the interval, so that a busy session of
    /// a short life never dies between two touches.
    pub fn is_touch_due(&self, record: &Record, now: Timestamp) -> bool {
        let Some(lifetime) = self.lifetime(record) else { return false };
        let interval = self.touch_after.min(lifetime / 4);
        let last = record.updated_at.or_else(|| record.expires_at.map(|at| at.minus(lifetime)));
        last.is_none_or(|last| now.since(last) >= interval)
    }

    /// The `max-age` of this session's cookie, before any limit; `None`: until the browser closes. A stored cookie without a lifetime stays
    /// one, as in express-session (`originalMaxAge: null`).
    pub fn browser_age(&self, record: &Record) -> Option<Duration> {
        record.max_age.or_else(|| record.cookie.original_max_age.and(self.max_age))
    }

    /// How long the browser is to keep the cookie; `None`: until it closes. Never shorter than the record's own life, but for the
    /// 400 days after which browsers drop every cookie.
    pub fn cookie_lifetime(&self, record: &Record, now: Timestamp) -> Option<Duration> {
        let wanted = self.browser_age(record)?.min(cookie::LONGEST);
        Some(self.absolute_end(record).map_or(wanted, |end| wanted.min(end.since(now))))
    }

    /// Whether the browser's copy, as of the last full write, has less than half of its life left.
    pub fn is_cookie_aging(&self, record: &Record, now: Timestamp) -> bool {
        match (record.cookie.expires, self.cookie_lifetime(record, now)) {
            (Some(dies), Some(lifetime)) => dies.since(now) < lifetime / 2,
            _ => false,
        }
    }

    fn absolute_end(&self, record: &Record) -> Option<Timestamp> {
        Some(record.created_at?.plus(self.absolute_timeout?))
    }
}
