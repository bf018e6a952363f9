//! Writing: begin and change. New ids are in [`super::succeed`], ends in [`super::end`]; these three keep every promise about
//! concurrency.
//!
//! Only the create of a fresh id inserts; every other write names the version that it read. On `Stale` the change is applied again to
//! the reloaded record, on `Gone` it is dropped; what an unknown outcome was is found out in [`super::swap`].

use super::changes::{Changes, Circumstances, CookieOrder, Dropped, Event, Outcome, Patch};
use super::data::Data;
use super::id::{Handle, SessionId, SessionKey, hex};
use super::lifecycle::Rolling;
use super::record::{Record, StoredCookie, WriteToken};
use super::sessions::{Keep, Session, Sessions, Visitor};
use super::store::guard::within;
use super::store::{Applied, StoreError};
use super::swap::Swap;
use super::{changes::End, sessions::Unset};
use crate::clock::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// A change is tried again on a reloaded record at most this often.
const MOST_TRIES: usize = 16;

type Committed = Result<Outcome, Arc<StoreError>>;

/// What became of a new record.
pub(super) enum Created {
    Stands(SessionId, SessionKey, Arc<Record>),
    /// All of the user's sessions were ended while it was made, so it was taken back.
    Revoked,
}

impl Sessions {
    /// Applies an answer's changes. Runs to its end even if the caller goes away; `Err` is the store's refusal: tell the visitor nothing.
    pub async fn commit(self: &Arc<Self>, visitor: Visitor, changes: Changes, at: Circumstances) -> Committed {
        if let Some(outcome) = self.without_writing(&visitor, &changes, &at) {
            return Ok(outcome);
        }
        let sessions = self.clone();
        let task = tokio::spawn(within(sessions.options.store_deadline, async move { sessions.write(visitor, changes, &at).await }));
        match task.await {
            Ok(committed) => committed,
            // A defect of ours is the caller's to contain; it is no outage of the store.
            Err(defect) if defect.is_panic() => std::panic::resume_unwind(defect.into_panic()),
            Err(aborted) => Err(Arc::new(unavailable(Box::new(aborted)))),
        }
    }

    /// Whether an answer that asks for nothing has nothing to do with any session.
    pub fn keeps_out_of_it(&self, visitor: &Visitor) -> bool {
        matches!(visitor, Visitor::Stranger | Visitor::Lapsed(_)) && !self.options.save_uninitialized
    }

    /// The common case: an answer without changes to a session that needs no refreshing.
    fn without_writing(self: &Arc<Self>, visitor: &Visitor, changes: &Changes, at: &Circumstances) -> Option<Outcome> {
        if !changes.is_empty() {
            return None;
        }
        match visitor {
            Visitor::Known(session) => self.idle_use(session, at),
            _ if self.options.save_uninitialized && at.cookie_possible => None,
            _ => Some(Outcome::quiet(Event::None)),
        }
    }

    fn idle_use(self: &Arc<Self>, session: &Session, at: &Circumstances) -> Option<Outcome> {
        if session.id.is_none() || self.is_ended_here(session) {
            return Some(Outcome::quiet(Event::Resumed));
        }
        let now = self.now();
        if self.is_refresh_due(session, at.touch, now) {
            return None;
        }
        let touched = at.touch && self.touch_later(session, at);
        Some(self.used(session, touched, at, now))
    }

    /// Whether a session that nobody changed is to be written in full, with a cookie that lasts as long. Never on a route that does not
    /// keep sessions alive.
    ///
    /// One whose user a Node app has set is written too: the user's sessions are found by what we wrote beside the data, when all of them end.
    pub(super) fn is_refresh_due(&self, session: &Session, touch: bool, now: Timestamp) -> bool {
        let lifecycle = &self.options.lifecycle;
        let is_aging = || lifecycle.rolling == Rolling::Auto && lifecycle.is_cookie_aging(&session.record, now);
        touch && (self.options.resave || session.user() != session.record.user.as_deref() || is_aging())
    }

    /// A use without a full write. Signing a cookie anew needs none.
    fn used(&self, session: &Session, touched: bool, at: &Circumstances, now: Timestamp) -> Outcome {
        let rolls = self.options.lifecycle.rolling == Rolling::Always && at.touch;
        let cookie = match &session.id {
            Some(id) if at.cookie_possible && (rolls || session.resign) => self.cookie(id, &session.record, at, now),
            _ => CookieOrder::Keep,
        };
        let event = match touched {
            _ if session.resign => Event::Refreshed,
            true => Event::Touched,
            false => Event::Resumed,
        };
        Outcome::of(cookie, event)
    }

    /// Boxes all that is rare: the task of a plain change is moved about, and would be twice as large.
    async fn write(self: &Arc<Self>, visitor: Visitor, mut changes: Changes, at: &Circumstances) -> Committed {
        if changes.max_age.is_some_and(|length| length.is_zero()) {
            changes.end = changes.end.or(Some(End::This));
        }
        if let Some(null) = changes.patches.iter().rposition(|patch| *patch == Patch::Null) {
            match self.options.unset {
                Unset::Destroy => changes.end = changes.end.or(Some(End::This)),
                // What came before it is dropped, as express-session drops it; the rest of the answer holds.
                Unset::Keep => drop(changes.patches.drain(..=null)),
            }
            if changes.is_empty() {
                return Ok(Outcome::quiet(if matches!(visitor, Visitor::Known(_)) { Event::Resumed } else { Event::None }));
            }
        }
        if let Some(end) = changes.end {
            return Box::pin(self.end_to_the_last(&visitor, end, at.secure)).await;
        }
        let outcome = match visitor {
            Visitor::Known(session) => self.change(Arc::unwrap_or_clone(session), &changes, at).await?,
            Visitor::Stranger | Visitor::Lapsed(_) => Box::pin(self.begin(&changes, at)).await?,
            Visitor::Unreachable { error, .. } if !changes.is_empty() => return Err(error),
            Visitor::Unreachable { .. } => Outcome::quiet(Event::None),
        };
        self.tally.note(outcome.event);
        Ok(outcome)
    }

    /// A session for somebody who has none. Data that stays empty begins nothing, unless `save_uninitialized`.
    pub(super) async fn begin(self: &Arc<Self>, changes: &Changes, at: &Circumstances) -> Committed {
        let now = self.now();
        let mut record = self.blank(now);
        apply(&mut record, changes);
        self.sign_in(&mut record, changes, now);
        if record.data.is_empty() && record.user.is_none() && !self.options.save_uninitialized {
            return Ok(Outcome::quiet(Event::None));
        }
        if !at.cookie_possible {
            tracing::warn!("no session begun: its cookie is Secure or has another path, so this visitor's browser would not keep it");
            return Ok(Outcome::quiet(Event::Dropped(Dropped::NoCookie)));
        }
        if record.data.size() > self.options.max_bytes {
            return Ok(Outcome::quiet(Event::Dropped(Dropped::TooLarge)));
        }
        let event = if record.user.is_some() { Event::LoggedIn } else { Event::Started };
        match self.create(record, at, now).await? {
            Created::Stands(id, _, record) => {
                self.end_oldest_beside(&record).await;
                Ok(Outcome { cookie: self.cookie(&id, &record, at, now), event, begun: record.handle.clone() })
            }
            Created::Revoked => Ok(Outcome::quiet(Event::Dropped(Dropped::Revoked))),
        }
    }

    /// Changes a known session: in place, or by a successor when it gets a new id.
    async fn change(self: &Arc<Self>, mut session: Session, changes: &Changes, at: &Circumstances) -> Committed {
        for _ in 0..MOST_TRIES {
            if session.id.is_none() && changes.login.is_none() {
                return Ok(Outcome::quiet(if changes.is_empty() { Event::Resumed } else { Event::Dropped(Dropped::Renewed) }));
            }
            if self.is_ended_here(&session) {
                return match &changes.login {
                    Some(_) => Box::pin(self.begin(changes, at)).await,
                    None => Ok(Outcome::quiet(Event::Dropped(Dropped::Gone))),
                };
            }
            let now = self.now();
            let mut record = Record::clone(&session.record);
            apply(&mut record, changes);
            let user = match &self.options.user_from {
                Some(path) if changes.login.is_none() => record.data.text_at(path),
                _ => changes.login.clone().or_else(|| record.user.clone()),
            };
            let logs_in = changes.login.is_some() || user.as_deref() != session.user();
            // A session that is too large already (a Node app's, or the limit was lowered) lives on and may shrink.
            if !logs_in && record.data.size() > self.options.max_bytes.max(session.record.data.size()) {
                return Ok(Outcome::quiet(Event::Dropped(Dropped::TooLarge)));
            }
            let swap = if logs_in {
                Box::pin(self.log_in(&session, changes, user.as_deref(), at, now)).await?
            } else if changes.renew {
                Box::pin(self.renew(&session, record, at, now)).await?
            } else {
                self.change_in_place(&session, record, at, now).await?
            };
            match swap {
                Ok(outcome) => return Ok(outcome),
                Err(reloaded) => session = reloaded,
            }
        }
        Ok(Outcome::quiet(Event::Dropped(Dropped::Contended)))
    }

    async fn change_in_place(
        &self,
        session: &Session,
        mut record: Record,
        at: &Circumstances,
        now: Timestamp,
    ) -> Result<Result<Outcome, Session>, Arc<StoreError>> {
        let Some(id) = &session.id else { return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::Renewed)))) };
        let modified = record.data != session.record.data || record.max_age != session.record.max_age;
        if !modified && !self.is_refresh_due(session, at.touch, now) {
            // A patch that changed nothing is a plain use.
            return Ok(Ok(self.plain_use(session, at, now).await));
        }
        record.handle = Some(session.handle().clone());
        let record = self.stamped(record, at, now);
        match self.swap(session, &record, None, now).await {
            Ok(Swap::Done) => {}
            Ok(Swap::Gone) => return Ok(Ok(Outcome::quiet(Event::Dropped(Dropped::Gone)))),
            // Below, an answer that asked for nothing does not fail because a refresh did. The cookie is told all the same: it may outlive
            // what the store says of it, never the other way round.
            Ok(Swap::Stale(reloaded)) if modified || reloaded.id.is_none() => return Ok(Err(reloaded)),
            Ok(Swap::Unknown(error)) | Err(error) if modified => return Err(error),
            Ok(Swap::Stale(_) | Swap::Unknown(_)) | Err(_) => {}
        }
        let lifetime = self.options.lifecycle.cookie_lifetime(&record, now);
        let rolling = self.options.lifecycle.rolling;
        let wanted = session.resign || rolling == Rolling::Always || lifetime.is_some() && (modified || rolling == Rolling::Auto);
        let cookie = if wanted && at.cookie_possible { self.cookie(id, &record, at, now) } else { CookieOrder::Keep };
        Ok(Ok(Outcome::of(cookie, if modified { Event::Changed } else { Event::Refreshed })))
    }

    async fn plain_use(&self, session: &Session, at: &Circumstances, now: Timestamp) -> Outcome {
        let due = at.touch && self.options.lifecycle.is_touch_due(&session.record, now);
        if due {
            self.touch(session, at, now).await;
        }
        self.used(session, due, at, now)
    }

    /// Inserts a record under a fresh id. One that has a user is taken back if the user's epoch has moved since it was read, or since the
    /// session that it continues began: an end of all may have looked before the record was there.
    pub(super) async fn create(
        self: &Arc<Self>,
        mut record: Record,
        at: &Circumstances,
        now: Timestamp,
    ) -> Result<Created, Arc<StoreError>> {
        record = self.stamped(record, at, now);
        let Some(user) = record.user.clone() else {
            let record = Arc::new(record);
            return self.insert(record.clone(), now).await.map(|(id, key)| Created::Stands(id, key, record));
        };
        let epoch = match record.epoch {
            Some(epoch) => epoch,
            None => self.store.epoch(&user).await.map_err(Arc::new)?,
        };
        record.epoch = Some(epoch);
        let record = Arc::new(record);
        let (id, key) = self.insert(record.clone(), now).await?;
        match self.store.epoch(&user).await {
            Ok(current) if current <= epoch => Ok(Created::Stands(id, key, record)),
            Ok(_) => {
                self.discard(&key).await;
                Ok(Created::Revoked)
            }
            Err(error) => {
                self.discard(&key).await;
                Err(Arc::new(error))
            }
        }
    }

    pub(super) fn blank(&self, now: Timestamp) -> Record {
        Record {
            cookie: StoredCookie { original_max_age: in_millis(self.options.lifecycle.max_age), ..StoredCookie::default() },
            created_at: Some(now),
            handle: Some(Handle::generate(self.entropy.as_ref())),
            ..Record::default()
        }
    }

    /// Sets the user of a new session, the app's word or the configured field's, and how long the browser is to remember it.
    pub(super) fn sign_in(&self, record: &mut Record, changes: &Changes, now: Timestamp) {
        let (login, lifecycle) = (changes.login.as_deref(), &self.options.lifecycle);
        record.epoch = changes.epoch.filter(|_| login.is_some());
        record.credential = changes.credential.filter(|_| login.is_some());
        match changes.remember.filter(|_| login.is_some() && record.max_age.is_none()) {
            Some(true) => record.max_age = lifecycle.max_age.or(lifecycle.idle_timeout),
            Some(false) => record.cookie.original_max_age = None,
            None => {}
        }
        if let (Some(path), Some(user)) = (&self.options.user_from, login) {
            record.data.put_text_at(path, user);
        }
        record.user = login.map(str::to_owned).or_else(|| self.user_of(record));
        record.login_at = record.user.is_some().then_some(now);
    }

    pub(super) fn kept(&self, data: &Data) -> Data {
        let mut kept = data.clone();
        if let Keep::Fields(names) = &self.options.keep_at_login {
            kept.retain_named(names);
        }
        kept
    }

    /// The record as a full write stores it: times, revision, mark, and the cookie object that Node readers need.
    pub(super) fn stamped(&self, mut record: Record, at: &Circumstances, now: Timestamp) -> Record {
        let lifecycle = &self.options.lifecycle;
        let mut mark = [0; 16];
        self.entropy.fill(&mut mark);
        record.created_at = record.created_at.or(Some(now));
        record.updated_at = Some(now);
        record.expires_at = lifecycle.expires_at(&record, now);
        let user = self.user_of(&record);
        if user != record.user {
            // Both are of the one who was signed in before a Node app signed in this one.
            (record.credential, record.epoch) = (None, None);
        }
        record.user = user;
        record.revision += 1;
        record.last_write = Some(WriteToken(hex(&mark)));
        record.client = Some(at.client.clone());
        record.cookie = StoredCookie {
            original_max_age: in_millis(lifecycle.browser_age(&record)),
            expires: lifecycle.cookie_lifetime(&record, now).map(|length| now.plus(length)),
            attributes: self.cookies.of(at.secure).attributes().clone(),
        };
        record
    }

    pub(super) fn cookie(&self, id: &SessionId, record: &Record, at: &Circumstances, now: Timestamp) -> CookieOrder {
        let lifetime = self.options.lifecycle.cookie_lifetime(record, now);
        CookieOrder::Set(self.cookies.of(at.secure).set(&self.keyring.sign(id), lifetime, now))
    }
}

pub(super) fn apply(record: &mut Record, changes: &Changes) {
    for patch in &changes.patches {
        if let Patch::Merge(patch) = patch {
            record.data.merge(patch);
        }
    }
    record.max_age = changes.max_age.or(record.max_age);
}

fn in_millis(length: Option<Duration>) -> Option<i64> {
    i64::try_from(length?.as_millis()).ok()
}

pub(super) fn unavailable(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Unavailable { during: super::store::Operation::Update, applied: Applied::Unknown, source }
}
