//! 1xx answers, which come before the one that counts.
use super::super::support::{Browser, Raw, RawApp};
use super::{echo, proxy};

#[tokio::test]
async fn early_hints_pass_without_anything_of_ours() {
    let (_app, proxy) = echo("").await;
    let hints = "hint=X-Session-User:evil&hint=Set-Cookie:cloakroom%3Devil&hint=Set-Cookie:__Host-cloakroom%3Devil&hint=X-Hint:1\
                 &hint=X-Session-Set:%7B%22early%22:1%7D&hint=Connection:x-hop&hint=X-Hop:1";

    let mut browser = Browser::new(proxy.addr());
    let page = browser.get(&format!("/early-hints?{hints}&h=X-Session-Set:%7B%22late%22:1%7D")).await;
    let after = browser.get("/echo").await;

    let [hint] = &page.interim[..] else { panic!("{:?}", page.interim) };
    assert!(hint.starts_with("HTTP/1.1 103") && hint.contains("Link: </style.css>; rel=preload") && hint.contains("X-Hint: 1"), "{hint}");
    for ours in ["session", "cloakroom", "hop", "connection"] {
        assert!(!hint.to_lowercase().contains(ours), "{hint}");
    }
    assert_eq!(page.status, 200);
    assert_eq!((after.received("X-Session-Late"), after.received("X-Session-Early")), (vec!["1".to_owned()], vec![]));
}

#[tokio::test]
async fn an_app_that_never_comes_to_its_answer_is_given_up() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = app.accept().await;
    connection.head().await;

    // Without an end it would fill the proxy's patience; the app stops when it is cut off.
    while connection.try_send("HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n").await.is_ok() {
        tokio::task::yield_now().await;
    }
    let answer = visitor.rest().await;

    assert!(answer.contains("HTTP/1.1 502 "), "{answer:.300}");
    assert!(answer.matches("103 Early").count() <= 16, "{}", answer.matches("103 Early").count());
}

#[tokio::test]
async fn a_body_waits_for_the_apps_100_if_its_sender_wants_that() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;

    visitor.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let mut connection = app.accept().await;
    let request = connection.head().await.to_lowercase();
    connection.send("HTTP/1.1 100 Continue\r\nX-Session-User: evil\r\n\r\n").await;
    let go_on = visitor.head().await;
    visitor.send("hello").await;
    let body = connection.take(5).await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;

    assert!(request.contains("expect: 100-continue"), "{request}");
    assert_eq!((go_on.as_str(), body.as_str()), ("HTTP/1.1 100 Continue", "hello"));
    assert!(visitor.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_app_may_refuse_a_body_before_it_is_sent() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;

    visitor.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let mut connection = app.accept().await;
    connection.head().await;
    connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;

    let head = visitor.head().await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert!(head.to_lowercase().contains("connection: close"), "what comes next could be the body or a request: {head}");
    assert_eq!(visitor.take(2).await, "no");
}
