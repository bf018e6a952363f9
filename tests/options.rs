//! Every option that a visitor, an app or the stored record can notice, each over the real binary.
mod support;

use rusqlite::Connection;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime};
use support::{App, Browser, Cloakroom, Page};

const SECRET: &str = "secrets = \"hex:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\"";
/// The app starts a session.
const START: &str = "/set?json=%7B%22a%22:1%7D";
/// Long enough for a slow machine; reached by a failure only.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a test writes into each section.
struct Rules {
    server: &'static str,
    store: &'static str,
    session: &'static str,
    cookie: &'static str,
    headers: &'static str,
    route: &'static str,
    /// Whole tables before the last route.
    more: &'static str,
}

const PLAIN: Rules = Rules {
    server: "",
    store: "kind = \"memory\"",
    session: SECRET,
    cookie: "",
    headers: "",
    route: "write = \"all\"\nlogin = true",
    more: "",
};

impl Rules {
    fn toml(&self, app: &App) -> String {
        let Rules { server, store, session, cookie, headers, route, more } = self;
        let secrets = if session.contains("secrets") { "" } else { SECRET };
        let text = format!(
            "[server]\n{server}\n[store]\n{store}\n[session]\n{secrets}\n{session}\n[session.cookie]\n{cookie}\n[headers]\n{headers}\n\
             {more}\n[[routes]]\nupstream = \"APP\"\n{route}\n"
        );
        text.replace("APP", &app.url())
    }

    async fn start(&self) -> Scene {
        let app = App::start().await;
        let proxy = Cloakroom::start(&self.toml(&app)).await;
        Scene { app, proxy }
    }
}

struct Scene {
    app: App,
    proxy: Cloakroom,
}

impl Scene {
    fn stranger(&self) -> Browser {
        Browser::new(self.proxy.addr())
    }

    /// A visitor with a session, and the answer that began it.
    async fn visitor(&self) -> (Browser, Page) {
        let mut browser = self.stranger();
        let page = browser.get(START).await;
        (browser, page)
    }

    /// The attributes of the cookie that begins a session, as they were sent: `path=/`, `httponly`.
    async fn attributes(&self, browser: &mut Browser) -> Vec<String> {
        let page = browser.get(START).await;
        let [cookie] = &page.set_cookies()[..] else { panic!("one cookie is set: {page:?}") };
        cookie.attributes.iter().map(|(n, v)| if v.is_empty() { n.clone() } else { format!("{n}={v}") }).collect()
    }

    /// The embedded file as another process sees it.
    fn file(&self) -> Connection {
        Connection::open(self.proxy.folder().join("cloakroom.db")).expect("the session file")
    }

    fn number(&self, column: &str) -> i64 {
        self.file().query_row(&format!("SELECT {column} FROM sessions"), [], |row| row.get(0)).expect("one session")
    }

    fn stored(&self) -> i64 {
        self.file().query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).expect("a table")
    }
}

fn id_of(cookie: &str) -> String {
    let value = percent_encoding::percent_decode_str(cookie).decode_utf8().expect("UTF-8").into_owned();
    value.strip_prefix("s:").and_then(|rest| rest.rsplit_once('.')).expect("a signed value").0.to_owned()
}

/// The lifetime aside, which tests of its own look at.
fn timeless(mut attributes: Vec<String>) -> Vec<String> {
    attributes.retain(|a| !a.starts_with("max-age=") && !a.starts_with("expires="));
    attributes
}

async fn attributes_with(server: &'static str, cookie: &'static str) -> Vec<String> {
    let scene = Rules { server, cookie, ..PLAIN }.start().await;
    timeless(scene.attributes(&mut scene.stranger()).await)
}

async fn cookie_name_with(server: &'static str, cookie: &'static str) -> String {
    let scene = Rules { server, cookie, ..PLAIN }.start().await;
    let (_, page) = scene.visitor().await;
    page.set_cookies().into_iter().map(|c| c.name).collect::<Vec<_>>().join(" ")
}

const HTTPS: &str = "public_url = \"https://app.example.com\"";

mod name {
    use super::*;

    #[tokio::test]
    async fn the_configured_name_is_the_cookies() {
        assert_eq!(cookie_name_with("", "name = \"sid\"").await, "sid");
    }

    #[tokio::test]
    async fn on_a_plain_site_the_name_has_no_prefix() {
        assert_eq!(cookie_name_with("", "").await, "cloakroom");
    }

    #[tokio::test]
    async fn on_an_https_site_the_name_binds_the_cookie_to_its_host() {
        assert_eq!(cookie_name_with(HTTPS, "").await, "__Host-cloakroom");
    }

    #[tokio::test]
    async fn with_a_domain_the_name_demands_tls_only() {
        assert_eq!(cookie_name_with(HTTPS, "domain = \"example.com\"").await, "__Secure-cloakroom");
    }
}

mod attributes {
    use super::*;

    #[tokio::test]
    async fn by_default_scripts_and_other_sites_do_not_get_the_cookie() {
        assert_eq!(attributes_with("", "").await, ["path=/", "httponly", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn domain_path_priority_and_partitioned_are_sent_as_configured() {
        let all = "domain = \".Example.com\"\npath = \"/set\"\npriority = \"high\"\npartitioned = true";

        let sent = attributes_with(HTTPS, all).await;

        assert_eq!(sent, ["domain=example.com", "path=/set", "httponly", "secure", "partitioned", "priority=High", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn scripts_may_read_it_where_http_only_is_off() {
        assert_eq!(attributes_with("", "http_only = false").await, ["path=/", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn same_site_strict_is_sent() {
        assert_eq!(attributes_with("", "same_site = \"strict\"").await, ["path=/", "httponly", "samesite=Strict"]);
    }

    #[tokio::test]
    async fn same_site_none_is_sent_with_secure() {
        assert_eq!(attributes_with(HTTPS, "same_site = \"none\"").await, ["path=/", "httponly", "secure", "samesite=None"]);
    }

    #[tokio::test]
    async fn same_site_off_sends_nothing() {
        assert_eq!(attributes_with("", "same_site = \"off\"").await, ["path=/", "httponly"]);
    }

    #[tokio::test]
    async fn same_site_auto_is_none_on_secure_requests_and_lax_on_others() {
        let sent = [attributes_with(HTTPS, "same_site = \"auto\"").await, attributes_with("", "same_site = \"auto\"").await];

        assert_eq!(sent.map(|all| all.last().cloned()), ["samesite=None", "samesite=Lax"].map(|a| Some(a.to_owned())));
    }

    #[tokio::test]
    async fn outside_the_cookies_path_there_is_no_session_and_none_begins() {
        let scene = Rules { cookie: "path = \"/app\"", ..PLAIN }.start().await;
        let mut browser = scene.stranger();

        let outside = browser.get(START).await;
        let inside = browser.get("/app/set?json=%7B%22a%22:1%7D").await;
        let seen = [browser.get("/app/x").await, browser.get("/apple").await].map(|page| page.received("X-Session-A"));

        assert_eq!((outside.set_cookies(), inside.set_cookies().len()), (vec![], 1));
        assert_eq!(seen, [vec!["1".to_owned()], vec![]]);
    }
}

mod secure {
    use super::*;

    const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

    async fn behind(server: &'static str, proto: &str) -> Vec<String> {
        let scene = Rules { server, ..PLAIN }.start().await;
        timeless(scene.attributes(&mut scene.stranger().header("X-Forwarded-Proto", proto)).await)
    }

    #[tokio::test]
    async fn an_https_public_url_makes_the_cookie_secure() {
        assert_eq!(attributes_with(HTTPS, "").await, ["path=/", "httponly", "secure", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn a_trusted_proxys_word_makes_the_cookie_secure() {
        assert_eq!(behind(TRUSTING, "https").await, ["path=/", "httponly", "secure", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn a_trusted_proxys_http_does_not() {
        assert_eq!(behind(TRUSTING, "http").await, ["path=/", "httponly", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn anybody_elses_word_does_not() {
        assert_eq!(behind("", "https").await, ["path=/", "httponly", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn secure_false_stays_off_on_an_https_site() {
        assert_eq!(attributes_with(HTTPS, "secure = false").await, ["path=/", "httponly", "samesite=Lax"]);
    }

    #[tokio::test]
    async fn secure_true_on_an_insecure_request_sends_and_stores_nothing_and_warns() {
        let scene = Rules { cookie: "secure = true", store: "kind = \"embedded\"", ..PLAIN }.start().await;

        let (_, page) = scene.visitor().await;

        scene.proxy.logged("no session begun").await;
        assert_eq!((page.status, page.set_cookies(), scene.stored()), (200, vec![], 0));
    }

    #[tokio::test]
    async fn secure_true_behind_a_trusted_proxy_sends_the_cookie() {
        let scene = Rules { server: TRUSTING, cookie: "secure = true", ..PLAIN }.start().await;

        let sent = scene.attributes(&mut scene.stranger().header("X-Forwarded-Proto", "https")).await;

        assert_eq!(timeless(sent), ["path=/", "httponly", "secure", "samesite=Lax"]);
    }
}

mod max_age {
    use super::*;

    fn lifetime(page: &Page) -> (Option<String>, Option<u64>) {
        let [cookie] = &page.set_cookies()[..] else { panic!("one cookie is set: {page:?}") };
        let expires = cookie.attribute("expires").map(|v| httpdate::parse_http_date(v).expect("an HTTP date"));
        let left = expires.map(|at| at.duration_since(SystemTime::now()).expect("in the future").as_secs());
        (cookie.attribute("max-age").map(str::to_owned), left)
    }

    #[tokio::test]
    async fn both_max_age_and_expires_say_how_long() {
        let scene = Rules { cookie: "max_age = \"2h\"", ..PLAIN }.start().await;

        let (max_age, left) = lifetime(&scene.visitor().await.1);

        assert_eq!(max_age.as_deref(), Some("7200"));
        assert!(matches!(left, Some(7190..=7200)), "{left:?}");
    }

    #[tokio::test]
    async fn a_session_cookie_says_neither() {
        let scene = Rules { cookie: "max_age = \"session\"", ..PLAIN }.start().await;

        assert_eq!(lifetime(&scene.visitor().await.1), (None, None));
    }

    #[tokio::test]
    async fn a_session_cookie_leaves_the_idle_timeout_alone() {
        let scene = Rules { cookie: "max_age = \"session\"", session: "idle_timeout = \"3h\"", ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        let left = browser.get("/").await.received("X-Session-Expires-In").concat().parse::<u64>().expect("seconds");

        assert!((10_790..=10_800).contains(&left), "{left}");
    }

    #[tokio::test]
    async fn the_idle_timeout_follows_the_cookies_age() {
        let scene = Rules { cookie: "max_age = \"2h\"", ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        let left = browser.get("/").await.received("X-Session-Expires-In").concat().parse::<u64>().expect("seconds");

        assert!((7190..=7200).contains(&left), "{left}");
    }

    #[tokio::test]
    async fn the_app_gives_one_session_a_lifetime_of_its_own() {
        let scene = PLAIN.start().await;
        let (mut browser, _) = scene.visitor().await;

        let page = browser.get("/max-age?s=600").await;

        assert_eq!(lifetime(&page).0.as_deref(), Some("600"));
    }

    #[tokio::test]
    async fn a_lifetime_of_zero_ends_the_session() {
        let scene = Rules { store: "kind = \"embedded\"", ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        browser.get("/max-age?s=0").await;

        assert_eq!((browser.cookie("cloakroom"), scene.stored()), (None, 0));
    }
}

mod rolling {
    use super::*;

    async fn resent(session: &'static str) -> usize {
        let scene = Rules { session, ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;
        browser.get("/").await.set_cookies().len()
    }

    #[tokio::test]
    async fn true_sends_the_cookie_with_every_answer() {
        assert_eq!(resent("rolling = true").await, 1);
    }

    #[tokio::test]
    async fn false_sends_it_with_changes_only() {
        assert_eq!(resent("rolling = false").await, 0);
    }

    #[tokio::test]
    async fn auto_leaves_a_fresh_cookie_alone() {
        assert_eq!(resent("rolling = \"auto\"").await, 0);
    }

    #[tokio::test]
    async fn auto_sends_it_again_in_the_second_half_of_its_life() {
        let scene = Rules { session: "rolling = \"auto\"", cookie: "max_age = \"4s\"", ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;
        let began = Instant::now();

        let again = loop {
            if let Some(cookie) = browser.get("/").await.set_cookie("cloakroom") {
                break cookie;
            }
            assert!(began.elapsed() < Duration::from_secs(4), "the browser's copy died");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };

        assert!(began.elapsed() > Duration::from_millis(1500), "sent after {:?} already", began.elapsed());
        assert_eq!(again.attribute("max-age"), Some("4"));
    }

    #[tokio::test]
    async fn a_route_that_does_not_touch_does_not_roll() {
        let scene = Rules { session: "rolling = true", route: "write = \"all\"\ntouch = false", ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        assert_eq!(browser.get("/").await.set_cookies(), []);
    }
}

mod stored {
    use super::*;

    const FILE: Rules = Rules { store: "kind = \"embedded\"", ..PLAIN };

    #[tokio::test]
    async fn resave_writes_a_session_that_nobody_changed() {
        let scene = Rules { session: "resave = true\nrolling = false", ..FILE }.start().await;
        let (mut browser, _) = scene.visitor().await;
        let before = scene.number("revision");

        browser.get("/").await;

        assert_eq!(scene.number("revision"), before + 1);
    }

    #[tokio::test]
    async fn without_resave_it_is_left_alone() {
        let scene = FILE.start().await;
        let (mut browser, _) = scene.visitor().await;
        let before = scene.number("revision");

        browser.get("/").await;

        assert_eq!(scene.number("revision"), before);
    }

    #[tokio::test]
    async fn save_uninitialized_gives_every_visitor_a_session() {
        let scene = Rules { session: "save_uninitialized = true", ..FILE }.start().await;
        let mut browser = scene.stranger();

        let page = browser.get("/").await;

        assert_eq!((page.set_cookies().len(), scene.stored()), (1, 1));
        assert_eq!(browser.get("/").await.received("X-Session-Data"), ["{}"]);
    }

    #[tokio::test]
    async fn without_it_an_empty_session_is_none() {
        let scene = FILE.start().await;
        let mut browser = scene.stranger();

        let pages = [browser.get("/").await, browser.get("/set?json=%7B%7D").await, browser.get("/set?json=%7B%22a%22:null%7D").await];

        assert_eq!((pages.map(|page| page.set_cookies().len()), scene.stored()), ([0, 0, 0], 0));
    }

    #[tokio::test]
    async fn unset_keep_leaves_the_session() {
        let scene = Rules { session: "unset = \"keep\"", ..FILE }.start().await;
        let (mut browser, _) = scene.visitor().await;

        browser.get("/set?json=null").await;

        assert_eq!(browser.get("/").await.received("X-Session-Data"), ["{\"a\":1}"]);
    }

    #[tokio::test]
    async fn unset_destroy_ends_it() {
        let scene = Rules { session: "unset = \"destroy\"", ..FILE }.start().await;
        let (mut browser, _) = scene.visitor().await;

        browser.get("/set?json=null").await;

        assert_eq!((browser.cookie("cloakroom"), scene.stored()), (None, 0));
    }

    async fn id_and_key(session: &'static str) -> (String, String) {
        let scene = Rules { session, ..FILE }.start().await;
        let (browser, _) = scene.visitor().await;
        let key = scene.file().query_row("SELECT key FROM sessions", [], |row| row.get(0)).expect("one session");
        (id_of(browser.cookie("cloakroom").expect("a cookie")), key)
    }

    #[tokio::test]
    async fn by_default_the_store_does_not_see_the_id() {
        use sha2::Digest as _;
        let (id, key) = id_and_key("").await;
        let hash: String = sha2::Sha256::digest(&id).iter().map(|byte| format!("{byte:02x}")).collect();

        assert_eq!(key, hash);
    }

    #[tokio::test]
    async fn id_hash_none_stores_the_id_as_node_apps_do() {
        let (id, key) = id_and_key("id_hash = \"none\"").await;

        assert_eq!(key, id);
    }

    #[tokio::test]
    async fn a_route_with_touch_false_does_not_keep_the_session_alive() {
        let polling = "[[routes]]\nmatch = { path = \"/poll\" }\nupstream = \"APP\"\ntouch = false";
        let scene = Rules { session: "touch_after = \"0s\"", more: polling, ..FILE }.start().await;
        let (mut browser, _) = scene.visitor().await;
        let began = scene.number("updated_at");

        for _ in 0..5 {
            assert_eq!(browser.get("/poll").await.received("X-Session-A"), ["1"]);
        }
        let after_polling = scene.number("updated_at");
        // A touch does not hold the answer up: had one been started by polling, it would be seen by the time that this one is.
        browser.get("/").await;
        let deadline = Instant::now() + PATIENCE;
        while scene.number("updated_at") == began {
            assert!(Instant::now() < deadline, "a route that touches did not");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        assert_eq!(after_polling, began);
    }
}

mod secrets {
    use super::*;

    const OLD: &str = "secrets = \"hex:1111111111111111111111111111111111111111111111111111111111111111\"";
    const BOTH: &str = "secrets = [\"hex:2222222222222222222222222222222222222222222222222222222222222222\", \
                        \"hex:1111111111111111111111111111111111111111111111111111111111111111\"]";
    const NEW: &str = "secrets = \"hex:2222222222222222222222222222222222222222222222222222222222222222\"";

    async fn then(scene: &mut Scene, session: &'static str) {
        scene.proxy.reconfigure(&Rules { session, store: "kind = \"embedded\"", ..PLAIN }.toml(&scene.app));
        scene.proxy.restart().await;
    }

    #[tokio::test]
    async fn a_rotation_signs_every_visitor_anew_and_nobody_out() {
        let mut scene = Rules { session: OLD, store: "kind = \"embedded\"", ..PLAIN }.start().await;
        let (browser, _) = scene.visitor().await;
        let signed_before = browser.cookie("cloakroom").expect("a cookie").to_owned();

        then(&mut scene, BOTH).await;
        let mut browser = browser.at(scene.proxy.addr());
        let during = browser.get("/").await;
        let signed_anew = browser.cookie("cloakroom").expect("a cookie").to_owned();
        then(&mut scene, NEW).await;
        let after = browser.at(scene.proxy.addr()).get("/").await;

        assert_eq!((during.received("X-Session-A"), after.received("X-Session-A")), (vec!["1".to_owned()], vec!["1".to_owned()]));
        assert_ne!(signed_anew, signed_before);
        assert_eq!(id_of(&signed_anew), id_of(&signed_before));
    }

    #[tokio::test]
    async fn a_cookie_signed_with_a_secret_that_is_gone_is_a_strangers() {
        let mut scene = Rules { session: OLD, store: "kind = \"embedded\"", ..PLAIN }.start().await;
        let (browser, _) = scene.visitor().await;

        then(&mut scene, NEW).await;
        let page = browser.at(scene.proxy.addr()).get("/").await;

        assert_eq!((page.status, page.received("X-Session-Handle")), (200, vec![]));
    }
}

mod headers {
    use super::*;

    const GREETING: &str = "/set?json=%7B%22name%22:%22%C3%A4%20%25%22,%22n%22:1,%22list%22:%5B1%5D%7D";

    async fn told(headers: &'static str) -> Page {
        let scene = Rules { headers, ..PLAIN }.start().await;
        let mut browser = scene.stranger();
        browser.get(GREETING).await;
        browser.get("/").await
    }

    fn fields(page: &Page) -> [Vec<String>; 4] {
        ["X-Session-Name", "X-Session-N", "X-Session-List", "X-Session-Data"].map(|name| page.received(name))
    }

    fn one(value: &str) -> Vec<String> {
        vec![value.to_owned()]
    }

    const DATA: &str = r#"{"name":"\u00e4 %","n":1,"list":[1]}"#;

    #[tokio::test]
    async fn by_default_every_field_has_a_header() {
        assert_eq!(fields(&told("").await), [one("%C3%A4 %25"), one("1"), one("[1]"), one(DATA)]);
    }

    #[tokio::test]
    async fn a_list_names_the_fields_that_have_one() {
        assert_eq!(fields(&told("fields = [\"n\"]").await), [vec![], one("1"), vec![], one(DATA)]);
    }

    #[tokio::test]
    async fn none_leaves_the_data_only() {
        assert_eq!(fields(&told("fields = \"none\"").await), [vec![], vec![], vec![], one(DATA)]);
    }

    #[tokio::test]
    async fn text_may_come_as_base64url() {
        assert_eq!(told("encoding = \"base64url\"").await.received("X-Session-Name"), ["w6QgJQ"]);
    }

    #[tokio::test]
    async fn text_may_come_as_latin1() {
        assert_eq!(told("encoding = \"latin1\"").await.received("X-Session-Name"), ["\u{e4} %"]);
    }

    #[tokio::test]
    async fn text_may_come_raw() {
        assert_eq!(told("encoding = \"raw\"").await.received("X-Session-Name"), ["\u{c3}\u{a4} %"]);
    }

    #[tokio::test]
    async fn templates_set_headers_of_other_products() {
        let page = told("set = { \"Remote-User\" = \"{field:n}-{handle}\", \"X-None\" = \"{user}\" }").await;
        let handle = page.received("X-Session-Handle").concat();

        assert_eq!((page.received("Remote-User"), page.received("X-None")), (vec![format!("1-{handle}")], vec![]));
    }

    async fn overflowing(headers: &'static str) -> Page {
        let scene = Rules { headers, ..PLAIN }.start().await;
        let mut browser = scene.stranger();
        browser.get(&format!("/set?json=%7B%22big%22:%22{}%22,%22n%22:1%7D", "x".repeat(900))).await;
        browser.get("/").await
    }

    #[tokio::test]
    async fn what_does_not_fit_is_dropped_and_named() {
        let page = overflowing("max_bytes = \"1KiB\"").await;

        assert_eq!((page.received("X-Session-Data"), page.received("X-Session-N")), (vec![], one("1")));
        assert!(page.received("X-Session-Overflow").concat().starts_with("x-session-data"), "{page:?}");
    }

    #[tokio::test]
    async fn what_does_not_fit_may_be_an_error() {
        assert_eq!(overflowing("max_bytes = \"1KiB\"\noverflow = \"error\"").await.status, 502);
    }

    #[tokio::test]
    async fn what_fits_is_told_whole() {
        let page = overflowing("overflow = \"error\"").await;

        assert_eq!((page.status, page.received("X-Session-Overflow")), (200, vec![]));
    }

    #[tokio::test]
    async fn a_route_overrides_them_key_by_key() {
        let route = "write = \"all\"\nheaders = { fields = \"none\" }";
        let scene = Rules { headers: "set = { \"Remote-User\" = \"{field:a}\" }", route, ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        let page = browser.get("/").await;

        assert_eq!((page.received("X-Session-A"), page.received("Remote-User")), (vec![], one("1")));
    }
}

mod permissions {
    use super::*;

    /// What the app sees after a session with `keep` was begun elsewhere and a route with these permissions answered `directive`.
    async fn after(session: &'static str, route: &'static str, directive: &str) -> Option<serde_json::Value> {
        let open = "[[routes]]\nmatch = { path = \"/open/*\" }\nupstream = \"APP\"\nwrite = [\"keep\", \"userinfo\"]\nlogin = true";
        let scene = Rules { session, route, more: open, ..PLAIN }.start().await;
        let mut browser = scene.stranger();
        browser.get("/open/set?json=%7B%22keep%22:1%7D").await;
        browser.get(directive).await;
        browser.get("/open/").await;
        scene.app.last().session_data()
    }

    const CART: &str = "/set?json=%7B%22cart%22:2%7D";

    #[tokio::test]
    async fn without_write_an_app_changes_nothing() {
        assert_eq!(after("", "", CART).await, Some(json!({ "keep": 1 })));
    }

    #[tokio::test]
    async fn a_listed_field_may_be_changed() {
        assert_eq!(after("", "write = [\"cart\"]", CART).await, Some(json!({ "keep": 1, "cart": 2 })));
    }

    #[tokio::test]
    async fn one_field_that_is_not_listed_drops_the_whole_change() {
        let both = "/set?json=%7B%22cart%22:2,%22role%22:%22admin%22%7D";

        assert_eq!(after("", "write = [\"cart\"]", both).await, Some(json!({ "keep": 1 })));
    }

    #[tokio::test]
    async fn all_is_every_field() {
        assert_eq!(after("", "write = \"all\"", CART).await, Some(json!({ "keep": 1, "cart": 2 })));
    }

    const AS_ADMIN: &str = "/set?json=%7B%22userinfo%22:%22admin%22%7D";

    #[tokio::test]
    async fn all_does_not_include_the_field_that_names_the_user() {
        assert_eq!(after("user_from = \"userinfo\"", "write = \"all\"", AS_ADMIN).await, Some(json!({ "keep": 1 })));
    }

    #[tokio::test]
    async fn listed_by_name_that_field_signs_in() {
        let data = after("user_from = \"userinfo\"", "write = [\"userinfo\"]", AS_ADMIN).await;

        assert_eq!(data, Some(json!({ "keep": 1, "userinfo": "admin" })));
    }

    #[tokio::test]
    async fn any_permission_may_end_this_session() {
        assert_eq!(after("", "write = [\"cart\"]", "/end?what=this").await, None);
    }

    #[tokio::test]
    async fn no_permission_may_not_end_it() {
        assert_eq!(after("", "", "/end?what=this").await, Some(json!({ "keep": 1 })));
    }

    #[tokio::test]
    async fn write_alone_may_not_end_all_sessions() {
        assert_eq!(after("", "write = \"all\"", "/end?what=all").await, Some(json!({ "keep": 1 })));
    }

    async fn user_after(route: &'static str) -> Vec<String> {
        let scene = Rules { route, ..PLAIN }.start().await;
        let mut browser = scene.stranger();
        browser.get("/login-as?user=alice").await;
        browser.get("/").await.received("X-Session-User")
    }

    #[tokio::test]
    async fn an_app_with_login_signs_visitors_in() {
        assert_eq!(user_after("login = true").await, ["alice"]);
    }

    #[tokio::test]
    async fn an_app_without_login_does_not_even_with_write() {
        assert_eq!(user_after("write = \"all\"").await, [""; 0]);
    }

    #[tokio::test]
    async fn a_refused_change_leaves_the_answer_and_strips_its_header() {
        let scene = Rules { route: "", ..PLAIN }.start().await;

        let page = scene.stranger().get(START).await;

        assert_eq!((page.status, page.header("X-Session-Set"), page.set_cookies()), (200, None, vec![]));
        scene.proxy.logged("refused whole").await;
    }
}

mod routes {
    use super::*;

    #[tokio::test]
    async fn a_route_without_sessions_hides_them_and_takes_no_changes() {
        let off = "[[routes]]\nmatch = { path = \"/off/*\" }\nupstream = \"APP\"\nsession = \"off\"";
        let scene = Rules { more: off, ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        let page = browser.get("/off/set?json=%7B%22a%22:2%7D").await;

        let names = ["Cookie", "X-Session-Handle", "X-Session-Data", "X-Session-A"].map(|name| page.received(name));
        assert_eq!((names, page.header("X-Session-Set"), page.set_cookies()), ([const { vec![] }; 4], None, vec![]));
        assert_eq!(browser.get("/").await.received("X-Session-A"), ["1"]);
    }

    #[tokio::test]
    async fn a_required_route_wants_a_user_not_merely_data() {
        let required = "[[routes]]\nmatch = { path = \"/mine\" }\nupstream = \"APP\"\nsession = \"required\"";
        let scene = Rules { more: required, ..PLAIN }.start().await;
        let (mut browser, _) = scene.visitor().await;

        let with_data = browser.get("/mine").await.status;
        browser.get("/login-as?user=alice").await;
        let with_user = browser.get("/mine").await.status;

        assert_eq!((with_data, with_user), (401, 200));
    }

    #[tokio::test]
    async fn unauthenticated_chooses_the_refusal() {
        let scene = Rules { route: "session = \"required\"\nunauthenticated = 403", ..PLAIN }.start().await;

        assert_eq!(scene.stranger().get("/").await.status, 403);
    }
}

mod login {
    use super::*;

    /// The data before and after an anonymous visitor with two fields signs in, and whether the id changed.
    async fn kept(session: &'static str) -> (Option<serde_json::Value>, bool) {
        let scene = Rules { session, ..PLAIN }.start().await;
        let mut browser = scene.stranger();
        browser.get("/set?json=%7B%22cart%22:1,%22draft%22:2%7D").await;
        let before = browser.cookie("cloakroom").map(id_of);
        browser.get("/login-as?user=alice").await;
        let after = browser.cookie("cloakroom").map(id_of);
        browser.get("/").await;
        (scene.app.last().session_data(), before != after)
    }

    #[tokio::test]
    async fn by_default_all_comes_along_under_a_new_id() {
        assert_eq!(kept("").await, (Some(json!({ "cart": 1, "draft": 2 })), true));
    }

    #[tokio::test]
    async fn keep_at_login_lists_what_comes_along() {
        assert_eq!(kept("keep_at_login = [\"cart\"]").await, (Some(json!({ "cart": 1 })), true));
    }

    #[tokio::test]
    async fn max_per_user_ends_the_oldest_session_at_the_next_login() {
        for (session, users) in [("", ["alice", "alice", "alice"]), ("max_per_user = 2", ["", "alice", "alice"])] {
            let scene = Rules { session, ..PLAIN }.start().await;
            let mut browsers = [scene.stranger(), scene.stranger(), scene.stranger()];
            for browser in &mut browsers {
                browser.get("/login-as?user=alice").await;
            }

            let mut seen = Vec::new();
            for browser in &mut browsers {
                seen.push(browser.get("/").await.received("X-Session-User").concat());
            }

            assert_eq!(seen, users, "{session}");
        }
    }
}

mod expose {
    use super::*;

    async fn told(session: &'static str) -> serde_json::Value {
        let scene = Rules { session, ..PLAIN }.start().await;
        let mut browser = scene.stranger();
        browser.get("/set?json=%7B%22theme%22:%22dark%22,%22token%22:%22t%22%7D").await;
        browser.get("/.cloakroom/session").await.json()
    }

    fn names(answer: &serde_json::Value) -> Vec<&str> {
        let mut names: Vec<_> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn the_pages_script_is_not_told_the_data() {
        assert_eq!(names(&told("").await), ["expires_in", "idle_in", "login_age", "user"]);
    }

    #[tokio::test]
    async fn named_fields_are_told() {
        let answer = told("expose = [\"theme\"]").await;

        assert_eq!((names(&answer), &answer["theme"]), (vec!["expires_in", "idle_in", "login_age", "theme", "user"], &json!("dark")));
    }
}
