//! Connections that stay open end with their session, whoever ends it and wherever.
mod support;

mod open_connections {
    mod http2;
    mod polls;
    pub mod scene;
    mod streams;
}

use futures_util::{SinkExt as _, StreamExt as _};
use open_connections::scene;
use std::time::{Duration, Instant};
use support::{App, Browser, Cloakroom, Mongod, Raw};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Of a password that nobody types here.
const HASH: &str = "$2b$10$abcdefghijklmnopqrstuuZ1yQ0Jc0l3vGmOqW9nq5bq1rYb0kX2C";

/// A busy machine's patience; the bounds themselves are printed.
const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

fn shared(mongod: &Mongod, app: &App, session: &str) -> String {
    let session = format!("[session]\nsecrets = [\"hex:{}\"]\n{session}", "5a".repeat(32));
    format!("[store]\nkind = \"mongodb\"\nuri = \"{}\"\n{session}[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n", mongod.uri(), app.url())
}

fn cookie(browser: &Browser) -> String {
    format!("cloakroom={}", browser.cookie("cloakroom").expect("a cookie"))
}

/// An open socket of the browser's session, which has been seen to work.
async fn socket(proxy: &Cloakroom, browser: &Browser) -> Socket {
    let mut request = format!("ws://{}/ws", proxy.addr()).into_client_request().expect("a request");
    let origin = format!("http://{}", proxy.addr());
    for (name, value) in [("cookie", cookie(browser)), ("origin", origin)] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let (mut socket, _) = client_async(request, TcpStream::connect(proxy.addr()).await.expect("connected")).await.expect("a socket");
    assert!(works(&mut socket).await);
    socket
}

async fn works(socket: &mut Socket) -> bool {
    socket.send(Message::text("hello")).await.is_ok() && matches!(socket.next().await, Some(Ok(Message::Text(_))))
}

/// The code that the socket is closed with, and after how long.
async fn closed(socket: &mut Socket) -> (u16, Duration) {
    let began = Instant::now();
    match tokio::time::timeout(PATIENCE, socket.next()).await.expect("the socket is closed in time") {
        Some(Ok(Message::Close(Some(frame)))) => (frame.code.into(), began.elapsed()),
        other => panic!("no close frame: {other:?}"),
    }
}

async fn log_out(proxy: &Cloakroom, browser: &Browser) {
    let answer = Browser::new(proxy.addr())
        .send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin"), ("Cookie", &cookie(browser))], b"")
        .await;
    assert_eq!(answer.status, 303);
}

async fn renew(browser: &mut Browser) {
    let before = cookie(browser);
    browser.get("/renew").await;
    assert_ne!(cookie(browser), before, "a new id");
}

async fn visitor(proxy: &Cloakroom) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    browser
}

#[tokio::test]
async fn a_logout_on_one_proxy_closes_the_websocket_on_another() {
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "");
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    there.logged("changes elsewhere are seen at once").await;
    let (leaver, other) = (visitor(&here).await, visitor(&here).await);
    let (mut theirs, mut others) = (socket(&there, &leaver).await, socket(&there, &other).await);

    log_out(&here, &leaver).await;

    let (code, after) = closed(&mut theirs).await;
    println!("closed {after:?} after the logout elsewhere");
    assert_eq!(code, 1008);
    assert!(works(&mut others).await, "another visitor's socket stays");
}

#[tokio::test]
async fn without_a_change_stream_a_logout_elsewhere_closes_the_websocket_too() {
    let (mongod, app) = (Mongod::start().await, App::start().await);
    let toml = shared(&mongod, &app, "");
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    let (leaver, other) = (visitor(&here).await, visitor(&here).await);
    let (mut theirs, mut others) = (socket(&there, &leaver).await, socket(&there, &other).await);

    log_out(&here, &leaver).await;

    let (code, after) = closed(&mut theirs).await;
    println!("closed {after:?} after the logout elsewhere");
    assert_eq!(code, 1008);
    assert!(works(&mut others).await, "another visitor's socket stays");
}

#[tokio::test]
async fn a_renewal_elsewhere_closes_nothing_and_the_end_that_follows_does() {
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "renew_grace = \"1s\"\n");
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    there.logged("changes elsewhere are seen at once").await;
    let mut browser = visitor(&here).await;
    let mut theirs = socket(&there, &browser).await;

    renew(&mut browser).await;
    let gone = tokio::time::timeout(Duration::from_secs(3), theirs.next()).await;
    assert!(gone.is_err(), "a renewed session's socket stays, also after the grace: {gone:?}");
    assert!(works(&mut theirs).await);
    log_out(&here, &browser).await;

    assert_eq!(closed(&mut theirs).await.0, 1008);
}

#[tokio::test]
async fn a_renewal_that_leaves_nothing_of_the_old_id_closes_nothing_either() {
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "renew_grace = \"off\"\n");
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    for proxy in [&here, &there] {
        proxy.logged("changes elsewhere are seen at once").await;
    }
    let (mut browser, other) = (visitor(&here).await, visitor(&here).await);
    let mark = app.mark();
    let (mut ours, mut theirs) = (socket(&here, &browser).await, socket(&there, &browser).await);
    let mut polls = [Raw::connect(here.addr()).await, Raw::connect(there.addr()).await];
    for poll in &mut polls {
        poll.send(scene::request("/slow?ms=5000", &cookie(&browser))).await;
    }
    scene::until_asked(&app, &mark, 4).await;
    // By then all have been looked at, for the first and perhaps the only time.
    browser.get("/slow?ms=2500").await;

    renew(&mut browser).await;
    // What is told of the renewal has come by the time the polls are answered.
    for poll in &mut polls {
        assert!(poll.head().await.starts_with("HTTP/1.1 200"));
    }

    assert!(works(&mut ours).await && works(&mut theirs).await);
    drop(other);
    log_out(&here, &browser).await;
    assert_eq!((closed(&mut ours).await.0, closed(&mut theirs).await.0), (1008, 1008));
}

#[tokio::test]
async fn what_a_session_had_open_before_its_renewal_ends_with_it_wherever_it_ends() {
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "").replacen("[session]", "cache = { sessions = 1 }\n[session]", 1);
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    here.logged("changes elsewhere are seen at once").await;
    let mut browser = visitor(&here).await;
    let mut ours = socket(&here, &browser).await;
    // By then it has been looked at, for the first and perhaps the only time.
    browser.get("/slow?ms=2000").await;
    renew(&mut browser).await;
    // Others take the place in the cache.
    for _ in 0..20 {
        let mut other = visitor(&here).await;
        for _ in 0..5 {
            other.get("/echo").await;
        }
    }

    log_out(&there, &browser).await;

    assert_eq!(closed(&mut ours).await.0, 1008);
}

#[tokio::test]
async fn a_request_that_has_just_begun_when_its_session_is_renewed_elsewhere_ends_with_it_all_the_same() {
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "");
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    there.logged("changes elsewhere are seen at once").await;
    let mut browser = visitor(&here).await;
    let mark = app.mark();
    let mut poll = Raw::connect(there.addr()).await;
    poll.send(scene::request("/hang", &cookie(&browser))).await;
    scene::until_asked(&app, &mark, 1).await;
    renew(&mut browser).await;
    // By then the request is looked out for.
    browser.get("/slow?ms=1500").await;

    log_out(&here, &browser).await;

    let head = tokio::time::timeout(PATIENCE, poll.head()).await.expect("it ends");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[tokio::test]
async fn a_session_that_expires_closes_its_websocket_unless_it_is_used_elsewhere() {
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[session]\nidle_timeout = \"3s\"\ntouch_after = \"100ms\"\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let (mut busy, idle) = (visitor(&proxy).await, visitor(&proxy).await);
    let (mut stays, mut goes) = (socket(&proxy, &busy).await, socket(&proxy, &idle).await);

    let using = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            busy.get("/echo").await;
        }
    };
    let (code, after) = tokio::select! { closed = closed(&mut goes) => closed, () = using => unreachable!() };

    println!("closed after {after:?}");
    assert_eq!(code, 1008);
    assert!(works(&mut stays).await, "a session that requests keep alive");
}

#[tokio::test]
async fn who_is_taken_out_of_the_users_file_loses_open_websockets() {
    let app = App::start().await;
    let toml = format!("[store]\nkind = \"memory\"\n[login]\n[[routes]]\nupstream = \"{}\"\nlogin = true\n", app.url());
    let listed = |user: &str| format!("[users.{user}]\nhash = \"{HASH}\"\n");
    let proxy = Cloakroom::with(&toml).file("users.toml", listed("ada") + &listed("bob")).start().await;
    let (mut ada, mut bob) = (Browser::new(proxy.addr()), Browser::new(proxy.addr()));
    ada.get("/login-as?user=ada").await;
    bob.get("/login-as?user=bob").await;
    let (mut adas, mut bobs) = (socket(&proxy, &ada).await, socket(&proxy, &bob).await);

    let (code, _, err) = proxy.run(&["user", "remove", "ada"]).await;

    assert_eq!((code, closed(&mut adas).await.0), (Some(0), 1008), "{err}");
    assert!(works(&mut bobs).await, "another user's socket stays");
}

#[tokio::test]
async fn the_end_of_all_sessions_on_one_proxy_closes_every_websocket_on_another() {
    const MANY: usize = 300;
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "");
    let here = Cloakroom::start(&format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{HASH}\"\n{toml}")).await;
    let there = Cloakroom::start(&toml).await;
    there.logged("changes elsewhere are seen at once").await;
    let mut sockets = Vec::new();
    for _ in 0..MANY {
        let visitor = visitor(&here).await;
        sockets.push(socket(&there, &visitor).await);
    }

    let began = Instant::now();
    let bearer = format!("Bearer {HASH}");
    let answer = Browser::new(here.admin_addr()).send("DELETE", "/sessions?all=true", &[("Authorization", &bearer)], b"").await;
    let answered = began.elapsed();
    for socket in &mut sockets {
        assert_eq!(closed(socket).await.0, 1008);
    }

    println!("answered after {answered:?}, all {MANY} closed after {:?}", began.elapsed());
    assert_eq!(answer.json()["ended"], MANY);
}
