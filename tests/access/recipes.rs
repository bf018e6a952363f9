//! The README's recipes for apps that take the user's name from a header, each before a stub that reads the headers as the real app does.

use crate::site::{PASSWORD, sign_in, users};
use crate::support::{Browser, Cloakroom, Script};
use serde_json::{Value, json};

/// What the users file says of alice beside her password.
const FIELDS: &str = "email = \"alice@example.com\"\ndisplay_name = \"Alice Müller\"\nrole = \"Editor\"\n";

/// Every spelling that some stack folds into the same name.
fn spellings(name: &str) -> [String; 5] {
    let upper = name.to_ascii_uppercase();
    [name.to_owned(), name.to_ascii_lowercase(), upper.replace('-', "_"), upper.replace('-', "."), name.replacen('-', "_", 1)]
}

/// The recipe below this heading of the README, with the stub for the app.
fn recipe(heading: &str, app: &Script) -> String {
    let readme = include_str!("../../README.md");
    let section = readme.split(&format!("\n### {heading}\n")).nth(1).unwrap_or_else(|| panic!("the README has no recipe for {heading}"));
    let toml = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its proxy.toml");
    let upstream = toml.lines().find(|line| line.starts_with("upstream = ")).expect("an upstream");
    format!("[store]\nkind = \"memory\"\n{}", toml.replace(upstream, &format!("upstream = \"{}\"", app.url())))
}

/// Alice as the recipes want her, and bob.
fn people() -> String {
    users().replace("role = \"admin\"\n", FIELDS)
}

/// What the app knows of a signed-in alice, with and without forged headers; strangers never reach it.
async fn knows(heading: &str, name: &str, expected: Value, trusted: &[&str]) -> (Script, Cloakroom, Browser) {
    let app = Script::start(&["python3", "behind.py"], &[("APP", name)]).await;
    let proxy = Cloakroom::with(&recipe(heading, &app)).file("users.toml", people()).start().await;
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");

    for header in trusted {
        for spelling in spellings(header) {
            let forged = Browser::new(proxy.addr()).send("GET", "/x?y", &[(&spelling, "mallory"), ("Accept", "text/html")], b"").await;
            assert_eq!((forged.status, forged.header("Location")), (303, Some("/login?return_to=/x%3Fy")), "{spelling}");
        }
    }
    let turned = browser.get("/x").await;
    let back = sign_in(&mut browser, turned.header("Location").expect("the login"), "alice", PASSWORD).await;
    assert_eq!((back.status, back.header("Location")), (303, Some("/x")), "{}", back.text());
    assert_eq!(browser.get("/x").await.json(), expected);
    for header in trusted {
        for spelling in spellings(header) {
            let connection = format!("close, {header}");
            for more in [("X-Other", "1"), ("Connection", connection.as_str())] {
                let forged = browser.send("GET", "/x", &[(&spelling, "mallory"), more], b"").await;
                assert_eq!(forged.json(), expected, "{spelling} {more:?}");
            }
        }
    }
    (app, proxy, browser)
}

#[tokio::test]
async fn grafana_knows_who_is_signed_in_and_nobody_can_forge_it() {
    let expected = json!({ "login": "alice", "Name": "Alice Müller", "Email": "alice@example.com", "Role": "Editor" });

    knows("Grafana", "grafana", expected, &["X-WEBAUTH-USER", "X-WEBAUTH-NAME", "X-WEBAUTH-EMAIL", "X-WEBAUTH-ROLE"]).await;
}

#[tokio::test]
async fn gitea_knows_who_is_signed_in_and_nobody_can_forge_it() {
    let expected = json!({ "login": "alice", "Email": "alice@example.com", "FullName": "Alice Müller" });

    knows("Gitea", "gitea", expected, &["X-WEBAUTH-USER", "X-WEBAUTH-EMAIL", "X-WEBAUTH-FULLNAME"]).await;
}

#[tokio::test]
async fn paperless_knows_who_is_signed_in_and_forgets_it_with_the_session() {
    let expected = json!({ "login": "alice" });
    let (_app, _proxy, mut browser) = knows("Paperless-ngx", "paperless", expected, &["Remote-User"]).await;
    assert_eq!(browser.cookie("sessionid"), Some("alice"), "it keeps a session of its own, whatever the header says later");

    assert_eq!(sign_in(&mut browser, "/login?fresh=1", "bob", PASSWORD).await.status, 303);

    assert_eq!(browser.cookie("sessionid"), None, "which ends when another user signs in");
    assert_eq!(browser.get("/x").await.json(), json!({ "login": "bob" }));
}
