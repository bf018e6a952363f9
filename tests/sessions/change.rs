//! Changes of a session's contents.

use super::bench::*;
use cloakroom::session::sessions::Unset;
use cloakroom::session::store::Operation::{Create, Load};
use cloakroom::session::{Changes, Dropped, Event, Outcome, Visitor};

#[tokio::test]
async fn a_strangers_first_data_begins_a_session() {
    let bench = Bench::new();

    let outcome = bench.commit(Visitor::Stranger, set(r#"{"cart":["a"]}"#)).await;

    assert_eq!(outcome.event, Event::Started);
    assert_eq!(bench.data(&cookie_in(&outcome).unwrap()).await, r#"{"cart":["a"]}"#);
    assert_eq!(bench.store.calls(), [Create, Load]);
}

#[tokio::test]
async fn an_empty_session_begins_only_where_uninitialized_ones_are_saved() {
    for (save, event) in [(false, Event::None), (true, Event::Started)] {
        let bench = Bench::with(|options| options.save_uninitialized = save);

        let outcome = bench.commit(Visitor::Stranger, nothing()).await;

        assert_eq!((outcome.event, cookie_in(&outcome).is_some()), (event, save));
    }
}

#[tokio::test]
async fn two_tabs_changes_both_survive() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1,"b":1}"#)).await;
    let (left, right) = (bench.resume(&cookie).await, bench.resume(&cookie).await);

    bench.commit(left, set(r#"{"a":2}"#)).await;
    bench.commit(right, set(r#"{"b":2,"c":{"d":1}}"#)).await;

    assert_eq!(bench.data(&cookie).await, r#"{"a":2,"b":2,"c":{"d":1}}"#);
}

#[tokio::test]
async fn several_patches_apply_in_order() {
    let bench = Bench::new();
    let patches = [set(r#"{"a":1,"b":1}"#), set(r#"{"a":null}"#)].into_iter().flat_map(|changes| changes.patches).collect();

    let cookie = bench.begin(Changes { patches, ..nothing() }).await;

    assert_eq!(bench.data(&cookie).await, r#"{"b":1}"#);
}

#[tokio::test]
async fn each_change_raises_the_revision_and_leaves_a_new_mark() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let before = bench.stored(&cookie).await.unwrap();

    bench.send(&cookie, set(r#"{"a":2}"#)).await;

    let after = bench.stored(&cookie).await.unwrap();
    assert_eq!((before.revision, after.revision, before.handle == after.handle), (1, 2, true));
    assert_ne!(before.last_write, after.last_write);
}

#[tokio::test]
async fn a_session_may_not_outgrow_its_limit() {
    let bench = Bench::with(|options| options.max_bytes = 20);
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let outcome = bench.send(&cookie, set(r#"{"b":"0123456789"}"#)).await;

    assert_eq!(outcome, Outcome::quiet(Event::Dropped(Dropped::TooLarge)));
    assert_eq!(bench.data(&cookie).await, r#"{"a":1}"#);
    let stranger = bench.commit(Visitor::Stranger, set(r#"{"b":"01234567890123456789"}"#)).await;
    assert_eq!(stranger, Outcome::quiet(Event::Dropped(Dropped::TooLarge)));
}

#[tokio::test]
async fn a_session_that_is_too_large_already_lives_and_may_shrink() {
    let big = Bench::new();
    let cookie = big.begin(set(r#"{"a":"0123456789","b":"0123456789","c":1}"#)).await;
    let bench = big.beside(big.store.clone(), |options| options.max_bytes = 20);
    bench.clock.advance(8 * DAY);

    let refreshed = bench.send(&cookie, nothing()).await;
    let grown = bench.send(&cookie, set(r#"{"d":1}"#)).await;
    let shrunk = bench.send(&cookie, set(r#"{"c":null}"#)).await;

    assert_eq!((refreshed.event, grown.event, shrunk.event), (Event::Refreshed, Event::Dropped(Dropped::TooLarge), Event::Changed));
}

#[tokio::test]
async fn a_null_session_writes_nothing_where_unset_keeps() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.store.calls();

    let outcome = bench.send(&cookie, unset()).await;

    assert_eq!((outcome, bench.store.calls()), (Outcome::quiet(Event::Resumed), vec![Load]));
}

#[tokio::test]
async fn a_null_session_ends_where_unset_destroys() {
    let bench = Bench::with(|options| options.unset = Unset::Destroy);
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let outcome = bench.send(&cookie, unset()).await;

    assert_eq!(outcome.event, Event::Ended);
    assert_eq!(bench.stored(&cookie).await, None);
}

#[tokio::test]
async fn an_end_is_heard_beside_a_null_session() {
    let bench = Bench::new();
    for ending in [end(), max_age(std::time::Duration::ZERO)] {
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;

        let outcome = bench.send(&cookie, Changes { patches: unset().patches, ..ending }).await;

        assert_eq!((outcome.event, bench.stored(&cookie).await), (Event::Ended, None));
    }
}

#[tokio::test]
async fn a_change_to_a_session_that_expired_meanwhile_is_dropped_without_a_cookie() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&cookie).await;
    bench.clock.advance(14 * DAY);

    let outcome = bench.commit(slow, set(r#"{"a":2}"#)).await;

    assert_eq!(outcome, Outcome::quiet(Event::Dropped(Dropped::Gone)));
}

#[tokio::test]
async fn a_lapsed_visitors_data_begins_a_new_session() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    bench.clock.advance(14 * DAY);

    let outcome = bench.send(&old, set(r#"{"b":1}"#)).await;

    let new = cookie_in(&outcome).unwrap();
    assert_eq!((outcome.event, bench.data(&new).await.as_str()), (Event::Started, r#"{"b":1}"#));
    assert_ne!(bench.id(&new), bench.id(&old));
}

#[tokio::test]
async fn a_null_that_is_to_be_kept_drops_what_came_before_it_and_nothing_else() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let [before, after] = [r#"{"b":2}"#, r#"{"c":3}"#].map(|json| set(json).patches);
    let patches = [before, unset().patches, after].concat();

    let outcome = bench.send(&cookie, Changes { patches, login: Some("alice".into()), ..nothing() }).await;

    let new = cookie_in(&outcome).expect("a login's cookie");
    assert_eq!((bench.see(&new).await.user(), bench.data(&new).await.as_str()), (Some("alice"), r#"{"a":1,"c":3}"#));
}
