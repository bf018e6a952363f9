//! `balance = "hash-session"`: a session's requests go to one server, and to another only while that one is away.
use super::super::support::{App, Browser, Cloakroom, KeptAlive};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

/// So many sessions that every server has some.
const VISITORS: usize = 30;

async fn sticky(servers: &[SocketAddr]) -> Cloakroom {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    let upstream = format!("[upstreams.web]\nservers = [{}]\nbalance = \"hash-session\"\n", servers.join(", "));
    let toml = format!("[store]\nkind = \"memory\"\n{upstream}[[routes]]\nupstream = \"web\"\nwrite = \"all\"\n");
    Cloakroom::start(&toml).await
}

async fn visitors(proxy: &Cloakroom) -> Vec<Browser> {
    let mut visitors: Vec<Browser> = (0..VISITORS).map(|_| Browser::new(proxy.addr())).collect();
    for visitor in &mut visitors {
        assert_eq!(visitor.get("/set?json=%7B%22a%22:1%7D").await.status, 200);
    }
    visitors
}

/// Which of the apps were asked for this path.
fn asked_for(path: &str, apps: &[App]) -> Vec<usize> {
    let count = |app: &App| app.seen().iter().filter(|request| request.path() == path).count();
    apps.iter().map(count).enumerate().filter(|(_, count)| *count > 0).map(|(number, _)| number).collect()
}

#[tokio::test]
async fn a_session_meets_one_server_and_requests_without_a_session_take_turns() {
    let apps = [App::start().await, App::start().await, App::start().await];
    let proxy = sticky(&apps.each_ref().map(App::addr)).await;
    let mut visitors = visitors(&proxy).await;

    for (number, visitor) in visitors.iter_mut().enumerate() {
        for method in ["GET", "POST", "GET"] {
            assert_eq!(visitor.send(method, &format!("/of/{number}/echo"), &[], b"").await.status, 200);
        }
    }
    for _ in 0..3 {
        Browser::new(proxy.addr()).get("/stranger/echo").await;
    }

    let asked: Vec<Vec<usize>> = (0..VISITORS).map(|number| asked_for(&format!("/of/{number}/echo"), &apps)).collect();
    assert!(asked.iter().all(|servers| servers.len() == 1), "{asked:?}");
    assert_eq!(BTreeSet::from_iter(asked.concat()), BTreeSet::from([0, 1, 2]), "every server has sessions");
    assert_eq!(asked_for("/stranger/echo", &apps), [0, 1, 2]);
}

#[tokio::test]
async fn a_session_whose_server_is_away_is_served_elsewhere_and_comes_back_with_it() {
    let apps = [App::start().await];
    // Refuses connections until it listens.
    let away = TcpSocket::new_v4().expect("a socket");
    away.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let proxy = sticky(&[apps[0].addr(), away.local_addr().expect("bound")]).await;
    let mut visitors = visitors(&proxy).await;

    for visitor in &mut visitors {
        assert_eq!(visitor.post("/echo", "body").await.status, 200);
    }
    let is_back = away.listen(16).expect("listening");
    tokio::spawn(say_hello(is_back));
    let mut homes = Vec::new();
    for visitor in &mut visitors {
        let pages = [visitor.get("/echo").await.text(), visitor.get("/echo").await.text()];
        homes.push(pages.map(|page| page == "hello"));
    }

    assert!(homes.iter().all(|[first, second]| first == second), "each has one home: {homes:?}");
    assert!(homes.contains(&[true; 2]) && homes.contains(&[false; 2]), "{homes:?}");
}

#[tokio::test]
async fn a_session_keeps_its_server_when_its_id_is_renewed() {
    let apps = [App::start().await, App::start().await, App::start().await];
    let proxy = sticky(&apps.each_ref().map(App::addr)).await;
    let mut visitors = visitors(&proxy).await;

    for (number, visitor) in visitors.iter_mut().enumerate() {
        let before = visitor.jar.clone();
        assert_eq!(visitor.get(&format!("/of/{number}/renew")).await.status, 200);
        assert_eq!(visitor.get(&format!("/of/{number}/echo")).await.status, 200);
        assert_ne!(visitor.jar, before, "a new id");
    }

    for number in 0..VISITORS {
        let (renewed, after) = (asked_for(&format!("/of/{number}/renew"), &apps), asked_for(&format!("/of/{number}/echo"), &apps));
        assert_eq!((renewed.len(), renewed), (1, after));
    }
}

#[tokio::test]
async fn a_session_whose_kept_alive_connection_dies_asks_its_own_server_again() {
    let apps = [App::start().await, App::start().await, App::start().await];
    let proxy = sticky(&apps.each_ref().map(App::addr)).await;
    let mut visitors = visitors(&proxy).await;

    for (number, visitor) in visitors.iter_mut().enumerate() {
        let cookie: Vec<String> = visitor.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = [("Cookie", cookie.concat())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        // On one connection, because the proxy reads its second request after the app's connection has gone to the pool.
        let mut connection = KeptAlive::to(proxy.addr());
        assert_eq!(connection.send("GET", "/echo", &headers).await.expect("an answer").status, 200);
        let dropped = connection.send("GET", &format!("/of/{number}/drop"), &headers).await.expect("an answer");
        assert_eq!(dropped.status, 502);
    }

    for number in 0..VISITORS {
        let path = format!("/of/{number}/drop");
        let asked = apps.each_ref().map(|app| app.seen().iter().filter(|request| request.path() == path).count());
        assert!(
            asked.iter().filter(|count| **count > 0).count() == 1 && asked.iter().any(|count| *count > 1),
            "one server, again: {asked:?}"
        );
    }
}

/// Answers one request on each connection.
async fn say_hello(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = [0; 4096];
        if stream.read(&mut head).await.is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello").await;
        }
    }
}
