//! Ending: in the store first; if it refuses, this proxy turns the session away from memory and keeps trying.

use super::changes::{CookieOrder, End, Event, Outcome};
use super::commit::unavailable;
use super::ended::Unconfirmed;
use super::id::{Handle, IdHash, SessionKey};
use super::lifecycle::Lapse;
use super::record::Record;
use super::sessions::{Session, Sessions, Visitor};
use super::store::cached::News;
use super::store::guard::within;
use super::store::{Applied, Found, Operation, Sighting, StoreError, Tombstone, Updated, Version, Whose};
use super::tally::Tally;
use crate::clock::Timestamp;
use crate::telemetry::chain;
use std::sync::Arc;
use std::time::Duration;

/// An unconfirmed end is tried again after this long, then twice as long, up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A day of refusals, and the end is given up, with an error in the log.
pub(super) const MOST_TRIES: u32 = 8640;

/// A renewal is followed, and a change outrun, at most so often.
const MOST_STEPS: usize = 16;

const UNCONFIRMED: &str = "a session's end is not confirmed by the store; it is refused from memory and tried again";

/// An epoch is remembered for longer than any login or renewal is under way.
const EPOCH_LASTS: Duration = Duration::from_secs(24 * 3600);

/// Where ids are hashed, a tombstone stays for so long, for who comes back to be told why.
const TOMBSTONE_LASTS: Duration = Duration::from_secs(24 * 3600);

type Seen = (Arc<Record>, Version);

/// A session on its way out.
pub(super) struct Grave {
    /// The keys that it is known to have had; the last one is the next to be looked at.
    path: Vec<SessionKey>,
    /// Finds it under the keys that renewals gave it.
    handle: Option<Handle>,
    /// [`Lapse::Ended`]: by its own visitor or app, who need not be told, so that nothing stays. Else a tombstone does.
    why: Lapse,
    /// A renewal that is under way has the same session there twice.
    is_counted: bool,
}

impl Grave {
    pub(super) fn of(key: &SessionKey, handle: Option<&Handle>, why: Lapse) -> Self {
        Grave { path: vec![key.clone()], handle: handle.cloned(), why, is_counted: false }
    }

    fn count_in(&mut self, tally: &Tally) {
        if !std::mem::replace(&mut self.is_counted, true) {
            tally.ended(self.why, 1);
        }
    }
}

impl Sessions {
    /// Ends the visitor's session, or all of its user's. `Ok` even if the store refuses: then the event says that the end is unconfirmed,
    /// the cookie goes all the same, and this proxy lets the session in no more. Runs to its end even if the caller goes away.
    pub async fn end(self: &Arc<Self>, visitor: &Visitor, end: End, secure: bool) -> Result<Outcome, Arc<StoreError>> {
        let (sessions, visitor) = (self.clone(), visitor.clone());
        let ending = async move { sessions.end_to_the_last(&visitor, end, secure).await };
        let task = tokio::spawn(within(self.options.store_deadline, ending));
        task.await.unwrap_or_else(|defect| Err(Arc::new(unavailable(Box::new(defect)))))
    }

    /// [`Sessions::end`], and the end of every other session that the browser's cookies name: one of another path or of a wider domain must
    /// not sign the visitor in again.
    pub async fn end_with(
        self: &Arc<Self>,
        visitor: &Visitor,
        cookies: &[String],
        end: End,
        secure: bool,
    ) -> Result<Outcome, Arc<StoreError>> {
        let mut outcome = self.end(visitor, end, secure).await?;
        let Visitor::Known(session) = visitor else { return Ok(outcome) };
        for key in self.keys(cookies).iter().filter(|key| **key != session.key) {
            self.end_one(Grave::of(key, None, Lapse::Ended), None, &mut outcome.event).await;
        }
        Ok(outcome)
    }

    /// Ends one session whose user may not go on with it. Runs to its end even if the caller goes away.
    pub async fn revoke(self: &Arc<Self>, session: &Session) {
        let grave = Grave::of(&session.key, Some(session.handle()), Lapse::Revoked);
        let (sessions, seen) = (self.clone(), (session.record.clone(), session.version.clone()));
        let task = tokio::spawn(async move { sessions.end_one(grave, Some(seen), &mut Event::Ended).await });
        if let Err(defect) = task.await {
            tracing::error!(%defect, "ending a session failed");
        }
    }

    pub(super) async fn end_to_the_last(self: &Arc<Self>, visitor: &Visitor, end: End, secure: bool) -> Result<Outcome, Arc<StoreError>> {
        let mut event = Event::Ended;
        match visitor {
            Visitor::Known(session) => {
                let seen = (session.record.clone(), session.version.clone());
                self.end_one(Grave::of(&session.key, Some(session.handle()), Lapse::Ended), Some(seen), &mut event).await;
                if let (End::All, Some(user)) = (end, session.user()) {
                    self.end_all_of(user, &mut event).await;
                }
            }
            Visitor::Unreachable { keys, .. } => {
                for key in keys {
                    self.end_one(Grave::of(key, None, Lapse::Ended), None, &mut event).await;
                }
            }
            Visitor::Stranger | Visitor::Lapsed(_) => return Ok(Outcome::quiet(Event::None)),
        }
        Ok(Outcome::of(CookieOrder::Set(self.clearing_cookie(secure)), event))
    }

    pub(super) async fn end_one(self: &Arc<Self>, mut grave: Grave, seen: Option<Seen>, event: &mut Event) {
        let buried = self.bury(&mut grave, seen).await;
        // Told even if the store refuses: from now on this proxy lets the session in no more.
        for key in &grave.path {
            self.ends.tell(News::Ended { key: key.clone(), handle: grave.handle.clone() });
        }
        if let Err(error) = buried {
            tracing::error!(error = chain(&error), "{UNCONFIRMED}");
            for key in grave.path {
                self.keep_trying(Unconfirmed::Session(key, grave.handle.clone(), grave.why));
            }
            *event = Event::EndUnconfirmed;
        }
    }

    /// Ends every live session of a handle as far as the store lets us.
    pub(super) async fn end_all_with(self: &Arc<Self>, handle: &Handle, why: Lapse) {
        match self.store.find(handle, self.now()).await {
            Ok(found) => {
                for Sighting { key, record, version } in found {
                    self.end_one(Grave::of(&key, Some(handle), why), Some((record, version)), &mut Event::Ended).await;
                }
            }
            Err(error) => tracing::error!(error = chain(&error), "{UNCONFIRMED}"),
        }
    }

    /// The epoch goes up first: whoever inserts a session of the user behind the scan of the second step sees it and takes it back.
    pub(super) async fn end_all_of(self: &Arc<Self>, user: &str, event: &mut Event) {
        let now = self.now();
        let raised = self.store.raise_epoch(user, now, now.plus(EPOCH_LASTS)).await;
        let buried = self.store.bury(&Whose::User(user.to_owned()), &self.tombstone(Lapse::Revoked, now)).await;
        self.tally.ended(Lapse::Revoked, buried.as_ref().copied().unwrap_or(0));
        self.flights.forget_all();
        self.ends.tell(News::UserEnded { user: user.to_owned() });
        match raised.and(buried) {
            Ok(_) if *event == Event::Ended => *event = Event::EndedAll,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "{UNCONFIRMED}");
                self.keep_trying(Unconfirmed::User(user.to_owned(), now));
                *event = Event::EndUnconfirmed;
            }
        }
    }

    /// Where the key is the id, a Node app may look it up, so nothing of it may stay.
    pub(super) fn tombstone(&self, why: Lapse, now: Timestamp) -> Tombstone {
        let stays = matches!(self.options.id_hash, IdHash::Sha256) && why != Lapse::Ended;
        Tombstone { why, until: if stays { now.plus(TOMBSTONE_LASTS) } else { now } }
    }

    /// Ends the session that the last key of the grave's path leads to, and adds the keys under which renewals went on.
    ///
    /// The record is first swapped for a dead one, because a renewal may be under way: one that comes first is followed, by the pointer
    /// that it left or by the handle, one that comes later finds nothing to renew. Then everything on the path is removed.
    async fn bury(&self, grave: &mut Grave, mut seen: Option<Seen>) -> Result<(), StoreError> {
        let now = self.now();
        let Tombstone { why, until } = self.tombstone(grave.why, now);
        let mut went_by_handle = false;
        for _ in 0..MOST_STEPS {
            let Some(key) = grave.path.last().cloned() else { break };
            let found = match seen.take() {
                Some(seen) => Some(seen),
                None => self.still_there(&key, now).await?,
            };
            let mut is_dead = found.is_none();
            if let Some((record, version)) = found {
                grave.handle = grave.handle.take().or_else(|| record.handle.clone());
                if let Some(moved) = &record.moved {
                    grave.path.push(moved.to.clone());
                    continue;
                }
                let left = Arc::new(Record::clone(&record).tombstone(why, until));
                let updated = self.store.update(&key, &version, left, now).await?;
                if updated == Updated::Done {
                    grave.count_in(&self.tally);
                }
                match updated {
                    Updated::Done if went_by_handle => is_dead = true,
                    Updated::Done => return self.clear_away(grave).await.or(Ok(())),
                    Updated::Stale | Updated::Gone => {}
                }
            }
            if is_dead {
                let Some(next) = self.renewed_as(grave, now).await? else { return self.clear_away(grave).await };
                went_by_handle = true;
                grave.path.push(next.key);
                seen = Some((next.record, next.version));
            }
        }
        Err(StoreError::Unavailable { during: Operation::Update, applied: Applied::No, source: "others keep changing the session".into() })
    }

    /// The record of a key if it is live or leads on.
    async fn still_there(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Seen>, StoreError> {
        match self.store.load_settled(key, now).await {
            Ok(Found::Live(record, version)) => Ok(Some((record, version))),
            Ok(Found::Expired(record)) if record.moved.is_some() => Ok(Some((record, Version::default()))),
            Ok(Found::Expired(_) | Found::Absent) | Err(StoreError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The session under a key that the grave does not know yet.
    async fn renewed_as(&self, grave: &Grave, now: Timestamp) -> Result<Option<Sighting>, StoreError> {
        let Some(handle) = &grave.handle else { return Ok(None) };
        let found = self.store.find(handle, now).await?;
        Ok(found.into_iter().find(|sighting| !grave.path.contains(&sighting.key)))
    }

    /// Removes the records, the session's own first: as long as it stands the pointers must lead to it. A tombstone stays, and what leads
    /// there.
    async fn clear_away(&self, grave: &Grave) -> Result<(), StoreError> {
        grave.path.iter().for_each(|key| self.flights.forget(key));
        if grave.why != Lapse::Ended {
            return Ok(());
        }
        for key in grave.path.iter().rev() {
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
            for (key, record) in found {
                self.bury(&mut Grave::of(&key, record.handle.as_ref(), Lapse::Revoked), None).await?;
            }
        }
        Err(StoreError::Unavailable { during: Operation::List, applied: Applied::No, source: "the user keeps signing in".into() })
    }

    async fn end_in_store(&self, end: &Unconfirmed) -> Result<(), StoreError> {
        match end {
            Unconfirmed::Session(key, handle, why) => self.bury(&mut Grave::of(key, handle.as_ref(), *why), None).await,
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
