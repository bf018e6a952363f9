//! Ends that meet trouble: a store that refuses, sockets that are open, a process that stops.
use super::super::support::{App, Browser, Cloakroom, Mongod, Raw, exchange, latin1};
use super::{PATIENCE, open, scene, twin};
use rusqlite::Connection;
use std::time::Instant;

const HANDSHAKE: &str =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// Close frames: the session is over (1008); the server goes away (1001).
const POLICY: &str = "\u{88}\u{2}\u{3}\u{f0}";
const GOING_AWAY: &str = "\u{88}\u{2}\u{3}\u{e9}";

async fn opened(proxy: &Cloakroom, browser: &Browser) -> Raw {
    let cookie = browser.cookie("cloakroom").map(|value| format!("Cookie: cloakroom={value}\r\n")).unwrap_or_default();
    let mut socket = Raw::connect(proxy.addr()).await;
    let addr = proxy.addr();
    socket.send(format!("GET /ws HTTP/1.1\r\nHost: {addr}\r\nOrigin: http://{addr}\r\n{cookie}{HANDSHAKE}")).await;
    let head = socket.head().await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    socket
}

#[tokio::test]
async fn an_end_of_an_app_that_the_store_refuses_is_told_as_unconfirmed_and_is_final() {
    let (_app, proxy) =
        scene("[store]\nkind = \"embedded\"\nwrite_timeout = \"500ms\"\n[[routes]]\nupstream = \"APP\"\nwrite = \"all\"\n").await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    let mut thief = twin(&browser);
    let file = Connection::open(proxy.folder().join("cloakroom.db")).expect("the session file");
    file.execute_batch("BEGIN IMMEDIATE").expect("locked");

    let page = browser.get("/end?what=this").await;

    assert_eq!((page.status, page.json()["reason"].as_str()), (503, Some("logout-unconfirmed")));
    assert!(page.set_cookie("cloakroom").is_some_and(|cookie| cookie.is_expired()));
    assert_eq!(thief.get("/echo").await.received("X-Session-Handle"), [""; 0], "refused from memory");
    file.execute_batch("ROLLBACK").expect("unlocked");
    let began = Instant::now();
    while file.query_row("SELECT count(*) FROM sessions WHERE session LIKE '%\"a\":1%'", [], |row| row.get(0)) != Ok(0) {
        assert!(began.elapsed() < PATIENCE, "the end never reached the store");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_logout_closes_the_sessions_websockets_even_if_the_store_is_down() {
    let (app, mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&format!(
        "[store]\nkind = \"mongodb\"\nuri = \"{}\"\ncache = \"off\"\nread_timeout = \"700ms\"\nwrite_timeout = \"700ms\"\n[session]\nsecrets = \"hex:{}\"\n\
         [[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n",
        mongod.uri(),
        "5a".repeat(32),
        app.url()
    ))
    .await;
    let mut browser = Browser::new(proxy.addr());
    while browser.get("/set?json=%7B%22a%22:1%7D").await.status != 200 {}
    let mut socket = opened(&proxy, &browser).await;
    mongod.stop_signal();

    let page = browser.send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;

    assert_eq!(page.status, 503);
    assert_eq!(socket.take(4).await, POLICY);
    mongod.cont_signal();
}

#[tokio::test]
async fn a_drain_has_a_bound_and_tells_websockets_that_the_server_goes() {
    let (app, mut proxy) = scene("[server]\ndrain = \"500ms\"\n[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"APP\"\n").await;
    let mut socket = opened(&proxy, &Browser::new(proxy.addr())).await;
    let addr = proxy.addr();
    let hung = tokio::spawn(async move { Raw::connect(addr).await });
    let mut hung = hung.await.expect("connected");
    hung.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while app.seen().len() < 2 {
        tokio::task::yield_now().await;
    }

    let (status, took) = proxy.stop().await;

    assert_eq!(socket.take(4).await, GOING_AWAY);
    assert_eq!(hung.rest().await, "", "cut off");
    assert!(status.success() && took.as_millis() >= 500 && took.as_secs() < 10, "{status} after {took:?}");
    proxy.logged("the drain bound is over").await;
}

#[tokio::test]
async fn what_the_server_library_refuses_gets_our_own_answer() {
    let (app, proxy) = open().await;

    for bad in [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET /a<b HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    ] {
        let answer = latin1(&exchange(proxy.addr(), bad).await);

        let status = if bad.starts_with("CONNECT") { "HTTP/1.1 405 " } else { "HTTP/1.1 400 " };
        assert!(answer.starts_with(status) && !answer.contains("Pingora"), "{bad:?}: {answer}");
        assert!(answer.contains("Cache-Control: no-store") && answer.contains("Connection: close"), "{bad:?}: {answer}");
    }
    assert!(app.seen().is_empty());
}
