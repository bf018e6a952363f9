//! From a protected page through the login and back, over real sockets.

use crate::bench::{Bench, Guest};
use crate::site::{PASSWORD, Site, hidden, send, sign_in};
use crate::support::cases;

const CART: &str = "/set?json=%7B%22cart%22:%5B%22hat%22%5D%7D";

#[tokio::test]
async fn a_visitor_signs_in_and_lands_on_the_page_they_wanted() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let turned = browser.get("/private/report?year=2026&to=%2Fx").await;
    let login = turned.header("location").expect("the way to the login").to_owned();

    let page = sign_in(&mut browser, &login, "alice", PASSWORD).await;

    assert_eq!((page.status, page.header("location")), (303, Some("/private/report?year=2026&to=%2Fx")));
    let report = browser.get("/private/report?year=2026").await;
    assert_eq!(report.received("x-session-user"), ["alice"]);
    assert_eq!(report.received("x-session-role"), ["admin"]);
    assert_eq!(report.received("cookie"), Vec::<String>::new());
    assert!(browser.cookie("cloakroom-device").is_some() && browser.cookie("cloakroom-pre").is_some());
}

#[tokio::test]
async fn a_long_address_comes_back_whole_also_beside_the_longest_password() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let escaped = format!("/private/x?left={}", "%7B%5C%22%0A%ff".repeat(540));
    let turned = browser.get(&escaped).await;
    let login = turned.header("location").expect("the way to the login").to_owned();
    let signs = format!("/private/x?{}", "=".repeat(8000));
    let form = browser.get(&login).await;
    let fields: Vec<_> = hidden(&form.text()).into_iter().filter(|(name, _)| name != "return_to").collect();
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields).append_pair("return_to", &signs).append_pair("username", "alice").append_pair("password", &"ü".repeat(512));

    let refused = browser.post("/login", body.finish()).await;
    let page = send(&mut browser, &form, &[("username", "alice"), ("password", PASSWORD)]).await;

    assert_eq!((refused.status, refused.text().contains(&signs)), (401, true), "{}", refused.text());
    assert_eq!((page.status, page.header("location")), (303, Some(escaped.as_str())));
}

#[tokio::test]
async fn our_login_is_none_of_the_apps_business() {
    let site = Site::start().await;
    let mark = site.app.mark();

    site.signed_in("alice").await;

    assert_eq!(site.app.since(&mark).text(), "");
}

#[tokio::test]
async fn no_app_can_set_the_logins_own_cookies() {
    let site = Site::start().await;
    let mut browser = site.browser();

    let page = browser.get("/respond?h=Set-Cookie:cloakroom-pre=x&h=Set-Cookie:__Host-cloakroom-device=y&h=Set-Cookie:own=z").await;

    assert_eq!(page.set_cookies().into_iter().map(|cookie| cookie.name).collect::<Vec<_>>(), ["own"]);
}

#[tokio::test]
async fn an_id_from_before_the_login_opens_nothing_after_it() {
    let site = Site::start().await;
    let mut browser = site.browser();
    browser.get(CART).await;
    let planted = browser.clone();

    sign_in(&mut browser, "/login", "alice", PASSWORD).await;

    assert_ne!(browser.cookie("cloakroom"), planted.cookie("cloakroom"));
    assert_eq!(browser.get("/private/x").await.received("x-session-cart"), ["[\"hat\"]"]);
    let mut planted = planted;
    assert_eq!(planted.get("/x").await.received("x-session-handle"), Vec::<String>::new());
    assert_ne!(planted.get("/private/x").await.status, 200);
}

#[tokio::test]
async fn nothing_of_the_first_user_reaches_the_second() {
    let site = Site::start().await;
    let mut browser = site.signed_in("alice").await;
    browser.get(CART).await;
    assert_eq!(browser.get("/x").await.received("x-session-cart"), ["[\"hat\"]"]);

    let form = browser.get("/login?fresh=1").await;
    send(&mut browser, &form, &[("username", "bob"), ("password", PASSWORD)]).await;

    let seen = browser.get("/private/x").await;
    assert_eq!(seen.received("x-session-user"), ["bob"]);
    for field in ["x-session-cart", "x-session-role", "x-session-groups"] {
        assert_eq!(seen.received(field), Vec::<String>::new(), "{field}");
    }
}

#[tokio::test]
async fn a_role_that_an_app_gave_a_stranger_is_not_taken_for_the_users() {
    let site = Site::start().await;
    let mut browser = site.browser();
    browser.get("/set?json=%7B%22role%22:%22admin%22%7D").await;
    assert_eq!(browser.get("/x").await.received("x-session-role"), ["admin"]);

    sign_in(&mut browser, "/login", "bob", PASSWORD).await;

    assert_eq!(browser.get("/private/x").await.received("x-session-user"), ["bob"]);
    assert_eq!(browser.get("/private/x").await.received("x-session-role"), Vec::<String>::new());
}

#[tokio::test]
async fn every_page_of_the_login_is_private_and_strict() {
    let bench = Bench::new().await;
    let mut guest = bench.signed_in("alice").await;
    for address in ["/login?fresh=1", "/logout", "/.cloakroom/sessions", "/.cloakroom/nothing"] {
        let page = bench.get(&mut guest, address).await;

        assert_eq!(page.header("cache-control"), Some("no-store"), "{address}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{address}");
        assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{address}");
        assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"), "{address}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"), "{policy}");
        for forbidden in ["<script", "style=", "<style"] {
            assert!(!page.text.contains(forbidden), "{address}: {forbidden}");
        }
    }
}

#[tokio::test]
async fn the_operators_look_is_in_a_sheet_that_a_browser_may_keep() {
    let bench = Bench::with("[login.page]\ntitle = \"Ledger\"\naccent = \"#0044cc\"\n").await;
    let mut guest = Guest::default();

    let page = bench.get(&mut guest, "/login").await;

    let sheet = page.text.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    assert!(page.text.contains(" · Ledger</title>"));
    let sheet = bench.get(&mut guest, &sheet).await;
    assert_eq!(sheet.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(sheet.text.contains("--accent: #0044cc"));
    assert_eq!(bench.get(&mut guest, "/.cloakroom/look-0.css").await.header("cache-control"), Some("public, max-age=300"));
}

#[tokio::test]
async fn a_login_leads_nowhere_but_to_a_page_of_this_site() {
    let bench = Bench::new().await;
    let wanted = |case: &cases::Case| case.raw.rsplit_once("return_to=").map(|(_, value)| value.to_owned());
    let cases: Vec<String> = cases::load().iter().filter(|case| case.class == "open-redirect").filter_map(wanted).collect();
    assert!(cases.len() > 10, "the corpus was not found");
    let circles = ["/login", "/logout?x", "/login?return_to=/login", "/.cloakroom/logout"].map(str::to_owned);

    for value in cases.into_iter().chain(circles) {
        let value = value.replace("{HOST}", "app.example.com").replace("{REPEAT:a:20000}", &"a".repeat(9000));
        let mut guest = Guest::default();
        let form = bench.get(&mut guest, "/login").await;
        let fields: Vec<_> = hidden(&form.text).into_iter().filter(|(name, _)| name != "return_to").collect();
        let token = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let body = format!("{token}&username=alice&password={}&return_to={value}", PASSWORD.replace(' ', "+"));

        let answer = bench.post(&mut guest, "/login", &body).await;

        let expected = if value == "/private?next=//evil.example" { value.as_str() } else { "/" };
        assert_eq!(answer.location(), (303, Some(expected)), "{value}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_lets_nobody_in_and_says_so() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let form = bench.get(&mut guest, "/login").await;
    bench.store.set_down(true);

    let answer = bench.fill(&mut guest, &form, &[("username", "alice"), ("password", PASSWORD)]).await;

    assert_eq!((answer.status, answer.header("retry-after"), guest.cookie("cloakroom")), (503, Some("2"), None));
}
