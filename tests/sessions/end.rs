//! An end is an end: nothing that was under way brings the session back.

use super::bench::*;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::sessions::Options;
use cloakroom::session::{Changes, CookieOrder, Dropped, End, Event, Visitor};

fn by_field(options: &mut Options) {
    options.user_from = Some(vec!["userinfo".into()]);
}

#[tokio::test]
async fn an_end_clears_the_cookie_and_the_session_is_gone() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let outcome = bench.send(&cookie, end()).await;

    let line = "cloakroom=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax";
    assert_eq!((outcome.event, outcome.cookie), (Event::Ended, CookieOrder::Set(line.into())));
    assert_eq!(bench.stored(&cookie).await, None);
}

#[tokio::test]
async fn an_end_without_a_session_clears_nothing() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    bench.clock.advance(14 * DAY);

    for visitor in [Visitor::Stranger, bench.resume(&cookie).await] {
        assert_eq!(bench.commit(visitor, end()).await, cloakroom::session::Outcome::quiet(Event::None));
    }
}

#[tokio::test]
async fn an_ended_session_stays_ended_when_a_slow_request_finishes() {
    for (name, slow_answer) in [
        ("touch", nothing()),
        ("set", set(r#"{"userinfo":"alice","b":1}"#)),
        ("renew", renew()),
        ("max-age", max_age(DAY)),
        ("another user by the field", set(r#"{"userinfo":"bob"}"#)),
        ("sign-out by the field", set(r#"{"userinfo":null}"#)),
    ] {
        for resave in [false, true] {
            let bench = Bench::with(|options| {
                by_field(options);
                options.resave = resave;
            });
            let cookie = bench.begin(set(r#"{"userinfo":"alice"}"#)).await;
            bench.clock.advance(8 * DAY);
            let slow = bench.resume(&cookie).await;
            bench.send(&cookie, end()).await;

            let outcome = bench.commit(slow, slow_answer.clone()).await;
            bench.settle().await;

            assert_eq!(outcome.cookie, CookieOrder::Keep, "{name}");
            assert_eq!(bench.stored(&cookie).await, None, "{name}");
        }
    }
}

#[tokio::test]
async fn a_slow_login_begins_a_new_session_after_the_old_one_ended() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"cart":1}"#)).await;
    let slow = bench.resume(&cookie).await;
    bench.send(&cookie, end()).await;

    let outcome = bench.commit(slow, login("alice")).await;

    assert_eq!(outcome.event, Event::LoggedIn);
    assert_eq!(bench.see(&cookie_in(&outcome).unwrap()).await.user(), Some("alice"));
    assert_eq!(bench.stored(&cookie).await, None);
}

#[tokio::test]
async fn a_slow_login_brings_nothing_of_a_users_ended_session_along() {
    let bench = Bench::new();
    let cookie = bench.begin(Changes { login: Some("alice".into()), ..set(r#"{"secret":1}"#) }).await;
    let slow = bench.resume(&cookie).await;
    bench.send(&cookie, end()).await;

    let outcome = bench.commit(slow, Changes { patches: set(r#"{"new":1}"#).patches, ..login("alice") }).await;

    assert_eq!(bench.data(&cookie_in(&outcome).unwrap()).await, r#"{"new":1}"#);
}

#[tokio::test]
async fn a_logout_that_a_renewal_overtook_ends_the_renewed_session() {
    for grace in [Some(10 * SECOND), None] {
        let bench = Bench::with(|options| options.lifecycle.renew_grace = grace);
        let old = bench.begin(set(r#"{"a":1}"#)).await;
        let logout = bench.resume(&old).await;
        let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

        let outcome = bench.commit(logout, end()).await;

        assert_eq!(outcome.event, Event::Ended, "{grace:?}");
        assert!(!matches!(bench.resume(&new).await, Visitor::Known(_)), "{grace:?}");
    }
}

#[tokio::test]
async fn a_logout_that_two_renewals_overtook_ends_the_session() {
    for grace in [Some(10 * SECOND), None] {
        let bench = Bench::with(|options| options.lifecycle.renew_grace = grace);
        let first = bench.begin(set(r#"{"a":1}"#)).await;
        let logout = bench.resume(&first).await;
        let second = cookie_in(&bench.send(&first, renew()).await).unwrap();
        let third = cookie_in(&bench.send(&second, renew()).await).unwrap();

        bench.commit(logout, end()).await;

        assert!(!matches!(bench.resume(&third).await, Visitor::Known(_)), "{grace:?}");
    }
}

#[tokio::test]
async fn a_logout_that_a_change_overtook_ends_the_session() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let logout = bench.resume(&cookie).await;
    bench.send(&cookie, set(r#"{"a":2}"#)).await;

    bench.commit(logout, end()).await;

    assert_eq!(bench.stored(&cookie).await, None);
}

#[tokio::test]
async fn every_session_of_the_user_ends_and_nobody_elses() {
    let bench = Bench::new();
    let (phone, laptop) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await);
    let bobs = bench.begin(login("bob")).await;

    let outcome = bench.send(&phone, end_all()).await;

    assert_eq!(outcome.event, Event::EndedAll);
    assert_eq!((bench.stored(&phone).await, bench.lapse(&laptop).await), (None, Some(Lapse::Revoked)));
    assert_eq!(bench.see(&bobs).await.user(), Some("bob"));
}

#[tokio::test]
async fn ending_all_of_nobody_ends_this_session() {
    let bench = Bench::new();
    let (cookie, other) = (bench.begin(set(r#"{"a":1}"#)).await, bench.begin(set(r#"{"a":2}"#)).await);

    let outcome = bench.send(&cookie, end_all()).await;

    assert_eq!((outcome.event, bench.stored(&cookie).await), (Event::Ended, None));
    bench.see(&other).await;
}

#[tokio::test]
async fn nothing_else_applies_beside_an_end() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    let changes = Changes { login: Some("alice".into()), renew: true, max_age: Some(DAY), ..set(r#"{"b":1}"#) };
    let outcome = bench.send(&cookie, Changes { end: end().end, ..changes }).await;

    assert_eq!((outcome.event, cookie_in(&outcome), bench.stored(&cookie).await), (Event::Ended, None, None));
}

#[tokio::test]
async fn a_renewal_that_an_end_overtook_is_dropped_and_says_why() {
    for grace in [Some(10 * SECOND), None] {
        let bench = Bench::with(|options| options.lifecycle.renew_grace = grace);
        let cookie = bench.begin(set(r#"{"a":1}"#)).await;
        let slow = bench.resume(&cookie).await;
        bench.send(&cookie, end()).await;

        let outcome = bench.commit(slow, renew()).await;

        assert_eq!((outcome.event, outcome.cookie), (Event::Dropped(Dropped::Gone), CookieOrder::Keep), "{grace:?}");
    }
}

#[tokio::test]
async fn a_logout_ends_every_session_that_the_browsers_cookies_name() {
    let bench = Bench::new();
    let (first, second) = (bench.begin(set(r#"{"n":1}"#)).await, bench.begin(login("alice")).await);
    let cookies = [first.clone(), second.clone()];
    let visitor = bench.sessions.resume(&cookies).await;

    let outcome = bench.sessions.end_with(&visitor, &cookies, End::This, false).await.unwrap();

    assert_eq!(outcome.event, Event::Ended);
    assert_eq!((bench.stored(&first).await, bench.stored(&second).await), (None, None));
}

#[tokio::test]
async fn a_logout_with_the_store_down_turns_away_every_session_that_the_browsers_cookies_name() {
    let bench = Bench::new();
    let (first, second) = (bench.begin(set(r#"{"n":1}"#)).await, bench.begin(login("alice")).await);
    let cookies = [first.clone(), second.clone()];
    bench.store.set_down(true);
    let visitor = bench.sessions.resume(&cookies).await;

    let outcome = bench.sessions.end_with(&visitor, &cookies, End::This, false).await.unwrap();

    assert_eq!(outcome.event, Event::EndUnconfirmed);
    bench.store.set_down(false);
    assert_eq!((bench.lapse(&first).await, bench.lapse(&second).await), (Some(Lapse::Ended), Some(Lapse::Ended)));
}
