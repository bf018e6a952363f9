//! Which route a request meets, and what is said where there is none.
use super::super::support::{Browser, Cloakroom, exchange, latin1};
use super::scene;

#[tokio::test]
async fn two_routes_that_differ_in_methods_keep_their_own_headers() {
    let (app, proxy) = scene(
        "[store]\nkind = \"memory\"\n\
         [[routes]]\nmatch = { path = \"/m/*\", methods = [\"GET\"] }\nupstream = \"APP\"\nlogin = true\nwrite = [\"a\"]\n\
         headers = { set = { \"Remote-User\" = \"{user}\" } }\n\
         [[routes]]\nmatch = { path = \"/m/*\", methods = [\"POST\"] }\nupstream = \"APP\"\n\
         headers = { fields = \"none\", set = { \"X-Other\" = \"{handle}\" } }\n",
    )
    .await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/m/login-as?user=alice").await;
    browser.get("/m/set?json=%7B%22a%22:1%7D").await;

    browser.get("/m/x").await;
    let read = ["Remote-User", "X-Session-A", "X-Other"].map(|name| app.last().headers(name).len());
    browser.post("/m/x", "a=b").await;
    let posted = ["Remote-User", "X-Session-A", "X-Other"].map(|name| app.last().headers(name).len());

    assert_eq!((read, posted), ([1, 1, 0], [0, 0, 1]));
    assert!(proxy.log().contains("route GET|HEAD /m/* ->") && proxy.log().contains("route POST /m/* ->"), "{}", proxy.log());
}

async fn at(proxy: &Cloakroom, method: &str, host: &str, path: &str) -> (u16, Option<String>) {
    let page = Browser::new(proxy.addr()).host(host).send(method, path, &[], b"").await;
    (page.status, page.header("Allow").map(str::to_owned))
}

#[tokio::test]
async fn what_no_route_is_for_is_404_405_or_421_and_no_apps() {
    let (app, proxy) = scene(
        "[store]\nkind = \"memory\"\n\
         [[routes]]\nmatch = { host = \"a.example.com\", path = \"/x/*\", methods = [\"POST\"] }\nupstream = \"APP\"\n\
         [[routes]]\nmatch = { host = \"a.example.com\", path = \"/x/y\", methods = [\"GET\"] }\nupstream = \"APP\"\n\
         [[routes]]\nmatch = { host = \"*.b.example.com\" }\nupstream = \"APP\"\n",
    )
    .await;

    assert_eq!(at(&proxy, "GET", "a.example.com", "/z").await, (404, None));
    assert_eq!(at(&proxy, "DELETE", "a.example.com", "/x/y").await, (405, Some("GET, HEAD, POST".to_owned())));
    assert_eq!(at(&proxy, "GET", "c.example.com", "/x/y").await, (421, None));
    assert_eq!(at(&proxy, "GET", "b.example.com", "/").await, (421, None));
    assert!(app.seen().is_empty());
    assert_eq!(at(&proxy, "GET", "one.two.B.example.com:80", "/").await, (200, None));
    assert_eq!(at(&proxy, "POST", "a.example.com", "/x/z").await, (200, None));
}

#[tokio::test]
async fn our_own_pages_say_which_methods_they_answer() {
    let (_app, proxy) = super::open().await;

    for (path, allowed) in
        [("/.cloakroom/livez", "GET, HEAD"), ("/.cloakroom/session", "GET, HEAD"), ("/.cloakroom/logout", "GET, HEAD, POST")]
    {
        assert_eq!(at(&proxy, "DELETE", "a", path).await, (405, Some(allowed.to_owned())), "{path}");
    }
}

#[tokio::test]
async fn paths_of_ours_never_reach_the_app() {
    let (app, proxy) = super::open().await;

    for path in ["/.cloakroom", "/.cloakroom/", "/.cloakroom/nothing", "/.cloakroom/livez", "/%2Ecloakroom/x", "/.cloakroo%6d/session"] {
        let answer = latin1(&exchange(proxy.addr(), format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await);
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
    }
    assert!(app.seen().is_empty(), "{:?}", app.last());
    Browser::new(proxy.addr()).get("/.cloakrooms").await;
    assert_eq!(app.last().path(), "/.cloakrooms");
}
