//! A browser that does not keep our cookies is told so in words, instead of going round and round.

use crate::bench::{Bench, Guest};
use crate::site::PASSWORD;
use std::time::Duration;

const FIELDS: [(&str, &str); 2] = [("username", "alice"), ("password", PASSWORD)];

fn said(answer: &crate::bench::Answer) -> String {
    answer.notice().map(|(text, _)| text).unwrap_or_default()
}

#[tokio::test]
async fn a_browser_that_keeps_no_cookie_at_all_is_told_before_the_password_is_looked_at() {
    let bench = Bench::new().await;
    let form = bench.get(&mut Guest::default(), "/login").await;

    let answer = bench.fill(&mut Guest::default(), &form, &FIELDS).await;

    assert_eq!(answer.status, 403);
    assert!(said(&answer).starts_with("Your browser did not keep our cookie, because it is set to refuse"), "{}", said(&answer));
    assert_eq!(answer.field("username").as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_browser_that_drops_the_session_cookie_after_a_good_login_is_told_once_it_is_back() {
    let bench = Bench::with("[session.cookie]\ndomain = \"other.example\"\nname = \"cloakroom\"\n").await;
    let mut guest = Guest::default();
    let answer = bench.sign_in(&mut guest, "/login?return_to=/private/x", "alice").await;
    assert_eq!(answer.location(), (303, Some("/private/x")));
    guest.forget("cloakroom");

    let turned = bench.get(&mut guest, "/private/x").await;
    let login = turned.header("location").unwrap().to_owned();
    let mut later = guest.clone();
    let form = bench.get(&mut guest, &login).await;

    assert!(said(&form).contains("because the cookie is meant for another address"), "{}", said(&form));
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(said(&bench.get(&mut later, &login).await), "");
}

#[tokio::test]
async fn who_signed_in_on_the_way_elsewhere_or_has_signed_out_is_told_nothing() {
    let bench = Bench::new().await;
    let mut guest = bench.signed_in("alice").await;
    let mut elsewhere = guest.clone();
    elsewhere.forget("cloakroom");

    assert_eq!(said(&bench.get(&mut elsewhere, "/login?return_to=/private/x").await), "");
    bench.post(&mut guest, "/logout", "").await;
    assert_eq!(said(&bench.get(&mut guest, "/login").await), "");
}

#[tokio::test]
async fn a_secure_cookie_on_plain_http_is_named_as_the_cause_before_anything_is_typed() {
    let bench = Bench::with("[session.cookie]\nsecure = true\nname = \"cloakroom\"\n").await;
    let mut guest = Guest::default();

    let form = bench.get(&mut guest, "/login").await;

    assert!(said(&form).contains("over HTTPS only"), "{}", said(&form));
    let answer = bench.fill(&mut guest, &form, &FIELDS).await;
    assert_eq!((answer.status, answer.cookie("cloakroom").is_none()), (403, true));
}

#[tokio::test]
async fn a_site_that_is_served_over_tls_and_opened_without_is_told_apart_from_a_foreign_one() {
    let bench = Bench::with("[server]\npublic_url = \"https://app.example.com\"\n").await;
    let mut guest = Guest::default();
    bench.get(&mut guest, "/login").await;

    let form = &[("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "http://app.example.com")];
    let answer = bench.send(&mut guest, "POST", "/login", form, "username=alice&password=x").await;

    assert_eq!(answer.status, 403);
    assert!(said(&answer).contains("over HTTPS only"), "{}", said(&answer));
}
