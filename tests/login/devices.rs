//! The visitor's own devices: who sees them, and who may end which.

use crate::bench::{Answer, Bench, Guest, MINUTE};
use crate::site::{PASSWORD, hidden};
use std::time::Duration;

const PATH: &str = "/.cloakroom/sessions";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

/// Handles on the buttons, in order.
fn endable(page: &Answer) -> Vec<String> {
    let buttons = page.text.split("name=\"end\" value=\"").skip(1);
    buttons.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).filter(|value| value != "others").collect()
}

async fn on_a_phone(bench: &Bench, user: &str) -> Guest {
    let mut guest = Guest { headers: vec![("User-Agent", PHONE.to_owned())], ..Guest::default() };
    bench.sign_in(&mut guest, "/login", user).await;
    guest
}

async fn is_in(bench: &Bench, guest: &Guest) -> bool {
    bench.get(&mut guest.clone(), "/private/x").await.status == 200
}

#[tokio::test]
async fn a_visitor_sees_where_they_are_signed_in_and_only_they() {
    let bench = Bench::new().await;
    let mut here = bench.signed_in("alice").await;
    on_a_phone(&bench, "alice").await;
    on_a_phone(&bench, "bob").await;

    let page = bench.get(&mut here, PATH).await;

    assert_eq!(page.status, 200);
    assert_eq!((page.text.matches("Safari on iPhone</bdi>").count(), page.text.matches("this device").count()), (1, 1), "{}", page.text);
    assert!(page.text.contains("192.0.2.1") && !page.text.contains("bob"));
    assert_eq!(endable(&page).len(), 1);
}

#[tokio::test]
async fn one_device_or_all_others_are_signed_out_and_this_one_stays() {
    let bench = Bench::new().await;
    let (mut here, phone, tablet) = (bench.signed_in("alice").await, on_a_phone(&bench, "alice").await, bench.signed_in("alice").await);
    let page = bench.get(&mut here, PATH).await;
    let handles = endable(&page);

    let answer = bench.fill(&mut here, &page, &[("end", &handles[0])]).await;
    assert_eq!(answer.location(), (303, Some(PATH)));
    assert_eq!([is_in(&bench, &phone).await, is_in(&bench, &tablet).await].iter().filter(|is_in| **is_in).count(), 1);
    let page = bench.get(&mut here, PATH).await;
    bench.fill(&mut here, &page, &[("end", "others")]).await;

    assert_eq!([is_in(&bench, &here).await, is_in(&bench, &phone).await, is_in(&bench, &tablet).await], [true, false, false]);
    let (said, _) = bench.get(&mut phone.clone(), "/login").await.notice().unwrap();
    assert!(!said.is_empty());
}

#[tokio::test]
async fn nobody_ends_anothers_session_or_by_another_form() {
    let bench = Bench::new().await;
    let (mut alice, mut bob) = (bench.signed_in("alice").await, bench.signed_in("bob").await);
    let phone = on_a_phone(&bench, "bob").await;
    let (own, bobs) = (bench.get(&mut alice, PATH).await, bench.get(&mut bob, PATH).await);
    let handle = endable(&bobs).remove(0);
    let token =
        |page: &Answer| hidden(&page.text).into_iter().find(|(name, _)| name == "token").map(|(_, value)| value).unwrap_or_default();

    // Alice has no other device, so her page has no form: its token is bound to her session all the same.
    assert_eq!(endable(&own), Vec::<String>::new());
    for (guest, body) in
        [(&alice, format!("end={handle}&token={}", token(&bobs))), (&bob, format!("end={handle}")), (&bob, format!("end={handle}&token=0"))]
    {
        assert_eq!(bench.post(&mut guest.clone(), PATH, &body).await.status, 403, "{body}");
    }
    let kind = [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "cross-site")];
    let body = format!("end={handle}&token={}", token(&bobs));
    assert_eq!(bench.send(&mut bob, "POST", PATH, &kind, &body).await.status, 403);
    assert!(is_in(&bench, &phone).await);
}

#[tokio::test]
async fn after_a_quarter_of_an_hour_the_password_is_asked_again_and_leads_back_here() {
    let bench = Bench::new().await;
    let (mut here, phone) = (bench.signed_in("alice").await, on_a_phone(&bench, "alice").await);
    let young = bench.get(&mut here, PATH).await;
    bench.clock.advance(16 * MINUTE);

    let old = bench.get(&mut here, PATH).await;
    assert!(endable(&old).is_empty() && old.text.contains("Confirm your password"), "{}", old.text);
    let handle = endable(&young).remove(0);
    let refused = bench.fill(&mut here, &young, &[("end", &handle)]).await;
    let login = format!("/login?return_to={PATH}&fresh=1");
    assert_eq!(refused.location(), (303, Some(login.as_str())));
    assert!(is_in(&bench, &phone).await);

    let form = bench.get(&mut here, &login).await;
    let back = bench.fill(&mut here, &form, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(back.location(), (303, Some(PATH)));
    let page = bench.get(&mut here, PATH).await;
    bench.fill(&mut here, &page, &[("end", "others")]).await;
    assert!(!is_in(&bench, &phone).await);
}

#[tokio::test]
async fn a_stranger_is_led_to_the_login_and_back() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();

    let turned = bench.get(&mut guest, PATH).await;

    assert_eq!(turned.location(), (303, Some("/login?return_to=/.cloakroom/sessions")));
    assert_eq!(bench.sign_in(&mut guest, turned.header("location").unwrap(), "alice").await.location(), (303, Some(PATH)));
}

#[tokio::test]
async fn times_are_told_as_people_say_them() {
    let bench = Bench::new().await;
    on_a_phone(&bench, "alice").await;
    bench.clock.advance(Duration::from_secs(3 * 3600));
    let mut here = bench.signed_in("alice").await;

    let page = bench.get(&mut here, PATH).await;

    assert!(page.text.contains("signed in 3 hours ago · active 3 hours ago"), "{}", page.text);
    assert!(page.text.contains("signed in just now · active now"), "{}", page.text);
}
