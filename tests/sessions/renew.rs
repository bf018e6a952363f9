//! A new id for the same session, and the grace of the old one.

use super::bench::*;
use super::tap::{Fault, Tap};
use cloakroom::clock::Clock;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::{Moved, Record};
use cloakroom::session::store::{Found, MemoryStore, SessionStore as _, Updated};
use cloakroom::session::{Changes, CookieOrder, Dropped, Event, Visitor};
use std::sync::Arc;

#[tokio::test]
async fn a_renewal_keeps_everything_but_the_id() {
    let bench = Bench::new();
    let old = bench.begin(Changes { login: Some("alice".into()), ..set(r#"{"a":1}"#) }).await;
    let before = bench.see(&old).await;
    bench.clock.advance(DAY);

    let outcome = bench.send(&old, renew()).await;

    let new = cookie_in(&outcome).unwrap();
    let after = bench.see(&new).await;
    let kept = |session: &cloakroom::session::Session| {
        let record = session.record();
        (session.handle().clone(), record.data.clone(), record.user.clone(), record.created_at, record.login_at)
    };
    assert_eq!((outcome.event, kept(&after)), (Event::Renewed, kept(&before)));
    assert_ne!(bench.id(&new), bench.id(&old));
}

#[tokio::test]
async fn a_renewal_takes_the_answers_other_changes_along() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;

    let new = cookie_in(&bench.send(&old, Changes { renew: true, ..set(r#"{"b":2}"#) }).await).unwrap();

    assert_eq!(bench.data(&new).await, r#"{"a":1,"b":2}"#);
}

#[tokio::test]
async fn during_the_grace_the_old_id_reads_and_gets_no_cookie() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    bench.send(&old, renew()).await;
    bench.clock.advance(10 * SECOND - MILLISECOND);

    let outcome = bench.send(&old, nothing()).await;

    assert_eq!((outcome.event, outcome.cookie), (Event::Resumed, CookieOrder::Keep));
    assert_eq!(bench.data(&old).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn during_the_grace_the_old_id_may_not_change_the_session() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

    for changes in [set(r#"{"a":2}"#), renew(), max_age(SECOND)] {
        let outcome = bench.send(&old, changes).await;
        assert_eq!((outcome.event, outcome.cookie), (Event::Dropped(Dropped::Renewed), CookieOrder::Keep));
    }
    assert_eq!(bench.data(&new).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn during_the_grace_the_old_id_may_end_the_session() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

    let outcome = bench.send(&old, end()).await;

    assert_eq!(outcome.event, Event::Ended);
    assert!(!matches!(bench.resume(&new).await, Visitor::Known(_)));
}

#[tokio::test]
async fn after_the_grace_the_old_id_is_replaced() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    bench.send(&old, renew()).await;

    bench.clock.advance(10 * SECOND);

    assert_eq!(bench.lapse(&old).await, Some(Lapse::Replaced));
}

#[tokio::test]
async fn without_a_grace_the_old_id_is_dead_at_once() {
    let bench = Bench::with(|options| options.lifecycle.renew_grace = None);
    let old = bench.begin(set(r#"{"a":1}"#)).await;

    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

    assert_eq!(bench.stored(&old).await, None, "nothing of it stays");
    assert!(!matches!(bench.resume(&old).await, Visitor::Known(_)));
    assert_eq!(bench.data(&new).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_change_that_a_renewal_without_a_grace_overtook_is_dropped_and_says_why() {
    let bench = Bench::with(|options| options.lifecycle.renew_grace = None);
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&old).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

    let outcome = bench.commit(slow, set(r#"{"a":2}"#)).await;

    assert_eq!((outcome.event, outcome.cookie), (Event::Dropped(Dropped::Renewed), CookieOrder::Keep));
    assert_eq!(bench.data(&new).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_second_renewal_leaves_the_first_id_behind() {
    let bench = Bench::new();
    let first = bench.begin(set(r#"{"a":1}"#)).await;
    let second = cookie_in(&bench.send(&first, renew()).await).unwrap();

    let third = cookie_in(&bench.send(&second, renew()).await).unwrap();

    assert_eq!(bench.lapse(&first).await, Some(Lapse::Replaced));
    assert_eq!((bench.data(&second).await, bench.data(&third).await), (r#"{"a":1}"#.into(), r#"{"a":1}"#.into()));
}

#[tokio::test]
async fn a_renewal_over_another_tabs_change_keeps_that_change() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&old).await;
    bench.send(&old, set(r#"{"b":2}"#)).await;

    let new = cookie_in(&bench.commit(slow, renew()).await).unwrap();

    assert_eq!(bench.data(&new).await, r#"{"a":1,"b":2}"#);
}

#[tokio::test]
async fn a_change_that_a_renewal_overtook_is_dropped_and_says_why() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&old).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

    let outcome = bench.commit(slow, set(r#"{"a":2}"#)).await;

    assert_eq!((outcome.event, outcome.cookie), (Event::Dropped(Dropped::Renewed), CookieOrder::Keep));
    assert_eq!(bench.data(&new).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_change_of_unknown_outcome_is_not_written_into_a_renewals_pointer() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&old).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();
    bench.store.fail(1, 1, Fault::Lost);

    let outcome = bench.commit(slow, set(r#"{"a":2}"#)).await;

    assert!(bench.store.heal());
    assert_eq!(outcome.event, Event::Dropped(Dropped::Renewed));
    let pointer = bench.stored(&old).await.unwrap();
    assert!(pointer.data.is_empty() && pointer.expires_at == Some(bench.clock.now().plus(10 * SECOND)), "{pointer:?}");
    assert_eq!(bench.data(&new).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_renewal_that_nobody_was_told_of_comes_to_nothing_even_if_its_pointer_arrives_late() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    let (key, visitor) = (bench.key(&old), bench.resume(&old).await);
    let Ok(Found::Live(record, version)) = bench.store.load(&key, bench.clock.now()).await else { panic!("a live session") };
    let handle = record.handle.clone().expect("a handle");

    // The pointer gets lost, and so does the question whether it is there.
    bench.store.fail(2, 2, Fault::Lost);
    let renewed = bench.sessions.commit(visitor, renew(), here()).await;
    bench.store.heal();
    while bench.store.find(&handle, bench.clock.now()).await.expect("an answer").len() > 1 {
        tokio::task::yield_now().await;
    }
    let pointer = Record { moved: Some(Moved { to: bench.key(&old), at: None }), revision: record.revision + 1, ..Record::default() };
    let late = bench.store.update(&key, &version, Arc::new(pointer), bench.clock.now()).await;

    assert!(renewed.is_err() && matches!(late, Ok(Updated::Stale)), "{renewed:?}, {late:?}");
    assert_eq!(bench.data(&old).await, r#"{"a":1}"#);
}

/// A proxy renewed Alice's session, told her, and died before the store let it end the pointer: the site as another proxy sees it, and the old and
/// the new id.
async fn left_open() -> (Bench, String, String) {
    let memory = Arc::new(MemoryStore::default());
    let died = Bench::over(Arc::new(Tap::on(memory.clone(), false)), |_| {});
    let old = died.begin(Changes { login: Some("alice".into()), ..set(r#"{"a":1}"#) }).await;
    let visitor = died.resume(&old).await;
    // After the new record, a look at the epoch and the pointer, for good.
    died.store.fail(4, usize::MAX - 4, Fault::Refused);
    let told = died.commit(visitor, renew()).await;
    let site = died.beside(Arc::new(Tap::on(memory, false)), |_| {});
    let pointer = site.stored(&old).await.and_then(|record| record.moved).expect("a pointer");
    assert!(told.event == Event::Renewed && pointer.at.is_none(), "{told:?}, {pointer:?}");
    (site, old, cookie_in(&told).expect("the new id"))
}

#[tokio::test]
async fn an_old_id_that_a_dying_proxy_left_open_opens_the_session_for_as_long_as_that_is_used() {
    let (site, old, new) = left_open().await;
    for cookie in [&old, &new, &old] {
        site.clock.advance(13 * DAY);
        assert_eq!(site.send(cookie, nothing()).await.event, Event::Refreshed);
    }
    assert_eq!(site.see(&old).await.handle(), site.see(&new).await.handle());

    site.clock.advance(14 * DAY);

    assert_eq!((site.lapse(&old).await, site.lapse(&new).await), (Some(Lapse::Idle), Some(Lapse::Idle)));
}

#[tokio::test]
async fn an_old_id_that_a_dying_proxy_left_open_does_not_outlive_the_session() {
    for (changes, by_old) in [(end(), false), (end(), true), (end_all(), false)] {
        let (site, old, new) = left_open().await;

        site.send(if by_old { &old } else { &new }, changes).await;

        let (old, new) = (site.resume(&old).await, site.resume(&new).await);
        assert!(!matches!(old, Visitor::Known(_)) && !matches!(new, Visitor::Known(_)), "{old:?}, {new:?}");
    }
    let (site, old, new) = left_open().await;
    for _ in 0..9 {
        assert!(matches!(site.resume(&new).await, Visitor::Known(_)));
        site.send(&new, set(r#"{"a":1}"#)).await;
        site.clock.advance(10 * DAY);
    }
    assert!(!matches!(site.resume(&old).await, Visitor::Known(_)), "nor its absolute end");
}

#[tokio::test]
async fn an_old_id_that_a_dying_proxy_left_open_is_closed_by_the_next_renewal() {
    for by_old in [true, false] {
        let (site, old, new) = left_open().await;

        let newest = cookie_in(&site.send(if by_old { &old } else { &new }, renew()).await).expect("an id");
        site.clock.advance(10 * SECOND);

        assert!(matches!(site.resume(&newest).await, Visitor::Known(_)));
        assert_eq!((site.lapse(&old).await, site.lapse(&new).await), (Some(Lapse::Replaced), Some(Lapse::Replaced)));
    }
}
