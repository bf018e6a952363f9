//! A store that does not answer: nobody is signed out, nobody gets in, and an end is honest about it.

use super::bench::*;
use super::tap::{Fault, Tap};
use cloakroom::random::OsEntropy;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::sessions::Unset;
use cloakroom::session::store::Operation::{Load, Update};
use cloakroom::session::store::{GuardedStore, StoreError};
use cloakroom::session::{Changes, CookieOrder, End, Event, Sessions, Visitor};
use std::sync::Arc;
use std::time::Duration;

/// Waits for the retries of an end, which use real time.
async fn until_gone(bench: &Bench, cookie: &str) {
    let gone = async {
        while bench.stored(cookie).await.is_some_and(|left| left.ended.is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the end is tried again");
}

#[tokio::test]
async fn an_unreachable_store_is_neither_in_nor_out() {
    let bench = Bench::new();
    let cookie = bench.begin(login("alice")).await;
    bench.store.set_down(true);

    let visitor = bench.resume(&cookie).await;

    assert!(matches!(&visitor, Visitor::Unreachable { keys, .. } if *keys == [bench.key(&cookie)]), "{visitor:?}");
    bench.store.set_down(false);
    assert_eq!(bench.see(&cookie).await.user(), Some("alice"));
}

#[tokio::test]
async fn after_a_failed_read_nothing_is_written() {
    for unset_means in [Unset::Keep, Unset::Destroy] {
        let bench = Bench::with(|options| {
            options.unset = unset_means;
            options.save_uninitialized = true;
            options.resave = true;
        });
        let cookie = bench.begin(login("alice")).await;
        bench.store.fail(1, 1, Fault::Refused);
        let visitor = bench.resume(&cookie).await;
        bench.store.calls();

        for changes in [set(r#"{"a":1}"#), login("bob"), renew(), max_age(DAY)] {
            assert!(bench.sessions.commit(visitor.clone(), changes, here()).await.is_err());
        }
        let outcome = bench.commit(visitor, nothing()).await;

        assert_eq!((outcome.event, outcome.cookie), (Event::None, CookieOrder::Keep));
        assert_eq!(bench.store.calls(), []);
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_while_the_store_is_down_is_refused_at_once_and_ended_later() {
    let bench = Bench::new();
    let cookie = bench.begin(login("alice")).await;
    bench.store.set_down(true);
    let visitor = bench.resume(&cookie).await;

    let outcome = bench.commit(visitor, end()).await;

    assert_eq!((outcome.event, attribute(&outcome, "Max-Age").as_deref()), (Event::EndUnconfirmed, Some("0")));
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Ended));
    bench.store.set_down(false);
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Ended));
    until_gone(&bench, &cookie).await;
}

#[tokio::test]
async fn a_slow_request_does_not_bring_a_session_back_whose_end_is_unconfirmed() {
    for (name, answer) in [
        ("touch", nothing()),
        ("set", set(r#"{"userinfo":"alice","b":1}"#)),
        ("renew", renew()),
        ("another user by the field", set(r#"{"userinfo":"bob"}"#)),
    ] {
        for ending in [end(), end_all()] {
            let bench = Bench::with(|options| options.user_from = Some(vec!["userinfo".into()]));
            let cookie = bench.begin(set(r#"{"userinfo":"alice"}"#)).await;
            bench.clock.advance(8 * DAY);
            let slow = bench.resume(&cookie).await;
            let leaving = bench.resume(&cookie).await;
            bench.store.set_down(true);
            bench.commit(leaving, ending).await;
            bench.store.set_down(false);

            let outcome = bench.commit(slow, answer.clone()).await;

            assert_eq!(outcome.cookie, CookieOrder::Keep, "{name}");
            assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Ended), "{name}");
        }
    }
}

#[tokio::test]
async fn a_login_over_a_session_whose_end_is_unconfirmed_begins_anew() {
    let bench = Bench::new();
    let cookie = bench.begin(Changes { login: Some("alice".into()), ..set(r#"{"secret":1}"#) }).await;
    let (slow, leaving) = (bench.resume(&cookie).await, bench.resume(&cookie).await);
    bench.store.set_down(true);
    bench.commit(leaving, end()).await;
    bench.store.set_down(false);

    let outcome = bench.commit(slow, login("alice")).await;

    assert_eq!(bench.data(&cookie_in(&outcome).unwrap()).await, "{}");
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Ended));
}

#[tokio::test]
async fn an_unconfirmed_end_of_all_spares_whoever_signs_in_afterwards() {
    let bench = Bench::new();
    let (phone, laptop) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await);
    let leaving = bench.resume(&phone).await;
    bench.store.set_down(true);
    let outcome = bench.commit(leaving, end_all()).await;
    bench.store.set_down(false);
    assert_eq!((outcome.event, bench.lapse(&laptop).await), (Event::EndUnconfirmed, Some(Lapse::Revoked)));

    bench.clock.advance(SECOND);
    let later = bench.begin(login("alice")).await;
    until_gone(&bench, &laptop).await;
    until_gone(&bench, &phone).await;

    assert_eq!(bench.see(&later).await.user(), Some("alice"));
}

#[tokio::test]
async fn an_unconfirmed_logout_reaches_the_session_that_a_renewal_moved() {
    let bench = Bench::new();
    let old = bench.begin(login("alice")).await;
    let leaving = bench.resume(&old).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();
    bench.store.set_down(true);
    bench.commit(leaving, end()).await;
    bench.store.set_down(false);

    until_gone(&bench, &new).await;
}

#[tokio::test]
async fn a_refused_commit_leaves_the_session_as_it_was() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let before = bench.stored(&cookie).await;
    for changes in [set(r#"{"a":2}"#), renew(), login("alice")] {
        let visitor = bench.resume(&cookie).await;
        bench.store.set_down(true);

        assert!(bench.sessions.commit(visitor, changes, here()).await.is_err());

        bench.store.set_down(false);
        assert_eq!(bench.stored(&cookie).await, before);
    }
}

#[tokio::test]
async fn a_use_that_could_not_be_noted_is_noted_with_the_next_request() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.clock.advance(MINUTE);
    let visitor = bench.resume(&cookie).await;
    bench.store.set_down(true);
    bench.commit(visitor, nothing()).await;
    bench.settle().await;
    bench.store.set_down(false);

    let outcome = bench.send(&cookie, nothing()).await;
    bench.settle().await;

    assert_eq!(outcome.event, Event::Touched);
    assert_eq!(bench.stored(&cookie).await.unwrap().updated_at, Some(START.plus(MINUTE)));
}

#[tokio::test]
async fn a_begin_whose_outcome_the_store_could_not_tell_is_read_back() {
    let bench = Bench::new();
    bench.store.fail(1, 1, Fault::Landed);

    let outcome = bench.commit(Visitor::Stranger, set(r#"{"a":1}"#)).await;

    bench.store.heal();
    assert_eq!(bench.store.calls().get(1), Some(&Load));
    assert_eq!(bench.data(&cookie_in(&outcome).unwrap()).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_renewal_that_stays_unknown_leaves_the_visitor_a_way_in() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let visitor = bench.resume(&cookie).await;
    // The swap lands, its answer is lost, and the store is away when it is asked what happened.
    bench.store.fail(2, 2, Fault::Landed);

    assert!(bench.sessions.commit(visitor, renew(), here()).await.is_err());

    bench.store.heal();
    assert_eq!(bench.data(&cookie).await, r#"{"a":1}"#);
}

/// Each operation by itself may wait as long as it likes here, as one does in a store that is just not slow enough.
#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_the_store_no_longer_than_its_deadline() {
    let site = Bench::over(Arc::new(Tap::holding(Update)), |_| {});
    let guarded = Arc::new(GuardedStore::new(site.store.clone(), site.clock.clone()));
    let sessions = Arc::new(Sessions::new(guarded, keyring(&["current"]), options(), site.clock.clone(), Arc::new(OsEntropy)));
    let cookie = site.begin(login("alice")).await;
    let alice = site.resume(&cookie).await;
    let began = tokio::time::Instant::now();

    let change = sessions.commit(alice.clone(), set(r#"{"a":1}"#), here()).await;
    let end = sessions.end(&alice, End::All, true).await.unwrap();

    assert!(change.is_err_and(|error| matches!(*error, StoreError::Unavailable { .. })));
    assert_eq!(end.event, Event::EndUnconfirmed);
    assert_eq!(began.elapsed().as_secs(), 2 * options().store_deadline.as_secs());
}
