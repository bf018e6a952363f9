//! Where the login leads afterwards: the page that was wanted, or the form that was filled in; never another site, never an action.

use super::bench::*;

const PRIVATE: &str = "[[routes]]\nupstream = \"http://127.0.0.1:1\"\nsession = \"required\"\n[login]\n";

/// The decoded `return_to` of the redirect.
async fn wanted(target: &str) -> Option<String> {
    let met = Bench::new(PRIVATE).get(target).await;
    let to = met.header("location").expect("a redirect").to_owned();
    let query = to.strip_prefix("/login").expect("the login page").strip_prefix('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    assert_eq!(pairs.count(), 1, "{to}");
    pairs.find(|(name, _)| name == "return_to").map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn the_wanted_page_comes_back_with_its_query() {
    for target in [
        "/",
        "/a/b",
        "/report?year=2026&month=11",
        "/s?q=%E4%BD%A0%20+&next=//x",
        "/a%20b/%E4%BD%A0?x=%2F%26%3D%23",
        "/a?fresh=1&return_to=/b",
        "/a?q=a%0Ab&p=C:%5CUsers&n=%ff",
        "/explore?left=%7B%22expr%22:%22a%5C%22b%22%7D",
        &format!("/a?x={}", "y".repeat(8000)),
    ] {
        assert_eq!(wanted(target).await.as_deref(), Some(target));
    }
}

#[tokio::test]
async fn what_browsers_leave_unescaped_is_escaped_on_the_way() {
    assert_eq!(wanted("/a?x=100%&y=%4&z=%41%").await.as_deref(), Some("/a?x=100%25&y=%254&z=%41%25"));
    assert_eq!(wanted("/a?x=\\\\evil").await.as_deref(), Some("/a?x=%5C%5Cevil"));
    assert_eq!(wanted("/grid?filter={a|b}^`\"<c>").await.as_deref(), Some("/grid?filter=%7Ba%7Cb%7D%5E%60%22%3Cc%3E"));
}

#[tokio::test]
async fn a_query_that_is_too_long_to_be_led_back_to_leaves_its_path() {
    for query in ["y".repeat(8190), "=".repeat(6000)] {
        assert_eq!(wanted(&format!("/a?{query}")).await.as_deref(), Some("/a"));
    }
}

async fn posted(method: &str, headers: &[(&str, &str)]) -> Met {
    let mut all = vec![PAGE, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    all.extend_from_slice(headers);
    Bench::new(PRIVATE).ask(method, "/orders/17/delete?sure=1", &all).await
}

#[tokio::test]
async fn a_form_that_meets_no_session_leads_through_the_login_back_to_the_form() {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let met = posted(method, &[("Referer", "http://app.example.com/orders/17?tab=2")]).await;

        assert_eq!(met.short(), "401 page", "{method}");
        let page = met.text();
        assert!(page.contains("href=\"/login?return_to=/orders/17%3Ftab%3D2\""), "{page}");
        assert!(page.contains("must be sent again") && !page.contains("/orders/17/delete"), "{page}");
    }
}

#[tokio::test]
async fn only_a_page_of_this_site_is_taken_for_the_form() {
    for referer in [
        "https://evil.example.com/orders",
        "http://bpp.example.com/orders",
        "http://app.example.com.evil.com/orders",
        "http://app.example.com:81/orders",
        "https://app.example.com/orders",
        "http://app.example.com@evil.com/",
        "http://app.example.com//evil.com/",
        "http://app.example.com/\\evil.com",
        "http://app.example.com/.cloakroom/logout",
        "http://app.example.com/login?return_to=/x",
        "http://app.example.com/logout",
        "/orders",
        "about:blank",
        "",
    ] {
        let page = posted("POST", &[("Referer", referer)]).await.text();

        assert!(page.contains("href=\"/login\""), "{referer}: {page}");
    }
    let twice = posted("POST", &[("Referer", "http://app.example.com/a"), ("Referer", "http://app.example.com/b")]).await.text();
    assert!(twice.contains("href=\"/login\""));
    assert!(posted("POST", &[]).await.text().contains("href=\"/login\""));
}

#[tokio::test]
async fn the_address_is_compared_as_this_site_is_reached() {
    let bench = Bench::new(&format!("[server]\npublic_url = \"https://app.example.com\"\n{PRIVATE}"));
    let from = |referer| [PAGE, ("Referer", referer)];

    let same = bench.ask("POST", "/a", &from("HTTPS://APP.example.com/Form")).await.text();
    let other = bench.ask("POST", "/a", &from("http://app.example.com/Form")).await.text();

    assert!(same.contains("href=\"/login?return_to=/Form\"") && other.contains("href=\"/login\""), "{same}{other}");
}

#[tokio::test]
async fn the_configured_paths_are_the_ones_that_are_led_to() {
    let bench = Bench::new(
        "[[routes]]\nupstream = \"http://127.0.0.1:1\"\nsession = \"required\"\n[login]\npath = \"/account/in\"\nlogout_path = \"/account/out\"\n",
    );

    assert_eq!(bench.get("/a").await.short(), "303 /account/in?return_to=/a");
}
