//! WebSockets: opened, refused, broken off.
use super::super::support::{App, Browser, Cloakroom, Raw, RawApp};
use super::{echo, proxy};
use std::time::Duration;

const HANDSHAKE: &str =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
/// A close frame with 1008: the session is over.
const POLICY: &str = "\u{88}\u{2}\u{3}\u{f0}";

async fn opening(proxy: &Cloakroom, target: &str, fields: &str) -> Raw {
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{fields}{HANDSHAKE}", proxy.addr())).await;
    visitor
}

/// The `Cookie` and `Origin` of a visitor's own page.
fn credentials(browser: &Browser, proxy: &Cloakroom) -> String {
    format!("Cookie: cloakroom={}\r\nOrigin: http://{}\r\n", browser.cookie("cloakroom").expect("a session"), proxy.addr())
}

#[tokio::test]
async fn what_an_app_says_in_one_breath_with_its_101_is_never_lost() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;

    for number in 0..300 {
        let mut visitor = opening(&proxy, "/ws", "").await;
        let mut connection = app.accept().await;
        connection.head().await;
        connection.send(format!("{ACCEPTED}\u{5}hello")).await;

        assert!(visitor.head().await.starts_with("HTTP/1.1 101"), "{number}");
        assert_eq!(visitor.take(6).await, "\u{5}hello", "{number}");
        visitor.send("\u{5}world").await;
        assert_eq!(connection.take(6).await, "\u{5}world", "{number}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_app_is_relayed_with_its_body_and_its_wishes() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for (framing, body) in [("Content-Length: 4", "nope"), ("Transfer-Encoding: chunked", "4\r\nnope\r\n0\r\n\r\n")] {
        let mut visitor = opening(&proxy, "/ws", "").await;
        let mut connection = app.accept().await;
        connection.head().await;
        connection
            .send(format!(
                "HTTP/1.1 426 Upgrade Required\r\n{framing}\r\nX-Session-Set: {{\"a\":1}}\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n{body}"
            ))
            .await;

        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 426") && head.contains("cloakroom=") && !head.contains("X-Session"), "{head}");
        assert!(!head.to_lowercase().contains("x-hop"), "{head}");
        visitor.until("nope").await;
    }
}

#[tokio::test]
async fn an_app_that_cannot_be_reached_is_502_for_a_websocket_too() {
    let dead = tokio::net::TcpSocket::new_v4().expect("a socket");
    dead.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let dead_addr = dead.local_addr().expect("bound");
    let alone = proxy(&format!("http://{dead_addr}"), "").await;
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[upstreams.web]\nservers = [\"{dead_addr}\", \"{}\"]\n[[routes]]\nupstream = \"web\"\n",
        app.addr()
    );
    let pair = Cloakroom::start(&toml).await;

    assert!(opening(&alone, "/ws", "").await.head().await.starts_with("HTTP/1.1 502"));
    for _ in 0..4 {
        let head = opening(&pair, "/ws", "").await.head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "the other server is asked: {head}");
    }
}

#[tokio::test]
async fn an_app_that_does_not_answer_a_handshake_is_502_or_504() {
    let (_app, proxy) = echo("timeout = { read = \"300ms\" }\n").await;

    for (target, status) in [("/drop", "HTTP/1.1 502"), ("/hang", "HTTP/1.1 504")] {
        let head = opening(&proxy, target, "").await.head().await;
        assert!(head.starts_with(status), "{target}: {head}");
    }
}

#[tokio::test]
async fn a_side_that_leaves_takes_the_other_with_it() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for visitor_leaves in [true, false] {
        let mut visitor = opening(&proxy, "/ws", "").await;
        let mut connection = app.accept().await;
        connection.head().await;
        connection.send(ACCEPTED).await;
        visitor.head().await;

        let mut left = if visitor_leaves {
            drop(visitor);
            connection
        } else {
            drop(connection);
            visitor
        };
        assert_eq!(left.rest().await, "");
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_before_the_101_is_not_waited_for() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let visitor = opening(&proxy, "/ws", "").await;
    let mut connection = app.accept().await;
    connection.head().await;

    drop(visitor);

    assert_eq!(connection.rest().await, "");
}

#[tokio::test]
async fn a_websocket_on_which_nobody_speaks_is_closed() {
    let (_app, proxy) = echo("timeout = { idle_websocket = \"300ms\" }\n").await;
    let mut visitor = opening(&proxy, "/ws", "").await;
    visitor.head().await;

    tokio::time::timeout(Duration::from_secs(5), visitor.rest()).await.expect("in time");
}

/// Every way in which a session ends through this proxy.
#[tokio::test]
async fn a_websocket_ends_with_its_session_however_that_ends() {
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[session]\nuser_from = \"userinfo\"\n[[routes]]\nupstream = \"{}\"\nlogin = true\nwrite = [\"userinfo\"]\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    for end in [
        "/end?what=this",
        "/end?what=all",
        "/max-age?s=0",
        "/login-as?user=bob",
        "/set?json=%7B%22userinfo%22:%22bob%22%7D",
        "/set?json=%7B%22userinfo%22:null%7D",
    ] {
        let mut browser = Browser::new(proxy.addr());
        browser.get("/login-as?user=alice").await;
        let mut visitor = opening(&proxy, "/ws", &credentials(&browser, &proxy)).await;
        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");

        let answer = browser.get(end).await;

        assert_eq!(answer.status, 200, "{end}");
        assert_eq!(visitor.rest().await, POLICY, "{end}");
    }
}

#[tokio::test]
async fn a_websocket_outlives_what_does_not_end_its_session() {
    let (_app, proxy) = echo("login = true\n").await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/login-as?user=alice").await;
    let mut visitor = opening(&proxy, "/ws", &credentials(&browser, &proxy)).await;
    visitor.head().await;

    for change in ["/set?json=%7B%22cart%22:1%7D", "/renew", "/max-age?s=600", "/echo"] {
        assert_eq!(browser.get(change).await.status, 200);
    }
    let mut other = Browser::new(proxy.addr());
    other.get("/login-as?user=alice").await;
    other.get("/end?what=this").await;

    visitor.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
    assert_eq!(visitor.take(4).await, "\u{81}\u{2}hi");
}

#[tokio::test]
async fn a_handshake_with_a_body_is_no_handshake() {
    let (app, proxy) = echo("").await;

    let mut visitor = opening(&proxy, "/echo", "Content-Length: 4\r\n").await;
    visitor.send("body").await;
    let answer = visitor.head().await;

    assert!(answer.contains(" 200 "), "an ordinary request: {answer}");
    assert_eq!((app.last().headers("Upgrade").len(), app.last().body), (0, b"body".to_vec()));
}

#[tokio::test]
async fn an_app_cannot_switch_protocols_unasked() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = app.accept().await;
    connection.head().await;

    connection.send(ACCEPTED).await;

    let answer = visitor.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}
