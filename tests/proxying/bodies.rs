//! Bodies: how they are framed, how large they may be, and what happens when somebody leaves in the middle.
use super::super::support::{Raw, RawApp, h2raw, wire};
use super::{echo, proxy};

#[tokio::test]
async fn a_download_that_is_given_up_ends_at_the_app_too() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for goes_on in [true, false] {
        let mut visitor = Raw::connect(proxy.addr()).await;
        visitor.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut connection = app.accept().await;
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
        visitor.until("first").await;

        drop(visitor);

        // An app that sends without end is cut off in the middle; one that is silent sees the end all the same.
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while goes_on && connection.try_send(&chunk).await.is_ok() {}
        assert_eq!(connection.rest().await, "");
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_ends_at_the_app_too() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for (framing, part) in [("Content-Length: 1000", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
        let mut visitor = Raw::connect(proxy.addr()).await;
        visitor.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}")).await;
        let mut connection = app.accept().await;
        connection.head().await;
        connection.until("half").await;

        drop(visitor);

        let end = connection.rest().await;
        assert!(!end.contains("0\r\n\r\n"), "half a body must not look like a whole one: {end:?}");
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_before_the_answer_is_not_waited_for() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = app.accept().await;
    connection.head().await;

    drop(visitor);

    assert_eq!(connection.rest().await, "");
}

#[tokio::test]
async fn an_app_that_dies_in_the_middle_leaves_a_visibly_broken_answer() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for (framing, part) in [("Content-Length: 1000", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
        let mut visitor = Raw::connect(proxy.addr()).await;
        visitor.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut connection = app.accept().await;
        connection.head().await;
        connection.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}")).await;

        drop(connection);

        let answer = visitor.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.matches("HTTP/1.1").count() == 1, "{answer:?}");
        assert!(answer.len() < 1000 && !answer.contains("0\r\n\r\n"), "half an answer must not look like a whole one: {answer:?}");
    }
}

#[tokio::test]
async fn chunks_pass_both_ways_at_once() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;

    visitor.send("POST /talk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    let mut connection = app.accept().await;
    assert!(connection.head().await.to_lowercase().contains("transfer-encoding: chunked"));
    connection.until("one").await;
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"1\"\r\nfirst\r\n").await;
    assert!(visitor.head().await.to_lowercase().contains("transfer-encoding: chunked"));
    visitor.until("first").await;
    visitor.send("3\r\ntwo\r\n0\r\n\r\n").await;
    connection.until("two").await;
    connection.until("0\r\n\r\n").await;
    connection.send("6\r\nsecond\r\n0\r\n\r\n").await;

    visitor.until("second").await;
    visitor.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_however_it_is_framed() {
    let (app, proxy) = echo("max_body = \"8B\"\n").await;
    let posted = |framing: &str| format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}");

    for (framing, status) in [
        ("Content-Length: 8\r\n\r\n12345678", "200"),
        ("Content-Length: 9\r\n\r\n123456789", "413"),
        ("Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", "413"),
        ("Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n", "200"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n", "413"),
    ] {
        let mut visitor = Raw::connect(proxy.addr()).await;
        visitor.send(posted(framing)).await;
        let head = visitor.head().await;
        assert_eq!(head.get(9..12), Some(status), "{framing:?}");
        if status == "413" {
            assert!(head.to_lowercase().contains("connection: close"), "{head}");
            visitor.rest().await;
        }
    }
    assert!(app.seen().iter().all(|request| request.body.len() <= 8));
}

/// HTTP/1 trailers end at the proxy in both directions, and so do HTTP/2's on the way to an app, which speaks HTTP/1.
#[tokio::test]
async fn trailers_carry_no_name_of_ours_in_either_direction() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "[server]\nlisten = [{ addr = \"127.0.0.1:0\", h2c = true }]\n").await;
    let trailing = "Transfer-Encoding: chunked\r\nTrailer: X-Session-User, X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Session-User: evil\r\nX-Sum: 1\r\nSet-Cookie: cloakroom=evil\r\n\r\n";

    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{trailing}")).await;
    let mut connection = app.accept().await;
    let mut arrived = connection.head().await;
    arrived += &connection.until("0\r\n\r\n").await;
    connection.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{trailing}")).await;
    let mut answered = visitor.head().await;
    answered += &visitor.until("0\r\n\r\n").await;
    let address = proxy.addr();
    let over_h2 = tokio::spawn(async move {
        h2raw::converse(address, ":method: POST\n:scheme: http\n:path: /h2\n:authority: a\n\nok\n\n\nx-session-user: evil\nx-sum: 1").await
    });
    let mut connection = app.accept().await;
    let over_h2_arrived = connection.head().await + &connection.until("0\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;

    for seen in [&arrived, &answered, &over_h2_arrived] {
        assert!(!seen.to_lowercase().contains("session") && !seen.contains("evil"), "{seen}");
    }
    assert!(over_h2_arrived.starts_with("POST /h2 "), "{over_h2_arrived}");
    assert_eq!(over_h2.await.expect("an answer").status, wire::Status::Answered(200));
}
