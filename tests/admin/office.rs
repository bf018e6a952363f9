//! A proxy with an admin listener, its operator, and people who have signed in.

use crate::support::{App, Browser, Cloakroom, Page};
use serde_json::Value;

pub const TOKEN: &str = "a token of more than thirty-two bytes";
pub const BEARER: (&str, &str) = ("Authorization", "Bearer a token of more than thirty-two bytes");

pub fn toml(app: &App, store: &str, admin: &str) -> String {
    format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n{admin}[store]\n{store}\n[session]\nsecrets = [\"hex:{}\"]\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\nlogin = true\n",
        "5a".repeat(32),
        app.url()
    )
}

pub async fn proxy(app: &App) -> Cloakroom {
    Cloakroom::with(&toml(app, "kind = \"memory\"", "token = \"env:ADMIN\"\n")).env("ADMIN", TOKEN).start().await
}

pub async fn ask(proxy: &Cloakroom, method: &str, path: &str, headers: &[(&str, &str)]) -> Page {
    Browser::new(proxy.admin_addr()).send(method, path, headers, b"").await
}

pub async fn get(proxy: &Cloakroom, path: &str) -> Value {
    let page = ask(proxy, "GET", path, &[BEARER]).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    page.json()
}

/// Somebody who has signed in.
pub async fn signed_in(proxy: &Cloakroom, user: &str) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    browser.get(&format!("/login-as?user={user}&h=X-Session-Set:%7B%22pin%22:%22topsecret%22%7D")).await;
    assert_eq!(browser.get("/echo").await.received("X-Session-User"), [user]);
    browser
}

pub async fn is_in(browser: &mut Browser) -> bool {
    !browser.get("/echo").await.received("X-Session-User").is_empty()
}

pub fn handles(list: &Value) -> Vec<String> {
    list["sessions"].as_array().expect("a list").iter().map(|session| session["handle"].as_str().expect("a handle").to_owned()).collect()
}
