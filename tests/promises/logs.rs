//! What the operator is told: one line per exchange, and why.
use super::super::support::{App, Browser, Cloakroom, Mongod, exchange};
use super::{access_line, open, scene, twin};
use cloakroom::random::OsEntropy;
use cloakroom::secret::Secret;
use cloakroom::session::id::SessionId;
use cloakroom::session::keyring::Keyring;
use serde_json::Value;
use std::time::Duration;

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_app_that_cannot_be_reached_is_logged_with_the_cause() {
    let dead = tokio::net::TcpSocket::new_v4().expect("a socket");
    dead.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let dead = dead.local_addr().expect("bound");
    let proxy = Cloakroom::start(&format!("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"http://{dead}\"\n")).await;

    let page = Browser::new(proxy.addr()).get("/x").await;

    let line = access_line(&proxy, "/x").await;
    assert_eq!((page.status, text(&line, "reason"), text(&line, "level")), (502, "upstream-unreachable", "WARN"));
    let cause = text(&line, "cause");
    assert!(cause.contains("refused") && cause.contains(&dead.to_string()), "{cause}");
    assert!(!page.text().contains(&dead.port().to_string()), "the visitor is told no internals");
}

#[tokio::test]
async fn a_silent_app_is_logged_with_the_cause() {
    let (_app, proxy) = scene("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"APP\"\ntimeout = { read = \"200ms\" }\n").await;

    let page = Browser::new(proxy.addr()).get("/hang").await;

    let line = access_line(&proxy, "/hang").await;
    assert_eq!((page.status, text(&line, "reason")), (504, "upstream-timeout"));
    assert!(!text(&line, "cause").is_empty(), "{line}");
}

fn on_mongo(uri: &str, app: &App) -> String {
    format!(
        "[store]\nkind = \"mongodb\"\nuri = \"{uri}\"\nread_timeout = \"700ms\"\nwrite_timeout = \"700ms\"\n[session]\nsecrets = \"hex:{}\"\n\
         [[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n",
        "5a".repeat(32),
        app.url()
    )
}

/// A rightly signed cookie of nobody.
fn signed() -> String {
    let keyring = Keyring::new(&[Secret::new([0x5a; 32])]).expect("a secret");
    format!("cloakroom={}", keyring.sign(&SessionId::generate(&OsEntropy)).replace(':', "%3A").replace('+', "%2B").replace('/', "%2F"))
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_told_at_the_start_and_with_every_503_and_never_its_password() {
    let app = App::start().await;
    let proxy = Cloakroom::start(&on_mongo("mongodb://ada:s3cret@127.0.0.1:1/", &app)).await;
    proxy.logged("MongoDB does not answer").await;

    let page = Browser::new(proxy.addr()).send("GET", "/x", &[("Cookie", &signed())], b"").await;

    let line = access_line(&proxy, "/x").await;
    assert_eq!((page.status, text(&line, "reason"), text(&line, "route")), (503, "store-unavailable", "/*"));
    assert!(text(&line, "cause").contains("unavailable during Load"), "{line}");
    assert!(text(&line, "cause").contains("127.0.0.1:1") || text(&line, "cause").contains("time"), "{line}");
    assert!(!proxy.log().contains("s3cret"), "{}", proxy.log());
}

#[tokio::test]
async fn a_store_that_is_back_is_told_once() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    mongod.kill();
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app)).await;
    proxy.logged("MongoDB does not answer").await;

    mongod.restart().await;

    proxy.logged("MongoDB answers").await;
    assert_eq!(proxy.log().matches("MongoDB does not answer").count(), 1, "{}", proxy.log());
}

#[tokio::test]
async fn a_refusal_names_its_route() {
    let (_app, proxy) = scene(
        "[store]\nkind = \"memory\"\n[[routes]]\nmatch = { path = \"/mine/*\" }\nupstream = \"APP\"\nsession = \"required\"\n[[routes]]\nupstream = \"APP\"\nlogin = true\n",
    )
    .await;

    Browser::new(proxy.addr()).get("/mine/x").await;

    let line = access_line(&proxy, "/mine/x").await;
    assert_eq!((text(&line, "route"), text(&line, "reason"), &line["status"]), ("/mine/*", "not-signed-in", &Value::from(401)));
}

#[tokio::test]
async fn a_line_follows_a_session_from_its_first_answer_to_why_it_is_over() {
    let (app, proxy) = scene(
        "[store]\nkind = \"memory\"\n[session]\nuser_from = \"userinfo\"\n[[routes]]\nupstream = \"APP\"\nwrite = [\"userinfo\", \"a\"]\nlogin = true\n",
    )
    .await;
    let mut browser = Browser::new(proxy.addr());

    browser.get("/begin/set?json=%7B%22a%22:1%7D").await;
    browser.get("/login/set?json=%7B%22userinfo%22:%22ada%22%7D").await;
    browser.get("/see").await;
    let handle = app.last().header("X-Session-Handle").expect("a session").to_owned();
    browser.get("/out/set?json=%7B%22userinfo%22:null%7D").await;
    let mut late = twin(&browser);
    browser.get("/end?what=this").await;
    late.get("/late").await;

    let (begin, login) = (access_line(&proxy, "/begin/set").await, access_line(&proxy, "/login/set").await);
    assert_eq!((text(&begin, "session"), text(&begin, "handle").len()), ("started", 32));
    assert_eq!((text(&login, "session"), text(&login, "handle")), ("logged-in", handle.as_str()));
    assert_eq!(text(&access_line(&proxy, "/out/set").await, "session"), "signed-out");
    assert_eq!(text(&access_line(&proxy, "/end").await, "session"), "ended");
    let late = access_line(&proxy, "/late").await;
    assert!(["unknown", "ended"].contains(&text(&late, "session")), "{late}");
}

#[tokio::test]
async fn a_session_that_nobody_used_is_logged_as_idle() {
    let (_app, proxy) = scene(
        "[store]\nkind = \"memory\"\n[session]\nidle_timeout = \"1s\"\n[session.cookie]\nmax_age = \"1h\"\n[[routes]]\nupstream = \"APP\"\nwrite = \"all\"\n",
    )
    .await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    let began = std::time::Instant::now();
    // Looking does not keep it alive.
    while browser.get("/.cloakroom/session").await.json()["expires_in"] != Value::Null {
        assert!(began.elapsed() < super::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    browser.get("/late").await;

    assert_eq!(text(&access_line(&proxy, "/late").await, "session"), "idle");
}

#[tokio::test]
async fn a_head_that_is_refused_unread_has_a_line_with_its_sender() {
    let (_app, proxy) = open().await;

    exchange(proxy.addr(), "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    proxy.logged("ambiguous-path").await;
    exchange(proxy.addr(), "GARBAGE\r\n\r\n").await;
    proxy.logged("unreadable-head").await;

    for reason in ["ambiguous-path", "unreadable-head"] {
        let log = proxy.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(reason)).collect();
        assert!(lines.len() == 1 && lines[0].contains("\"client\":\"127.0.0.1\""), "{lines:?}");
    }
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_has_a_line() {
    let (_app, proxy) =
        scene("[server]\nlimits = { head_time = \"300ms\" }\n[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"APP\"\n").await;

    exchange(proxy.addr(), "GET / HTT").await;

    proxy.logged("\"status\":408").await;
    let log = proxy.log();
    let line = log.lines().find(|line| line.contains("\"status\":408")).expect("just seen");
    assert!(line.contains("\"client\":\"127.0.0.1\"") && line.contains("too-slow"), "{line}");
}
