//! The whole way over real sockets: turned away, through our login page, and back.

use crate::site::{PASSWORD, send, sign_in, users, value_of};
use crate::support::{App, Browser, Cloakroom, Page};

/// `APP` in these routes is the echo app.
async fn site(routes: &str) -> (App, Cloakroom) {
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[login]\nthrottle = {{ per_user = \"off\", per_client = \"off\" }}\n{}",
        routes.replace("APP", &format!("upstream = \"{}\"", app.url()))
    );
    let proxy = Cloakroom::with(&toml).file("users.toml", users()).start().await;
    (app, proxy)
}

fn browser(proxy: &Cloakroom) -> Browser {
    Browser::new(proxy.addr()).header("Accept", "text/html").header("Sec-Fetch-Site", "same-origin")
}

/// Where the page's only button leads.
fn button(page: &Page) -> String {
    value_of(&page.text(), "class=\"button\" href=\"").unwrap_or_else(|| panic!("no button in {}", page.text()))
}

#[tokio::test]
async fn a_form_that_was_sent_too_late_reaches_no_app_and_its_sender_lands_on_the_form() {
    let (app, proxy) = site("[[routes]]\nAPP\nsession = \"required\"\n").await;
    let mut tab = browser(&proxy);
    sign_in(&mut tab, "/login", "alice", PASSWORD).await;
    tab.get("/orders/new?item=7").await;
    let mut other_tab = tab.clone();
    other_tab.post("/.cloakroom/logout", "").await;
    let mark = app.mark();
    let referer = format!("http://{}/orders/new?item=7", proxy.addr());

    let turned = tab.send("POST", "/orders/create", &[("Referer", &referer)], b"amount=3").await;
    let landed = sign_in(&mut tab, &button(&turned), "alice", PASSWORD).await;

    assert_eq!((turned.status, landed.status, landed.header("Location")), (401, 303, Some("/orders/new?item=7")));
    assert_eq!(app.since(&mark).text(), "", "neither the POST nor a GET of its action");
    assert_eq!(tab.get("/orders/new?item=7").await.status, 200);
}

#[tokio::test]
async fn a_page_that_wants_a_young_login_is_reached_by_one_more_login() {
    let (_app, proxy) = site(
        "[[routes]]\nmatch = { path = \"/vault/*\" }\nAPP\nrequire = { login_age = \"1s\" }\n[[routes]]\nAPP\nsession = \"required\"\n",
    )
    .await;
    let mut browser = browser(&proxy);
    sign_in(&mut browser, "/login", "alice", PASSWORD).await;
    let mut turned = browser.get("/vault/x").await;
    while turned.status == 200 {
        tokio::task::yield_now().await;
        turned = browser.get("/vault/x").await;
    }
    assert_eq!((turned.status, turned.header("Location")), (303, Some("/login?return_to=/vault/x&fresh=1")));
    assert_eq!(browser.get("/elsewhere").await.status, 200, "nothing else is asked for again");

    let form = browser.get("/login?return_to=/vault/x&fresh=1").await;
    assert!(form.text().contains("value=\"alice\""), "the name is filled in: {}", form.text());
    let back = send(&mut browser, &form, &[("username", "alice"), ("password", PASSWORD)]).await;

    assert_eq!((back.status, back.header("Location")), (303, Some("/vault/x")));
    assert_eq!(browser.get("/vault/x").await.received("X-Session-User"), ["alice"]);
}

#[tokio::test]
async fn who_may_not_see_a_page_changes_the_account_and_sees_it() {
    let (_app, proxy) = site("[[routes]]\nAPP\nrequire = { all = { role = [\"admin\"] } }\nend_app_cookies = [\"sid\"]\n").await;
    let mut browser = browser(&proxy);
    sign_in(&mut browser, "/login", "bob", PASSWORD).await;
    let refused = browser.get("/admin?x=1").await;
    assert!(refused.status == 403 && refused.text().contains("You are signed in as bob."), "{}", refused.text());

    let goodbye = browser.get(&button(&refused)).await;
    let left = send(&mut browser, &goodbye, &[]).await;
    assert_eq!((left.status, left.header("Location")), (303, Some("/admin?x=1")));
    assert!(left.set_cookie("sid").is_some_and(|cookie| cookie.is_expired()));
    let turned = browser.get("/admin?x=1").await;
    let back = sign_in(&mut browser, turned.header("Location").expect("the login"), "alice", PASSWORD).await;

    assert_eq!(back.header("Location"), Some("/admin?x=1"));
    assert_eq!(browser.get("/admin?x=1").await.received("X-Session-User"), ["alice"]);
}

#[tokio::test]
async fn a_role_that_the_users_file_no_longer_gives_is_gone_after_the_next_login() {
    let (_app, proxy) = site("[[routes]]\nmatch = { path = \"/admin/*\" }\nAPP\nrequire = { all = { role = [\"admin\"] } }\n[[routes]]\nAPP\nlogin = true\nwrite = \"all\"\n").await;
    let mut browser = browser(&proxy);
    sign_in(&mut browser, "/login", "bob", PASSWORD).await;

    browser.get("/set?json=%7B%22role%22:%22admin%22%7D").await;

    assert_eq!(browser.get("/admin/").await.status, 403, "an app with write = \"all\" gives nobody a role");
}

#[tokio::test]
async fn the_apps_cookies_end_unless_the_same_user_signs_in_again() {
    let (_app, proxy) = site("[[routes]]\nAPP\nsession = \"required\"\nend_app_cookies = [\"sid\"]\n").await;
    let expires = |page: &Page| page.set_cookie("sid").is_some_and(|cookie| cookie.is_expired());
    let again = "/login?fresh=1";

    let mut visitor = browser(&proxy);
    let stranger = sign_in(&mut visitor, "/login", "alice", PASSWORD).await;
    let same = sign_in(&mut visitor, again, "alice", PASSWORD).await;
    let another = sign_in(&mut visitor, again, "bob", PASSWORD).await;

    assert_eq!([&stranger, &same, &another].map(|page| (page.status, expires(page))), [(303, true), (303, false), (303, true)]);
}
