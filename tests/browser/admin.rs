//! The operator's page: from the token to a session that is over.

use crate::chromium::{Chromium, Screen};
use crate::house::{House, TOKEN};
use crate::site::{PASSWORD, sign_in};

#[tokio::test]
async fn an_operator_signs_in_finds_a_session_and_ends_it_and_the_visitor_is_out() {
    ends_a_session(Screen::DESK).await;
}

#[tokio::test]
async fn an_operators_narrow_phone_needs_no_scripts() {
    ends_a_session(Screen { width: 360, scripts: false }).await;
}

async fn ends_a_session(screen: Screen) {
    let (house, chromium) = (House::open().await, Chromium::start(screen).await);
    let mut visitor = house.firefox();
    sign_in(&mut visitor, "/login", "alice", PASSWORD).await;
    assert_eq!(visitor.get("/private/x").await.status, 200);

    chromium.open(&house.admin("/")).await;
    chromium.shows("For the operators").await;
    chromium.assert_fits(screen.width).await;
    chromium.fill("token", TOKEN).await;
    chromium.press("Sign in").await;
    let figures = chromium.shows("Sessions begun").await;
    assert!(figures.contains("1 of them by a login"), "{figures}");
    chromium.assert_fits(screen.width).await;
    chromium.fill("user", "alice").await;
    chromium.press("Find").await;
    chromium.shows("Firefox on Linux").await;
    chromium.assert_fits(screen.width).await;
    chromium.press("End").await;

    chromium.shows("The session is ended.").await;
    chromium.shows("alice has no sessions").await;
    let turned = visitor.get("/private/x").await;
    assert_eq!(turned.status, 303, "{}", turned.text());
    assert!(!chromium.address().await.contains("token"));
    chromium.press("Sign out").await;
    chromium.shows("For the operators").await;
    chromium.back().await;
    chromium.shows("For the operators").await;
}

#[tokio::test]
async fn the_figures_stay_true_by_themselves_and_what_is_typed_stays_too() {
    let (house, chromium) = (House::open().await, Chromium::start(Screen::DESK).await);
    chromium.open(&house.admin("/")).await;
    chromium.shows("For the operators").await;
    chromium.fill("token", TOKEN).await;
    chromium.press("Sign in").await;
    chromium.shows("0 of them by a login").await;
    chromium.fill("user", "half a na").await;

    sign_in(&mut house.firefox(), "/login", "alice", PASSWORD).await;

    chromium.shows("1 of them by a login").await;
    assert_eq!(chromium.value("user").await, "half a na");

    assert_eq!(chromium.ask_later(SIGN_OUT_ELSEWHERE).await, 200);
    chromium.shows("These figures stand still").await;
    assert_eq!(chromium.value("user").await, "half a na");
}

/// As another tab of the same browser would.
const SIGN_OUT_ELSEWHERE: &str = "const done = arguments[arguments.length - 1];
    const proof = document.querySelector('[name=proof]').value;
    fetch('/console/sign-out', { method: 'POST', body: new URLSearchParams({ proof }) }).then(answer => done(answer.status))";
