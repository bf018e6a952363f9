//! A site without a server: sessions over a tapped memory store, a clock that stands still, and visitors with one cookie.

use super::tap::Tap;
use cloakroom::clock::{Clock, ManualClock, Timestamp};
use cloakroom::random::{CountingEntropy, OsEntropy};
use cloakroom::secret::Secret;
use cloakroom::session::cookie::{self, Attributes, SameSite};
use cloakroom::session::data::Data;
use cloakroom::session::id::{IdHash, SessionId, SessionKey};
use cloakroom::session::keyring::Keyring;
use cloakroom::session::lifecycle::{Lapse, Lifecycle, Rolling};
use cloakroom::session::record::{Client, Record};
use cloakroom::session::sessions::{Keep, Options, PerScheme, Unset};
use cloakroom::session::store::cached::CacheSettings;
use cloakroom::session::store::{CachedStore, Found, SessionStore};
use cloakroom::session::{Changes, Circumstances, CookieOrder, End, Outcome, Patch, Session, Sessions, Visitor};
use std::sync::Arc;
use std::time::Duration;

pub const START: Timestamp = Timestamp(1_800_000_000_000);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const MILLISECOND: Duration = Duration::from_millis(1);

pub struct Bench {
    pub sessions: Arc<Sessions>,
    pub store: Arc<Tap>,
    pub clock: Arc<ManualClock>,
}

/// The defaults of `proxy.toml` on a plain-HTTP laptop.
pub fn options() -> Options {
    let attributes = Attributes { path: "/".into(), http_only: true, same_site: Some(SameSite::Lax), ..Attributes::default() };
    Options {
        name: "cloakroom".into(),
        attributes: PerScheme { secure: attributes.clone(), plain: attributes },
        id_hash: IdHash::Sha256,
        lifecycle: Lifecycle {
            idle_timeout: Some(14 * DAY),
            absolute_timeout: Some(90 * DAY),
            max_age: Some(14 * DAY),
            touch_after: MINUTE,
            renew_grace: Some(10 * SECOND),
            rolling: Rolling::Auto,
        },
        resave: false,
        save_uninitialized: false,
        unset: Unset::Keep,
        user_from: None,
        keep_at_login: Keep::All,
        max_per_user: None,
        store_deadline: MINUTE,
        max_bytes: 64 * 1024,
    }
}

pub fn keyring(secrets: &[&str]) -> Keyring {
    Keyring::new(&secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>()).unwrap()
}

fn in_front_of(store: &Arc<Tap>, clock: &Arc<ManualClock>) -> Arc<dyn SessionStore> {
    if !crate::CACHED {
        return store.clone();
    }
    let settings = CacheSettings { ttl: 1000 * DAY, sessions: 1000, bytes: 1 << 24 };
    Arc::new(CachedStore::new(store.clone(), settings, clock.clone()))
}

impl Bench {
    pub fn new() -> Self {
        Bench::with(|_| {})
    }

    pub fn with(adjust: impl FnOnce(&mut Options)) -> Self {
        Bench::over(Arc::new(Tap::default()), adjust)
    }

    pub fn over(store: Arc<Tap>, adjust: impl FnOnce(&mut Options)) -> Self {
        let mut options = options();
        adjust(&mut options);
        let clock = Arc::new(ManualClock::at(START));
        let sessions =
            Sessions::new(in_front_of(&store, &clock), keyring(&["current"]), options, clock.clone(), Arc::new(CountingEntropy::default()));
        Bench { sessions: Arc::new(sessions), store, clock }
    }

    /// A second proxy of the same site: same clock and secrets, its own tap.
    pub fn beside(&self, store: Arc<Tap>, adjust: impl FnOnce(&mut Options)) -> Self {
        let mut options = options();
        adjust(&mut options);
        let sessions =
            Sessions::new(in_front_of(&store, &self.clock), keyring(&["current"]), options, self.clock.clone(), Arc::new(OsEntropy));
        Bench { sessions: Arc::new(sessions), store, clock: self.clock.clone() }
    }

    pub async fn resume(&self, cookie: &str) -> Visitor {
        self.sessions.resume(&[cookie.to_owned()]).await
    }

    /// The live session behind a cookie.
    pub async fn see(&self, cookie: &str) -> Session {
        match self.resume(cookie).await {
            Visitor::Known(session) => Arc::unwrap_or_clone(session),
            other => panic!("no live session: {other:?}"),
        }
    }

    /// Why there is none.
    pub async fn lapse(&self, cookie: &str) -> Option<Lapse> {
        match self.resume(cookie).await {
            Visitor::Lapsed(lapse) => Some(lapse),
            _ => None,
        }
    }

    /// The contents behind a cookie.
    pub async fn data(&self, cookie: &str) -> String {
        self.see(cookie).await.record().data.to_json()
    }

    pub async fn commit(&self, visitor: Visitor, changes: Changes) -> Outcome {
        self.sessions.commit(visitor, changes, here()).await.unwrap()
    }

    /// One request: resume, then the answer's changes.
    pub async fn send(&self, cookie: &str, changes: Changes) -> Outcome {
        let visitor = self.resume(cookie).await;
        self.commit(visitor, changes).await
    }

    /// A session begun by a stranger; its cookie.
    pub async fn begin(&self, changes: Changes) -> String {
        cookie_in(&self.commit(Visitor::Stranger, changes).await).expect("a cookie for the new session")
    }

    /// Waits for the touches that run off the request's path.
    pub async fn settle(&self) {
        while self.sessions.touches_under_way() > 0 {
            tokio::task::yield_now().await;
        }
    }

    pub fn key(&self, cookie: &str) -> SessionKey {
        SessionKey::of(&self.id(cookie), IdHash::Sha256)
    }

    pub fn id(&self, cookie: &str) -> SessionId {
        self.sessions.keyring().verify(cookie).expect("our signature").id
    }

    /// What the store holds under a cookie, dead or alive, without counting as a call.
    pub async fn stored(&self, cookie: &str) -> Option<Record> {
        let found = self.store.load(&self.key(cookie), self.clock.now()).await;
        self.store.calls();
        match found.unwrap() {
            Found::Live(record, _) | Found::Expired(record) => Some(Record::clone(&record)),
            Found::Absent => None,
        }
    }
}

/// A request over plain HTTP that keeps the session alive.
pub fn here() -> Circumstances {
    Circumstances {
        secure: false,
        cookie_possible: true,
        touch: true,
        client: Client { agent: "test".into(), address: "127.0.0.1".into() },
    }
}

/// The same on a route with `touch = false`.
pub fn polling() -> Circumstances {
    Circumstances { touch: false, ..here() }
}

/// The value of the cookie that the answer sets; `None` when it sets none or clears it.
pub fn cookie_in(outcome: &Outcome) -> Option<String> {
    let CookieOrder::Set(line) = &outcome.cookie else { return None };
    let pair = line.split(';').next().unwrap();
    cookie::values([pair.as_bytes()].into_iter(), "cloakroom").into_iter().find(|value| !value.is_empty())
}

/// An attribute of the line that the answer sets.
pub fn attribute(outcome: &Outcome, name: &str) -> Option<String> {
    let CookieOrder::Set(line) = &outcome.cookie else { return None };
    line.split("; ").find_map(|part| Some(part.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

pub fn data(json: &str) -> Data {
    Data::parse(json).unwrap()
}

pub fn nothing() -> Changes {
    Changes::default()
}

pub fn set(json: &str) -> Changes {
    Changes { patches: vec![Patch::Merge(data(json))], ..Changes::default() }
}

pub fn unset() -> Changes {
    Changes { patches: vec![Patch::Null], ..Changes::default() }
}

pub fn login(user: &str) -> Changes {
    Changes { login: Some(user.into()), ..Changes::default() }
}

pub fn renew() -> Changes {
    Changes { renew: true, ..Changes::default() }
}

pub fn max_age(length: Duration) -> Changes {
    Changes { max_age: Some(length), ..Changes::default() }
}

pub fn end() -> Changes {
    Changes { end: Some(End::This), ..Changes::default() }
}

pub fn end_all() -> Changes {
    Changes { end: Some(End::All), ..Changes::default() }
}
