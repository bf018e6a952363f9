//! Whether the browser keeps a login when it closes, and that it stays so.

use super::bench::*;
use cloakroom::session::lifecycle::{Lapse, Rolling};
use cloakroom::session::sessions::Options;
use cloakroom::session::{Changes, Outcome};

/// Half an hour of idleness, two weeks when remembered.
fn short_idle(options: &mut Options) {
    options.lifecycle.idle_timeout = Some(30 * MINUTE);
}

fn remembered(remember: Option<bool>) -> Changes {
    Changes { remember, ..login("alice") }
}

/// The cookie's `Max-Age`, and how long the record lives from now.
async fn lives(bench: &Bench, outcome: &Outcome) -> (Option<String>, std::time::Duration) {
    use cloakroom::clock::Clock as _;
    let stored = bench.stored(&cookie_in(outcome).unwrap()).await.unwrap();
    (attribute(outcome, "Max-Age"), stored.expires_at.unwrap().since(bench.clock.now()))
}

#[tokio::test]
async fn a_login_is_remembered_as_the_visitor_wishes() {
    for (remember, cookie, record) in
        [(Some(false), None, 30 * MINUTE), (Some(true), Some("1209600"), 14 * DAY), (None, Some("1209600"), 30 * MINUTE)]
    {
        let bench = Bench::with(short_idle);
        let anonymous = bench.begin(set(r#"{"cart":1}"#)).await;

        let over_a_session = bench.send(&anonymous, remembered(remember)).await;
        let of_a_stranger = bench.commit(cloakroom::session::Visitor::Stranger, remembered(remember)).await;

        for outcome in [over_a_session, of_a_stranger] {
            assert_eq!(lives(&bench, &outcome).await, (cookie.map(str::to_owned), record), "{remember:?}");
        }
    }
}

#[tokio::test]
async fn a_visitor_can_be_remembered_where_cookies_end_with_the_browser_by_default() {
    let bench = Bench::with(|options| options.lifecycle.max_age = None);
    let cookie = bench.begin(set(r#"{"cart":1}"#)).await;

    let outcome = bench.send(&cookie, remembered(Some(true))).await;

    assert_eq!(lives(&bench, &outcome).await, (Some("1209600".into()), 14 * DAY));
}

#[tokio::test]
async fn a_login_that_is_not_remembered_stays_so_through_changes_touches_refreshes_and_renewals() {
    let bench = Bench::with(|options| {
        short_idle(options);
        options.lifecycle.rolling = Rolling::Always;
    });
    let mut cookie = bench.begin(remembered(Some(false))).await;

    for changes in [nothing(), set(r#"{"a":1}"#), renew(), nothing(), set(r#"{"a":2}"#)] {
        bench.clock.advance(29 * MINUTE);
        let outcome = bench.send(&cookie, changes).await;
        bench.settle().await;
        assert_eq!(attribute(&outcome, "Max-Age"), None, "{outcome:?}");
        cookie = cookie_in(&outcome).unwrap();
        let stored = bench.stored(&cookie).await.unwrap().cookie;
        assert_eq!((stored.original_max_age, stored.expires), (None, None), "{outcome:?}");
    }
    bench.clock.advance(30 * MINUTE);

    assert_eq!(bench.lapse(&cookie).await, Some(Lapse::Idle));
}

#[tokio::test]
async fn a_remembered_login_stays_so_through_changes_touches_and_renewals() {
    let bench = Bench::with(short_idle);
    let mut cookie = bench.begin(remembered(Some(true))).await;

    for changes in [nothing(), set(r#"{"a":1}"#), renew(), nothing(), nothing()] {
        bench.clock.advance(13 * DAY);
        let outcome = bench.send(&cookie, changes).await;
        bench.settle().await;
        assert_eq!(attribute(&outcome, "Max-Age").as_deref(), Some("1209600"), "{outcome:?}");
        cookie = cookie_in(&outcome).unwrap();
    }
}

#[tokio::test]
async fn the_apps_own_max_age_wins_over_what_is_remembered() {
    let bench = Bench::new();

    for remember in [Some(false), Some(true)] {
        let changes = Changes { remember, ..login("alice") };
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        let outcome = bench.send(&cookie, Changes { max_age: Some(DAY), ..changes }).await;
        assert_eq!(lives(&bench, &outcome).await, (Some("86400".into()), DAY), "{remember:?}");
    }
}
