//! A site without a server for the micro benchmark and the count of allocations: one route, one live session.

use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::edge::{Edge, Policy};
use cloakroom::inbound::Site;
use cloakroom::random::OsEntropy;
use cloakroom::route::{
    Encoding, Fields, HeaderSettings, Overflow, Pattern, Route, Routes, SessionUse, Timeouts, Unauthenticated, WhenDown, Write,
};
use cloakroom::secret::Secret;
use cloakroom::session::cookie::Attributes;
use cloakroom::session::data::Data;
use cloakroom::session::id::IdHash;
use cloakroom::session::keyring::Keyring;
use cloakroom::session::lifecycle::{Lifecycle, Rolling};
use cloakroom::session::record::Client;
use cloakroom::session::sessions::{Keep, Options, PerScheme, Unset};
use cloakroom::session::store::MemoryStore;
use cloakroom::session::{Changes, Circumstances, CookieOrder, Patch, Sessions, Visitor};
use http::HeaderMap;
use http::header::COOKIE;
use std::sync::Arc;
use std::time::Duration;

pub const DATA: &str = r#"{"userinfo":"admin","visits":7,"cart":["umbrella","coat, navy"],"theme":"dark"}"#;

pub fn keyring() -> Keyring {
    Keyring::new(&[Secret::new("a secret of more than 32 bytes, not for use")]).expect("a secret")
}

pub fn settings() -> HeaderSettings {
    HeaderSettings { fields: Fields::All, encoding: Encoding::Percent, max_bytes: 8192, overflow: Overflow::Drop, set: Vec::new() }
}

fn route() -> Route {
    let patience = Duration::from_secs(1);
    Route {
        name: "/*".to_owned(),
        pattern: Pattern::default(),
        session: SessionUse::Optional,
        unauthenticated: Unauthenticated::Auto,
        require: None,
        upstream: "app".to_owned(),
        write: Write::All,
        login: false,
        touch: true,
        origins: Vec::new(),
        end_app_cookies: Vec::new(),
        strip_prefix: None,
        preserve_host: true,
        timeout: Timeouts { connect: patience, read: patience, idle_websocket: patience },
        max_body: None,
        when_down: WhenDown::Unavailable,
        headers: settings(),
    }
}

fn sessions() -> Arc<Sessions> {
    let day = Duration::from_secs(86_400);
    let attributes = Attributes { path: "/".to_owned(), http_only: true, ..Attributes::default() };
    let options = Options {
        name: "cloakroom".to_owned(),
        attributes: PerScheme { secure: attributes.clone(), plain: attributes },
        id_hash: IdHash::Sha256,
        lifecycle: Lifecycle {
            idle_timeout: Some(day),
            absolute_timeout: Some(day * 90),
            max_age: Some(day),
            touch_after: Duration::from_secs(60),
            renew_grace: Some(Duration::from_secs(10)),
            rolling: Rolling::Auto,
        },
        resave: false,
        save_uninitialized: false,
        unset: Unset::Keep,
        user_from: None,
        keep_at_login: Keep::All,
        max_per_user: None,
        max_bytes: 65_536,
        store_deadline: Duration::from_secs(3),
    };
    let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
    Arc::new(Sessions::new(Arc::new(MemoryStore::default()), keyring(), options, clock, Arc::new(OsEntropy)))
}

/// A cookie header of a live session.
async fn signed_in(sessions: &Arc<Sessions>) -> HeaderMap {
    let changes = Changes { patches: vec![Patch::Merge(Data::parse(DATA).expect("JSON"))], ..Changes::default() };
    let at = Circumstances { secure: false, cookie_possible: true, touch: true, client: Client::default() };
    let outcome = sessions.commit(Visitor::Stranger, changes, at).await.expect("a session");
    let CookieOrder::Set(line) = outcome.cookie else { panic!("no cookie") };
    let pair = line.split(';').next().unwrap_or_default().to_owned();
    HeaderMap::from_iter([(COOKIE, pair.parse().expect("a cookie"))])
}

/// The site, and the head of a request with a live session.
pub async fn edge() -> (Edge, http::request::Parts) {
    let sessions = sessions();
    let mut head = http::Request::get("/a/b?c=d").header("host", "app.example.com").body(()).expect("a request").into_parts().0;
    head.headers.extend(signed_in(&sessions).await);
    let site = Site { uri_bytes: 16_384, ..Site::default() };
    (Edge::new(sessions, site, Policy { routes: Routes::new(vec![Arc::new(route())]), ..Policy::default() }), head)
}
