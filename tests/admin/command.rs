//! `cloakroom session`: through the admin API of a running Cloakroom, else on the store itself.

use crate::office::{TOKEN, is_in, signed_in, toml};
use crate::support::{App, Browser, Cloakroom, Mongod};

/// A port that was free a moment ago: the command must know where the running process listens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

async fn with_store(app: &App, store: &str) -> Cloakroom {
    let text = toml(app, store, "token = \"env:ADMIN\"\n").replace("127.0.0.1:0", &format!("127.0.0.1:{}", free_port()));
    Cloakroom::with(&text).env("ADMIN", TOKEN).start().await
}

async fn handle(browser: &mut Browser) -> String {
    browser.get("/echo").await.received("X-Session-Handle").remove(0)
}

/// Runs `cloakroom session`; what it prints.
async fn obeyed(proxy: &Cloakroom, arguments: &[&str]) -> String {
    let (code, out, err) = proxy.run(&[&["session"], arguments].concat()).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
    out
}

#[tokio::test]
async fn every_command_works_through_the_running_process() {
    every_command_works(true).await;
}

#[tokio::test]
async fn every_command_works_on_the_store_of_a_stopped_process() {
    every_command_works(false).await;
}

/// The file belongs to one process at a time: while it runs, nobody else could answer.
async fn every_command_works(is_running: bool) {
    let app = App::start().await;
    let mut proxy = with_store(&app, "kind = \"embedded\"\npath = \"s.db\"").await;
    let mut adas = [signed_in(&proxy, "ada").await, signed_in(&proxy, "ada").await];
    let mut others = [signed_in(&proxy, "bob").await, signed_in(&proxy, "eve").await, signed_in(&proxy, "cyd").await];
    let (first, second) = (handle(&mut adas[0]).await, handle(&mut adas[1]).await);
    proxy.stop().await;
    make_older(&proxy, "eve", 40);
    if is_running {
        proxy.restart().await;
    }

    let listed = obeyed(&proxy, &["list", "--user", "ada"]).await;
    assert!(listed.lines().count() == 2 && listed.contains(&first) && listed.contains(&second), "{listed}");
    let shown = obeyed(&proxy, &["show", "--handle", &first]).await;
    assert!(shown.contains("\"user\": \"ada\"") && !shown.contains("topsecret"), "{shown}");
    assert_eq!(obeyed(&proxy, &["end", "--handle", &first]).await, "ended\n");
    let (code, _, err) = proxy.run(&["session", "show", "--handle", &first]).await;
    assert_eq!((code, err.as_str()), (Some(1), "error: there is no such session\n"));
    assert_eq!(obeyed(&proxy, &["list", "--user", "ada"]).await.lines().count(), 1);
    assert_eq!(obeyed(&proxy, &["end", "--user", "ada"]).await, "ended\n");
    assert_eq!(obeyed(&proxy, &["list", "--user", "ada"]).await, "");
    assert_eq!(obeyed(&proxy, &["end", "--older-than", "30d"]).await, "1 sessions ended\n");
    assert_eq!(obeyed(&proxy, &["list", "--user", "eve"]).await, "");
    assert_eq!(obeyed(&proxy, &["list", "--user", "bob"]).await.lines().count(), 1);
    proxy.restart().await;
    let mut still = others.clone().map(|browser| browser.at(proxy.addr()));
    assert_eq!((is_in(&mut still[0]).await, is_in(&mut still[1]).await, is_in(&mut still[2]).await), (true, false, true));
    if !is_running {
        proxy.stop().await;
    }
    assert_eq!(obeyed(&proxy, &["end", "--all"]).await, "2 sessions ended\n");

    proxy.restart().await;
    for browser in adas.iter_mut().chain(&mut others) {
        assert!(!is_in(&mut browser.clone().at(proxy.addr())).await);
    }
}

/// As if the user's sessions had begun so many days before they did.
fn make_older(proxy: &Cloakroom, user: &str, days: i64) {
    let file = rusqlite::Connection::open(proxy.folder().join("s.db")).expect("the store's file");
    let moved = file.execute("UPDATE sessions SET created_at = created_at - ?1 WHERE user_id = ?2", (days * 86_400_000, user));
    assert_eq!(moved.ok(), Some(1));
}

#[tokio::test]
async fn the_sessions_of_a_stopped_proxy_in_mongodb_can_be_listed_and_ended() {
    let (mongod, app) = (Mongod::start().await, App::start().await);
    let mut proxy = with_store(&app, &format!("kind = \"mongodb\"\nuri = \"{}\"", mongod.uri())).await;
    let (mut ada, bob) = (signed_in(&proxy, "ada").await, signed_in(&proxy, "bob").await);
    let handle = handle(&mut ada).await;
    proxy.stop().await;

    assert!(obeyed(&proxy, &["list", "--user", "ada"]).await.starts_with(&handle));
    assert_eq!(obeyed(&proxy, &["end", "--older-than", "30d"]).await, "0 sessions ended\n");
    assert_eq!(obeyed(&proxy, &["end", "--handle", &handle]).await, "ended\n");

    proxy.restart().await;
    assert_eq!((is_in(&mut ada.at(proxy.addr())).await, is_in(&mut bob.at(proxy.addr())).await), (false, true));
}

#[tokio::test]
async fn the_command_says_what_is_in_the_way() {
    let app = App::start().await;
    let locked = Cloakroom::start(&toml(&app, "kind = \"embedded\"\npath = \"s.db\"", "")).await;
    let unused = Cloakroom::with(&toml(&app, "kind = \"embedded\"\npath = \"none.db\"", ""));

    let (code, _, err) = locked.run(&["session", "list", "--user", "ada"]).await;
    assert!(code == Some(1) && err.contains("[admin] token"), "{err}");
    for (arguments, code, told) in [
        (&["--all"][..], 1, "does not exist"),
        (&[], 2, "--handle"),
        (&["--all", "--user", "ada"], 2, "cannot be used with"),
        (&["--all", "--older-than", "30d"], 2, "cannot be used with"),
        (&["--older-than", "30"], 2, "such as 12h or 30d"),
        (&["--older-than", "0d"], 2, "such as 12h or 30d"),
        (&["--older-than", "1.5h"], 2, "such as 12h or 30d"),
    ] {
        let (exit, _, err) = unused.run(&[&["session", "end"], arguments].concat()).await;
        assert!(exit == Some(code) && err.contains(told), "{arguments:?}: {err}");
    }
}
