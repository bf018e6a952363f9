//! Sessions that Node apps wrote: no handle, no revision, perhaps no times.

use super::bench::*;
use cloakroom::clock::{Clock, Timestamp};
use cloakroom::random::OsEntropy;
use cloakroom::session::id::{Handle, IdHash, SessionId, SessionKey};
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::Record;
use cloakroom::session::store::SessionStore;
use cloakroom::session::{Event, Visitor};
use std::sync::Arc;

/// A record as a Node app leaves it, and its cookie.
async fn written_by_node(bench: &Bench, expires_at: Option<Timestamp>) -> String {
    let id = SessionId::generate(&OsEntropy);
    let record = Record { data: data(r#"{"passport":{"user":"5f2"},"n":1.0}"#), expires_at, ..Record::default() };
    bench.store.create(&SessionKey::of(&id, IdHash::Sha256), Arc::new(record)).await.unwrap();
    bench.store.calls();
    bench.sessions.keyring().sign(&id)
}

#[tokio::test]
async fn its_handle_is_derived_from_the_id_and_stored_with_the_next_write() {
    let bench = Bench::new();
    let cookie = written_by_node(&bench, Some(START.plus(DAY))).await;
    let derived = Handle::derived(&bench.id(&cookie));

    let (before, stored_before) = (bench.see(&cookie).await, bench.stored(&cookie).await.unwrap().handle);
    bench.send(&cookie, set(r#"{"a":1}"#)).await;

    assert_eq!((before.handle(), stored_before), (&derived, None));
    assert_eq!(bench.stored(&cookie).await.unwrap().handle, Some(derived));
}

#[tokio::test]
async fn a_renewal_keeps_the_derived_handle() {
    let bench = Bench::new();
    let cookie = written_by_node(&bench, Some(START.plus(DAY))).await;

    let new = cookie_in(&bench.send(&cookie, renew()).await).unwrap();

    assert_eq!(bench.see(&new).await.handle(), &Handle::derived(&bench.id(&cookie)));
}

#[tokio::test]
async fn its_user_is_found_by_the_field() {
    let bench = Bench::with(|options| options.user_from = Some(vec!["passport".into(), "user".into()]));
    let cookie = written_by_node(&bench, Some(START.plus(DAY))).await;

    assert_eq!(bench.see(&cookie).await.user(), Some("5f2"));
    bench.send(&cookie, set(r#"{"a":1}"#)).await;
    assert_eq!(bench.stored(&cookie).await.unwrap().user.as_deref(), Some("5f2"));
}

#[tokio::test]
async fn once_it_was_used_here_it_ends_with_all_of_its_user_and_by_its_handle() {
    let bench = Bench::with(|options| options.user_from = Some(vec!["passport".into(), "user".into()]));
    let cookies = [written_by_node(&bench, Some(START.plus(DAY))).await, written_by_node(&bench, Some(START.plus(DAY))).await];
    for cookie in &cookies {
        assert_eq!(bench.send(cookie, nothing()).await.event, Event::Refreshed);
        assert_eq!(bench.send(cookie, nothing()).await.event, Event::Resumed, "once");
    }

    let by_handle = bench.sessions.end_handle(bench.see(&cookies[0]).await.handle()).await.unwrap();
    let by_user = bench.sessions.end_user("5f2").await.unwrap();

    assert_eq!((by_handle, by_user), (Event::Ended, Event::EndedAll));
    assert_eq!([bench.lapse(&cookies[0]).await, bench.lapse(&cookies[1]).await], [Some(Lapse::Revoked); 2]);
}

#[tokio::test]
async fn touching_a_record_that_never_expires_gives_it_no_expiry() {
    let bench = Bench::new();
    let cookie = written_by_node(&bench, None).await;

    let events = [bench.send(&cookie, nothing()).await.event, {
        bench.settle().await;
        bench.send(&cookie, nothing()).await.event
    }];
    bench.clock.advance(1000 * DAY);

    assert_eq!(events, [Event::Touched, Event::Resumed]);
    assert!(matches!(bench.resume(&cookie).await, Visitor::Known(_)));
}

#[tokio::test]
async fn our_first_write_gives_a_record_that_never_expires_the_configured_life() {
    let bench = Bench::new();
    let cookie = written_by_node(&bench, None).await;

    bench.send(&cookie, set(r#"{"a":1}"#)).await;

    let stored = bench.stored(&cookie).await.unwrap();
    assert_eq!((stored.created_at, stored.expires_at), (Some(START), Some(START.plus(14 * DAY))));
    assert_eq!(stored.data.to_json(), r#"{"passport":{"user":"5f2"},"n":1.0,"a":1}"#);
}

#[tokio::test]
async fn its_absolute_limit_starts_at_our_first_write() {
    let bench = Bench::new();
    let cookie = written_by_node(&bench, Some(START.plus(DAY))).await;
    assert_eq!(bench.sessions.absolute_end(&bench.see(&cookie).await), None);
    bench.clock.advance(DAY - MILLISECOND);

    bench.send(&cookie, max_age(1000 * DAY)).await;
    let wrote = bench.clock.now();
    bench.clock.advance(90 * DAY - MILLISECOND);
    bench.see(&cookie).await;
    bench.clock.advance(MILLISECOND);

    assert_eq!(bench.clock.now(), wrote.plus(90 * DAY));
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Absolute));
}

#[tokio::test]
async fn without_a_time_of_last_use_a_touch_is_due_a_touch_interval_after_the_expiry_was_set() {
    let bench = Bench::new();
    let cookie = written_by_node(&bench, Some(START.plus(14 * DAY))).await;

    let fresh = bench.send(&cookie, nothing()).await.event;
    bench.clock.advance(MINUTE);
    let later = bench.send(&cookie, nothing()).await.event;
    bench.settle().await;

    assert_eq!((fresh, later), (Event::Resumed, Event::Touched));
}
