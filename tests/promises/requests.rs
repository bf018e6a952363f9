//! What of a request reaches the app.
use super::super::support::{App, Browser, Cloakroom};
use super::{open, scene};

const OVERRIDE: (&str, &str) = ("X-HTTP-Method-Override", "GET");
const PREFLIGHT: [(&str, &str); 2] = [("Origin", "https://other.example"), ("Access-Control-Request-Method", "POST")];

#[tokio::test]
async fn what_connection_nominates_goes_no_further_even_if_it_is_credentials() {
    let (app, proxy) = open().await;
    let fields = [
        ("Connection", "authorization, content-type, Cookie"),
        ("Authorization", "Basic eDp5"),
        ("Content-Type", "text/plain"),
        ("Cookie", "theirs=1"),
    ];

    let page = Browser::new(proxy.addr()).send("POST", "/echo", &fields, b"hello").await;

    assert_eq!((page.status, app.last().body), (200, b"hello".to_vec()));
    for name in ["Authorization", "Content-Type", "Cookie"] {
        assert_eq!(page.received(name), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn nobody_can_nominate_what_frames_or_places_a_request() {
    let (app, proxy) = open().await;
    let fields = [("Connection", "host, content-length, x-forwarded-for, forwarded, transfer-encoding")];

    let page = Browser::new(proxy.addr()).send("POST", "/echo", &fields, b"hello").await;

    assert_eq!(app.last().body, b"hello");
    assert_eq!(["Host", "X-Forwarded-For", "Forwarded"].map(|name| page.received(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn a_method_cannot_be_overridden_where_a_route_matches_methods() {
    let (_app, free) = open().await;
    let (_app, bound) = scene(
        "[store]\nkind = \"memory\"\n[[routes]]\nmatch = { path = \"/w\", methods = [\"POST\"] }\nupstream = \"APP\"\n[[routes]]\nupstream = \"APP\"\n",
    )
    .await;

    let mut kept = Vec::new();
    for proxy in [&free, &bound] {
        kept.push(Browser::new(proxy.addr()).send("POST", "/w", &[OVERRIDE], b"").await.received(OVERRIDE.0).len());
        kept.push(
            Browser::new(proxy.addr())
                .send("POST", "/x", &[("X_HTTP_Method-Override", "GET")], b"")
                .await
                .received("X_HTTP_Method-Override")
                .len(),
        );
    }

    assert_eq!(kept, [1, 0, 0, 0]);
}

const REQUIRED: &str = "[store]\nkind = \"memory\"\n\
    [[routes]]\nmatch = { path = \"/in/*\" }\nupstream = \"APP\"\nwrite = \"all\"\nlogin = true\n\
    [[routes]]\nupstream = \"APP\"\nsession = \"required\"\nwrite = \"all\"\n";

async fn alice(proxy: &Cloakroom) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    browser.get("/in/login-as?user=alice").await;
    browser
}

#[tokio::test]
async fn a_preflight_passes_without_a_session_and_changes_none() {
    let (app, proxy) = scene(REQUIRED).await;
    let mut browser = alice(&proxy).await;

    let stranger = Browser::new(proxy.addr()).send("OPTIONS", "/set?json=%7B%22a%22:1%7D", &PREFLIGHT, b"").await;
    let known = browser.send("OPTIONS", "/set?json=%7B%22a%22:1%7D", &PREFLIGHT, b"").await;
    let told = ["X-Session-Handle", "X-Session-User", "X-Session-Data", "Cookie"].map(|name| app.last().headers(name).len());
    let plain = Browser::new(proxy.addr()).send("OPTIONS", "/", &PREFLIGHT[..1], b"").await;

    assert_eq!([&stranger, &known].map(|page| (page.status, page.set_cookies().len(), page.header("X-Session-Set"))), [(200, 0, None); 2]);
    assert_eq!(told, [0; 4]);
    assert_eq!(plain.status, 401, "an OPTIONS that is no preflight needs a user");
    assert_eq!(browser.get("/").await.received("X-Session-A"), [""; 0]);
}

#[tokio::test]
async fn a_preflight_cannot_pose_as_another_method() {
    let (app, proxy) = scene(REQUIRED).await;
    let fields = [PREFLIGHT[0], PREFLIGHT[1], OVERRIDE, ("x.method.override", "GET")];

    Browser::new(proxy.addr()).send("OPTIONS", "/", &fields, b"").await;

    let seen = app.last();
    assert_eq!(seen.method(), "OPTIONS");
    assert!(!seen.head.to_ascii_lowercase().contains("override"), "{}", seen.head);
}

async fn underscored(server: &str) -> (u16, App) {
    let (app, proxy) = scene(&format!("[server]\n{server}\n[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"APP\"\n")).await;
    let fields = [("X_Plain", "1"), ("X_Session_User", "root")];
    let status = Browser::new(proxy.addr()).send("GET", "/echo", &fields, b"").await.status;
    (status, app)
}

#[tokio::test]
async fn names_with_an_underscore_are_dropped_rejected_or_allowed_and_ours_never_pass() {
    let (dropped, dropped_app) = underscored("").await;
    let (rejected, rejected_app) = underscored("underscore_headers = \"reject\"").await;
    let (allowed, allowed_app) = underscored("underscore_headers = \"allow\"").await;

    assert_eq!([dropped, rejected, allowed], [200, 400, 200]);
    assert_eq!((dropped_app.last().headers("X_Plain").len(), rejected_app.seen().len()), (0, 0));
    assert_eq!((allowed_app.last().headers("X_Plain").len(), allowed_app.last().headers("X_Session_User").len()), (1, 0));
}

#[tokio::test]
async fn a_cookie_of_ours_under_a_configured_name_never_reaches_the_app() {
    let (_app, proxy) =
        scene("[store]\nkind = \"memory\"\n[session.cookie]\nname = \"sid\"\n[[routes]]\nupstream = \"APP\"\nwrite = \"all\"\n").await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    browser.jar.extend(
        [("theirs", "1"), ("cloakroom", "x"), ("__Host-cloakroom", "y"), ("sidecar", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())),
    );

    let page = browser.get("/echo?h=Set-Cookie:sid%3Dstolen&h=Set-Cookie:own%3D1").await;

    assert_eq!((page.received("Cookie"), page.received("X-Session-A")), (vec!["theirs=1; sidecar=2".to_owned()], vec!["1".to_owned()]));
    assert_eq!(page.set_cookies().into_iter().map(|cookie| cookie.name).collect::<Vec<_>>(), ["own"]);
}

#[tokio::test]
async fn a_user_whom_the_encoding_cannot_name_exactly_is_not_named() {
    for (encoding, mapped, unmapped) in
        [("latin1", "r%C3%A9mi", "%E4%BD%A0"), ("raw", "%E4%BD%A0", "adm%5Cu0001in"), ("raw", "a%20b", "%20admin")]
    {
        let (_app, proxy) = scene(&format!(
            "[store]\nkind = \"memory\"\n[session]\nuser_from = \"who\"\n[headers]\nencoding = \"{encoding}\"\n\
             set = {{ \"Remote-User\" = \"{{user}}\", \"X-Id\" = \"{{handle}}\" }}\n[[routes]]\nupstream = \"APP\"\nwrite = [\"who\"]\n"
        ))
        .await;
        let mut named = Vec::new();
        for user in [mapped, unmapped] {
            let mut browser = Browser::new(proxy.addr());
            browser.get(&format!("/set?json=%7B%22who%22:%22{user}%22%7D")).await;
            let page = browser.get("/echo").await;
            named.push(["X-Session-User", "X-Session-Who", "Remote-User", "X-Id"].map(|name| page.received(name).len()));
        }

        assert_eq!(named, [[1, 1, 1, 1], [0, 0, 0, 1]], "{encoding}");
        proxy.logged("cannot be written").await;
    }
}
