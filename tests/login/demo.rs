//! The demo behind the login, as the comments of the shipped `proxy.toml` say.

use crate::site::{PASSWORD, sign_in, users};
use crate::support::{Browser, Cloakroom};

/// The shipped file without the `#` of the lines that it names, and of the table that gets a free port.
fn with_the_login() -> String {
    let (before, after) = include_str!("../../proxy.toml").split_once("# To see the login: ").expect("the comment");
    let (comment, after) = after.split_once('\n').expect("lines");
    let (block, after) = after.split_once("\n\n").expect("a block");
    assert!(comment.contains("these five lines and from `[login]` below") && block.lines().count() == 5, "{comment}\n{block}");
    let bare: Vec<_> = block.lines().map(|line| line.strip_prefix('#').expect("a commented line")).collect();
    format!("{before}{}\n\n{}", bare.join("\n"), after.replace("\n#[login] ", "\n[login] ").replace("\n#[server]\n", "\n[server]\n"))
}

#[tokio::test]
async fn the_shipped_file_shows_the_login_when_its_comment_is_followed() {
    let proxy = Cloakroom::with(&with_the_login()).file("users.toml", users()).start().await;
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");
    browser.post("/sign-in", "name=alice").await;

    let turned = browser.get("/members/").await;
    let login = turned.header("location").expect("a name that anybody may type opens nothing").to_owned();
    let back = sign_in(&mut browser, &login, "bob", PASSWORD).await;
    let page = browser.get("/members/").await;

    assert_eq!((turned.status, login.as_str()), (303, "/login?return_to=/members/"));
    assert_eq!((back.status, back.header("location")), (303, Some("/members/")));
    assert!(page.status == 200 && page.text().contains("for members"), "{}", page.text());
    assert!(page.text().contains("<b>x-session-user:</b> bob"), "{}", page.text());
    assert!(browser.get("/").await.text().contains("Welcome back, <bdi>bob</bdi>"), "the visit was counted");
}
