//! `cargo bench`: what a request with a known session costs before and beside the network. Verify the cookie, decide, dress.

use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::edge::{Edge, Policy, Verdict};
use cloakroom::header::request::{Dresser, View};
use cloakroom::inbound::{Inbound, Site};
use cloakroom::random::OsEntropy;
use cloakroom::route::{
    Encoding, Fields, HeaderSettings, Overflow, Pattern, Route, Routes, SessionUse, Timeouts, Unauthenticated, WhenDown, Write,
};
use cloakroom::secret::Secret;
use cloakroom::session::cookie::{self, Attributes};
use cloakroom::session::data::Data;
use cloakroom::session::id::{IdHash, SessionId};
use cloakroom::session::keyring::Keyring;
use cloakroom::session::lifecycle::{Lifecycle, Rolling};
use cloakroom::session::record::Client;
use cloakroom::session::sessions::{Keep, Options, PerScheme, Unset};
use cloakroom::session::store::MemoryStore;
use cloakroom::session::{Changes, Circumstances, CookieOrder, Patch, Sessions, Visitor};
use divan::Bencher;
use http::HeaderMap;
use http::header::COOKIE;
use std::sync::Arc;
use std::time::Duration;

const DATA: &str = r#"{"userinfo":"admin","visits":7,"cart":["umbrella","coat, navy"],"theme":"dark"}"#;

fn main() {
    divan::main();
}

fn keyring() -> Keyring {
    Keyring::new(&[Secret::new("a secret of more than 32 bytes, not for use")]).expect("a secret")
}

fn settings() -> HeaderSettings {
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

#[divan::bench]
fn verify(bencher: Bencher) {
    let ring = keyring();
    let header = format!("a=b; cloakroom={}; c=d", ring.sign(&SessionId::generate(&OsEntropy)).replace(':', "%3A").replace('+', "%2B"));

    bencher.bench(|| cookie::values([header.as_bytes()].into_iter(), "cloakroom").iter().any(|value| ring.verify(value).is_some()));
}

#[divan::bench]
fn decide(bencher: Bencher) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let sessions = sessions();
    let headers = runtime.block_on(signed_in(&sessions));
    let site = Site { uri_bytes: 16_384, ..Site::default() };
    let edge = Edge::new(sessions, site, Policy { routes: Routes::new(vec![Arc::new(route())]), ..Policy::default() });
    let mut head = http::Request::get("/a/b?c=d").header("host", "app.example.com").body(()).expect("a request").into_parts().0;
    head.headers.extend(headers);

    bencher.bench(|| {
        let inbound: Inbound = edge.understand(&head, b"/a/b?c=d", [127, 0, 0, 1].into()).expect("understood");
        matches!(runtime.block_on(edge.receive(Arc::new(inbound), &head.headers)), Verdict::Forward(_))
    });
}

#[divan::bench]
fn dress(bencher: Bencher) {
    let data = Data::parse(DATA).expect("JSON");
    let settings = settings();
    let dresser = Dresser::new(&settings);

    bencher.bench(|| {
        dresser.dress(&View { handle: "4513ce30fce66daa01a321c06d0e7ba7", user: Some("admin"), data: &data, expires_in: Some(60) })
    });
}
