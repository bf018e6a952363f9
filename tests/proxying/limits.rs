//! What a client may send, and how long it may take.
use super::super::support::{Raw, exchange, latin1};
use super::echo;
use std::time::{Duration, Instant};

const SHORT: &str = "[server]\nlimits = { head_time = \"300ms\", idle = \"1s\" }\n";

/// Sends a byte now and then until the other side has had enough; what it said.
async fn dribble(connection: &mut Raw, text: &str) -> String {
    let mut beat = tokio::time::interval(Duration::from_millis(25));
    for byte in text.bytes().chain(std::iter::repeat(b'a')).take(400) {
        beat.tick().await;
        if connection.try_send([byte]).await.is_err() {
            return connection.rest().await;
        }
    }
    panic!("ten seconds of dribbling were tolerated");
}

#[tokio::test]
async fn a_first_head_that_dribbles_in_gets_408() {
    let (app, proxy) = echo(SHORT).await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    let start = Instant::now();

    let answer = dribble(&mut visitor, "GET /echo HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;

    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn a_silent_connection_is_told_408() {
    let (_app, proxy) = echo(SHORT).await;

    let answer = Raw::connect(proxy.addr()).await.rest().await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_later_head_that_dribbles_in_ends_the_connection() {
    let (app, proxy) = echo(SHORT).await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send("HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n").await;
    visitor.head().await;
    let start = Instant::now();

    dribble(&mut visitor, "GET /echo HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;

    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(app.seen().len(), 1, "the second request never became one");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_and_not_before() {
    let (_app, proxy) = echo(SHORT).await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    for _ in 0..2 {
        visitor.send("HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 200"), "it is kept for the next request");
    }
    let start = Instant::now();

    assert_eq!(visitor.rest().await, "");

    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_slow_app_is_not_held_against_its_visitor() {
    let (_app, proxy) = echo(SHORT).await;
    let mut visitor = Raw::connect(proxy.addr()).await;

    visitor.send("HEAD /slow?ms=1800 HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert!(visitor.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn heads_and_targets_have_their_limits() {
    let (app, proxy) = echo("[server]\nlimits = { head_bytes = \"2KiB\", head_fields = 10, uri_bytes = \"100B\" }\n").await;
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    let long_target = |length: usize| format!("/{}", "a".repeat(length - 1));

    for (request, status) in [
        (get(&long_target(100), ""), "200"),
        (get(&long_target(101), ""), "414"),
        (get("/", &"X-A: 1\r\n".repeat(8)), "200"),
        (get("/", &"X-A: 1\r\n".repeat(9)), "431"),
        (get("/", &format!("X-A: {}\r\n", "a".repeat(1900))), "200"),
        (get("/", &format!("X-A: {}\r\n", "a".repeat(2048))), "431"),
    ] {
        let answer = latin1(&exchange(proxy.addr(), &request).await);
        assert_eq!(answer.get(9..12), Some(status), "{request}");
    }
    assert_eq!(app.seen().len(), 3);
}
