//! Noting that a session is in use: off the request's path, once per interval, never a change.

use super::changes::Circumstances;
use super::lifecycle::Rolling;
use super::sessions::{Session, Sessions};
use super::store::{Found, Touch};
use crate::clock::Timestamp;
use crate::telemetry::chain;
use std::sync::{Arc, PoisonError};

/// More touches than this are not under way at once; the next request of the session tries again.
const MOST: usize = 1024;

impl Sessions {
    /// The most common use of all: of a live session by an answer that asks for nothing, when nothing is due. Then there is nothing to
    /// commit.
    pub fn is_at_rest(&self, session: &Session, touch: bool) -> bool {
        let (lifecycle, now) = (&self.options.lifecycle, self.now());
        let rolls = touch && (lifecycle.rolling == Rolling::Always || lifecycle.is_touch_due(&session.record, now));
        let is_due = rolls || session.resign || self.is_refresh_due(session, touch, now);
        !is_due
    }

    /// Starts a touch if one is due and none of this session is under way. The answer does not wait for it: nothing that the visitor
    /// was told depends on it.
    pub(super) fn touch_later(self: &Arc<Self>, session: &Session, at: &Circumstances) -> bool {
        let now = self.now();
        if !self.options.lifecycle.is_touch_due(&session.record, now)
            || self.is_touched_meanwhile(session, now)
            || !self.begin_touch(session)
        {
            return false;
        }
        let (sessions, session, at) = (self.clone(), session.clone(), at.clone());
        tokio::spawn(async move {
            let _under_way = UnderWay { sessions: &sessions, session: &session };
            sessions.touch(&session, &at, now).await;
        });
        true
    }

    /// Whether a use was noted since this request began, as far as can be told without asking the store.
    fn is_touched_meanwhile(&self, session: &Session, now: Timestamp) -> bool {
        let known = self.store.at_hand(&session.key, now);
        matches!(known, Some(Found::Live(record, _)) if !self.options.lifecycle.is_touch_due(&record, now))
    }

    fn begin_touch(&self, session: &Session) -> bool {
        let mut touching = self.touching.lock().unwrap_or_else(PoisonError::into_inner);
        touching.len() < MOST && touching.insert(session.key.clone())
    }

    pub(super) async fn touch(&self, session: &Session, at: &Circumstances, now: Timestamp) {
        let expires_at = self.options.lifecycle.expires_at(&session.record, now);
        let touch = Touch { expires_at, updated_at: now, client: Some(at.client.clone()) };
        if let Err(error) = self.store.touch(&session.key, &session.version, &touch, now).await {
            tracing::warn!(key = session.key.short_hash(), error = chain(&error), "a session's use could not be noted");
        }
        self.flights.forget(&session.key);
    }

    /// How many touches are under way.
    pub fn touches_under_way(&self) -> usize {
        self.touching.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A touch that was begun; over when this goes, however that comes.
struct UnderWay<'a> {
    sessions: &'a Sessions,
    session: &'a Session,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.sessions.touching.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session.key);
    }
}
