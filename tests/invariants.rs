//! The eight invariants of `src/README.md`, each over the real binary.
mod support;

use std::time::Duration;
use support::{App, Browser, Cloakroom, Mongod, exchange};

/// Everything allowed, in front of the echo app.
fn open(app: &App) -> String {
    format!("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\nlogin = true\n", app.url())
}

const SET: &str = "/set?json=%7B%22userinfo%22:%22admin%22%7D";

async fn signed_in(proxy: &Cloakroom) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    assert!(browser.cookie("cloakroom").is_some(), "the app's change began a session");
    browser
}

/// The id in the browser's cookie.
fn id_of(browser: &Browser) -> String {
    let value = browser.cookie("cloakroom").expect("a cookie");
    let value = percent_encoding::percent_decode_str(value).decode_utf8().expect("UTF-8").into_owned();
    value.trim_start_matches("s:").rsplit_once('.').expect("a signature").0.to_owned()
}

#[tokio::test]
async fn an_app_never_receives_a_session_header_that_cloakroom_did_not_write() {
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[headers]\nset = {{ \"Remote-User\" = \"{{user}}\" }}\n
         [[routes]]\nmatch = {{ path = \"/off/*\" }}\nupstream = \"{0}\"\nsession = \"off\"\n
         [[routes]]\nupstream = \"{0}\"\nwrite = \"all\"\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let spellings = [
        "X-Session-User",
        "x_session_user",
        "X-SESSION-USERINFO",
        "X.Session.Data",
        "X_Session-Anything",
        "Remote_User",
        "REMOTE-USER",
        "remote.user",
    ];

    for path in ["/echo", "/off/echo"] {
        for name in spellings {
            for mut browser in [Browser::new(proxy.addr()), signed_in(&proxy).await] {
                let mark = app.mark();
                browser.send("GET", path, &[(name, "evil-admin"), ("Connection", "X-Session-Userinfo, close")], b"").await;

                let seen = app.since(&mark);
                assert!(!seen.text().contains("evil-admin"), "{name} on {path}");
            }
        }
    }
    let kept = signed_in(&proxy).await.send("GET", "/echo", &[("Connection", "close, X-Session-Userinfo")], b"").await;
    assert_eq!(kept.received("X-Session-Userinfo"), ["admin"], "a client cannot take our header away");
}

#[tokio::test]
async fn an_ended_session_stays_ended_when_a_slow_request_finishes() {
    let app = App::start().await;
    let proxy = Cloakroom::start(&open(&app)).await;
    let asks = ["", "&h=X-Session-Set:%7B%22late%22:1%7D", "&h=X-Session-Renew:true", "&h=X-Session-Max-Age:600"];
    // One that takes long is ended with its session; one that does not is answered, and its answer must change nothing.
    for (ms, ask) in [250, 700].into_iter().flat_map(|ms| asks.map(|ask| (ms, ask))) {
        let late = format!("/slow?ms={ms}{ask}");
        let browser = signed_in(&proxy).await;
        let value = browser.cookie("cloakroom").expect("a cookie").to_owned();
        let cookie = format!("cloakroom={value}");
        let mark = app.mark();
        let (address, path, sent) = (proxy.addr(), late.clone(), cookie.clone());
        let slow = tokio::spawn(async move { Browser::new(address).send("GET", &path, &[("Cookie", &sent)], b"").await });
        while app.since(&mark).requests.is_empty() {
            tokio::task::yield_now().await;
        }

        Browser::new(proxy.addr()).send("GET", "/end?what=this", &[("Cookie", &cookie)], b"").await;
        let answer = slow.await.expect("an answer");

        assert!(
            answer.set_cookie("cloakroom").is_none_or(|cookie| cookie.is_expired()),
            "{late} hands out a session: {:?}",
            answer.headers
        );
        let after = Browser::new(proxy.addr()).send("GET", "/echo", &[("Cookie", &cookie)], b"").await;
        assert!(after.received("X-Session-Data").is_empty(), "{late} brought the session back");
    }
}

#[tokio::test]
async fn the_session_id_is_in_no_log_and_never_reaches_the_app() {
    let app = App::start().await;
    let proxy = Cloakroom::start(&(open(&app) + "[log]\nlevel = \"trace\"\n")).await;
    let mark = app.mark();
    let mut browser = Browser::new(proxy.addr());
    let mut ids = Vec::new();

    for path in [SET, "/echo?token=hidden-query", "/renew", "/login-as?user=alice", "/echo", "/respond?status=500", "/end?what=this"] {
        browser.get(path).await;
        if browser.cookie("cloakroom").is_some() {
            ids.push(id_of(&browser));
        }
    }

    ids.dedup();
    assert_eq!(ids.len(), 3, "first session, renewed, logged in");
    proxy.logged("/end").await;
    for id in &ids {
        assert!(!proxy.log().contains(id.as_str()), "the id is in the log");
        assert!(!app.since(&mark).text().contains(id.as_str()), "the id reached the app");
    }
    assert!(!proxy.log().contains("hidden-query"));
}

#[tokio::test]
async fn a_store_outage_logs_nobody_out_and_lets_nobody_in() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let toml = format!(
        "[store]\nkind = \"mongodb\"\nuri = \"{}\"\nread_timeout = \"600ms\"\nwrite_timeout = \"600ms\"\ncache = \"off\"\n[session]\nuser_from = \"userinfo\"\nsecrets = \"hex:{}\"\n
         [[routes]]\nmatch = {{ path = \"/private/*\" }}\nupstream = \"{}\"\nsession = \"required\"\nwhen_down = \"anonymous\"\n
         [[routes]]\nupstream = \"{}\"\nwrite = [\"userinfo\"]\n",
        mongod.uri(), "5a".repeat(32), app.url(), app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let mut browser = signed_in(&proxy).await;
    assert_eq!(browser.get("/private/x").await.status, 200);
    let before = browser.jar.clone();

    mongod.kill();
    let mark = app.mark();
    for path in ["/echo", "/private/x", SET] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.header("Retry-After").is_some() && answer.headers("Set-Cookie").is_empty(), "{path}");
    }
    assert!(app.since(&mark).requests.is_empty(), "nobody was let in");
    assert_eq!(Browser::new(proxy.addr()).get("/private/x").await.status, 401, "a stranger is still a stranger");
    assert_eq!(Browser::new(proxy.addr()).get("/echo").await.status, 200, "a stranger still gets what needs no session");

    mongod.restart().await;
    let mut status = 503;
    for _ in 0..100 {
        status = browser.get("/private/x").await.status;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((status, browser.jar), (200, before), "the same cookie opens the same session");
}

#[tokio::test]
async fn what_the_visitor_was_told_is_stored() {
    let app = App::start().await;
    let toml = format!("[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n", app.url());
    let mut proxy = Cloakroom::start(&toml).await;
    let mut browser = Browser::new(proxy.addr());

    for number in 0..20 {
        browser.get(&format!("/set?json=%7B%22n%22:{number}%7D")).await;
        if number % 5 == 4 {
            proxy.kill().await;
            proxy.restart().await;
            browser = browser.at(proxy.addr());
        }
        let told = browser.get("/echo").await;
        assert_eq!(told.received("X-Session-N"), [number.to_string()]);
    }
}

#[tokio::test]
async fn no_answer_of_an_app_can_split_a_header_or_end_the_process() {
    let app = App::start().await;
    let mut proxy = Cloakroom::start(&open(&app)).await;
    let mut browser = signed_in(&proxy).await;
    let deep = "%5B".repeat(4000);
    let wishes = [
        "X-Session-Set:%7Bbroken",
        "X-Session-Set:%5B1%5D",
        "X-Session-Set:%7B%22a%22:%22%5Cr%5Cnevil:%20yes%22%7D",
        "X-Session-Set:%7B%22%5Cr%5Cnevil%22:1%7D",
        "X-Session-Set:%7B%22a%22:%22%5Cud800%22%7D",
        "X-Session-Login:a%250d%250aevil:yes",
        "X-Session-Max-Age:99999999999999999999",
        "X-Session-Max-Age:-1",
        "X-Session-End:everything",
        "X-Session-Renew:perhaps",
        &format!("X-Session-Set:%7B%22a%22:{deep}%7D"),
    ];

    for wish in wishes {
        let answer = browser.get(&format!("/respond?h={wish}")).await;
        assert_eq!(answer.status, 200, "{wish}");
        let mark = app.mark();
        browser.get("/echo").await;
        assert!(!app.since(&mark).text().to_lowercase().contains("\r\nevil"), "{wish}");
    }
    for junk in [
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: cloakroom=s%3A%00%ff.%\r\n\r\n",
        "\0\0\0",
        "GET /%E4 HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        exchange(proxy.addr(), junk).await;
    }
    assert!(proxy.is_alive() && !proxy.log().contains("panicked"));
    assert_eq!(browser.get("/echo").await.received("X-Session-Userinfo"), ["admin"]);
}

#[tokio::test]
async fn the_path_that_was_authorised_is_the_path_that_the_app_gets() {
    let app = App::start().await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[[routes]]\nmatch = {{ path = \"/private/*\" }}\nupstream = \"{0}\"\nsession = \"required\"\n[[routes]]\nupstream = \"{0}\"\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");

    for target in [
        "/private",
        "/public/../private",
        "/%70rivate/..;/x",
        "/%70rivate",
        "/privat%65/x",
        "//private",
        "/private%2fx",
        "/public/..%2fprivate",
        "/x/%2e%2e/private",
        "/private;x",
        "/private%00",
        "http://other/private",
    ] {
        let mark = app.mark();
        exchange(proxy.addr(), get(target)).await;
        assert!(app.since(&mark).requests.is_empty(), "{target} reached the app");
    }
    for (target, sent) in [
        ("/a%20b?c=%2e%2e/", "/a%20b?c=%2e%2e/"),
        ("http://app.example.com/x?y", "/x?y"),
        ("/%e4%bd%a0", "/%E4%BD%A0"),
        ("/%70ublic", "/public"),
    ] {
        let mark = app.mark();
        exchange(proxy.addr(), get(target)).await;
        assert_eq!(app.since(&mark).requests.first().map(|request| request.target().to_owned()).as_deref(), Some(sent));
    }
}

#[tokio::test]
async fn our_cookies_never_reach_the_app_and_the_app_cannot_set_them() {
    let app = App::start().await;
    let proxy = Cloakroom::start(&open(&app)).await;
    let ours = format!("cloakroom={}", signed_in(&proxy).await.cookie("cloakroom").expect("a cookie"));

    for (sent, arrives) in [
        (format!("a=1; {ours}; b=%20 2"), vec!["a=1; b=%20 2"]),
        (ours.clone(), vec![]),
        (format!("{ours}; __Host-cloakroom=x; __secure-cloakroom=y; theme=dark"), vec!["theme=dark"]),
    ] {
        let answer = Browser::new(proxy.addr()).send("GET", "/echo", &[("Cookie", &sent)], b"").await;
        assert_eq!(answer.received("Cookie"), arrives, "{sent}");
    }
    let lines = "h=Set-Cookie:cloakroom%3Devil&h=Set-Cookie:%20CLOAKROOM%3Devil%3B%20Path%3D/x&h=Set-Cookie:__Host-cloakroom%3Devil&h=Set-Cookie:theme%3Ddark%3B%20Path%3D/";
    let answer = Browser::new(proxy.addr()).get(&format!("/respond?{lines}")).await;
    assert_eq!(answer.headers("Set-Cookie"), ["theme=dark; Path=/"]);
}
