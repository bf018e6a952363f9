//! How long sessions and their cookies live, and what a use does to them.

use super::bench::*;
use cloakroom::clock::Clock;
use cloakroom::session::lifecycle::{Lapse, Rolling};
use cloakroom::session::store::Operation::{Load, Touch, Update};
use cloakroom::session::{CookieOrder, Event, Visitor};
use std::time::Duration;

#[tokio::test]
async fn a_session_lives_to_the_last_millisecond_of_its_idle_limit() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    bench.clock.advance(14 * DAY - MILLISECOND);
    bench.see(&cookie).await;
    bench.clock.advance(MILLISECOND);

    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Idle));
}

#[tokio::test]
async fn a_busy_session_is_over_at_its_absolute_limit_to_the_millisecond() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    for _ in 0..9 {
        bench.clock.advance(10 * DAY - Duration::from_nanos(1_000_000 / 9 + 1));
        bench.send(&cookie, nothing()).await;
        bench.settle().await;
    }
    let left = bench.stored(&cookie).await.unwrap().expires_at.unwrap().since(bench.clock.now());

    bench.clock.advance(left - MILLISECOND);
    bench.see(&cookie).await;
    bench.clock.advance(MILLISECOND);

    assert_eq!(bench.clock.now(), START.plus(90 * DAY));
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Absolute));
}

#[tokio::test]
async fn a_use_is_noted_once_per_touch_interval() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();

    for (wait, event, calls) in [
        (MINUTE - MILLISECOND, Event::Resumed, vec![Load]),
        (MILLISECOND, Event::Touched, vec![Load, Touch]),
        (MINUTE - MILLISECOND, Event::Resumed, vec![Load]),
        (MILLISECOND, Event::Touched, vec![Load, Touch]),
    ] {
        bench.clock.advance(wait);
        let outcome = bench.send(&cookie, nothing()).await;
        bench.settle().await;
        assert_eq!((outcome.event, bench.store.calls()), (event, calls), "after {wait:?}");
    }
}

#[tokio::test]
async fn a_busy_session_of_a_short_life_does_not_die_between_two_touches() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.send(&cookie, max_age(20 * SECOND)).await;

    for _ in 0..30 {
        bench.clock.advance(5 * SECOND);
        assert_eq!(bench.send(&cookie, nothing()).await.event.as_str().replace("refreshed", "touched"), "touched");
        bench.settle().await;
    }
    bench.clock.advance(20 * SECOND);

    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Idle));
}

#[tokio::test]
async fn a_touch_moves_the_end_and_keeps_data_and_revision() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let before = bench.stored(&cookie).await.unwrap();
    bench.clock.advance(DAY);

    bench.send(&cookie, nothing()).await;
    bench.settle().await;

    let now = bench.clock.now();
    let after = bench.stored(&cookie).await.unwrap();
    assert_eq!(after, cloakroom::session::record::Record { expires_at: Some(now.plus(14 * DAY)), updated_at: Some(now), ..before });
}

#[tokio::test]
async fn a_touch_never_revives() {
    for ending in [end(), max_age(Duration::ZERO)] {
        let bench = Bench::new();
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        bench.clock.advance(DAY);
        let slow = bench.resume(&cookie).await;
        bench.send(&cookie, ending).await;

        bench.commit(slow, nothing()).await;
        bench.settle().await;

        assert!(!matches!(bench.resume(&cookie).await, Visitor::Known(_)));
    }
}

#[tokio::test]
async fn a_polling_request_does_not_keep_the_session_alive() {
    for resave in [false, true] {
        let bench = Bench::with(|options| options.resave = resave);
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        bench.clock.advance(10 * DAY);
        bench.store.calls();

        let visitor = bench.resume(&cookie).await;
        let outcome = bench.sessions.commit(visitor, nothing(), polling()).await.unwrap();

        assert_eq!((outcome.cookie, bench.store.calls()), (CookieOrder::Keep, vec![Load]), "resave {resave}");
    }
}

#[tokio::test]
async fn an_own_lifetime_replaces_the_configured_one_and_slides() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let outcome = bench.send(&cookie, max_age(30 * DAY)).await;
    bench.clock.advance(20 * DAY);
    bench.see(&cookie).await;

    assert_eq!(attribute(&outcome, "Max-Age").as_deref(), Some("2592000"));
    bench.clock.advance(10 * DAY);
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Idle));
}

#[tokio::test]
async fn an_own_lifetime_is_bounded_by_the_absolute_limit() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let outcome = bench.send(&cookie, max_age(1000 * DAY)).await;

    assert_eq!(bench.stored(&cookie).await.unwrap().expires_at, Some(START.plus(90 * DAY)));
    assert_eq!(attribute(&outcome, "Max-Age").as_deref(), Some("7776000"));
}

#[tokio::test]
async fn an_own_lifetime_of_zero_ends_the_session() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let outcome = bench.send(&cookie, max_age(Duration::ZERO)).await;

    assert_eq!((outcome.event, attribute(&outcome, "Max-Age").as_deref()), (Event::Ended, Some("0")));
    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Unknown));
}

#[tokio::test]
async fn auto_rolling_sends_the_cookie_again_when_less_than_half_its_life_is_left() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    bench.clock.advance(7 * DAY);
    let at_half = bench.send(&cookie, nothing()).await;
    bench.settle().await;
    bench.clock.advance(MILLISECOND);
    let past_half = bench.send(&cookie, nothing()).await;
    let right_after = bench.send(&cookie, nothing()).await;

    assert_eq!((at_half.event, at_half.cookie), (Event::Touched, CookieOrder::Keep));
    assert_eq!((past_half.event, attribute(&past_half, "Max-Age").as_deref()), (Event::Refreshed, Some("1209600")));
    assert_eq!(right_after.cookie, CookieOrder::Keep);
}

#[tokio::test]
async fn a_due_refresh_is_told_even_if_the_store_refuses_to_note_it() {
    for fault in super::tap::FAULTS {
        let bench = Bench::new();
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        bench.clock.advance(8 * DAY);
        let visitor = bench.resume(&cookie).await;
        bench.store.fail(1, 2, fault);

        let outcome = bench.commit(visitor, nothing()).await;

        assert_eq!(attribute(&outcome, "Max-Age").as_deref(), Some("1209600"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_patch_that_changes_nothing_is_a_plain_use() {
    for rolling in [Rolling::Auto, Rolling::Never] {
        let bench = Bench::with(|options| options.lifecycle.rolling = rolling);
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        bench.clock.advance(if rolling == Rolling::Auto { DAY } else { 8 * DAY });
        bench.store.calls();

        let outcome = bench.send(&cookie, set(r#"{"a":1,"b":null}"#)).await;

        assert_eq!((outcome.event, outcome.cookie), (Event::Touched, CookieOrder::Keep), "{rolling:?}");
        assert_eq!(bench.store.calls(), [Load, Touch], "{rolling:?}");
    }
}

#[tokio::test]
async fn the_cookie_of_a_session_longer_than_400_days_is_renewed_before_the_browser_drops_it() {
    let bench = Bench::with(|options| {
        options.lifecycle.idle_timeout = Some(1000 * DAY);
        options.lifecycle.max_age = Some(1000 * DAY);
        options.lifecycle.absolute_timeout = None;
    });
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    bench.clock.advance(201 * DAY);
    let outcome = bench.send(&cookie, nothing()).await;

    assert_eq!(attribute(&outcome, "Max-Age").as_deref(), Some("34560000"));
}

#[tokio::test]
async fn a_browser_session_cookie_has_no_lifetime_and_its_record_the_idle_limit() {
    let bench = Bench::with(|options| options.lifecycle.max_age = None);

    let outcome = bench.commit(Visitor::Stranger, set(r#"{"a":1}"#)).await;

    assert_eq!((attribute(&outcome, "Max-Age"), attribute(&outcome, "Expires")), (None, None));
    let stored = bench.stored(&cookie_in(&outcome).unwrap()).await.unwrap();
    assert_eq!((stored.expires_at, stored.cookie.original_max_age), (Some(START.plus(14 * DAY)), None));
}

#[tokio::test]
async fn a_limit_that_is_not_configured_follows_the_other() {
    for (idle, max_age, lifetime) in
        [(Some(DAY), Some(2 * DAY), DAY), (Some(2 * DAY), Some(DAY), DAY), (None, Some(DAY), DAY), (Some(DAY), None, DAY)]
    {
        let bench = Bench::with(|options| {
            options.lifecycle.idle_timeout = idle;
            options.lifecycle.max_age = max_age;
        });

        let cookie = bench.begin(set(r#"{"a":1}"#)).await;

        assert_eq!(bench.stored(&cookie).await.unwrap().expires_at, Some(START.plus(lifetime)), "{idle:?} {max_age:?}");
    }
}

#[tokio::test]
async fn what_the_visitor_is_told_of_the_end_is_what_happens() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.clock.advance(DAY);
    let session = bench.see(&cookie).await;

    let told = bench.sessions.ends_at(&session, true, bench.sessions.now()).unwrap();
    bench.send(&cookie, nothing()).await;
    bench.settle().await;

    assert_eq!(bench.stored(&cookie).await.unwrap().expires_at, Some(told));
    assert_eq!(bench.sessions.absolute_end(&session), Some(START.plus(90 * DAY)));
}

#[tokio::test]
async fn a_resaved_session_is_written_in_full_at_every_use() {
    let bench = Bench::with(|options| options.resave = true);
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();

    bench.send(&cookie, nothing()).await;

    assert_eq!(bench.store.calls(), [Load, Update]);
}
