//! The visitor's own devices, one of which is a Chromium.

use crate::chromium::{Chromium, Screen};
use crate::house::House;
use crate::site::{PASSWORD, sign_in};

#[tokio::test]
async fn a_session_on_another_device_is_ended_from_here_and_that_device_is_told() {
    let (house, chromium) = (House::open().await, Chromium::start(Screen::DESK).await);
    let mut other = house.firefox();
    sign_in(&mut other, "/login", "alice", PASSWORD).await;
    assert_eq!(other.get("/private/x").await.status, 200);
    chromium.open(&house.url("/.cloakroom/sessions")).await;
    chromium.fill("username", "alice").await;
    chromium.fill("password", PASSWORD).await;
    chromium.press("Sign in").await;

    chromium.shows("Firefox on Linux").await;
    chromium.press("Sign out").await;

    let left = chromium.shows("You are signed in nowhere else.").await;
    assert!(left.contains("this device") && !left.contains("Firefox"), "{left}");
    let turned = other.get("/private/x").await;
    let login = turned.header("location").expect("the way to the login").to_owned();
    assert!(other.get(&login).await.text().contains("You were signed out on another device"), "{login}");
    chromium.open(&house.url("/private/x")).await;
    chromium.shows("Good day, alice").await;
}
