//! What an app's answer may do, and what becomes of it on its way to the browser.
use super::super::support::{Browser, Cloakroom, Page};
use super::{open, scene, twin};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const START: &str = "/set?json=%7B%22a%22:1%7D";

async fn visitor(proxy: &Cloakroom) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    browser.get(START).await;
    browser
}

#[tokio::test]
async fn an_app_with_login_ends_all_sessions_of_a_user_and_no_others() {
    let (_app, proxy) = open().await;
    let mut browsers = Vec::new();
    for user in ["alice", "alice", "bob"] {
        let mut browser = Browser::new(proxy.addr());
        browser.get(&format!("/login-as?user={user}")).await;
        browsers.push(browser);
    }

    browsers[0].get("/end?what=all").await;

    let mut users = Vec::new();
    for browser in &mut browsers {
        users.push(browser.get("/echo").await.received("X-Session-User").concat());
    }
    assert_eq!(users, ["", "", "bob"]);
    assert_eq!(browsers[0].jar, []);
}

async fn websocket(proxy: &Cloakroom, path: &str, headers: &[(&'static str, &str)]) -> Result<http::Response<Option<Vec<u8>>>, u16> {
    let mut request = format!("ws://{}{path}", proxy.addr()).into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    match client_async(request, TcpStream::connect(proxy.addr()).await.expect("connected")).await {
        Ok((_, answer)) => Ok(answer),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_101_changes_the_session_like_any_final_answer() {
    let (_app, proxy) = open().await;

    let answer = websocket(&proxy, "/ws?h=X-Session-Set:%7B%22a%22:7%7D", &[]).await.expect("a socket");

    assert!(answer.headers().get("x-session-set").is_none());
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a cookie").to_owned();
    let seen = Browser::new(proxy.addr()).send("GET", "/echo", &[("Cookie", &cookie)], b"").await;
    assert_eq!(seen.received("X-Session-A"), ["7"]);
}

#[tokio::test]
async fn an_interim_answer_changes_nothing() {
    let (_app, proxy) = open().await;
    let mut browser = visitor(&proxy).await;

    let page = browser.get("/early-hints?hint=X-Session-Set:%7B%22a%22:2%7D&hint=X-Session-End:this").await;

    assert_eq!((page.status, page.set_cookies(), page.interim.len()), (200, vec![], 1));
    assert_eq!(browser.get("/echo").await.received("X-Session-A"), ["1"]);
}

#[tokio::test]
async fn a_site_that_the_route_names_may_open_websockets() {
    let (_app, proxy) =
        scene("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"APP\"\nwrite = \"all\"\norigins = [\"https://app.example.com\"]\n")
            .await;
    let cookie = format!("cloakroom={}", visitor(&proxy).await.cookie("cloakroom").expect("a cookie"));

    let mut opened = Vec::new();
    for origin in ["https://app.example.com", "https://app.example.com:8443", "http://app.example.com", "https://evil.example"] {
        opened.push(websocket(&proxy, "/ws", &[("cookie", &cookie), ("origin", origin)]).await.err());
    }

    assert_eq!(opened, [None, Some(403), Some(403), Some(403)]);
}

fn cache(page: &Page) -> (Option<&str>, Option<&str>) {
    (page.header("Cache-Control"), page.header("Vary"))
}

#[tokio::test]
async fn an_answer_to_one_visitor_is_kept_out_of_shared_caches() {
    let (_app, proxy) = open().await;
    let mut browser = visitor(&proxy).await;
    const VARY: &str = "h=Vary:Accept,%20X-Session-User";
    const PUBLIC: &str = "h=Cache-Control:public,%20s-maxage%3D60,%20max-age%3D5";

    let sets = Browser::new(proxy.addr()).get(&format!("{START}&{PUBLIC}&{VARY}")).await;
    let unsaid = browser.get(&format!("/echo?{VARY}")).await;
    let said = browser.get(&format!("/echo?{PUBLIC}")).await;
    let stranger = Browser::new(proxy.addr()).get(&format!("/echo?{PUBLIC}")).await;

    assert_eq!(sets.set_cookies().len(), 1);
    let directives = sets.header("Cache-Control").unwrap_or_default();
    assert!(directives.contains("private") && directives.contains("max-age=5"), "{directives}");
    assert!(!directives.contains("public") && !directives.contains("s-maxage"), "{directives}");
    let varies = |page: &Page| page.header("Vary").unwrap_or_default().to_ascii_lowercase();
    assert!(varies(&sets).contains("cookie") && !varies(&sets).contains("x-session"), "{}", varies(&sets));
    assert!(varies(&unsaid).contains("accept") && varies(&unsaid).contains("cookie"), "{}", varies(&unsaid));
    assert_eq!(unsaid.header("Cache-Control"), Some("private"));
    assert_eq!(cache(&said), (Some("public, s-maxage=60, max-age=5"), None));
    assert_eq!(cache(&stranger), (Some("public, s-maxage=60, max-age=5"), None));
}

#[tokio::test]
async fn several_set_lines_apply_in_order() {
    let (_app, proxy) = open().await;
    let mut browser = visitor(&proxy).await;

    browser.get("/echo?h=X-Session-Set:%7B%22a%22:2,%22b%22:1%7D&h=X-Session-Set:%7B%22a%22:3,%22b%22:null%7D").await;

    assert_eq!(browser.get("/echo").await.received("X-Session-Data"), ["{\"a\":3}"]);
}

#[tokio::test]
async fn a_change_that_makes_a_session_too_large_is_dropped_whole_and_the_answer_passes() {
    let (_app, proxy) =
        scene("[store]\nkind = \"memory\"\n[session]\nmax_bytes = \"1KiB\"\n[[routes]]\nupstream = \"APP\"\nwrite = \"all\"\n").await;
    let mut browser = visitor(&proxy).await;

    let page = browser.get(&format!("/set?json=%7B%22a%22:2,%22big%22:%22{}%22%7D", "x".repeat(1100))).await;

    assert_eq!((page.status, page.set_cookies()), (200, vec![]));
    proxy.logged("dropped-too-large").await;
    assert_eq!(browser.get("/echo").await.received("X-Session-Data"), ["{\"a\":1}"]);
}

#[tokio::test]
async fn after_a_renewal_the_old_id_reads_for_a_while_and_changes_nothing() {
    let (_app, proxy) = open().await;
    let mut browser = visitor(&proxy).await;
    let mut late = twin(&browser);

    let renewed = browser.get("/renew").await;
    let read = late.get("/echo").await;
    let changed = late.get("/set?json=%7B%22a%22:2%7D").await;

    assert_eq!((renewed.set_cookies().len(), read.received("X-Session-A")), (1, vec!["1".to_owned()]));
    assert_eq!([read.set_cookies().len(), changed.set_cookies().len()], [0, 0], "the old id's browser gets no cookie");
    assert_eq!(browser.get("/echo").await.received("X-Session-A"), ["1"]);
    assert_ne!(browser.cookie("cloakroom"), late.cookie("cloakroom"));
    late.get("/end?what=this").await;
    assert_eq!(browser.get("/echo").await.received("X-Session-A"), [""; 0], "an end through the old id ends the session");
}

#[tokio::test]
async fn a_cookie_whose_session_is_over_is_left_alone() {
    let (_app, proxy) = open().await;
    let mut browser = visitor(&proxy).await;
    let mut late = twin(&browser);
    browser.send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;

    let page = late.get("/echo").await;
    let ended = late.get("/end?what=this").await;

    assert_eq!((page.status, page.received("X-Session-Handle")), (200, vec![]));
    assert_eq!([page.set_cookies(), ended.set_cookies()], [vec![], vec![]], "a login in another tab would lose its cookie");
}
