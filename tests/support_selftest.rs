//! The test support against itself: a browser that misreads or an app that misrecords would make every other test lie.
mod support;

use std::net::SocketAddr;
use support::app::Answer;
use support::wire::{Status, exchange};
use support::{App, Browser, Mongod, Script, h2raw, oracles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers everything with these bytes and closes.
async fn answering(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, bytes) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), bytes.into());
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_buf(&mut Vec::with_capacity(65536)).await.ok();
            stream.write_all(&bytes).await.ok();
        }
    });
    addr
}

#[tokio::test]
async fn the_app_tells_and_records_what_it_received() {
    let app = App::start().await;

    let page = Browser::new(app.addr()).header("X-Two", "a").header("X-Two", "b").get("/x?y=1").await;

    assert_eq!(page.received("x-two"), ["a", "b"]);
    assert_eq!(app.last().line(), "GET /x?y=1 HTTP/1.1");
    assert_eq!(app.last().headers("X-Two"), ["a", "b"]);
}

#[tokio::test]
async fn a_mark_separates_what_came_before() {
    let app = App::start().await;
    Browser::new(app.addr()).get("/before").await;
    let mark = app.mark();
    assert!(app.since(&mark).streams.is_empty());

    Browser::new(app.addr()).post("/after", "body").await;

    let seen = app.since(&mark);
    assert_eq!(seen.requests.iter().map(|r| r.line()).collect::<Vec<_>>(), ["POST /after HTTP/1.1"]);
    assert_eq!(seen.requests[0].body, b"body");
    assert!(seen.text().ends_with("\r\n\r\nbody") && !seen.text().contains("/before"));
}

#[tokio::test]
async fn directives_become_response_headers() {
    let app = App::start().await;
    let mut browser = Browser::new(app.addr());

    assert_eq!(browser.get("/a/set?json=%7B%22a%22:1%7D").await.header("X-Session-Set"), Some(r#"{"a":1}"#));
    assert_eq!(browser.get("/login-as?user=bob").await.header("X-Session-Login"), Some("bob"));
    assert_eq!(browser.get("/end?what=all").await.header("X-Session-End"), Some("all"));
    assert_eq!(browser.get("/renew?h=X-More:%C3%A4").await.header("X-More"), Some("Ã¤"));
    assert_eq!(browser.get("/respond?status=204").await.status, 204);
}

#[tokio::test]
async fn the_jar_keeps_replaces_and_expires_cookies() {
    let app = App::start().await;
    let mut browser = Browser::new(app.addr());

    browser.get("/respond?h=Set-Cookie:a%3D1;%20Path%3D/&h=Set-Cookie:b%3D2&h=Set-Cookie:c%3D3").await;
    browser.get("/respond?h=Set-Cookie:a%3D9&h=Set-Cookie:b%3D;%20Max-Age%3D0&h=Set-Cookie:c%3D;%20Expires%3DThu,%2001%20Jan%201970%2000:00:00%20GMT").await;

    assert_eq!(browser.get("/").await.received("Cookie"), ["a=9"]);
}

#[tokio::test]
async fn bodies_are_read_in_every_framing() {
    let chunked = answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n").await;
    let close_delimited = answering("HTTP/1.0 200 OK\r\n\r\nabcde").await;

    assert_eq!(Browser::new(chunked).get("/").await.text(), "abcde");
    assert_eq!(Browser::new(close_delimited).get("/").await.text(), "abcde");
}

#[tokio::test]
async fn answers_without_a_body_do_not_wait_for_one() {
    let app = App::start().await;
    let mut browser = Browser::new(app.addr());

    let head = browser.send("HEAD", "/", &[], b"").await;

    assert!(head.body.is_empty() && head.header("Content-Length").is_some_and(|n| n != "0"));
    assert!(browser.get("/respond?status=304").await.body.is_empty());
}

#[tokio::test]
async fn interim_responses_come_before_the_page() {
    let app = App::start().await;

    let page = Browser::new(app.addr()).get("/early-hints?hint=X-Early:1").await;

    assert_eq!((page.status, page.interim.len()), (200, 1));
    assert!(page.interim[0].contains("X-Early: 1"));
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let app = App::start().await;
    let mut browser = Browser::new(app.addr());

    assert_eq!(browser.get("/stream?bytes=3000000").await.body.len(), 3_000_000);
    assert_eq!(browser.post("/sink", vec![b'x'; 5_000_000]).await.status, 200);
    assert_eq!(app.last().body_len, 5_000_000);
}

#[tokio::test]
async fn http10_sse_and_drop_end_as_they_should() {
    let app = App::start().await;
    let mut browser = Browser::new(app.addr());

    assert_eq!(browser.get("/http10").await.json()["target"], "/http10");
    assert_eq!(browser.get("/sse").await.text(), "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    assert!(browser.try_send("GET", "/drop", &[], b"").await.is_err());
}

#[tokio::test]
async fn websockets_echo() {
    use futures_util::{SinkExt, StreamExt};
    let app = App::start().await;

    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", app.addr())).await.unwrap();
    socket.send("x".repeat(70_000).into()).await.unwrap();

    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().len(), 70_000);
}

#[tokio::test]
async fn a_custom_app_answers_what_it_likes_and_echoes_the_rest() {
    let app = App::answering(|r| (r.path() == "/hello").then(|| Answer::text("欢迎").with("X-Session-Set", "{}"))).await;

    let page = Browser::new(app.addr()).get("/hello").await;

    assert_eq!((page.text().as_str(), page.header("X-Session-Set")), ("欢迎", Some("{}")));
    assert_eq!(Browser::new(app.addr()).get("/else").await.json()["target"], "/else");
}

#[tokio::test]
async fn raw_bytes_leave_as_written() {
    let app = App::start().await;

    let answer = exchange(app.addr(), b"GET  /odd HTTP/1.1\r\nA\x01 :b\r\n\r\n").await;

    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(app.last().head, "GET  /odd HTTP/1.1\r\nA\x01 :b");
}

#[tokio::test]
async fn http2_statuses_are_read_indexed_plain_and_compressed() {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let headers = |block: &[u8]| [&settings[..], &[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1], block].concat();
    let indexed = answering(headers(&[0x20, 0x8D])).await;
    let plain = answering(headers(&[0x08, 3, b'4', b'2', b'1'])).await;
    // RFC 7541, C.6.1: "302".
    let compressed = answering(headers(&[0x48, 0x82, 0x64, 0x02])).await;

    let request = ":method: GET\n:path: /";
    assert_eq!(h2raw::converse(indexed, request).await.status, Status::Answered(404));
    assert_eq!(h2raw::converse(plain, request).await.status, Status::Answered(421));
    assert_eq!(h2raw::converse(compressed, request).await.status, Status::Answered(302));
    assert!(h2raw::speaks_h2(indexed).await);
}

#[test]
fn every_spelling_of_the_guarded_path_is_recognised() {
    let reaches = |path: &str| !oracles::paths(&[format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes()]).is_empty();
    let hidden = [
        "/private",
        "//private/x",
        "/public/../private",
        "/%70rivate",
        "/public/..;/private",
        "/%2570rivate",
        "/a\\..\\private",
        "/PRIVATE",
    ];

    assert_eq!(hidden.into_iter().filter(|p| !reaches(p)).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!reaches("/public/private") && !reaches("/public?next=/private"));
}

#[test]
fn two_framings_of_one_request_are_a_problem() {
    let framing = |bytes: &str| oracles::framing(&[bytes.as_bytes().to_vec()], 1);

    assert_eq!(
        framing("POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ["both Content-Length and Transfer-Encoding"]
    );
    assert_eq!(framing("GET / HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"), ["2 requests reached the app, at most 1 may"]);
    assert_eq!(framing("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), [""; 0]);
}

#[tokio::test]
async fn mongod_answers_freezes_and_comes_back_with_its_data() {
    use mongodb::bson::{Document, doc};
    let mut server = Mongod::start().await;
    let coats = async |server: &Mongod| server.client().await.database("test").collection::<Document>("coats");
    coats(&server).await.insert_one(doc! { "_id": 1 }).await.unwrap();

    server.stop_signal();
    let frozen = coats(&server).await;
    // Spawned, not dropped: a dropped operation would wedge the driver's pool.
    let asked = tokio::spawn(async move { frozen.count_documents(doc! {}).await });
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), asked).await.is_err());
    server.cont_signal();
    server.restart().await;

    assert_eq!(coats(&server).await.count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test]
async fn mongod_is_a_replica_set_of_one_when_asked() {
    let server = Mongod::replica_set().await;

    let hello = server.client().await.database("admin").run_command(mongodb::bson::doc! { "hello": 1 }).await.unwrap();

    assert!(hello.get_bool("isWritablePrimary").unwrap());
}

/// The seed scenario's app in each language, told by hand what Cloakroom would tell it.
async fn keeps_the_seed_scenario(command: &[&str]) {
    let app = Script::start(command, &[]).await;

    let login = Browser::new(app.addr()).get("/login").await;

    assert_eq!((login.text().as_str(), login.header("X-Session-Set")), ("存储成功", Some(r#"{"userinfo":"admin"}"#)));
    assert_eq!(Browser::new(app.addr()).get("/").await.text(), "请登录");
    assert_eq!(Browser::new(app.addr()).header("X-Session-Userinfo", "admin").get("/").await.text(), "欢迎admin回来");
}

#[tokio::test]
async fn the_node_app_keeps_the_seed_scenario() {
    keeps_the_seed_scenario(&["node", "node/seed.mjs"]).await;
}

#[tokio::test]
async fn the_python_app_keeps_the_seed_scenario() {
    keeps_the_seed_scenario(&["python3", "seed.py"]).await;
}

#[tokio::test]
async fn the_cgi_script_keeps_the_seed_scenario() {
    keeps_the_seed_scenario(&["python3", "cgi.py", "seed.cgi.sh"]).await;
}

#[tokio::test]
async fn the_express_shop_stores_its_session_in_mongo() {
    let server = Mongod::start().await;
    let shop = Script::start(&["node", "node/shop.mjs"], &[("MONGODB_URI", &server.uri()), ("SESSION_SECRET", "keyboard cat")]).await;
    let mut browser = Browser::new(shop.addr());

    browser.get("/login?user=bob").await;

    assert_eq!(browser.get("/get").await.json()["data"], serde_json::json!({ "userinfo": "bob" }));
    let sessions = server.client().await.database("cloakroom").collection::<mongodb::bson::Document>("sessions");
    assert_eq!(sessions.count_documents(mongodb::bson::doc! {}).await.unwrap(), 1);
}
