//! Which server gets a request, and what happens when it does not answer.
use super::super::support::{App, Browser, Cloakroom, Raw, RawApp};
use super::proxy;
use std::net::SocketAddr;
use tokio::net::TcpSocket;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A port that refuses connections for as long as this lives.
struct Refusing(TcpSocket);

impl Refusing {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        Self(socket)
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }
}

async fn several(servers: &[SocketAddr], more: &str) -> Cloakroom {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    let upstreams = format!("[upstreams.web]\nservers = [{}]\n", servers.join(", "));
    Cloakroom::start(&format!("[store]\nkind = \"memory\"\n{upstreams}[[routes]]\nupstream = \"web\"\n{more}")).await
}

/// A visitor whose first request was answered, and the app's connection that now lies in the pool. The proxy reads the next request of
/// this visitor only after it has put the connection there.
async fn pooled(app: &RawApp, proxy: &Cloakroom) -> (Raw, Raw) {
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = app.accept().await;
    connection.head().await;
    connection.send(OK).await;
    visitor.head().await;
    visitor.take(2).await;
    (visitor, connection)
}

#[tokio::test]
async fn an_idempotent_request_on_a_connection_that_dies_is_sent_again_whole() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for request in ["GET /second HTTP/1.1\r\nHost: a\r\n\r\n", "PUT /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole"] {
        let (mut visitor, mut dying) = pooled(&app, &proxy).await;

        visitor.send(request).await;
        assert!(dying.head().await.contains("/second "), "the request came over the pooled connection");
        drop(dying);
        let mut fresh = app.accept().await;
        let again = fresh.head().await;
        if again.starts_with("PUT") {
            assert_eq!(fresh.take(5).await, "whole");
        }
        fresh.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;

        assert!(again.contains("/second "), "{again}");
        assert!(visitor.head().await.starts_with("HTTP/1.1 201"));
    }
}

#[tokio::test]
async fn a_post_whose_bytes_have_left_is_never_sent_twice() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let (mut visitor, mut dying) = pooled(&app, &proxy).await;

    visitor.send("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n100").await;
    assert!(dying.head().await.starts_with("POST /pay "));
    assert_eq!(dying.take(3).await, "100");
    drop(dying);
    let answer = visitor.head().await;
    // Whatever connects next must be this request and no second payment.
    let address = proxy.addr();
    let next = tokio::spawn(async move { Browser::new(address).get("/next").await });
    let mut connection = app.accept().await;
    let next_head = connection.head().await;
    connection.send(OK).await;

    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(next_head.starts_with("GET /next "), "{next_head}");
    assert_eq!(next.await.expect("an answer").status, 200);
}

#[tokio::test]
async fn servers_take_turns() {
    let apps = [App::start().await, App::start().await, App::start().await];
    let proxy = several(&apps.each_ref().map(App::addr), "").await;

    for _ in 0..6 {
        assert_eq!(Browser::new(proxy.addr()).get("/echo").await.status, 200);
    }

    assert_eq!(apps.each_ref().map(|app| app.seen().len()), [2, 2, 2]);
}

#[tokio::test]
async fn servers_that_refuse_connections_are_passed_over_whatever_the_method() {
    let (dead, app) = ([Refusing::new(), Refusing::new(), Refusing::new(), Refusing::new()], App::start().await);
    let [first, second, third, fourth] = dead.each_ref().map(Refusing::addr);
    let proxy = several(&[first, second, third, app.addr(), fourth], "").await;

    let address = proxy.addr();
    let visits = (0..40).map(|number| async move {
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        Browser::new(address).send(method, "/echo", &[], b"body").await.status
    });
    let statuses = futures_util::future::join_all(visits).await;

    assert_eq!(statuses, [200; 40]);
    assert_eq!(app.seen().len(), 40, "each was served once");
}

#[tokio::test]
async fn without_a_live_server_the_visitor_gets_502() {
    let dead = [Refusing::new(), Refusing::new()];
    let proxy = several(&dead.each_ref().map(Refusing::addr), "").await;

    let page = Browser::new(proxy.addr()).header("Accept", "text/html").get("/").await;

    assert_eq!(page.status, 502);
    for internal in [dead[0].addr().port().to_string(), dead[1].addr().port().to_string(), "127.0.0".to_owned(), "refused".to_owned()] {
        assert!(!page.text().contains(&internal), "{internal} is nobody's business");
    }
}

#[tokio::test]
async fn a_server_with_a_name_is_found_by_the_first_request() {
    let app = App::start().await;
    let proxy = proxy(&format!("http://localhost:{}", app.addr().port()), "preserve_host = false\n").await;

    let page = Browser::new(proxy.addr()).host("app.example.com").get("/echo").await;

    assert_eq!(page.status, 200);
    assert_eq!(page.received("Host"), [format!("localhost:{}", app.addr().port())]);
}

#[tokio::test]
async fn an_app_sees_the_visitors_host_unless_told_otherwise() {
    let app = App::start().await;
    let visitors = proxy(&app.url(), "").await;
    let own = proxy(&app.url(), "preserve_host = false\n").await;

    let preserved = Browser::new(visitors.addr()).host("App.example.com:8080").get("/echo").await;
    let replaced = Browser::new(own.addr()).host("app.example.com").get("/echo").await;

    assert_eq!(preserved.received("Host"), ["app.example.com:8080"]);
    assert_eq!(replaced.received("Host"), [app.addr().to_string()]);
    assert_eq!(replaced.received("X-Forwarded-Host"), ["app.example.com"]);
}
