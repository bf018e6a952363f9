//! Noting that a session is in use: off the request's path, once per interval, never a change.

use super::changes::Circumstances;
use super::sessions::{Session, Sessions};
use super::store::Touch;
use crate::clock::Timestamp;
use crate::telemetry::chain;
use std::sync::{Arc, PoisonError};

/// More touches than this are not under way at once; the next request of the session tries again.
const MOST: usize = 1024;

impl Sessions {
    /// Starts a touch if one is due and none of this session is under way. The answer does not wait for it: nothing that the visitor
    /// was told depends on it.
    pub(super) fn touch_later(self: &Arc<Self>, session: &Session, at: &Circumstances) -> bool {
        let now = self.now();
        if !self.options.lifecycle.is_touch_due(&session.record, now) || !self.begin_touch(session) {
            return false;
        }
        let (sessions, session, at) = (self.clone(), session.clone(), at.clone());
        tokio::spawn(async move {
            sessions.touch(&session, &at, now).await;
            sessions.touching.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.key);
        });
        true
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
