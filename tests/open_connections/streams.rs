//! Answers that go on and on.
use super::super::support::Raw;
use super::scene::Scene;
use std::time::Duration;

const PROMPTLY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_answer_that_goes_on_is_cut_whatever_its_type_and_framing() {
    let scene = Scene::start().await;
    let other = scene.visitor().await;
    let mut others = scene.ask("/live/events", &other).await;
    let mut stays = scene.live.accept().await;
    stays.head().await;
    stays.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    others.head().await;
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
        // Of a body whose length is known small pieces are kept back.
        &format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\ndata: 1{}", "x".repeat(200_000)),
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\ndata: 1",
    ] {
        let leaver = scene.visitor().await;
        let mut visitor = scene.ask("/live/events", &leaver).await;
        let mut app = scene.live.accept().await;
        app.head().await;
        app.send(head).await;
        visitor.until("data: 1").await;

        scene.log_out(&leaver).await;

        let rest = visitor.rest().await;
        assert!(!rest.contains("data") && !rest.contains("0\r\n\r\n"), "cut, and seen to be: {head} {rest:?}");
        app.rest().await;
    }
    stays.send("9\r\ndata: 2\n\n\r\n").await;
    others.until("data: 2").await;
}

#[tokio::test]
async fn who_takes_nothing_of_a_stream_is_not_waited_for() {
    let scene = Scene::start().await;
    let leaver = scene.visitor().await;
    let mut visitor = scene.ask("/live/events", &leaver).await;
    let mut app = scene.live.accept().await;
    app.head().await;
    app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    while tokio::time::timeout(Duration::from_millis(500), app.send(&chunk)).await.is_ok() {}

    scene.log_out(&leaver).await;

    tokio::time::timeout(PROMPTLY, app_end(&mut app)).await.expect("the app is told");
    assert!(!visitor.rest().await.ends_with("0\r\n\r\n"));
}

async fn app_end(app: &mut Raw) {
    while app.try_send("x").await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_websocket_that_the_app_has_not_answered_is_refused_when_its_session_ends() {
    let scene = Scene::start().await;
    for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n"] {
        let leaver = scene.visitor().await;
        let mut visitor = Raw::connect(scene.proxy.addr()).await;
        let fields = format!("Host: {0}\r\nOrigin: http://{0}\r\nCookie: {leaver}\r\n", scene.proxy.addr());
        let upgrade =
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        visitor.send(format!("GET /live/ws HTTP/1.1\r\n{fields}{upgrade}\r\n\r\n")).await;
        let mut app = scene.live.accept().await;
        app.head().await;
        app.send(answer).await;
        if !answer.is_empty() {
            visitor.until("nope").await;
        }

        scene.log_out(&leaver).await;

        let rest = visitor.rest().await;
        assert!(rest.starts_with("HTTP/1.1 401") == answer.is_empty() && !rest.contains("\r\n0\r\n\r\n"), "{rest}");
        assert_eq!(app.rest().await, "");
    }
}
