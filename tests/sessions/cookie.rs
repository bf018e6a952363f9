//! Which of a request's cookies lead to a session, and what looking costs.

use super::bench::*;
use cloakroom::random::OsEntropy;
use cloakroom::session::id::{IdHash, SessionId};
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::store::Operation::{Create, Load, Update};
use cloakroom::session::{CookieOrder, Event, Sessions, Visitor};
use std::sync::Arc;

/// A rightly signed cookie of a session that nobody began.
fn unknown(bench: &Bench) -> String {
    bench.sessions.keyring().sign(&SessionId::generate(&OsEntropy))
}

#[tokio::test]
async fn a_wrong_signature_costs_no_store_read() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();

    let visitor = bench.resume(&format!("{}x", &cookie[..cookie.len() - 1])).await;

    assert!(matches!(visitor, Visitor::Stranger), "{visitor:?}");
    assert_eq!(bench.store.calls(), []);
}

#[tokio::test]
async fn the_real_cookie_is_found_behind_fifty_junk_ones() {
    let bench = Bench::new();
    let real = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();
    let mut values: Vec<String> = (0..50).map(|n| format!("s:junk{n}.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU")).collect();
    values.push(real);

    let visitor = bench.sessions.resume(&values).await;

    assert!(matches!(visitor, Visitor::Known(_)), "{visitor:?}");
    assert_eq!(bench.store.calls(), [Load]);
}

#[tokio::test]
async fn the_first_live_session_wins() {
    let bench = Bench::new();
    let (first, second) = (bench.begin(set(r#"{"n":1}"#)).await, bench.begin(set(r#"{"n":2}"#)).await);

    let visitor = bench.sessions.resume(&[unknown(&bench), second, first]).await;

    let Visitor::Known(session) = visitor else { panic!("{visitor:?}") };
    assert_eq!(session.record().data.to_json(), r#"{"n":2}"#);
}

#[tokio::test]
async fn at_most_four_rightly_signed_cookies_are_looked_up() {
    let bench = Bench::new();
    let real = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();
    let mut values: Vec<String> = (0..4).map(|_| unknown(&bench)).collect();
    values.push(real);

    let visitor = bench.sessions.resume(&values).await;

    assert!(matches!(visitor, Visitor::Lapsed(Lapse::Unknown)), "{visitor:?}");
    assert_eq!(bench.store.calls(), [Load; 4]);
}

#[tokio::test]
async fn a_cookie_that_is_sent_twice_is_looked_up_once() {
    let bench = Bench::new();
    let twice = unknown(&bench);

    bench.sessions.resume(&[twice.clone(), twice]).await;

    assert_eq!(bench.store.calls(), [Load]);
}

#[tokio::test]
async fn a_cookie_signed_with_a_retired_secret_is_signed_anew_at_once() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let ring = keyring(&["new", "current"]);
    let rotated = Arc::new(Sessions::new(bench.store.clone(), ring, options(), bench.clock.clone(), Arc::new(OsEntropy)));

    let visitor = rotated.resume(std::slice::from_ref(&old)).await;
    let outcome = rotated.commit(visitor, nothing(), here()).await.unwrap();

    let anew = cookie_in(&outcome).expect("a cookie signed anew");
    let verified = keyring(&["new"]).verify(&anew).expect("signed with the first secret");
    assert_eq!(verified.id, bench.id(&old));
}

#[tokio::test]
async fn a_retired_secret_on_a_polling_route_does_not_keep_the_session_alive() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let before = bench.stored(&old).await.unwrap();
    let ring = keyring(&["new", "current"]);
    let rotated = Arc::new(Sessions::new(bench.store.clone(), ring, options(), bench.clock.clone(), Arc::new(OsEntropy)));
    bench.clock.advance(DAY);

    let visitor = rotated.resume(std::slice::from_ref(&old)).await;
    let outcome = rotated.commit(visitor, nothing(), polling()).await.unwrap();

    assert!(matches!(outcome.cookie, CookieOrder::Set(_)), "signed anew all the same");
    assert_eq!(bench.stored(&old).await.unwrap(), before);
}

#[tokio::test]
async fn an_id_is_never_adopted_from_a_client() {
    let bench = Bench::new();
    let chosen = unknown(&bench);

    let outcome = bench.send(&chosen, set(r#"{"a":1}"#)).await;

    let given = cookie_in(&outcome).expect("a session of its own");
    assert_ne!(bench.id(&given), bench.id(&chosen));
    assert_eq!((outcome.event, bench.lapse(&chosen).await), (Event::Started, Some(Lapse::Unknown)));
}

#[tokio::test]
async fn the_store_never_sees_the_id() {
    let bench = Bench::new();

    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let id = cookie.strip_prefix("s:").and_then(|rest| rest.split_once('.')).unwrap().0;
    assert!(!bench.key(&cookie).as_str().contains(id) && !format!("{:?}", bench.stored(&cookie).await).contains(id));
}

#[tokio::test]
async fn a_store_shared_with_node_apps_is_keyed_by_the_id_itself() {
    let bench = Bench::with(|options| options.id_hash = IdHash::None);

    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    assert_eq!(bench.data(&cookie).await, r#"{"a":1}"#);
    assert_eq!(bench.store.calls(), [Create, Load]);
}

#[tokio::test]
async fn without_a_possible_cookie_nothing_is_stored() {
    let bench = Bench::new();
    let no_cookie = || cloakroom::session::Circumstances { cookie_possible: false, ..here() };

    let outcome = bench.sessions.commit(Visitor::Stranger, login("alice"), no_cookie()).await.unwrap();

    assert_eq!(outcome, cloakroom::session::Outcome::quiet(Event::Dropped(cloakroom::session::Dropped::NoCookie)));
    assert_eq!(bench.store.calls(), []);
}

#[tokio::test]
async fn a_session_is_not_renewed_where_no_cookie_can_tell_the_new_id() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let before = bench.stored(&cookie).await;
    for changes in [renew(), login("alice")] {
        let visitor = bench.resume(&cookie).await;
        let at = cloakroom::session::Circumstances { cookie_possible: false, ..here() };

        let outcome = bench.sessions.commit(visitor, changes, at).await.unwrap();

        assert_eq!(outcome.event, Event::Dropped(cloakroom::session::Dropped::NoCookie));
        assert_eq!(bench.stored(&cookie).await, before);
    }
}

#[tokio::test]
async fn parallel_resumes_of_one_session_are_one_store_read() {
    let bench = Bench::over(Arc::new(super::tap::Tap::on(Arc::default(), true)), |_| {});
    bench.store.step();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();

    let visitors: Vec<_> = (0..20)
        .map(|_| {
            let (sessions, cookie) = (bench.sessions.clone(), cookie.clone());
            tokio::spawn(async move { sessions.resume(&[cookie]).await })
        })
        .collect();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    bench.store.step();

    for visitor in visitors {
        assert!(matches!(visitor.await.unwrap(), Visitor::Known(_)));
    }
    assert_eq!(bench.store.calls(), [Load]);
}

#[tokio::test]
async fn a_resume_after_a_change_or_an_end_was_told_does_not_join_an_older_read() {
    for changes in [set(r#"{"a":2}"#), end()] {
        let bench = Bench::over(Arc::new(super::tap::Tap::holding(Load)), |_| {});
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        bench.store.step();
        let visitor = bench.resume(&cookie).await;
        let reader = || {
            let (sessions, cookie) = (bench.sessions.clone(), cookie.clone());
            tokio::spawn(async move { sessions.resume(&[cookie]).await })
        };
        let older = reader();
        quiet(&bench, 1).await;
        bench.commit(visitor, changes).await;

        let newer = reader();
        quiet(&bench, 2).await;

        bench.store.step();
        bench.store.step();
        older.await.unwrap();
        newer.await.unwrap();
    }
}

#[tokio::test]
async fn a_resume_after_an_end_does_not_join_an_older_read_even_if_the_dead_record_could_not_be_removed() {
    let bench = Bench::over(Arc::new(super::tap::Tap::holding(Load)), |_| {});
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.step();
    let visitor = bench.resume(&cookie).await;
    let reader = || {
        let (sessions, cookie) = (bench.sessions.clone(), cookie.clone());
        tokio::spawn(async move { sessions.resume(&[cookie]).await })
    };
    let _older = reader();
    quiet(&bench, 1).await;
    bench.store.fail(2, 1, super::tap::Fault::Refused);

    let outcome = bench.commit(visitor, end()).await;

    assert_eq!((outcome.event, bench.store.heal()), (Event::Ended, true));
    let _newer = reader();
    quiet(&bench, 2).await;
}

/// Waits until so many reads are under way.
async fn quiet(bench: &Bench, reads: usize) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.store.waiting(), reads, "reads under way");
}

#[tokio::test]
async fn a_resume_whose_caller_left_does_not_hold_up_the_next() {
    let bench = Bench::over(Arc::new(super::tap::Tap::on(Arc::default(), true)), |_| {});
    bench.store.step();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let leaving = tokio::spawn({
        let (sessions, cookie) = (bench.sessions.clone(), cookie.clone());
        async move { sessions.resume(&[cookie]).await }
    });
    while bench.store.waiting() < 1 {
        tokio::task::yield_now().await;
    }

    leaving.abort();
    let _ = leaving.await;
    bench.store.step();

    assert_eq!(bench.data(&cookie).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn an_answer_without_changes_to_a_stranger_stores_nothing() {
    let bench = Bench::new();

    let outcome = bench.commit(Visitor::Stranger, nothing()).await;

    assert_eq!((outcome.event, bench.store.calls().as_slice()), (Event::None, [].as_slice()));
    assert_eq!(bench.commit(Visitor::Stranger, set("{}")).await.event, Event::None);
    assert!(!bench.store.calls().contains(&Update));
}
