//! `Sessions`: the one door to all sessions. Resume here; everything that writes is in [`super::commit`].

use super::cookie::{Attributes, CookieWriter};
use super::ended::Ended;
use super::flight::Flights;
use super::id::{Handle, IdHash, SessionId, SessionKey};
use super::keyring::Keyring;
use super::lifecycle::{Lapse, Lifecycle};
use super::record::{Credential, Record};
use super::standing::Ends;
use super::store::{Found, SessionStore, StoreError, StoreHealth, Version};
use super::tally::Tally;
use crate::clock::{Clock, Timestamp};
use crate::random::Entropy;
use crate::telemetry::chain;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// At most this many rightly signed cookies of one request cost a store read.
const MOST_READS: usize = 4;

/// So many pointers are followed.
const MOST_STEPS: usize = 16;

/// The session options, with express-session's names and meanings where it has them.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cookie's name.
    pub name: String,
    /// The cookie's attributes on a secure request, and on one that is not.
    pub attributes: PerScheme<Attributes>,
    pub id_hash: IdHash,
    pub lifecycle: Lifecycle,
    /// Write every used session back in full, changed or not.
    pub resave: bool,
    /// Store and send a cookie for sessions without contents.
    pub save_uninitialized: bool,
    /// What `X-Session-Set: null` does.
    pub unset: Unset,
    /// The dotted path of the field that holds the user, for apps that sign people in by a field.
    pub user_from: Option<Vec<String>>,
    /// What an anonymous session brings along at login.
    pub keep_at_login: Keep,
    /// When a login gives a user more sessions than this, the oldest end; `None`: as many as they like.
    pub max_per_user: Option<usize>,
    /// The most bytes of data a session may hold.
    pub max_bytes: usize,
    /// How long everything that one answer asks of the store may take.
    pub store_deadline: Duration,
}

/// One thing for secure requests, one for others.
#[derive(Clone, Debug)]
pub struct PerScheme<T> {
    pub secure: T,
    pub plain: T,
}

impl<T> PerScheme<T> {
    /// The one for this request.
    pub fn of(&self, secure: bool) -> &T {
        if secure { &self.secure } else { &self.plain }
    }

    fn map<U>(&self, make: impl Fn(&T) -> U) -> PerScheme<U> {
        PerScheme { secure: make(&self.secure), plain: make(&self.plain) }
    }
}

/// `unset`: what `req.session = null` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// Nothing is written.
    Keep,
    /// The session ends.
    Destroy,
}

/// `keep_at_login`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    All,
    /// These fields only.
    Fields(Vec<String>),
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// No rightly signed cookie.
    Stranger,
    /// A live session. Shared with whoever watches over the request, in case it ends.
    Known(Arc<Session>),
    /// A rightly signed cookie whose session is not there any more.
    Lapsed(Lapse),
    /// A rightly signed cookie, and a store that does not answer: neither in nor out.
    Unreachable { keys: Vec<SessionKey>, error: Arc<StoreError> },
}

/// A live session as this request found it.
#[derive(Clone, Debug)]
pub struct Session {
    /// `None` when an id that was renewed meanwhile led here: then the session may be read and ended, not changed.
    pub(super) id: Option<SessionId>,
    pub(super) key: SessionKey,
    pub(super) record: Arc<Record>,
    pub(super) version: Version,
    /// The cookie was signed with a retired secret.
    pub(super) resign: bool,
    user: Option<String>,
    handle: Handle,
}

impl Session {
    /// The signed-in user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The public name.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whom the login desk has let in, and with what; `None` for all others, also if a Node app has signed somebody else in since.
    pub fn credential(&self) -> Option<(&str, Credential)> {
        let signed_in = self.record.user.as_deref().filter(|user| self.user() == Some(*user));
        signed_in.zip(self.record.credential)
    }

    /// What the store files it under.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Contents and times.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }
}

/// The sessions of this site. Cheap to share; every method may be called at any time from any task.
pub struct Sessions {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) keyring: Keyring,
    pub(super) options: Options,
    pub(super) cookies: PerScheme<CookieWriter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) flights: Flights,
    pub(super) ended: Ended,
    pub(super) ends: Ends,
    pub(super) touching: Mutex<HashSet<SessionKey>>,
    pub(super) tally: Tally,
}

impl Sessions {
    /// Opens the door.
    pub fn new(store: Arc<dyn SessionStore>, keyring: Keyring, options: Options, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let cookies = options.attributes.map(|attributes| CookieWriter::new(&options.name, attributes.clone()));
        Sessions {
            store,
            keyring,
            cookies,
            options,
            clock,
            entropy,
            flights: Flights::default(),
            ended: Ended::default(),
            ends: Ends::default(),
            touching: Mutex::default(),
            tally: Tally::default(),
        }
    }

    /// Finds the visitor's session among the values of all cookies of our name.
    ///
    /// A wrong signature costs no store access. The first live session wins; at most four rightly signed values are looked up.
    pub async fn resume(&self, values: &[String]) -> Visitor {
        let mut lapse = None;
        let mut seen: Vec<SessionKey> = Vec::new();
        for verified in values.iter().filter_map(|value| self.keyring.verify(value)) {
            let key = SessionKey::of(&verified.id, self.options.id_hash);
            if seen.contains(&key) {
                continue;
            }
            if seen.len() == MOST_READS {
                break;
            }
            match self.look_up(verified.id, &key, !verified.is_current).await {
                Ok(Ok(session)) => return Visitor::Known(Arc::new(session)),
                Ok(Err(lapsed)) => lapse = lapse.or(Some(lapsed)),
                Err(error) => return Visitor::Unreachable { keys: self.keys(values), error },
            }
            seen.push(key);
        }
        lapse.map_or(Visitor::Stranger, Visitor::Lapsed)
    }

    /// The sessions that these cookies name, as far as [`Sessions::resume`] would look them up.
    pub(super) fn keys(&self, values: &[String]) -> Vec<SessionKey> {
        let mut keys = Vec::new();
        for verified in values.iter().filter_map(|value| self.keyring.verify(value)) {
            let key = SessionKey::of(&verified.id, self.options.id_hash);
            if !keys.contains(&key) && keys.len() < MOST_READS {
                keys.push(key);
            }
        }
        keys
    }

    /// The present, as sessions see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The cookie's name.
    pub fn cookie_name(&self) -> &str {
        &self.options.name
    }

    /// The cookie's `Path`.
    pub fn cookie_path(&self) -> &str {
        &self.options.attributes.plain.path
    }

    /// The cookie's `Domain`; `None`: this host only.
    pub fn cookie_domain(&self) -> Option<&str> {
        self.options.attributes.plain.domain.as_deref()
    }

    /// How long a session may lie idle.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.options.lifecycle.idle_timeout
    }

    /// Whether our cookie may travel on this kind of request at all: a `Secure` one does not on plain HTTP.
    pub fn cookie_is_possible(&self, secure: bool) -> bool {
        secure || !self.options.attributes.plain.secure
    }

    /// The line that takes the cookie away.
    pub fn clearing_cookie(&self, secure: bool) -> String {
        self.cookies.of(secure).clear()
    }

    /// Signs and checks tokens of our forms.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// When the session ends if nothing more happens after this use.
    pub fn ends_at(&self, session: &Session, touches: bool, now: Timestamp) -> Option<Timestamp> {
        let stored = session.record.expires_at?;
        if !touches {
            return Some(stored);
        }
        let due = self.options.lifecycle.is_touch_due(&session.record, now);
        let moved = self.options.lifecycle.expires_at(&session.record, now).filter(|_| due);
        Some(moved.map_or(stored, |moved| moved.max(stored)))
    }

    /// When the session is over however busy it is.
    pub fn absolute_end(&self, session: &Session) -> Option<Timestamp> {
        Some(session.record.created_at?.plus(self.options.lifecycle.absolute_timeout?))
    }

    /// How the store is doing.
    pub fn store_health(&self) -> StoreHealth {
        self.store.health()
    }

    /// About how many sessions the store keeps, some of which may be over already; `None`: it does not count.
    pub async fn estimate(&self) -> Result<Option<u64>, Arc<StoreError>> {
        self.store.estimate().await.map_err(Arc::new)
    }

    /// Whether the store answers a question right now.
    pub async fn store_answers(&self) -> bool {
        self.store.epoch("").await.is_ok()
    }

    /// The store's line for the start-up report.
    pub fn store_description(&self) -> String {
        self.store.describe()
    }

    async fn look_up(&self, id: SessionId, key: &SessionKey, resign: bool) -> Result<Result<Session, Lapse>, Arc<StoreError>> {
        // Whether a pointer whose visitor was told a later id led here.
        let (mut key, mut is_old) = (key.clone(), false);
        for _ in 0..MOST_STEPS {
            let (record, version) = match self.load_live(&key).await? {
                Ok(found) => found,
                Err(lapse) => return Ok(Err(lapse)),
            };
            let Some(moved) = &record.moved else {
                let id = Some(id).filter(|_| !is_old);
                return Ok(Ok(self.session(id, key, record, version, resign && !is_old)));
            };
            match (moved.at, self.options.lifecycle.renew_grace) {
                (None, _) => {}
                // A pointer to a pointer: the session was renewed twice within the grace. Its latest id has long been told.
                (Some(at), Some(grace)) if !is_old && at.plus(grace) > self.now() => is_old = true,
                _ => return Ok(Err(Lapse::Replaced)),
            }
            key = moved.to.clone();
        }
        Ok(Err(Lapse::Replaced))
    }

    /// The live record under this key, or why there is none.
    pub(super) async fn load_live(&self, key: &SessionKey) -> Result<Result<(Arc<Record>, Version), Lapse>, Arc<StoreError>> {
        if self.ended.covers(key, None) {
            return Ok(Err(Lapse::Ended));
        }
        let now = self.now();
        let asked = match self.store.at_hand(key, now) {
            Some(found) => Ok(found),
            None => self.flights.load(self.store.as_ref(), key, now).await,
        };
        let found = match asked {
            Err(error) if matches!(*error, StoreError::Unreadable { .. }) => {
                tracing::warn!(
                    key = key.short_hash(),
                    error = chain(error.as_ref()),
                    "a stored session cannot be read; it is kept as it is"
                );
                return Ok(Err(Lapse::Unknown));
            }
            found => found?,
        };
        // Asked again: the end may have come while the read was under way.
        if let Found::Live(record, _) = &found
            && let Some(why) = self.ended_here(key, record)
        {
            return Ok(Err(why));
        }
        let lifecycle = &self.options.lifecycle;
        Ok(match found {
            Found::Live(record, _) if lifecycle.is_too_old(&record, now) => Err(Lapse::Absolute),
            Found::Live(record, version) => Ok((record, version)),
            Found::Expired(record) => Err(lifecycle.lapse(&record, now)),
            Found::Absent => Err(Lapse::Unknown),
        })
    }

    /// Asked of every session that is read, so it costs one atomic load nearly always.
    pub(super) fn ended_here(&self, key: &SessionKey, record: &Record) -> Option<Lapse> {
        match () {
            () if self.ended.is_empty() => None,
            () if self.ended.covers(key, record.handle.as_ref()) => Some(Lapse::Ended),
            () if self.ended.covers_user(self.user_of(record).as_deref(), record) => Some(Lapse::Revoked),
            () => None,
        }
    }

    /// Whether this session was ended here and the store has not confirmed it yet.
    pub(super) fn is_ended_here(&self, session: &Session) -> bool {
        self.ended.covers(&session.key, Some(session.handle())) || self.ended.covers_user(session.user(), &session.record)
    }

    pub(super) fn session(&self, id: Option<SessionId>, key: SessionKey, record: Arc<Record>, version: Version, resign: bool) -> Session {
        let derived = || id.as_ref().map_or_else(|| Handle::generate(self.entropy.as_ref()), Handle::derived);
        let handle = record.handle.clone().unwrap_or_else(derived);
        Session { user: self.user_of(&record), handle, id, key, record, version, resign }
    }

    /// The user of a record: the configured field if there is one, else what a login set.
    pub(super) fn user_of(&self, record: &Record) -> Option<String> {
        match &self.options.user_from {
            Some(path) => record.data.text_at(path),
            None => record.user.clone(),
        }
    }
}
