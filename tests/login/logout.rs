//! Signing out: here, everywhere, and with the store down.

use crate::bench::{Bench, Guest};
use crate::site::{Site, hidden};

#[tokio::test]
async fn signing_out_ends_the_session_and_leads_where_the_form_or_the_site_says() {
    let bench = Bench::with("[session]\n").await;
    for (path, body, place) in [
        ("/logout", "", "/"),
        ("/.cloakroom/logout", "", "/"),
        ("/logout", "return_to=/goodbye", "/goodbye"),
        ("/logout", "return_to=//evil.example", "/"),
        ("/logout", "return_to=/login", "/"),
    ] {
        let mut guest = bench.signed_in("alice").await;
        let before = guest.clone();

        let answer = bench.post(&mut guest, path, body).await;

        assert_eq!(answer.location(), (303, Some(place)), "{path} {body}");
        assert_eq!(guest.cookie("cloakroom"), None);
        assert_ne!(bench.get(&mut before.clone(), "/private/x").await.status, 200);
    }
}

#[tokio::test]
async fn a_page_that_was_named_comes_before_the_one_for_all_who_leave_and_staying_leads_to_neither() {
    let bench = Bench::with("default_return = \"/home\"\nlogout_return = \"/bye\"").await;
    for (address, stay, place) in [
        ("/logout", "/home", "/bye"),
        ("/logout?return_to=/", "/", "/"),
        ("/logout?return_to=/x", "/x", "/x"),
        ("/logout?return_to=//e", "/home", "/bye"),
    ] {
        let mut guest = bench.signed_in("alice").await;
        let page = bench.get(&mut guest, address).await;

        assert!(page.text.contains(&format!("href=\"{stay}\"")), "{address}: {}", page.text);
        assert_eq!(bench.fill(&mut guest, &page, &[]).await.location(), (303, Some(place)), "{address}");
    }
}

#[tokio::test]
async fn a_link_signs_nobody_out() {
    let bench = Bench::new().await;
    let mut guest = bench.signed_in("alice").await;

    let page = bench.get(&mut guest, "/logout?return_to=/private/x").await;

    assert!(page.status == 200 && page.text.contains("alice") && page.text.contains("name=\"everywhere\""), "{}", page.text);
    assert_eq!(bench.get(&mut guest, "/private/x").await.status, 200);
}

#[tokio::test]
async fn one_choice_signs_out_every_device_of_the_user_and_of_nobody_else() {
    let bench = Bench::new().await;
    let (mut here, mut there, mut other) = (bench.signed_in("alice").await, bench.signed_in("alice").await, bench.signed_in("bob").await);
    let page = bench.get(&mut here, "/logout").await;

    bench.fill(&mut here, &page, &[("everywhere", "1")]).await;

    assert_ne!(bench.get(&mut there, "/private/x").await.status, 200);
    assert_eq!(bench.get(&mut other, "/private/x").await.text, "the app greets bob");
}

#[tokio::test]
async fn a_logout_that_does_not_say_where_it_comes_from_needs_the_pages_token() {
    let bench = Bench::new().await;
    let mut guest = bench.signed_in("alice").await;
    let page = bench.get(&mut guest, "/logout").await;
    let token = hidden(&page.text).into_iter().find(|(name, _)| name == "token").unwrap().1;
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];

    assert_eq!(bench.send(&mut guest, "POST", "/logout", &kind, "").await.status, 403);
    let other = bench.signed_in("bob").await;
    assert_eq!(bench.send(&mut other.clone(), "POST", "/logout", &kind, &format!("token={token}")).await.status, 403);
    assert_eq!(bench.send(&mut guest, "POST", "/logout", &kind, &format!("token={token}")).await.status, 303);
}

#[tokio::test]
async fn who_signs_out_while_a_slow_request_writes_stays_signed_out() {
    let site = Site::start().await;
    for wish in ["X-Session-Set:%7B%22cart%22:1%7D", "X-Session-Renew:true", "X-Session-Max-Age:600"] {
        let mut browser = site.signed_in("alice").await;
        let (mut slow, mut after, mark) = (browser.clone(), browser.clone(), site.app.mark());
        let late = tokio::spawn(async move { slow.get(&format!("/slow?ms=700&h={wish}")).await });
        while site.app.since(&mark).requests.is_empty() {
            tokio::task::yield_now().await;
        }

        let out = browser.send("POST", "/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;
        let late = late.await.expect("an answer");

        assert_eq!(out.status, 303);
        assert!(late.set_cookie("cloakroom").is_none_or(|cookie| cookie.is_expired()), "{wish}: {:?}", late.headers);
        assert_ne!(after.get("/private/x").await.status, 200, "{wish}");
    }
}

#[tokio::test]
async fn the_cache_is_emptied_where_the_operator_wants_it() {
    let site = Site::with("clear_site_data = true\nlogout_return = \"/goodbye\"").await;
    let mut browser = site.signed_in("alice").await;

    let answer = browser.send("POST", "/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;

    assert_eq!((answer.status, answer.header("location")), (303, Some("/goodbye")));
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    let cookie = answer.set_cookie("cloakroom").unwrap();
    assert_eq!((cookie.value.as_str(), cookie.attribute("max-age"), cookie.attribute("path")), ("", Some("0"), Some("/")));
    assert!(cookie.attribute("httponly").is_some() && cookie.attribute("samesite") == Some("Lax"));
}

#[tokio::test]
async fn a_guest_without_a_session_sees_the_button_too() {
    let bench = Bench::new().await;

    let page = bench.get(&mut Guest::default(), "/logout").await;

    assert!(page.status == 200 && !page.text.contains("name=\"everywhere\""));
}

#[tokio::test]
async fn with_the_store_down_the_cookie_goes_the_visitor_is_told_and_the_session_is_over() {
    let bench = Bench::new().await;
    let mut guest = bench.signed_in("alice").await;
    let before = guest.clone();
    bench.store.set_down(true);

    let answer = bench.post(&mut guest, "/logout", "").await;

    assert_eq!((answer.status, guest.cookie("cloakroom")), (503, None));
    assert!(answer.text.contains("You are signed out on this device") && answer.text.contains("keep trying"), "{}", answer.text);
    bench.store.set_down(false);
    assert_ne!(bench.get(&mut before.clone(), "/private/x").await.status, 200);
}
