//! Ending: in the store first; if it refuses, this proxy turns the session away from memory and keeps trying.

use super::changes::{CookieOrder, End, Event, Outcome};
use super::ended::Unconfirmed;
use super::id::SessionKey;
use super::record::Record;
use super::sessions::{Sessions, Visitor};
use super::store::{Applied, Found, Operation, StoreError, Updated, Version};
use crate::clock::Timestamp;
use crate::telemetry::chain;
use std::sync::Arc;
use std::time::Duration;

/// An unconfirmed end is tried again after this long, then twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A day of refusals, and the end is given up, with an error in the log.
const MOST_TRIES: u32 = 8640;

/// A renewal is followed, and a change outrun, at most so often.
const MOST_STEPS: usize = 16;

const UNCONFIRMED: &str = "a session's end is not confirmed by the store; it is refused from memory and tried again";

type Seen = (Arc<Record>, Version);

impl Sessions {
    /// Ends the visitor's session, or all of its user's. `Ok` even if the store refuses: then the event says that the end is unconfirmed,
    /// the cookie goes all the same, and this proxy lets the session in no more.
    pub async fn end(self: &Arc<Self>, visitor: &Visitor, end: End, secure: bool) -> Result<Outcome, Arc<StoreError>> {
        let mut event = Event::Ended;
        match visitor {
            Visitor::Known(session) => {
                let seen = (session.record.clone(), session.version.clone());
                self.end_one(&session.key, Some(seen), &mut event).await;
                if let (End::All, Some(user)) = (end, session.user()) {
                    self.end_all_of(user, &mut event).await;
                }
            }
            Visitor::Unreachable { keys, .. } => {
                for key in keys {
                    self.end_one(key, None, &mut event).await;
                }
            }
            Visitor::Stranger | Visitor::Lapsed(_) => return Ok(Outcome::quiet(Event::None)),
        }
        Ok(Outcome::of(CookieOrder::Set(self.clearing_cookie(secure)), event))
    }

    pub(super) async fn end_one(self: &Arc<Self>, key: &SessionKey, seen: Option<Seen>, event: &mut Event) {
        let mut path = vec![key.clone()];
        if let Err(error) = self.bury(&mut path, seen).await {
            tracing::error!(error = chain(&error), "{UNCONFIRMED}");
            path.into_iter().for_each(|key| self.keep_trying(Unconfirmed::Key(key)));
            *event = Event::EndUnconfirmed;
        }
    }

    pub(super) async fn end_all_of(self: &Arc<Self>, user: &str, event: &mut Event) {
        let now = self.now();
        let removed = self.store.remove_all_of(user).await;
        self.flights.forget_all();
        match removed {
            Ok(_) if *event == Event::Ended => *event = Event::EndedAll,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "{UNCONFIRMED}");
                self.keep_trying(Unconfirmed::User(user.to_owned(), now));
                *event = Event::EndUnconfirmed;
            }
        }
    }

    /// Ends the session that the last key of `path` leads to, and adds the keys under which renewals went on.
    ///
    /// The record is first swapped for a dead one, because a renewal may be under way: one that comes first is followed, one that comes
    /// later finds nothing to renew. Then everything on the path is removed.
    async fn bury(&self, path: &mut Vec<SessionKey>, mut seen: Option<Seen>) -> Result<(), StoreError> {
        let now = self.now();
        for _ in 0..MOST_STEPS {
            let Some(key) = path.last().cloned() else { break };
            let (record, version) = match seen.take() {
                Some(seen) => seen,
                None => match self.store.load(&key, now).await {
                    Ok(Found::Live(record, version)) => (record, version),
                    Ok(Found::Expired(record)) if record.moved.is_some() => (record, Version::default()),
                    Ok(Found::Expired(_) | Found::Absent) | Err(StoreError::Unreadable { .. }) => return self.clear_away(path).await,
                    Err(error) => return Err(error),
                },
            };
            if let Some(moved) = &record.moved {
                path.push(moved.to.clone());
                continue;
            }
            let updated = self.store.update(&key, &version, Arc::new(Record::clone(&record).dead(now)), now).await;
            if updated? == Updated::Done {
                path.iter().for_each(|key| self.flights.forget(key));
                // Whatever is left of it opens nothing.
                let _ = self.clear_away(path).await;
                return Ok(());
            }
        }
        Err(StoreError::Unavailable { during: Operation::Update, applied: Applied::No, source: "others keep changing the session".into() })
    }

    /// Removes the records, the session's own first: as long as it stands the pointers must lead to it.
    async fn clear_away(&self, path: &[SessionKey]) -> Result<(), StoreError> {
        for key in path.iter().rev() {
            let removed = self.store.remove(key).await;
            self.flights.forget(key);
            removed?;
        }
        Ok(())
    }

    /// Ends the user's sessions that began no later than `at`; who has signed in since stays.
    async fn bury_all_of(&self, user: &str, at: Timestamp) -> Result<(), StoreError> {
        let began_later = |record: &Record| record.created_at.is_some_and(|began| began > at);
        for _ in 0..MOST_STEPS {
            let mut found = self.store.list(user, self.now()).await?;
            found.retain(|(_, record)| !began_later(record));
            if found.is_empty() {
                return Ok(());
            }
            for (key, _) in found {
                self.bury(&mut vec![key], None).await?;
            }
        }
        Err(StoreError::Unavailable { during: Operation::List, applied: Applied::No, source: "the user keeps signing in".into() })
    }

    async fn end_in_store(&self, end: &Unconfirmed) -> Result<(), StoreError> {
        match end {
            Unconfirmed::Key(key) => self.bury(&mut vec![key.clone()], None).await,
            Unconfirmed::User(user, at) => self.bury_all_of(user, *at).await,
        }
    }

    /// Refuses from memory at once, and ends in the store when it lets us.
    pub(super) fn keep_trying(self: &Arc<Self>, end: Unconfirmed) {
        if !self.ended.insert(&end) {
            return;
        }
        let sessions = self.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            for _ in 0..MOST_TRIES {
                tokio::time::sleep(pause).await;
                if sessions.end_in_store(&end).await.is_ok() {
                    sessions.ended.remove(&end);
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            tracing::error!("a session could not be ended in the store and is given up; it ends by itself when it expires");
        });
    }
}
