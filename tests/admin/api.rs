//! The admin API, as programs use it.

use crate::office::{BEARER, TOKEN, ask, get, handles, is_in, proxy, signed_in, toml};
use crate::support::{App, Browser, Cloakroom, Mongod};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

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
    for unclear in ["", "?all=1", "?all=true&older_than=1d", "?older_than=", "?older_than=30", "?older_than=0d", "?older_than=1d&all=true"]
    {
        assert_eq!(ask(&proxy, "DELETE", &format!("/sessions{unclear}"), &[BEARER]).await.status, 400, "not by accident: {unclear}");
    }
    assert_eq!(ask(&proxy, "DELETE", "/sessions?older_than=1d", &[BEARER]).await.json()["ended"], 0);
    assert!(is_in(&mut bob).await);
    assert_eq!(ask(&proxy, "DELETE", "/sessions?all=true", &[BEARER]).await.json()["ended"], 1);
    assert!(!is_in(&mut bob).await);
}

#[tokio::test]
async fn what_cannot_be_done_is_told_in_json() {
    let app = App::start().await;
    let proxy = proxy(&app).await;

    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/sessions/none", 404),
        ("GET", "/sessions", 400),
        ("GET", "/sessions/%ff", 400),
        ("DELETE", "/sessions/%ff", 400),
        ("DELETE", "/users/%ff/sessions", 400),
        ("POST", "/sessions", 405),
        ("PUT", "/stats", 405),
    ] {
        let page = ask(&proxy, method, path, &[BEARER]).await;
        assert_eq!((page.status, page.header("content-type")), (status, Some("application/json")), "{method} {path}");
        assert!(page.json()["error"].is_string(), "{method} {path}: {}", page.text());
    }
    let page = ask(&proxy, "GET", "/sessions?user=ada&cursor=%ff%00%7b%22%24gt%22%3a1%7d", &[BEARER]).await;
    assert_eq!((page.status, handles(&page.json()).len()), (200, 0), "a cursor is text, whatever it holds");
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
