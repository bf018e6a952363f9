//! The operator's way in: the admin API, and `cloakroom session` over it and beside it.
mod support;

use futures_util::StreamExt as _;
use serde_json::Value;
use std::time::Duration;
use support::{App, Browser, Cloakroom, Mongod, Page};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const TOKEN: &str = "a token of more than thirty-two bytes";
const BEARER: (&str, &str) = ("Authorization", "Bearer a token of more than thirty-two bytes");

fn toml(app: &App, store: &str, admin: &str) -> String {
    format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n{admin}[store]\n{store}\n[session]\nsecrets = [\"hex:{}\"]\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\nlogin = true\n",
        "5a".repeat(32),
        app.url()
    )
}

async fn proxy(app: &App) -> Cloakroom {
    Cloakroom::with(&toml(app, "kind = \"memory\"", "token = \"env:ADMIN\"\n")).env("ADMIN", TOKEN).start().await
}

async fn ask(proxy: &Cloakroom, method: &str, path: &str, headers: &[(&str, &str)]) -> Page {
    Browser::new(proxy.admin_addr()).send(method, path, headers, b"").await
}

async fn get(proxy: &Cloakroom, path: &str) -> Value {
    let page = ask(proxy, "GET", path, &[BEARER]).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    page.json()
}

/// Somebody who has signed in.
async fn signed_in(proxy: &Cloakroom, user: &str) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    browser.get(&format!("/login-as?user={user}&h=X-Session-Set:%7B%22pin%22:%22topsecret%22%7D")).await;
    assert_eq!(browser.get("/echo").await.received("X-Session-User"), [user]);
    browser
}

async fn is_in(browser: &mut Browser) -> bool {
    !browser.get("/echo").await.received("X-Session-User").is_empty()
}

fn handles(list: &Value) -> Vec<String> {
    list["sessions"].as_array().expect("a list").iter().map(|session| session["handle"].as_str().expect("a handle").to_owned()).collect()
}

#[tokio::test]
async fn an_operator_lists_shows_and_ends_sessions_and_never_sees_what_they_hold() {
    let (app, admin) = (App::start().await, |path: &str| path.to_owned());
    let proxy = proxy(&app).await;
    let (mut phone, mut laptop, mut bob) = (signed_in(&proxy, "ada").await, signed_in(&proxy, "ada").await, signed_in(&proxy, "bob").await);

    let listed = get(&proxy, &admin("/sessions?user=ada")).await;
    let phones = phone.get("/echo").await.received("X-Session-Handle").remove(0);
    let shown = get(&proxy, &format!("/sessions/{phones}")).await;

    assert_eq!((handles(&listed).len(), handles(&listed).contains(&phones)), (2, true));
    assert_eq!(listed["next"], Value::Null);
    assert_eq!((shown["user"].as_str(), shown["client"]["address"].as_str()), (Some("ada"), Some("127.0.0.1")));
    let mut names: Vec<&String> = shown.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["client", "created_at", "expires_at", "handle", "login_at", "updated_at", "user"]);
    assert!(!listed.to_string().contains("topsecret") && !shown.to_string().contains("topsecret"));

    assert_eq!(ask(&proxy, "DELETE", &format!("/sessions/{phones}"), &[BEARER]).await.status, 200);
    assert_eq!((is_in(&mut phone).await, is_in(&mut laptop).await), (false, true));
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(&proxy, method, &format!("/sessions/{phones}"), &[BEARER]).await.status, 404, "it is gone");
    }
    assert_eq!(ask(&proxy, "DELETE", "/users/ada/sessions", &[BEARER]).await.status, 200);
    assert_eq!((is_in(&mut laptop).await, is_in(&mut bob).await), (false, true));
    assert_eq!(ask(&proxy, "DELETE", "/sessions", &[BEARER]).await.status, 400, "not by accident");
    assert_eq!(ask(&proxy, "DELETE", "/sessions?all=true", &[BEARER]).await.json()["ended"], 1);
    assert!(!is_in(&mut bob).await);
}

#[tokio::test]
async fn a_long_list_goes_on_where_the_last_page_ended() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    for _ in 0..101 {
        Browser::new(proxy.addr()).get("/login-as?user=ada").await;
    }

    let first = get(&proxy, "/sessions?user=ada").await;
    let second = get(&proxy, &format!("/sessions?user=ada&cursor={}", first["next"].as_str().expect("there is more"))).await;

    assert_eq!((handles(&first).len(), handles(&second).len(), &second["next"]), (100, 1, &Value::Null));
    assert!(!handles(&first).contains(&handles(&second)[0]));
    let (code, out, err) = proxy.run(&["session", "list", "--user", "ada"]).await;
    assert_eq!(code, Some(1), "the file names port 0, where nobody is, and the store is memory: {out}{err}");
    assert!(err.contains("[admin] token"), "{err}");
}

#[tokio::test]
async fn without_the_token_only_life_and_readiness_are_told() {
    let app = App::start().await;
    let with = proxy(&app).await;
    let without = Cloakroom::start(&toml(&app, "kind = \"memory\"", "")).await;
    let closed = [
        ("GET", "/stats"),
        ("GET", "/sessions?user=ada"),
        ("GET", "/sessions/x"),
        ("DELETE", "/sessions/x"),
        ("DELETE", "/users/ada/sessions"),
        ("DELETE", "/sessions?all=true"),
    ];

    for (proxy, path) in [(&with, "/livez"), (&with, "/readyz"), (&without, "/livez"), (&without, "/readyz")] {
        let page = ask(proxy, "GET", path, &[]).await;
        assert_eq!((page.status, page.text()), (200, "ok\n".to_owned()), "{path}");
    }
    for (method, path) in closed {
        for headers in [&[][..], &[("Authorization", "Bearer wrong")], &[("Authorization", "Bearer ")]] {
            assert_eq!(ask(&with, method, path, headers).await.status, 401, "{method} {path} {headers:?}");
            assert_eq!(ask(&without, method, path, headers).await.status, 403, "{method} {path} {headers:?}");
        }
    }
    assert_eq!(ask(&with, "GET", "/readyz?verbose", &[]).await.status, 401);
    assert_eq!(ask(&without, "GET", "/readyz?verbose", &[]).await.json()["ready"], true, "on the loopback address");
}

#[tokio::test]
async fn pages_of_other_sites_are_turned_away_on_loopback_too() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let mut ada = signed_in(&proxy, "ada").await;

    for headers in
        [&[BEARER, ("Origin", "http://evil.example")], &[BEARER, ("Origin", "null")], &[BEARER, ("Sec-Fetch-Site", "cross-site")]]
    {
        assert_eq!(ask(&proxy, "DELETE", "/users/ada/sessions", headers).await.status, 403, "{headers:?}");
    }
    let rebound = Browser::new(proxy.admin_addr()).host("evil.example").send("DELETE", "/users/ada/sessions", &[BEARER], b"").await;

    assert_eq!(rebound.status, 403);
    assert!(is_in(&mut ada).await);
}

#[tokio::test]
async fn an_operators_end_closes_the_users_websockets() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let ada = signed_in(&proxy, "ada").await;
    let mut request = format!("ws://{}/ws", proxy.addr()).into_client_request().expect("a request");
    let (cookie, origin) = (format!("cloakroom={}", ada.cookie("cloakroom").expect("a cookie")), format!("http://{}", proxy.addr()));
    for (name, value) in [("cookie", cookie), ("origin", origin)] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let (mut socket, _) = client_async(request, TcpStream::connect(proxy.addr()).await.expect("connected")).await.expect("a socket");
    assert_eq!(get(&proxy, "/stats").await["open_connections"], 1);

    assert_eq!(ask(&proxy, "DELETE", "/users/ada/sessions", &[BEARER]).await.status, 200);

    let last = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("in time").expect("a frame").expect("a frame");
    assert!(matches!(last, Message::Close(Some(frame)) if u16::from(frame.code) == 1008));
}

#[tokio::test]
async fn statistics_tell_cache_stream_and_breaker_and_readiness_follows_the_store() {
    let (mut mongod, app) = (Mongod::start().await, App::start().await);
    let store = format!("kind = \"mongodb\"\nuri = \"{}\"", mongod.uri());
    let proxy = Cloakroom::with(&toml(&app, &store, "token = \"env:ADMIN\"\n")).env("ADMIN", TOKEN).start().await;
    let mut ada = signed_in(&proxy, "ada").await;
    assert!(is_in(&mut ada).await);

    let stats = get(&proxy, "/stats").await;
    assert_eq!(
        (&stats["stream"]["state"], &stats["breaker"]["open"], &stats["cache"]["sessions"]),
        (&"absent".into(), &false.into(), &1.into())
    );
    assert!(stats["cache"]["hits"].as_u64() > Some(0) && stats["uptime_s"].is_u64() && stats["version"].is_string(), "{stats}");
    let verbose = get(&proxy, "/readyz?verbose").await;
    assert_eq!((&verbose["ready"], &verbose["stream"]["state"]), (&true.into(), &"absent".into()));

    mongod.kill();
    assert_eq!(ask(&proxy, "GET", "/readyz", &[]).await.status, 503);
    assert_eq!(ask(&proxy, "GET", "/sessions?user=ada", &[BEARER]).await.status, 503);
    assert_eq!(ask(&proxy, "GET", "/livez", &[]).await.status, 200);
}

/// A port that was free a moment ago: the command must know where the running process listens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

#[tokio::test]
async fn the_command_asks_the_running_process_and_else_the_store() {
    let app = App::start().await;
    let text = toml(&app, "kind = \"embedded\"\npath = \"s.db\"", "token = \"env:ADMIN\"\n")
        .replace("127.0.0.1:0", &format!("127.0.0.1:{}", free_port()));
    let mut proxy = Cloakroom::with(&text).env("ADMIN", TOKEN).start().await;
    let (mut first, mut second, mut bob) = (signed_in(&proxy, "ada").await, signed_in(&proxy, "ada").await, signed_in(&proxy, "bob").await);
    let handle = first.get("/echo").await.received("X-Session-Handle").remove(0);

    let (code, running, err) = proxy.run(&["session", "list", "--user", "ada"]).await;
    assert_eq!((code, running.lines().count(), running.contains(&handle)), (Some(0), 2, true), "{running}{err}");
    let (code, ended, _) = proxy.run(&["session", "end", "--handle", &handle]).await;
    assert_eq!((code, ended.as_str(), is_in(&mut first).await, is_in(&mut second).await), (Some(0), "ended\n", false, true));
    let (code, _, err) = proxy.run(&["session", "show", "--handle", &handle]).await;
    assert_eq!((code, err.as_str()), (Some(1), "error: there is no such session\n"));

    proxy.stop().await;
    let (code, stopped, err) = proxy.run(&["session", "list", "--user", "ada"]).await;
    assert_eq!((code, stopped.lines().count()), (Some(0), 1), "{stopped}{err}");
    let left = stopped.split_whitespace().next().expect("a handle").to_owned();
    let (code, shown, _) = proxy.run(&["session", "show", "--handle", &left]).await;
    assert!(code == Some(0) && shown.contains("\"user\": \"ada\"") && !shown.contains("topsecret"), "{shown}");
    assert_eq!(proxy.run(&["session", "end", "--user", "ada"]).await.0, Some(0));
    proxy.restart().await;
    let (mut second, mut bob_again) = (second.at(proxy.addr()), bob.at(proxy.addr()));
    assert_eq!((is_in(&mut second).await, is_in(&mut bob_again).await), (false, true));
    let (code, out, err) = proxy.run(&["session", "end", "--all"]).await;
    assert_eq!((code, out.as_str(), is_in(&mut bob_again).await), (Some(0), "1 sessions ended\n", false), "{err}");
    bob = bob_again;
    drop(bob);
}

#[tokio::test]
async fn the_command_says_what_is_in_the_way() {
    let app = App::start().await;
    let locked = Cloakroom::start(&toml(&app, "kind = \"embedded\"\npath = \"s.db\"", "")).await;
    let unused = Cloakroom::with(&toml(&app, "kind = \"embedded\"\npath = \"none.db\"", ""));

    let (code, _, err) = locked.run(&["session", "list", "--user", "ada"]).await;
    assert!(code == Some(1) && err.contains("[admin] token"), "{err}");
    let (code, _, err) = unused.run(&["session", "end", "--all"]).await;
    assert!(code == Some(1) && err.contains("does not exist"), "{err}");
    let (code, _, err) = unused.run(&["session", "end"]).await;
    assert!(code == Some(2) && err.contains("--handle"), "{err}");
    let (code, _, err) = unused.run(&["session", "end", "--all", "--user", "ada"]).await;
    assert!(code == Some(2) && err.contains("cannot be used with"), "{err}");
}
