//! What becomes of request and response heads on their way.
use super::super::support::{Browser, Cloakroom, Raw, RawApp, exchange, latin1};
use super::{echo, proxy};

const SPOOFED: [(&str, &str); 6] = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-For", "10.1.1.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example.com"),
    ("Forwarded", "for=203.0.113.7;proto=https"),
    ("X-Real-IP", "203.0.113.7"),
];

#[tokio::test]
async fn a_stranger_cannot_say_who_asks_and_how() {
    let (_app, proxy) = echo("").await;

    let page = Browser::new(proxy.addr()).host("app.example.com:8080").send("GET", "/echo", &SPOOFED, b"").await;

    assert_eq!(page.received("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(page.received("X-Forwarded-Proto"), ["http"]);
    assert_eq!(page.received("X-Forwarded-Host"), ["app.example.com:8080"]);
    assert_eq!(page.received("Forwarded"), ["for=127.0.0.1;host=\"app.example.com:8080\";proto=http"]);
    assert_eq!(page.received("X-Real-IP"), [""; 0]);
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let (_app, proxy) = echo("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;

    let page = Browser::new(proxy.addr()).host("app.example.com").send("GET", "/echo", &SPOOFED, b"").await;

    assert_eq!(page.received("X-Forwarded-For"), ["203.0.113.7, 10.1.1.1, 127.0.0.1"]);
    assert_eq!(page.received("X-Forwarded-Proto"), ["https"]);
    assert_eq!(page.received("X-Forwarded-Host"), ["shop.example.com"]);
    assert_eq!(page.received("Forwarded"), ["for=203.0.113.7;proto=https, for=127.0.0.1;host=app.example.com;proto=https"]);
    assert_eq!(page.received("X-Real-IP"), ["203.0.113.7"]);
}

#[tokio::test]
async fn a_trusted_proxy_that_says_nothing_vouches_for_nothing() {
    let (_app, proxy) = echo("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;

    let page = Browser::new(proxy.addr()).host("app.example.com").get("/echo").await;

    assert_eq!(page.received("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(page.received("X-Forwarded-Proto"), ["http"]);
    assert_eq!(page.received("X-Forwarded-Host"), ["app.example.com"]);
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_request_go_no_further() {
    let (_app, proxy) = echo("").await;
    let fields = [
        ("Connection", "x-hop, Keep-Alive"),
        ("Connection", "TE, X-Other-Hop"),
        ("X-Hop", "1"),
        ("X-Other-Hop", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABk"),
        ("X-Stays", "3"),
    ];

    let page = Browser::new(proxy.addr()).send("GET", "/echo", &fields, b"").await;

    for (name, _) in fields.iter().filter(|(name, _)| !matches!(*name, "Connection" | "X-Stays")) {
        assert_eq!(page.received(name), [""; 0], "{name}");
    }
    assert_eq!(page.received("X-Stays"), ["3"]);
    assert!(page.received("Connection").iter().all(|option| option == "keep-alive"), "{:?}", page.received("Connection"));
}

#[tokio::test]
async fn hop_by_hop_fields_of_an_answer_go_no_further() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    let mut visitor = Raw::connect(proxy.addr()).await;
    visitor.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut connection = app.accept().await;
    connection.head().await;
    let fields = "X-Hop: 1\r\nX-Other-Hop: 2\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\n\
                  Proxy-Authentication-Info: x\r\nTrailer: X-Sum\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Stays: 3\r\n";

    connection
        .send(format!("HTTP/1.1 200 OK\r\nConnection: x-hop\r\nConnection: keep-alive, X-Other-Hop\r\n{fields}Content-Length: 2\r\n\r\nok"))
        .await;
    let head = visitor.head().await.to_lowercase();

    for line in head.lines().skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        assert!(["content-length", "x-stays", "date", "connection"].contains(&name), "{line}");
    }
    assert!(head.contains("x-stays: 3") && !head.contains("x-hop"), "{head}");
    assert_eq!(visitor.take(2).await, "ok", "the body ends where its length says");
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks_and_its_connection_closes() {
    let app = RawApp::start().await;
    let proxy = proxy(&app.url(), "").await;
    for kept in ["", "Connection: keep-alive\r\n"] {
        let mut visitor = Raw::connect(proxy.addr()).await;
        visitor.send(format!("GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n{kept}\r\n")).await;
        let mut connection = app.accept().await;
        let request = connection.head().await.to_lowercase();

        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
        connection
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            .await;
        let answer = visitor.rest().await;

        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(!request.contains("expect:"), "an expectation of HTTP/1.0 is ignored (RFC 9110 section 10.1.1): {request}");
        assert!(head.starts_with("HTTP/1.1 200") && !head.to_lowercase().contains("transfer-encoding"), "no interim answer: {head}");
        assert_eq!(body, "hello world");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_reaches_the_visitor_whole() {
    let (_app, proxy) = echo("").await;

    let page = Browser::new(proxy.addr()).get("/http10?x=1").await;

    assert_eq!((page.status, page.json()["target"].as_str()), (200, Some("/http10?x=1")));
}

#[tokio::test]
async fn any_method_reaches_the_app_with_its_body() {
    let (app, proxy) = echo("").await;

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "M-SEARCH", "BREW"] {
        let page = Browser::new(proxy.addr()).send(method, "/echo", &[], b"body").await;
        assert_eq!((page.json()["method"].as_str(), page.json()["body"].as_str()), (Some(method), Some("body")));
    }
    let star = exchange(proxy.addr(), "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(star.starts_with(b"HTTP/1.1 200"), "{}", latin1(&star));
    assert_eq!(app.last().target(), "*");
}

#[tokio::test]
async fn a_route_for_get_is_for_head_too() {
    let app = super::super::support::App::start().await;
    let toml = format!("[store]\nkind = \"memory\"\n[[routes]]\nmatch = {{ methods = [\"GET\"] }}\nupstream = \"{}\"\n", app.url());
    let proxy = Cloakroom::start(&toml).await;

    let seen = ["GET", "HEAD", "POST", "OPTIONS"].map(|method| {
        let address = proxy.addr();
        async move { Browser::new(address).send(method, "/echo", &[], b"").await.status }
    });

    assert_eq!(futures_util::future::join_all(seen).await, [200, 200, 405, 405]);
}

#[tokio::test]
async fn a_prefix_is_stripped_in_every_spelling_that_its_route_matches() {
    let app = super::super::support::App::start().await;
    let route = |path: &str, prefix: &str| {
        format!("[[routes]]\nmatch = {{ path = \"{path}\" }}\nupstream = \"{}\"\nstrip_prefix = \"{prefix}\"\n", app.url())
    };
    let routes =
        [route("/admin/*", "/admin"), route("/a,b/*", "/a,b"), route("/你/*", "/你"), route("/x/y/*", "/x"), route("/*", "/%E5%A5%BD")];
    let proxy = Cloakroom::start(&format!("[store]\nkind = \"memory\"\n{}", routes.concat())).await;

    for (asked, sent, prefix) in [
        ("/admin", "/", Some("/admin")),
        ("/admin/", "/", Some("/admin")),
        ("/admin?q=/admin", "/?q=/admin", Some("/admin")),
        ("/%61dmin/x/echo", "/x/echo", Some("/admin")),
        ("/a,b/echo", "/echo", Some("/a,b")),
        ("/a%2cb/%2C", "/%2C", Some("/a%2Cb")),
        ("/%e4%bd%a0/%e4%bd%a0", "/%E4%BD%A0", Some("/%E4%BD%A0")),
        ("/x/y/z", "/y/z", Some("/x")),
        ("/%E5%A5%BD/z", "/z", Some("/%E5%A5%BD")),
        ("/administrator", "/administrator", None),
        ("/a%2Cbc", "/a%2Cbc", None),
    ] {
        let page = exchange(proxy.addr(), format!("GET {asked} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        assert!(page.starts_with(b"HTTP/1.1 200"), "{asked}: {}", latin1(&page));
        assert_eq!((app.last().target(), app.last().header("X-Forwarded-Prefix")), (sent, prefix), "{asked}");
    }
}
