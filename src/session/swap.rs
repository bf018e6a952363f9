//! Writes whose outcome may stay untold: a create and a compare-and-swap, and the reading back that tells what has become of them.

use super::id::{SessionId, SessionKey};
use super::record::Record;
use super::sessions::{Session, Sessions};
use super::store::{Applied, Found, StoreError, Updated, Version};
use crate::clock::Timestamp;
use std::sync::Arc;

/// What became of a compare-and-swap.
pub(super) enum Swap {
    Done,
    /// Somebody else wrote first: the session as it is now. Without an id if that was a renewal.
    Stale(Session),
    Gone,
    /// Written or not: the store did not say, nor would it when asked again.
    Unknown(Arc<StoreError>),
}

impl Sessions {
    pub(super) async fn insert(self: &Arc<Self>, record: Arc<Record>, now: Timestamp) -> Result<(SessionId, SessionKey), Arc<StoreError>> {
        loop {
            let id = SessionId::generate(self.entropy.as_ref());
            let key = SessionKey::of(&id, self.options.id_hash);
            match self.store.create(&key, record.clone()).await {
                Ok(()) => return Ok((id, key)),
                Err(StoreError::Taken) => {}
                Err(error @ StoreError::Unavailable { applied: Applied::Unknown, .. }) => {
                    let found = self.store.load_settled(&key, now).await;
                    if matches!(&found, Ok(Found::Live(found, _)) if found.last_write == record.last_write) {
                        return Ok((id, key));
                    }
                    self.discard_whenever_it_comes(key);
                    return Err(Arc::new(error));
                }
                Err(error) => return Err(Arc::new(error)),
            }
        }
    }

    /// Compare-and-swap, with an unknown outcome resolved by reading back. `successor` is our own, made for this swap.
    pub(super) async fn swap(
        &self,
        session: &Session,
        record: &Record,
        successor: Option<&SessionKey>,
        now: Timestamp,
    ) -> Result<Swap, Arc<StoreError>> {
        let shared = Arc::new(record.clone());
        let first = self.store.update(&session.key, &session.version, shared, now).await;
        self.flights.forget(&session.key);
        let read_back = || Box::pin(self.read_back(session, record, successor, now));
        match first {
            Ok(Updated::Done) => Ok(Swap::Done),
            Ok(Updated::Gone) => Ok(read_back().await.unwrap_or(Swap::Gone)),
            Ok(Updated::Stale) => read_back().await,
            Err(error @ StoreError::Unavailable { applied: Applied::Unknown, .. }) => Ok(match read_back().await {
                // More than one write came, and this may have been one of them: made again, it would undo what came after it.
                Ok(Swap::Stale(found)) if found.key == session.key && found.record.revision > record.revision => {
                    Swap::Unknown(Arc::new(error))
                }
                Ok(swap) => swap,
                Err(_) => Swap::Unknown(Arc::new(error)),
            }),
            Err(error) => Err(Arc::new(error)),
        }
    }

    /// What has become of the record that this write was meant for. What a primary alone holds does not count: the next one may not have it.
    async fn read_back(
        &self,
        session: &Session,
        written: &Record,
        successor: Option<&SessionKey>,
        now: Timestamp,
    ) -> Result<Swap, Arc<StoreError>> {
        match self.store.load_settled(&session.key, now).await.map_err(Arc::new)? {
            Found::Live(found, _) | Found::Expired(found) if found.last_write == written.last_write => Ok(Swap::Done),
            Found::Live(found, version) if found.moved.is_none() => Ok(Swap::Stale(self.reloaded(session, found, version))),
            // A renewal whose visitor was not told yet, and this may be the visitor. Of two renewals only one may tell.
            Found::Live(found, _) if successor.is_none() && found.moved.as_ref().is_some_and(|moved| moved.at.is_none()) => {
                self.followed(session, &found, now).await
            }
            _ => self.renewed_meanwhile(session, successor, now).await,
        }
    }

    /// The session where this pointer leads, open to the old id.
    async fn followed(&self, session: &Session, pointer: &Record, now: Timestamp) -> Result<Swap, Arc<StoreError>> {
        let Some(to) = pointer.moved.as_ref().map(|moved| moved.to.clone()) else { return Ok(Swap::Gone) };
        Ok(match self.store.load_settled(&to, now).await.map_err(Arc::new)? {
            Found::Live(found, version) if found.moved.is_none() => {
                Swap::Stale(self.session(session.id.clone(), to, found, version, session.resign))
            }
            _ => self.renewed_meanwhile(session, None, now).await?,
        })
    }

    /// The session under the id that a renewal gave it, which this visitor may read and end, and sign in over, but not change.
    async fn renewed_meanwhile(&self, session: &Session, successor: Option<&SessionKey>, now: Timestamp) -> Result<Swap, Arc<StoreError>> {
        let found = self.store.find(session.handle(), now).await.map_err(Arc::new)?;
        let Some(found) = found.into_iter().find(|found| Some(&found.key) != successor && found.key != session.key) else {
            return Ok(Swap::Gone);
        };
        let mut moved = self.session(session.id.clone(), found.key, found.record, found.version, false);
        moved.id = None;
        Ok(Swap::Stale(moved))
    }

    pub(super) fn reloaded(&self, session: &Session, record: Arc<Record>, version: Version) -> Session {
        self.session(session.id.clone(), session.key.clone(), record, version, session.resign)
    }
}
