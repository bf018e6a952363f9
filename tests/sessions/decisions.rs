//! express-session's decision table: store operations and `Set-Cookie` for every row that a proxy can show, under every combination of
//! `resave`, `save_uninitialized`, `rolling` and `max_age`. Where we differ on purpose the row says so.

use super::bench::*;
use cloakroom::random::OsEntropy;
use cloakroom::session::id::SessionId;
use cloakroom::session::lifecycle::Rolling;
use cloakroom::session::sessions::Unset;
use cloakroom::session::store::Operation::{self, Create, Epoch, Load, Remove, Touch, Update};
use cloakroom::session::{Changes, CookieOrder, Visitor};
use std::time::Duration;

/// The request's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrives {
    WithoutCookie,
    WithBadSignature,
    WithUnknownId,
    Loaded,
}

#[derive(Clone, Copy, Debug)]
struct Config {
    resave: bool,
    save_uninitialized: bool,
    rolling: bool,
    max_age: bool,
    unset: Unset,
}

#[derive(Debug, PartialEq, Eq)]
enum Cookie {
    None,
    Same,
    New,
    Cleared,
}

type Expected = (Vec<Operation>, Cookie);

fn configurations() -> Vec<Config> {
    (0..32u8)
        .map(|bits| Config {
            resave: bits & 1 != 0,
            save_uninitialized: bits & 2 != 0,
            rolling: bits & 4 != 0,
            max_age: bits & 8 != 0,
            unset: if bits & 16 != 0 { Unset::Destroy } else { Unset::Keep },
        })
        .collect()
}

fn bench(config: Config) -> Bench {
    Bench::with(|options| {
        options.resave = config.resave;
        options.save_uninitialized = config.save_uninitialized;
        options.unset = config.unset;
        options.lifecycle.rolling = if config.rolling { Rolling::Always } else { Rolling::Never };
        options.lifecycle.max_age = config.max_age.then_some(14 * DAY);
        // express-session touches at every request.
        options.lifecycle.touch_after = Duration::ZERO;
    })
}

/// What one request does to the store and to the cookie.
async fn observe(arrives: Arrives, changes: Changes, config: Config) -> Expected {
    let bench = bench(config);
    let loaded = bench.begin(set(r#"{"a":1}"#)).await;
    let cookie = match arrives {
        Arrives::WithoutCookie => None,
        Arrives::WithBadSignature => Some(format!("{loaded}x")),
        Arrives::WithUnknownId => Some(bench.sessions.keyring().sign(&SessionId::generate(&OsEntropy))),
        Arrives::Loaded => Some(loaded.clone()),
    };
    bench.store.calls();

    let visitor = bench.sessions.resume(&cookie.into_iter().collect::<Vec<_>>()).await;
    let outcome = bench.commit(visitor, changes).await;
    bench.settle().await;

    let told = match (&outcome.cookie, cookie_in(&outcome)) {
        (CookieOrder::Keep, _) => Cookie::None,
        (CookieOrder::Set(_), None) => Cookie::Cleared,
        (CookieOrder::Set(_), Some(value)) if value == loaded => Cookie::Same,
        (CookieOrder::Set(_), Some(_)) => Cookie::New,
    };
    (bench.store.calls(), told)
}

async fn check(row: &str, arrives: Arrives, changes: Changes, expected: impl Fn(Config) -> Expected) {
    for config in configurations() {
        assert_eq!(observe(arrives, changes.clone(), config).await, expected(config), "{row}: {arrives:?} {config:?}");
    }
}

fn same_if(sent: bool) -> Cookie {
    if sent { Cookie::Same } else { Cookie::None }
}

#[tokio::test]
async fn a_visitor_without_a_session() {
    for (arrives, looked_up) in
        [(Arrives::WithoutCookie, vec![]), (Arrives::WithBadSignature, vec![]), (Arrives::WithUnknownId, vec![Load])]
    {
        let created = || [looked_up.clone(), vec![Create]].concat();
        check("unmodified", arrives, nothing(), |config| match config.save_uninitialized {
            true => (created(), Cookie::New),
            false => (looked_up.clone(), Cookie::None),
        })
        .await;
        check("modified", arrives, set(r#"{"b":1}"#), |_| (created(), Cookie::New)).await;
        // Node would call `req.session.destroy()` here and ask the store in vain.
        check("ended", arrives, end(), |_| (looked_up.clone(), Cookie::None)).await;
    }
}

#[tokio::test]
async fn a_loaded_session_that_is_not_modified() {
    let unmodified = |config: Config| (vec![Load, if config.resave { Update } else { Touch }], same_if(config.rolling));
    check("unmodified", Arrives::Loaded, nothing(), unmodified).await;
    check("changed and changed back", Arrives::Loaded, set(r#"{"a":1}"#), unmodified).await;
    check("a property set to undefined", Arrives::Loaded, set(r#"{"z":null}"#), unmodified).await;
}

#[tokio::test]
async fn a_loaded_session_that_is_modified() {
    let modified = |config: Config| (vec![Load, Update], same_if(config.rolling || config.max_age));
    check("modified", Arrives::Loaded, set(r#"{"b":1}"#), modified).await;
    // Express loses the change (get, touch). Here it is one, and this session's cookie has a lifetime from now on.
    check("only cookie.maxAge changed", Arrives::Loaded, max_age(DAY), |_| (vec![Load, Update], Cookie::Same)).await;
}

#[tokio::test]
async fn a_loaded_session_that_gets_a_new_id() {
    // Express: get, destroy old, set new. Here the new one stands before the old one goes, and no slow request brings the old one back.
    // The last write gives the old id its end, once the new one may be told.
    check("regenerate()", Arrives::Loaded, renew(), |_| (vec![Load, Create, Update, Update], Cookie::New)).await;
    // A session that has a user asks before and after whether all of them were ended meanwhile.
    let signed_in = |_| (vec![Load, Epoch, Create, Epoch, Update, Remove], Cookie::New);
    check("regenerate(), data", Arrives::Loaded, login("alice"), signed_in).await;
}

#[tokio::test]
async fn a_loaded_session_that_ends() {
    // Express: get, destroy, and the dead cookie stays in the browser. Here a renewal under way loses against the end.
    let ended = || (vec![Load, Update, Remove], Cookie::Cleared);
    check("destroy()", Arrives::Loaded, end(), |_| ended()).await;
    check("session = null", Arrives::Loaded, unset(), |config| match config.unset {
        Unset::Keep => (vec![Load], Cookie::None),
        Unset::Destroy => ended(),
    })
    .await;
}

#[tokio::test]
async fn a_session_that_could_not_be_read_is_not_written_or_destroyed() {
    for config in configurations() {
        let bench = bench(config);
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        bench.store.fail(1, 1, super::tap::Fault::Refused);
        let visitor = bench.resume(&cookie).await;
        assert!(matches!(visitor, Visitor::Unreachable { .. }), "{visitor:?}");

        bench.commit(visitor, nothing()).await;

        assert_eq!(bench.store.calls(), [Load], "{config:?}");
    }
}
