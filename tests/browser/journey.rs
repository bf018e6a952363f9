//! From a link into the app through the login, and out again.

use crate::chromium::{Chromium, Screen};
use crate::house::House;
use crate::site::PASSWORD;

const LINK: &str = "/private/report?year=2026&part=a%20b";

#[tokio::test]
async fn a_visitor_finds_the_page_they_wanted_and_leaves_nothing_behind() {
    journey(Screen::DESK).await;
}

#[tokio::test]
async fn all_of_it_works_without_scripts_on_a_narrow_phone() {
    journey(Screen { width: 360, scripts: false }).await;
}

async fn journey(screen: Screen) {
    let (house, chromium) = (House::open().await, Chromium::start(screen).await);

    chromium.open(&house.url(LINK)).await;
    chromium.shows("Sign in").await;
    chromium.assert_fits(screen.width).await;
    chromium.fill("username", "alice").await;
    chromium.fill("password", "a wrong one").await;
    chromium.press("Sign in").await;

    chromium.shows("do not belong together").await;
    chromium.assert_fits(screen.width).await;
    assert_eq!((chromium.value("username").await.as_str(), chromium.value("password").await.as_str()), ("alice", ""));
    chromium.fill("password", PASSWORD).await;
    chromium.press("Sign in").await;

    chromium.shows("Good day, alice").await;
    assert_eq!(chromium.address().await, house.url(LINK));
    assert_eq!(chromium.ask("return document.title").await, if screen.scripts { "scripts" } else { "no scripts" });

    chromium.new_tab().await;
    chromium.open(&house.url("/private/other")).await;
    chromium.shows("Good day, alice").await;
    chromium.press("Leave").await;
    chromium.shows("Who is calling?").await;

    chromium.back().await;
    let shown = chromium.shows("Sign in").await;
    assert!(!shown.contains("alice"), "{shown}");
    chromium.open(&house.url(LINK)).await;
    chromium.shows("Sign in").await;
    assert_eq!(chromium.value("username").await, "");
}
