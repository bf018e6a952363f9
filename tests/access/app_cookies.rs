//! The cookies of the apps behind us end with the session, and nothing of one user reaches the next.

use super::bench::*;
use http::HeaderValue;

/// Two apps on one host, one on another.
const APPS: &str = "[[routes]]\nmatch = { host = \"app.example.com\", path = \"/shop/*\" }\nupstream = \"http://127.0.0.1:1\"\nend_app_cookies = [\"JSESSIONID\"]\n
    [[routes]]\nmatch = { host = \"other.example.com\" }\nupstream = \"http://127.0.0.1:1\"\nend_app_cookies = [\"elsewhere\"]\n
    [[routes]]\nupstream = \"http://127.0.0.1:1\"\nlogin = true\nwrite = [\"user\", \"cart\", \"note\"]\nend_app_cookies = [\"grafana_session\"]\n";

const EXPIRED: [&str; 3] = ["JSESSIONID=; Path=/", "JSESSIONID=; Path=/shop", "grafana_session=; Path=/"];

fn places(lines: &[HeaderValue]) -> Vec<String> {
    let short = |line: &HeaderValue| {
        let line = line.to_str().expect("ASCII");
        line.strip_suffix("; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT").unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    lines.iter().map(short).collect()
}

#[tokio::test]
async fn they_end_with_the_session_for_all_apps_of_the_host() {
    for end in [("x-session-end", "this"), ("x-session-end", "all"), ("x-session-max-age", "0")] {
        let mut bench = Bench::new(APPS);
        bench.sign_in("alice", "{}").await;

        let departure = bench.app_says(&[end]).await;

        assert_eq!(places(&departure.ended_cookies), EXPIRED, "{end:?}");
    }
}

#[tokio::test]
async fn they_end_when_another_user_signs_in() {
    let mut bench = Bench::new(APPS);
    bench.sign_in("alice", "{}").await;

    let departure = bench.sign_in("bob", "{}").await;

    assert_eq!(places(&departure.ended_cookies), EXPIRED);
}

#[tokio::test]
async fn they_end_when_the_field_that_names_the_user_changes_or_goes() {
    for next in [r#"{"user":"bob"}"#, r#"{"user":null}"#] {
        let mut bench = Bench::new(&format!("[session]\nuser_from = \"user\"\n{APPS}"));
        bench.app_says(&[("x-session-set", r#"{"user":"alice"}"#)]).await;

        let departure = bench.app_says(&[("x-session-set", next)]).await;

        assert_eq!(places(&departure.ended_cookies), EXPIRED, "{next}");
    }
}

#[tokio::test]
async fn they_stay_in_all_other_cases() {
    let mut bench = Bench::new(APPS);
    for answer in [
        [("x-session-set", r#"{"cart":[1]}"#)],
        [("x-session-login", "alice")],
        [("x-session-login", "alice")],
        [("x-session-renew", "true")],
        [("x-session-max-age", "60")],
        [("x-session-set", r#"{"cart":[2]}"#)],
        [("x-other", "1")],
    ] {
        let departure = bench.app_says(&answer).await;

        assert!(departure.ended_cookies.is_empty(), "{answer:?}: {:?}", departure.ended_cookies);
    }
}

#[tokio::test]
async fn nothing_of_the_first_user_reaches_the_second_and_an_anonymous_cart_comes_along() {
    let mut bench = Bench::new(APPS);
    bench.app_says(&[("x-session-set", r#"{"cart":["a coat"]}"#)]).await;
    bench.sign_in("alice", "{}").await;
    assert_eq!(bench.get("/app").await.told("x-session-data"), Some(r#"{"cart":["a coat"]}"#));
    bench.app_says(&[("x-session-set", r#"{"note":"alice's secret"}"#)]).await;
    let alice = bench.cookie.clone();
    let handle = bench.get("/app").await.told("x-session-handle").map(str::to_owned);

    bench.sign_in("bob", r#"{"note":"hello"}"#).await;

    let met = bench.get("/app").await;
    assert_eq!((met.told("x-session-user"), met.told("x-session-data")), (Some("bob"), Some(r#"{"note":"hello"}"#)));
    assert_ne!(met.told("x-session-handle").map(str::to_owned), handle);
    bench.cookie = alice;
    assert_eq!(bench.get("/app").await.told("x-session-user"), None, "the first user's session is over");
}
