//! More sign-ins at once than can be hashed: those without room are told when to come again, and nothing else suffers.

use super::site::{PASSWORD, hidden, sign_in, users};
use crate::support::{App, Browser, Cloakroom};
use cloakroom::auth::hash::{Kind, StoredHash};
use cloakroom::random::OsEntropy;
use std::time::Duration;

/// As many wait for a hash.
const QUEUE: usize = 32;
/// As many more are sent.
const BEYOND: usize = 8;

#[tokio::test]
async fn beyond_what_can_be_hashed_the_answer_is_503_with_retry_after_and_the_apps_are_served() {
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[login]\nthrottle = {{ per_user = \"off\", per_client = \"off\" }}\n[[routes]]\nupstream = \"{}\"\n",
        app.url()
    );
    // As costly as a hash may be.
    let slow = StoredHash::nobodys(Kind::Bcrypt { cost: 15 }, &OsEntropy);
    let people = format!("[users.slow]\nhash = \"{}\"\n{}", slow.as_text(), users());
    let proxy = Cloakroom::with(&toml).file("users.toml", people).start().await;
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");
    let form = browser.get("/login").await;
    let mut body = form_urlencoded::Serializer::new(String::new());
    let body = body.extend_pairs(hidden(&form.text())).extend_pairs([("username", "slow"), ("password", "guess")]).finish();
    let at_once = 1 + QUEUE + BEYOND;

    let guesses = (0..at_once).map(|_| {
        let (mut browser, body) = (browser.clone(), body.clone());
        async move { browser.post("/login", body).await }
    });
    let guesses = tokio::spawn(futures_util::future::join_all(guesses));
    let mut passing = browser.clone();
    while !guesses.is_finished() {
        assert_eq!(passing.get("/x").await.status, 200);
    }

    let answers = guesses.await.unwrap();
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(busy.len() >= BEYOND, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in busy {
        let seconds: u64 = answer.header("Retry-After").expect("when to come again").parse().expect("seconds");
        assert!((1..=10).contains(&seconds) && answer.text().contains("value=\"slow\""), "{seconds}: {}", answer.text());
    }
    let again = async {
        while sign_in(&mut browser, "/login", "bob", PASSWORD).await.status != 303 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("there is room again");
}
