//! Who may post to a page of ours: the whole table of what a browser says about where a form came from.
use super::super::support::{Browser, Cloakroom};
use super::echo;

/// `Sec-Fetch-Site`, then `Origin`, then `Referer`; the first that is there decides. When none is, the form's token does.
fn may_log_out(site: Option<&str>, origin: Option<&str>, referer: Option<&str>, own: &str, has_token: bool) -> bool {
    match (site, origin, referer) {
        (Some(site), _, _) => ["same-origin", "none"].contains(&site),
        (None, Some(origin), _) => origin == own,
        (None, None, Some(referer)) => referer == own || referer.starts_with(&format!("{own}/")),
        (None, None, None) => has_token,
    }
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

async fn visitor(proxy: &Cloakroom) -> (Browser, String) {
    let mut browser = Browser::new(proxy.addr());
    browser.get("/set?json=%7B%22a%22:1%7D").await;
    let page = browser.get("/.cloakroom/logout").await.text();
    let token = page.split_once("name=\"token\" value=\"").and_then(|(_, rest)| rest.split('"').next()).expect("a token");
    (browser, token.to_owned())
}

#[tokio::test]
async fn a_logout_comes_from_this_site_or_brings_its_token() {
    let (_app, proxy) = echo("").await;
    let own = format!("http://{}", proxy.addr());
    let (inside, prefix_only) = (format!("{own}/page?q"), format!("{own}.evil.example/"));
    let sites = [None, Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site"), Some("Same-Origin")];
    let origins = [None, Some(own.as_str()), Some("https://evil.example"), Some("null")];
    let referers = [None, Some(inside.as_str()), Some(own.as_str()), Some("https://evil.example/"), Some(prefix_only.as_str())];
    let (mut browser, mut token) = visitor(&proxy).await;
    let mut passed = 0;

    for site in sites {
        for origin in origins {
            for referer in referers {
                for has_token in [false, true] {
                    let said = [("Sec-Fetch-Site", site), ("Origin", origin), ("Referer", referer)];
                    let said_headers = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
                    let headers: Vec<(&str, &str)> = said_headers.chain([FORM]).collect();
                    let form = if has_token { format!("token={token}") } else { "token=".to_owned() };
                    let expected = may_log_out(site, origin, referer, &own, has_token);

                    let answer = browser.send("POST", "/.cloakroom/logout", &headers, form.as_bytes()).await;

                    let case = format!("{said:?}, token {has_token}");
                    assert_eq!(answer.status, if expected { 303 } else { 403 }, "{case}");
                    assert_eq!(browser.cookie("cloakroom").is_none(), expected, "{case}");
                    if expected {
                        passed += 1;
                        (browser, token) = visitor(&proxy).await;
                    }
                }
            }
        }
    }
    assert_eq!(passed, 2 * 4 * 5 * 2 + 5 * 2 + 2 * 2 + 1, "both sides of the table were visited");
}

#[tokio::test]
async fn the_token_of_one_session_does_not_end_another() {
    let (_app, proxy) = echo("").await;
    let (mut mine, _) = visitor(&proxy).await;
    let (_, others) = visitor(&proxy).await;

    for token in [others.as_str(), "", "x"] {
        let answer = mine.send("POST", "/.cloakroom/logout", &[FORM], format!("token={token}").as_bytes()).await;
        assert_eq!(answer.status, 403, "{token}");
    }
    assert_eq!(mine.get("/echo").await.received("X-Session-A"), ["1"]);
}

#[tokio::test]
async fn two_answers_to_where_a_form_came_from_are_none() {
    let (_app, proxy) = echo("").await;
    let (mut browser, token) = visitor(&proxy).await;
    let own = format!("http://{}", proxy.addr());

    for twice in [
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", own.as_str()), ("Origin", "https://evil.example")],
        [("Referer", own.as_str()), ("Referer", "https://evil.example/")],
    ] {
        let answer = browser.send("POST", "/.cloakroom/logout", &[twice[0], twice[1], FORM], format!("token={token}").as_bytes()).await;
        assert_eq!(answer.status, 403, "{twice:?}");
    }
}
