//! From a protected page through the login and back.

use crate::site::{PASSWORD, Site, send, sign_in, users, value_of};
use crate::support::Browser;

#[tokio::test]
async fn a_visitor_signs_in_and_lands_on_the_page_they_wanted() {
    let site = Site::start().await;
    let mut browser = site.browser();
    assert_ne!(browser.get("/private/report?year=2026").await.status, 200);

    let page = sign_in(&mut browser, "/login?return_to=%2Fprivate%2Freport%3Fyear%3D2026", "alice", PASSWORD).await;

    assert_eq!((page.status, page.header("location")), (303, Some("/private/report?year=2026")));
    let report = browser.get("/private/report?year=2026").await;
    assert_eq!(report.received("x-session-user"), ["alice"]);
    assert_eq!(report.received("x-session-role"), ["admin"]);
    assert_eq!(report.received("cookie"), Vec::<String>::new());
}
