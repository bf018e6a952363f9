//! The README's recipes for apps that take the user's name from a header, each before a stub that reads the headers as the real app does.

use crate::support::{App, Browser, Cloakroom, Script};
use serde_json::{Value, json};

/// Fields as a users file gives them.
const FIELDS: &str = r#"{"email":"alice@example.com","display_name":"Alice Müller","role":"Editor"}"#;

/// Every spelling that some stack folds into the same name.
fn spellings(name: &str) -> [String; 5] {
    let upper = name.to_ascii_uppercase();
    [name.to_owned(), name.to_ascii_lowercase(), upper.replace('-', "_"), upper.replace('-', "."), name.replacen('-', "_", 1)]
}

/// The recipe below this heading of the README, with the stub for the app and a route by which the test signs in.
fn recipe(heading: &str, app: &Script, door: &App) -> String {
    let readme = include_str!("../../README.md");
    let section = readme.split(&format!("\n### {heading}\n")).nth(1).unwrap_or_else(|| panic!("the README has no recipe for {heading}"));
    let toml = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its proxy.toml");
    let upstream = toml.lines().find(|line| line.starts_with("upstream = ")).expect("an upstream");
    let door = format!(
        "[[routes]]\nmatch = {{ path = \"/door/*\" }}\nupstream = \"{}\"\nlogin = true\nwrite = [\"email\", \"display_name\", \"role\"]\n\n[[routes]]\n",
        door.url()
    );
    let toml = toml.replace(upstream, &format!("upstream = \"{}\"", app.url())).replacen("[[routes]]\n", &door, 1);
    format!("[store]\nkind = \"memory\"\n{toml}")
}

async fn enter(browser: &mut Browser, user: &str) {
    let fields: String = FIELDS.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = browser.get(&format!("/door/login-as?user={user}&h=X-Session-Set:{}", fields.replace('%', "%25"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What the app knows of a signed-in alice, with and without forged headers; strangers never reach it.
async fn knows(heading: &str, name: &str, expected: Value, trusted: &[&str]) -> (Script, App, Cloakroom, Browser) {
    let app = Script::start(&["python3", "behind.py"], &[("APP", name)]).await;
    let door = App::start().await;
    let proxy = Cloakroom::start(&recipe(heading, &app, &door)).await;
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");

    for header in trusted {
        for spelling in spellings(header) {
            let forged = Browser::new(proxy.addr()).send("GET", "/x?y", &[(&spelling, "mallory"), ("Accept", "text/html")], b"").await;
            assert_eq!((forged.status, forged.header("Location")), (303, Some("/login?return_to=/x%3Fy")), "{spelling}");
        }
    }
    enter(&mut browser, "alice").await;
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
    (app, door, proxy, browser)
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
    let (_app, _door, _proxy, mut browser) = knows("Paperless-ngx", "paperless", expected, &["Remote-User"]).await;
    assert_eq!(browser.cookie("sessionid"), Some("alice"), "it keeps a session of its own, whatever the header says later");

    enter(&mut browser, "bob").await;

    assert_eq!(browser.cookie("sessionid"), None, "which ends when another user signs in");
    assert_eq!(browser.get("/x").await.json(), json!({ "login": "bob" }));
}
