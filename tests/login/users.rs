//! Users come and go while the proxy runs: by hand, and by `cloakroom user`.

use super::site::{PASSWORD, Site, sign_in, users};
use crate::support::{App, Browser, Cloakroom};
use std::time::Duration;

/// Longer than a change takes to be noticed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the browser is not signed in any more.
async fn signed_out(browser: &mut Browser) {
    let out = async {
        while browser.get("/private/x").await.status == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, out).await.expect("the session ends");
}

#[tokio::test]
async fn whoever_is_removed_from_the_file_is_signed_out_and_nobody_else() {
    let site = Site::start().await;
    let (mut alice, mut bob) = (site.signed_in("alice").await, site.signed_in("bob").await);
    assert_eq!((alice.get("/private/x").await.status, bob.get("/private/x").await.status), (200, 200));

    let without_alice = users().split("\n\n").nth(1).unwrap();
    std::fs::write(site.proxy.folder().join("users.toml"), without_alice).unwrap();

    signed_out(&mut alice).await;
    assert_eq!(bob.get("/private/x").await.status, 200);
    assert_eq!(sign_in(&mut site.browser(), "/login", "alice", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_broken_file_is_told_with_its_place_and_only_what_it_takes_away_counts() {
    let site = Site::start().await;
    let (mut alice, mut bob) = (site.signed_in("alice").await, site.signed_in("bob").await);
    let before = users();

    std::fs::write(site.proxy.folder().join("users.toml"), format!("{before}[users.eve]\nhash = \"$2b$10$half")).unwrap();
    site.proxy.logged("users.toml:9:").await;
    assert_eq!((alice.get("/private/x").await.status, bob.get("/private/x").await.status), (200, 200));
    let locked = before.replace("role = \"admin\"", "disabled = true");
    std::fs::write(site.proxy.folder().join("users.toml"), format!("{locked}emial = \"bob@example.com\"\n")).unwrap();

    signed_out(&mut alice).await;
    site.proxy.logged("users.toml:8:1: unknown key `emial` in a user; did you mean `email`?; until that is mended").await;
    assert_eq!(bob.get("/private/x").await.status, 200);
    site.signed_in("bob").await;
    assert_eq!(sign_in(&mut site.browser(), "/login", "alice", PASSWORD).await.status, 401);
    std::fs::write(site.proxy.folder().join("users.toml"), before).unwrap();
    site.proxy.logged("the users file has changed").await;
    site.signed_in("alice").await;
}

fn toml(app: &App) -> String {
    format!(
        "[login]\nthrottle = {{ per_user = \"off\", per_client = \"off\" }}\n[[routes]]\nupstream = \"{}\"\nsession = \"required\"\nwrite = \"all\"\n",
        app.url()
    )
}

#[tokio::test]
async fn users_are_added_changed_and_removed_beside_a_running_proxy() {
    let app = App::start().await;
    let proxy = Cloakroom::start(&toml(&app)).await;
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");
    assert_eq!(sign_in(&mut browser, "/login", "alice", "first password").await.status, 401);

    let added = proxy.run_with(&["user", "add", "alice", "--role", "admin"], "first password\n").await;
    assert_eq!(added.0, Some(0), "{added:?}");
    let entered = async {
        while sign_in(&mut browser, "/login", "alice", "first password").await.status != 303 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, entered).await.expect("the new user is noticed");
    assert_eq!(browser.get("/private/x").await.received("x-session-role"), ["admin"]);

    let changed = proxy.run_with(&["user", "password", "alice"], "second password\n").await;
    assert!(changed.0 == Some(0) && changed.2.contains("the sessions from before end"), "{changed:?}");
    signed_out(&mut browser).await;
    assert_eq!(sign_in(&mut browser, "/login", "alice", "second password").await.status, 303);

    let removed = proxy.run_with(&["user", "remove", "alice"], "").await;
    assert_eq!(removed.0, Some(0), "{removed:?}");
    signed_out(&mut browser).await;
    let log = proxy.log();
    assert!(!log.contains("first password") && !log.contains("second password") && !log.contains("$argon2"), "{log}");
}

#[tokio::test]
async fn every_try_is_in_the_log_without_passwords_and_without_names_that_nobody_has() {
    let site = Site::throttled("per_user = \"2 in 5m\", per_client = \"off\"").await;
    let mut browser = site.browser();

    sign_in(&mut browser, "/login", "bob", "wrong words").await;
    sign_in(&mut browser, "/login", "mistyped secret", "other words").await;
    // No name can be like this: it is not even looked up.
    sign_in(&mut browser, "/login", "eve\r\nforged line \u{1b}[31m", "other words").await;
    sign_in(&mut browser, "/login", "bob", PASSWORD).await;
    for _ in 0..3 {
        sign_in(&mut site.browser(), "/login", "nobody", "other words").await;
    }
    site.proxy.logged("sign-in slowed down").await;

    let log = site.proxy.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("sign-in") || line.contains("signed in")).collect();
    let holds = |line: &str, words: &[&str]| words.iter().all(|word| line.contains(word));
    assert!(holds(lines[0], &["sign-in refused", "bob", "127.0.0.1", "wrong password"]), "{}", lines[0]);
    assert!(holds(lines[1], &["sign-in refused", "alias", "127.0.0.1", "unknown user"]), "{}", lines[1]);
    assert!(holds(lines[2], &["signed in", "bob", "127.0.0.1"]), "{}", lines[2]);
    assert!(holds(lines[5], &["sign-in slowed down", "alias", "127.0.0.1"]), "{}", lines[5]);
    for secret in ["wrong words", "other words", PASSWORD, "mistyped secret", "forged line", "\u{1b}"] {
        assert!(!log.contains(secret), "{secret:?} is in\n{log}");
    }
}
