//! `require`: who may pass, what the others are told, and a fresh login where one is asked for.

use super::bench::*;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// An app that signs in and writes anything it may, and a route with this requirement.
fn with(require: &str, more: &str) -> Bench {
    Bench::new(&format!(
        "{more}\n[[routes]]\nmatch = {{ path = \"/app\" }}\nupstream = \"http://127.0.0.1:1\"\nlogin = true\nwrite = [\"role\", \"groups\", \"cart\"]\n
         [[routes]]\nupstream = \"http://127.0.0.1:1\"\nrequire = {require}\n"
    ))
}

const ADMINS: &str = "{ any = { role = [\"admin\"], groups = [\"ops\", \"dev\"] } }";

#[tokio::test]
async fn who_has_what_is_required_passes_and_who_lacks_it_does_not() {
    for (fields, passes) in [
        ("{}", false),
        (r#"{"role":"guest"}"#, false),
        (r#"{"role":"admin"}"#, true),
        (r#"{"role":["guest","admin"]}"#, true),
        (r#"{"groups":["dev"]}"#, true),
        (r#"{"groups":"developers"}"#, false),
    ] {
        let mut bench = with(ADMINS, LOGIN);
        bench.sign_in("alice", fields).await;

        assert_eq!(bench.get("/a").await.short(), if passes { "app" } else { "403 page" }, "{fields}");
    }
}

#[tokio::test]
async fn the_fields_alone_do_not_do_without_a_user() {
    let mut bench = with(ADMINS, LOGIN);
    bench.app_says(&[("x-session-set", r#"{"role":"admin"}"#)]).await;

    assert_eq!(bench.get("/a").await.short(), "303 /login?return_to=/a");
}

#[tokio::test]
async fn who_lacks_it_is_told_who_they_are_and_how_to_change_that() {
    for (login, logout) in [(LOGIN, "/logout"), ("", "/.cloakroom/logout")] {
        let mut bench = with("{ user = [\"bob\"] }", login);
        bench.sign_in("alice", "{}").await;

        let (page, script) = (bench.get("/a?b=c").await, bench.ask("GET", "/a", &[SCRIPT]).await);

        assert_eq!((page.short().as_str(), script.short().as_str()), ("403 page", "403 json"));
        let html = page.text();
        assert!(html.contains("You are signed in as alice."), "{html}");
        assert!(html.contains(&format!("href=\"{logout}?return_to=/a%3Fb%3Dc\"")), "{html}");
        let problem = script.json();
        assert_eq!(
            (problem["user"].as_str(), problem["reason"].as_str(), problem["logout"].as_str()),
            (Some("alice"), Some("not-allowed"), Some(logout))
        );
    }
}

#[tokio::test]
async fn no_word_of_unauthenticated_sends_somebody_who_is_signed_in_to_the_login() {
    for word in ["auto", "redirect", "401", "403"] {
        let mut bench = with(&format!("{{ user = [\"bob\"] }}\nunauthenticated = \"{word}\""), LOGIN);
        bench.sign_in("alice", "{}").await;

        assert_eq!(bench.get("/a").await.short(), "403 page", "{word}: they would come back at once, for ever");
    }
}

#[tokio::test]
async fn a_required_field_is_no_part_of_write_all() {
    let routes = |write: &str| {
        format!(
            "[[routes]]\nmatch = {{ path = \"/app\" }}\nupstream = \"http://127.0.0.1:1\"\nlogin = true\nwrite = {write}\n
             [[routes]]\nupstream = \"http://127.0.0.1:1\"\nrequire = {{ all = {{ role = [\"admin\"], \"profile.team\" = [\"a\"] }} }}\n"
        )
    };
    let fields = r#"{"role":"admin","profile":{"team":"a"}}"#;
    for (write, short) in [("\"all\"", "403 page"), ("[\"role\", \"profile\"]", "app")] {
        let mut bench = Bench::new(&routes(write));
        bench.sign_in("alice", "{}").await;

        bench.app_says(&[("x-session-set", fields)]).await;

        assert_eq!(bench.get("/a").await.short(), short, "write = {write}");
    }
    let mut bench = Bench::new(&routes("\"all\""));
    bench.sign_in("alice", r#"{"cart":[1]}"#).await;
    for part in [r#"{"role":"admin"}"#, r#"{"profile":{"team":"a"}}"#, r#"{"cart":[2],"role":null}"#] {
        bench.app_says(&[("x-session-set", part)]).await;
    }
    assert_eq!(bench.get("/app").await.told("x-session-data"), Some(r#"{"cart":[1]}"#), "each was dropped whole");
}

#[tokio::test]
async fn an_old_login_is_asked_for_again_and_a_new_one_passes_without_a_loop() {
    let mut bench = with("{ login_age = \"15m\" }", LOGIN);
    bench.sign_in("alice", r#"{"cart":[1]}"#).await;
    bench.wait(15 * MINUTE);
    assert!(bench.get("/a").await.passed());

    bench.wait(Duration::from_millis(1));

    assert_eq!(bench.get("/a?x=1").await.short(), "303 /login?return_to=/a%3Fx%3D1&fresh=1");
    let script = bench.ask("GET", "/a", &[SCRIPT]).await;
    assert_eq!((script.short().as_str(), script.json()["reason"].as_str()), ("401 json", Some("login-too-old")));
    assert_eq!(script.json()["login"], "/login?fresh=1");
    let form = bench.ask("POST", "/a", &[PAGE, ("Referer", "http://app.example.com/form")]).await;
    assert!(form.short() == "401 page" && form.text().contains("href=\"/login?return_to=/form&#38;fresh=1\""), "{}", form.text());

    bench.sign_in("alice", "{}").await;

    let met = bench.get("/a").await;
    assert_eq!((met.short().as_str(), met.told("x-session-data")), ("app", Some(r#"{"cart":[1]}"#)), "the same user keeps everything");
}

#[tokio::test]
async fn only_a_login_makes_a_login_young() {
    let mut bench = with("{ login_age = \"15m\" }", LOGIN);
    bench.sign_in("alice", "{}").await;
    bench.wait(15 * MINUTE);

    for answer in [("x-session-renew", "true"), ("x-session-max-age", "7200"), ("x-session-set", r#"{"cart":[1]}"#), ("x-other", "1")] {
        bench.app_says(&[answer]).await;
    }
    bench.wait(MINUTE);

    assert_eq!(bench.get("/a").await.short(), "303 /login?return_to=/a&fresh=1");
}

#[tokio::test]
async fn without_a_login_page_an_old_login_is_told_so() {
    let mut bench = with("{ login_age = \"15m\" }", "");
    bench.sign_in("alice", "{}").await;
    bench.wait(16 * MINUTE);

    let page = bench.get("/a").await;

    assert!(
        page.short() == "401 page" && page.text().contains("needs a fresh login") && !page.text().contains("class=\"button"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn who_may_not_pass_at_all_is_not_asked_to_sign_in_again_first() {
    let mut bench = with("{ user = [\"bob\"], login_age = \"15m\" }", LOGIN);
    bench.sign_in("alice", "{}").await;
    bench.wait(16 * MINUTE);

    assert_eq!(bench.get("/a").await.short(), "403 page");
}

#[tokio::test]
async fn an_old_login_follows_the_word_of_the_route_as_far_as_it_can() {
    for (word, page, script) in [
        ("auto", "303 /login?return_to=/a&fresh=1", "401 json"),
        ("redirect", "303 /login?return_to=/a&fresh=1", "303 /login?return_to=/a&fresh=1"),
        ("401", "401 page", "401 json"),
        ("403", "401 page", "401 json"),
    ] {
        let mut bench = with(&format!("{{ login_age = \"15m\" }}\nunauthenticated = \"{word}\""), LOGIN);
        bench.sign_in("alice", "{}").await;
        bench.wait(16 * MINUTE);

        let met = (bench.get("/a").await.short(), bench.ask("GET", "/a", &[SCRIPT]).await.short());

        assert_eq!(met, (page.to_owned(), script.to_owned()), "{word}");
    }
}
