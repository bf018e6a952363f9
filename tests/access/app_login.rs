//! The app signs its visitors in itself, as it always did: its form posts through Cloakroom.

use super::bench::*;
use crate::support::{Browser, Cloakroom, Script};

#[tokio::test]
async fn an_existing_login_form_keeps_working_with_fields_a_new_id_and_the_old_one_dead() {
    let app = Script::start(&["node", "node/signin.mjs"], &[]).await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[[routes]]\nmatch = {{ path = \"/admin/*\" }}\nupstream = \"{0}\"\nrequire = {{ all = {{ role = [\"admin\"] }} }}\n
         [[routes]]\nupstream = \"{0}\"\nlogin = true\nwrite = [\"role\", \"cart\"]\nend_app_cookies = [\"prefs\"]\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/cart?add=coat").await;
    let anonymous = browser.cookie("cloakroom").expect("a cart begins a session").to_owned();
    assert_eq!(browser.get("/admin/").await.status, 401);

    let wrong = browser.post("/signin", "name=alice&password=guess").await;
    assert_eq!((wrong.status, browser.cookie("cloakroom")), (403, Some(anonymous.as_str())));
    let right = browser.post("/signin", "name=alice&password=correct+horse").await;

    assert_eq!((right.status, right.header("Location")), (303, Some("/")));
    assert_eq!(browser.get("/").await.text(), "hello alice (admin), your cart: coat");
    assert_eq!(browser.get("/admin/").await.status, 200);
    assert_ne!(browser.cookie("cloakroom"), Some(anonymous.as_str()));
    let old = format!("cloakroom={anonymous}");
    let stale = Browser::new(proxy.addr()).send("GET", "/", &[("Cookie", &old)], b"").await;
    assert_eq!(stale.text(), "hello stranger, your cart: empty");

    let out = browser.post("/signout", "").await;

    assert!(
        out.set_cookie("prefs").is_some_and(|cookie| cookie.is_expired() && cookie.attribute("path") == Some("/")),
        "{:?}",
        out.headers
    );
    assert_eq!(browser.get("/").await.text(), "hello stranger, your cart: empty");
}

#[tokio::test]
async fn a_cookie_that_the_app_sets_while_it_signs_another_user_in_outlives_the_old_ones_end() {
    let app = Script::start(&["node", "node/signin.mjs"], &[]).await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{}\"\nlogin = true\nwrite = [\"role\", \"cart\"]\nend_app_cookies = [\"prefs\"]\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let mut browser = Browser::new(proxy.addr());
    browser.post("/signin", "name=alice&password=correct+horse").await;
    assert_eq!(browser.cookie("prefs"), Some("alice"));

    let answer = browser.post("/signin", "name=bob&password=battery").await;

    let lines: Vec<_> = answer.set_cookies().into_iter().map(|cookie| (cookie.name.clone(), cookie.is_expired())).collect();
    assert_eq!(lines, [("prefs".to_owned(), true), ("prefs".to_owned(), false), ("cloakroom".to_owned(), false)]);
    assert_eq!(browser.cookie("prefs"), Some("bob"));
}

#[tokio::test]
async fn the_logout_page_ends_the_apps_cookies_too() {
    let app = Script::start(&["node", "node/signin.mjs"], &[]).await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{}\"\nlogin = true\nwrite = [\"role\"]\nend_app_cookies = [\"prefs\"]\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let mut browser = Browser::new(proxy.addr()).header("Sec-Fetch-Site", "same-origin");
    browser.post("/signin", "name=alice&password=correct+horse").await;

    let answer = browser.post("/.cloakroom/logout", "").await;

    assert_eq!((answer.status, browser.cookie("prefs"), browser.cookie("cloakroom")), (303, None, None));
}

#[tokio::test]
async fn an_app_without_permission_signs_nobody_in() {
    let mut bench = Bench::new("[[routes]]\nupstream = \"http://127.0.0.1:1\"\nwrite = \"all\"\n");

    bench.app_says(&[("x-session-login", "alice"), ("x-session-set", r#"{"a":1}"#)]).await;

    assert_eq!((bench.get("/").await.told("x-session-user"), bench.cookie), (None, None));
}
