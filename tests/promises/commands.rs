//! Commands beside the proxy.
use super::super::support::{Browser, Cloakroom, exchange, latin1};
use super::{PATIENCE, open, scene};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn healthcheck_asks_the_first_listener() {
    let (app, mut proxy) = open().await;
    let toml = format!("[server]\nlisten = [\"{}\"]\n[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{}\"\n", proxy.addr(), app.url());
    proxy.reconfigure(&toml);

    let alive = proxy.run(&["healthcheck"]).await.0;
    proxy.kill().await;
    let dead = proxy.run(&["healthcheck"]).await.0;
    proxy.reconfigure("nonsense");
    let wrong = proxy.run(&["healthcheck"]).await.0;

    assert_eq!((alive, dead, wrong), (Some(0), Some(1), Some(2)));
}

#[tokio::test]
async fn healthcheck_asks_the_admin_listener_where_there_is_one() {
    let (app, proxy) = scene("[store]\nkind = \"memory\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nupstream = \"APP\"\n").await;
    let admin = proxy.admin_addr();
    proxy.reconfigure(&format!("[store]\nkind = \"memory\"\n[admin]\nlisten = \"{admin}\"\n[[routes]]\nupstream = \"{}\"\n", app.url()));

    let answer = latin1(&exchange(admin, "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await);
    let alive = proxy.run(&["healthcheck"]).await.0;

    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    assert_eq!(alive, Some(0));
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn demo_serves_the_demo_app_for_a_cloakroom_elsewhere() {
    let binary = std::env::var("CLOAKROOM_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_cloakroom").to_owned());
    let mut demo = Command::new(binary)
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(demo.stderr.take().expect("piped")).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("a line").expect("a line");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(';').next()).expect("an address");
    let write = "write = [\"name\", \"visits\", \"cart\"]";
    let proxy = Cloakroom::start(&format!("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"http://{address}\"\n{write}\n")).await;

    let page = Browser::new(proxy.addr()).get("/").await;

    assert_eq!(page.status, 200);
    assert!(page.text().contains("<form") && page.text().contains("name=\"name\""), "{}", page.text());
}
