//! A new id: renewals and logins. The new record stands before the old one goes, so that stopping half-way signs nobody out.
//!
//! **From the old id nothing leads to a login**, at no time: whoever planted that id must not find the victim signed in under it. So a
//! login cannot be saved as a renewal is (`settle.rs`) when the store does not say whether the old record is gone. One by a field of the
//! data makes three writes: the new record; the old one again, as it is; the old one's end.
//! - If the second one's outcome stays unknown, the visitor is told an error, and the old id opens the old session as before, whether it was
//!   written or not. The new record goes: nobody was told its id.
//! - If the third one's does, the visitor is told the new id. The store answered a moment ago, and nobody had ended or changed the session
//!   since the app read it. Its end is tried until the store confirms it; meanwhile the old id is refused here, and opens elsewhere what it
//!   opened before (if this proxy dies meanwhile, until that expires). A sign-out says that this is so.
//! - A proxy that dies before the third write leaves the old session as it was; between that one and its answer, it signs the visitor out.
//!
//! `X-Session-Login` begins anew whatever has become of the old session, so it needs no second write.

use super::changes::{Changes, Circumstances, Dropped, Event, Outcome};
use super::commit::{Created, apply, unavailable};
use super::data::Data;
use super::ended::Unconfirmed;
use super::id::SessionKey;
use super::lifecycle::Lapse;
use super::record::{Moved, Record};
use super::sessions::{Session, Sessions};
use super::settle::Renewal;
use super::store::StoreError;
use super::swap::Swap;
use crate::clock::Timestamp;
use std::sync::Arc;

/// A session's successor under a new id, and what became of the old record, of which `left` is left.
struct Successor {
    key: SessionKey,
    record: Arc<Record>,
    outcome: Outcome,
    swap: Swap,
    left: Record,
}

/// What is left of the old record.
enum Left {
    /// It leads to the successor, which is the same session.
    Pointer,
    /// Nothing: it was another session, whose end is not the new one's.
    Nothing,
    /// The same, if it is certain that the old session still stands.
    NothingOfWhatStands,
}

impl Sessions {
    /// The same session under a new id. The old id leads to it: without limit until the visitor is told, then for the grace.
    pub(super) async fn renew(
        self: &Arc<Self>,
        session: &Session,
        mut record: Record,
        at: &Circumstances,
        now: Timestamp,
    ) -> Result<Result<Outcome, Session>, Arc<StoreError>> {
        if !at.cookie_possible {
            return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::NoCookie))));
        }
        record.handle = Some(session.handle().clone());
        let Some(successor) = self.succeed(session, record, Left::Pointer, Event::Renewed, at, now).await? else {
            return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::Revoked))));
        };
        let renewal = || Renewal {
            old: session.key.clone(),
            seen: session.version.clone(),
            pointer: successor.left.clone(),
            new: successor.key.clone(),
        };
        match successor.swap {
            Swap::Done => self.settle(renewal()).await,
            Swap::Unknown(_) => self.resolve_later(&session.key, &successor.key),
            Swap::Stale(_) | Swap::Gone => {}
        }
        self.conclude(successor).await
    }

    /// A new session for a new user, or for the same one again: new id, new handle, the old id dead at once.
    pub(super) async fn log_in(
        self: &Arc<Self>,
        session: &Session,
        changes: &Changes,
        user: Option<&str>,
        at: &Circumstances,
        now: Timestamp,
    ) -> Result<Result<Outcome, Session>, Arc<StoreError>> {
        if !at.cookie_possible {
            return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::NoCookie))));
        }
        let mut record = self.blank(now);
        record.data = match (session.user(), user) {
            (None, _) => self.kept(&session.record.data),
            (Some(before), Some(now)) if before == now => session.record.data.clone(),
            // Nor does anything stay after a sign-out by the field: whoever signs in next in this browser may be somebody else.
            (Some(_), _) => Data::default(),
        };
        apply(&mut record, changes);
        self.sign_in(&mut record, changes, now);
        if record.user.as_deref() == session.user() {
            // What the desk wrote into the session stays, so what it was written for does too, whoever vouches for the user besides.
            record.credential = record.credential.or(session.credential().map(|(_, credential)| credential));
        }
        if record.data.size() > self.options.max_bytes.max(session.record.data.size()) {
            return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::TooLarge))));
        }
        let event = if record.user.is_some() { Event::LoggedIn } else { Event::SignedOut };
        let left = if changes.login.is_some() { Left::Nothing } else { Left::NothingOfWhatStands };
        let Some(mut successor) = self.succeed(session, record, left, event, at, now).await? else {
            return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::Revoked))));
        };
        match successor.swap {
            Swap::Done => {
                if session.id.is_none() {
                    // A renewal went on with the old session, perhaps under more than one id.
                    self.end_all_with(session.handle(), Lapse::Replaced).await;
                }
                Ok(Ok(self.welcome(successor).await))
            }
            // A field that an app sets is a change like any other and revives nothing; `X-Session-Login` begins anew whatever became of the
            // old session. An anonymous one's data comes along all the same (two clicks on the button are two logins), a user's does not.
            Swap::Gone if changes.login.is_some() && session.user().is_none() => Ok(Ok(self.welcome(successor).await)),
            Swap::Gone if changes.login.is_some() => {
                self.discard(&successor.key).await;
                self.begin(changes, at).await.map(Ok)
            }
            Swap::Unknown(_) => {
                self.keep_trying(Unconfirmed::Session(session.key.clone(), Some(session.handle().clone()), Lapse::Replaced));
                if event == Event::SignedOut {
                    successor.outcome.event = Event::EndUnconfirmed;
                }
                Ok(Ok(self.welcome(successor).await))
            }
            _ => self.conclude(successor).await,
        }
    }

    async fn welcome(self: &Arc<Self>, successor: Successor) -> Outcome {
        self.end_oldest_beside(&successor.record).await;
        successor.outcome
    }

    /// Inserts the successor, then swaps the old record for what is left of it. `None`: all of the user's sessions ended meanwhile.
    async fn succeed(
        self: &Arc<Self>,
        session: &Session,
        record: Record,
        left: Left,
        event: Event,
        at: &Circumstances,
        now: Timestamp,
    ) -> Result<Option<Successor>, Arc<StoreError>> {
        let Created::Stands(id, key, record) = self.create(record, at, now).await? else { return Ok(None) };
        let outcome = Outcome { cookie: self.cookie(&id, &record, at, now), event, begun: record.handle.clone() };
        let claimed = match left {
            Left::NothingOfWhatStands => self.claim(session, &key, at, now).await?,
            Left::Nothing | Left::Pointer => Ok(session.clone()),
        };
        let session = match claimed {
            Ok(session) => session,
            Err(swap) => return Ok(Some(Successor { key, record, outcome, swap, left: Record::default() })),
        };
        let dead = self.stamped(Record::clone(&session.record), at, now).tombstone(Lapse::Replaced, now);
        let lasts = self.options.lifecycle.last_end(&session.record, now);
        let (is_pointer, left) = match left {
            Left::Pointer => {
                (true, Record { expires_at: Some(lasts), moved: Some(Moved { to: key.clone(), at: None }), ended: None, ..dead })
            }
            Left::Nothing | Left::NothingOfWhatStands => (false, dead),
        };
        match self.swap(&session, &left, Some(&key), now).await {
            Ok(swap) => {
                if !is_pointer && matches!(swap, Swap::Done) {
                    // What is left is dead already, so a failure here leaves nothing that opens anything.
                    let _ = self.store.remove(&session.key).await;
                }
                // Its end may have come, and been refused by the store, while the successor was made.
                let swap = if self.is_ended_here(&session) { Swap::Gone } else { swap };
                Ok(Some(Successor { key, record, outcome, swap, left }))
            }
            Err(error) => {
                self.discard(&key).await;
                Err(error)
            }
        }
    }

    /// Writes the old record again as it is, so that the next write can count on it. If this one's outcome is unknown, nothing has happened.
    async fn claim(
        self: &Arc<Self>,
        session: &Session,
        successor: &SessionKey,
        at: &Circumstances,
        now: Timestamp,
    ) -> Result<Result<Session, Swap>, Arc<StoreError>> {
        let mut same = self.stamped(Record::clone(&session.record), at, now);
        // The cookie is not sent again: when the browser's copy dies has not changed.
        same.cookie.expires = session.record.cookie.expires;
        let version = self.store.version_after(&same, Some(&session.version), now);
        let error = match (self.swap(session, &same, Some(successor), now).await, version) {
            (Ok(Swap::Done), Some(version)) => return Ok(Ok(self.reloaded(session, Arc::new(same), version))),
            (Ok(swap @ (Swap::Stale(_) | Swap::Gone)), _) => return Ok(Err(swap)),
            (Ok(Swap::Unknown(error)), _) => error,
            (Ok(Swap::Done), None) => Arc::new(unavailable("the store cannot tell what it has written".into())),
            (Err(error), _) => {
                self.discard(successor).await;
                return Err(error);
            }
        };
        self.resolve_later(&session.key, successor);
        Err(error)
    }

    /// Tells the successor if it stands; if the old record was not swapped, the successor goes again.
    async fn conclude(self: &Arc<Self>, successor: Successor) -> Result<Result<Outcome, Session>, Arc<StoreError>> {
        match successor.swap {
            Swap::Done => Ok(Ok(successor.outcome)),
            Swap::Gone => {
                self.discard(&successor.key).await;
                Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::Gone))))
            }
            Swap::Stale(reloaded) => {
                self.discard(&successor.key).await;
                Ok(Err(reloaded))
            }
            // Perhaps the old id leads to it by now: removed, it would sign the visitor out.
            Swap::Unknown(error) => Err(error),
        }
    }
}
