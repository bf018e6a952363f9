//! Bodies and connections: large, slow, endless, upgraded.
mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use std::time::{Duration, Instant};
use support::{App, Browser, Cloakroom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

const GIB: u64 = 1 << 30;
/// Buffers of a few connections, and what the allocator keeps.
const FLAT: u64 = 40 << 20;

async fn proxy(app: &App, more: &str) -> Cloakroom {
    Cloakroom::start(&format!("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n{more}", app.url())).await
}

async fn connected(proxy: &Cloakroom, request: &str) -> TcpStream {
    let mut connection = TcpStream::connect(proxy.addr()).await.expect("connected");
    connection.write_all(request.as_bytes()).await.expect("sent");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_is_downloaded_in_flat_memory() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    Browser::new(proxy.addr()).get("/echo").await;
    let before = proxy.rss_bytes();
    let mut connection = connected(&proxy, &format!("GET /stream?bytes={GIB} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;

    let (mut chunk, mut received, mut most) = (vec![0; 1 << 20], 0, 0);
    loop {
        let count = connection.read(&mut chunk).await.expect("read") as u64;
        if count == 0 {
            break;
        }
        if (received + count) >> 26 != received >> 26 {
            most = most.max(proxy.rss_bytes());
        }
        received += count;
    }

    assert!(received > GIB, "all of it came");
    assert!(most < before + FLAT, "{most} bytes resident, {before} before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_is_uploaded_in_flat_memory() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    Browser::new(proxy.addr()).get("/echo").await;
    let before = proxy.rss_bytes();
    let mut connection =
        connected(&proxy, &format!("POST /sink HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {GIB}\r\n\r\n")).await;

    let (chunk, mut most) = (vec![b'x'; 1 << 20], 0);
    for number in 0..GIB >> 20 {
        connection.write_all(&chunk).await.expect("sent");
        if number % 64 == 0 {
            most = most.max(proxy.rss_bytes());
        }
    }
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("answered");

    assert!(answer.contains(&format!("\"body_len\":{GIB}")), "{answer}");
    assert!(most < before + FLAT, "{most} bytes resident, {before} before");
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    let mut connection = connected(&proxy, "GET /sse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    let (mut text, mut arrivals) = (String::new(), Vec::new());
    let mut chunk = [0; 4096];
    loop {
        let count = connection.read(&mut chunk).await.expect("read");
        if count == 0 {
            break;
        }
        let before = text.matches("data: ").count();
        text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        arrivals.extend((before..text.matches("data: ").count()).map(|_| Instant::now()));
    }

    assert_eq!(arrivals.len(), 3, "{text}");
    assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] > Duration::from_millis(20)), "they came together");
}

#[tokio::test]
async fn a_chunked_upload_and_expect_continue_reach_the_app() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;

    let chunked = support::exchange(
        proxy.addr(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    )
    .await;
    assert!(support::latin1(&chunked).contains("\"body\":\"hello world\""));
    let refused = support::exchange(
        proxy.addr(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: something\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(refused.starts_with(b"HTTP/1.1 417"));
}

#[tokio::test]
async fn answers_without_a_body_stay_without_one() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    let mut browser = Browser::new(proxy.addr());

    let head = browser.send("HEAD", "/echo", &[], b"").await;
    assert!(head.status == 200 && head.body.is_empty() && head.header("Content-Length").is_some());
    for status in [204, 304] {
        let answer = browser.get(&format!("/respond?status={status}&h=X-Session-Set:%7B%22s%22:{status}%7D")).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
        assert_eq!(browser.get("/echo").await.received("X-Session-S"), [status.to_string()], "it changed the session all the same");
    }
}

#[tokio::test]
async fn a_dead_a_silent_and_a_rude_app_are_told_without_internals() {
    let app = App::start().await;
    let silent = proxy(&app, "timeout = { read = \"300ms\" }\n").await;
    let dead = Cloakroom::start("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"http://127.0.0.1:9\"\n").await;

    for (proxy, path, status) in [(&silent, "/hang", 504), (&silent, "/drop", 502), (&dead, "/", 502)] {
        let page = Browser::new(proxy.addr()).send("GET", path, &[("Accept", "text/html")], b"").await;
        assert_eq!(page.status, status, "{path}");
        assert!(!page.text().contains("127.0.0.1") && !page.text().to_lowercase().contains("pingora") && page.text().contains("<h1>"));
        assert_eq!(page.header("Cache-Control"), Some("no-store"));
    }
}

async fn websocket(
    proxy: &Cloakroom,
    headers: &[(&'static str, &str)],
) -> Result<(tokio_tungstenite::WebSocketStream<TcpStream>, http::Response<Option<Vec<u8>>>), Error> {
    let mut request = format!("ws://{}/ws", proxy.addr()).into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    client_async(request, TcpStream::connect(proxy.addr()).await.expect("connected")).await
}

#[tokio::test]
async fn a_websocket_carries_the_session_in_and_frames_both_ways() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22userinfo%22:%22admin%22%7D").await;
    let cookie = format!("cloakroom={}", browser.cookie("cloakroom").expect("a cookie"));
    let origin = format!("http://{}", proxy.addr());

    let (mut socket, _) =
        websocket(&proxy, &[("cookie", &cookie), ("origin", &origin), ("x-session-userinfo", "evil")]).await.expect("a socket");
    socket.send(Message::text("hello")).await.expect("sent");
    let echoed = socket.next().await.expect("a frame").expect("a frame");

    assert_eq!(echoed.into_text().expect("text").as_str(), "hello");
    assert_eq!(app.last().headers("X-Session-Userinfo"), ["admin"]);
    assert!(app.last().headers("Cookie").is_empty());
}

#[tokio::test]
async fn a_websocket_of_another_site_may_not_use_our_cookie() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    let cookie = format!("cloakroom={}", browser.cookie("cloakroom").expect("a cookie"));
    let mark = app.mark();

    for origin in ["https://evil.example", "null"] {
        let refused = websocket(&proxy, &[("cookie", &cookie), ("origin", origin)]).await;
        assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 403), "{origin}");
    }
    assert!(app.since(&mark).requests.is_empty());
    assert!(websocket(&proxy, &[("origin", "https://evil.example")]).await.is_ok(), "without our cookie it is the app's business");
}

#[tokio::test]
async fn quick_websockets_are_never_lost() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;

    for number in 0..300 {
        let (mut socket, _) = websocket(&proxy, &[]).await.expect("a socket");
        socket.send(Message::text(number.to_string())).await.expect("sent");
        let echoed = socket.next().await.unwrap_or_else(|| panic!("socket {number} was lost")).expect("a frame");
        assert_eq!(echoed.into_text().expect("text").as_str(), number.to_string());
    }
}

#[tokio::test]
async fn a_logout_closes_the_sessions_websockets() {
    let app = App::start().await;
    let proxy = proxy(&app, "").await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    let cookie = format!("cloakroom={}", browser.cookie("cloakroom").expect("a cookie"));
    let origin = format!("http://{}", proxy.addr());
    let (mut socket, _) = websocket(&proxy, &[("cookie", &cookie), ("origin", &origin)]).await.expect("a socket");
    let (mut other, _) = websocket(&proxy, &[]).await.expect("a socket");

    browser.send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;

    let last = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("in time").expect("a frame").expect("a frame");
    assert!(matches!(last, Message::Close(Some(frame)) if u16::from(frame.code) == 1008));
    other.send(Message::text("still here")).await.expect("sent");
    assert!(other.next().await.expect("a frame").is_ok(), "another visitor's socket stays");
}

#[tokio::test]
async fn a_stop_lets_a_running_request_finish_and_leaves_at_once_when_idle() {
    let app = App::start().await;
    let mut idle = proxy(&app, "").await;
    Browser::new(idle.addr()).get("/echo").await;
    let (status, took) = idle.stop().await;
    assert!(status.success() && took < Duration::from_secs(1), "{status} after {took:?}");

    let mut busy = proxy(&app, "").await;
    let (address, mark) = (busy.addr(), app.mark());
    let slow = tokio::spawn(async move { Browser::new(address).get("/slow?ms=900").await });
    while app.since(&mark).requests.is_empty() {
        tokio::task::yield_now().await;
    }
    let (status, took) = busy.stop().await;
    assert_eq!(slow.await.expect("an answer").status, 200);
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
}
