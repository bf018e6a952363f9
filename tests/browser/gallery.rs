//! A walk past every page of ours, in the states that a visitor may see.

use crate::chromium::Chromium;
use crate::house::{House, TOKEN};
use crate::site::{PASSWORD, send, sign_in};

const MEMORY: &str = "[store]\nkind = \"memory\"\n";

/// Nobody listens at port 1.
const UNREACHABLE: &str = "[store]\nkind = \"mongodb\"\nuri = \"mongodb://127.0.0.1:1/\"\n";

/// An accent that no text could have on a light card.
const BRAND: &str = "[login.page]\ntitle = \"Ledger\"\nlogo = \"logo.svg\"\naccent = \"#ffd400\"\n";

/// Opens each page and looks at it, under a short name.
pub async fn tour(chromium: &Chromium, look: impl AsyncFn(&str)) {
    let house = House::open().await;
    as_stranger(chromium, &house, &look).await;
    as_visitor(chromium, &house, &look).await;
    as_operator(chromium, &house, &look).await;
    without_a_store(chromium, &house, &look).await;
    in_another_dress(chromium, &look).await;
}

async fn as_stranger(chromium: &Chromium, house: &House, look: &impl AsyncFn(&str)) {
    let pages = [
        ("/", "Who is calling?", "demo-stranger"),
        ("/.cloakroom/nothing", "404", "error-404"),
        ("/data/x", "401", "error-401"),
        ("/private/report?year=2026", "Sign in", "login"),
    ];
    for (path, text, name) in pages {
        show(chromium, house, path, text).await;
        look(name).await;
    }
    enter(chromium, "bob", "a wrong one").await;
    chromium.shows("do not belong together").await;
    look("login-refused").await;
}

async fn as_visitor(chromium: &Chromium, house: &House, look: &impl AsyncFn(&str)) {
    enter(chromium, "bob", PASSWORD).await;
    chromium.shows("Good day, bob").await;
    let mut other = house.firefox();
    sign_in(&mut other, "/login", "bob", PASSWORD).await;
    let pages = [
        ("/logout", "Hand back your ticket?", "logout"),
        ("/.cloakroom/sessions", "Firefox on Linux", "sessions"),
        ("/staff/x", "403", "error-403"),
        ("/login?fresh=1", "Password", "login-again"),
    ];
    for (path, text, name) in pages {
        show(chromium, house, path, text).await;
        look(name).await;
    }
    show(chromium, house, "/", "Welcome").await;
    chromium.shows("bob").await;
    chromium.fill("item", "an umbrella").await;
    chromium.press("Add").await;
    chromium.shows("an umbrella").await;
    look("demo").await;

    let devices = other.get("/.cloakroom/sessions").await;
    send(&mut other, &devices, &[("end", "others")]).await;
    show(chromium, house, "/private/x", "signed out on another device").await;
    look("login-notice").await;
}

async fn as_operator(chromium: &Chromium, house: &House, look: &impl AsyncFn(&str)) {
    let shut = House::with_admin(MEMORY, "").await;
    chromium.open(&shut.admin("/")).await;
    chromium.shows("This page needs a token").await;
    look("admin-no-token").await;
    chromium.open(&house.admin("/")).await;
    chromium.shows("For the operators").await;
    look("admin-door").await;
    enter_office(chromium, "a wrong one").await;
    chromium.shows("That is not the token").await;
    look("admin-door-refused").await;
    enter_office(chromium, TOKEN).await;
    chromium.shows("Sessions begun").await;
    look("admin").await;
    chromium.fill("user", "bob").await;
    chromium.press("Find").await;
    chromium.shows("End all of this user's sessions").await;
    look("admin-found").await;
}

async fn enter_office(chromium: &Chromium, token: &str) {
    chromium.fill("token", token).await;
    chromium.press("Sign in").await;
}

async fn without_a_store(chromium: &Chromium, house: &House, look: &impl AsyncFn(&str)) {
    show(chromium, house, "/login", "Password").await;
    enter(chromium, "alice", PASSWORD).await;
    chromium.shows("Your cart").await;
    // Cookies are the host's, whatever the port: this one knows the visitor's, and cannot look it up.
    let house = House::with(UNREACHABLE).await;
    show(chromium, &house, "/private/x", "503").await;
    look("error-503").await;
    // Signed in at one proxy of a fleet is signed in at all: secret and token are the same.
    chromium.open(&house.admin("/")).await;
    chromium.shows("does not answer").await;
    look("admin-down").await;
    show(chromium, &house, "/logout", "Hand back your ticket?").await;
    chromium.press("Sign out").await;
    chromium.shows("503").await;
    look("logout-unconfirmed").await;
}

async fn in_another_dress(chromium: &Chromium, look: &impl AsyncFn(&str)) {
    let house = House::with(&format!("{MEMORY}{BRAND}")).await;
    show(chromium, &house, "/private/x", "Ledger").await;
    look("login-branded").await;
    chromium.open(&house.admin("/")).await;
    chromium.shows("Sessions begun").await;
    look("admin-branded").await;
    chromium.speak("zh-CN").await;
    show(chromium, &house, "/private/x", "登录").await;
    look("login-chinese").await;
}

async fn show(chromium: &Chromium, house: &House, path: &str, text: &str) {
    chromium.open(&house.url(path)).await;
    chromium.shows(text).await;
}

async fn enter(chromium: &Chromium, user: &str, password: &str) {
    chromium.fill("username", user).await;
    chromium.fill("password", password).await;
    chromium.press("Sign in").await;
}
