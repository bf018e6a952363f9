//! The form and its token: who may post it, for how long, and what is said when it does not work.

use crate::bench::{Bench, Guest, HOST, MINUTE};
use crate::site::{PASSWORD, Site, hidden, sign_in};
use crate::tap::Tap;
use cloakroom::clock::Clock as _;
use cloakroom::session::store::{Operation, SessionStore as _};
use std::time::Duration;

fn token(text: &str) -> String {
    hidden(text).into_iter().find(|(name, _)| name == "token").expect("a token").1
}

fn body(token: &str, password: &str) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs([("token", token), ("username", "alice"), ("password", password)]);
    body.finish()
}

#[tokio::test]
async fn only_a_token_of_this_browser_and_this_hour_signs_in() {
    let bench = Bench::new().await;
    let (mut guest, mut stranger) = (Guest::default(), Guest::default());
    let own = token(&bench.get(&mut guest, "/login").await.text);
    let other = token(&bench.get(&mut stranger, "/login").await.text);
    let logout = token(&bench.get(&mut guest, "/logout").await.text);

    for (what, token, status) in [
        ("absent", "", 403),
        ("nonsense", "abc-def", 403),
        ("another browser's", other.as_str(), 403),
        ("another purpose's", logout.as_str(), 403),
        ("cut", own.get(..own.len() - 1).unwrap(), 403),
        ("right", own.as_str(), 303),
    ] {
        let answer = bench.post(&mut guest.clone(), "/login", &body(token, PASSWORD)).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.cookie("cloakroom").is_some(), status == 303, "{what}");
    }
}

#[tokio::test]
async fn a_form_that_was_open_for_hours_is_shown_again_with_the_name_and_without_blame() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let form = bench.get(&mut guest, "/login?return_to=/private/x").await;
    bench.clock.advance(61 * MINUTE);

    let answer = bench.fill(&mut guest, &form, &[("username", "alice"), ("password", PASSWORD)]).await;

    let (said, is_bad) = answer.notice().unwrap();
    assert!(said.contains("a fresh one") && !is_bad, "{said}");
    assert_eq!((answer.field("username").as_deref(), answer.field("password")), (Some("alice"), None));
    assert!(!answer.text.contains(PASSWORD));
    let again = bench.fill(&mut guest, &answer, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(again.location(), (303, Some("/private/x")));
}

#[tokio::test]
async fn forms_of_several_tabs_are_good_in_any_order() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let first = bench.get(&mut guest, "/login?return_to=/private/1").await;
    let second = bench.get(&mut guest, "/login?return_to=/private/2").await;

    for (form, place) in [(second, "/private/2"), (first, "/private/1")] {
        let answer = bench.fill(&mut guest, &form, &[("username", "alice"), ("password", PASSWORD)]).await;
        assert_eq!(answer.location(), (303, Some(place)));
    }
    assert_eq!(bench.get(&mut guest, "/private/x").await.text, "the app greets alice");
}

#[tokio::test]
async fn two_tabs_with_one_cart_that_sign_in_at_once_both_end_signed_in_with_it() {
    let bench = Bench::over(Tap::holding(Operation::Create), "").await;
    bench.store.step();
    let mut guest = bench.with_data(r#"{"cart":["hat"]}"#).await;
    let form = bench.get(&mut guest, "/login").await;
    let (mut one, mut two) = (guest.clone(), guest);
    let fields = [("username", "alice"), ("password", PASSWORD)];
    // Neither has a new session before both have shown the old one.
    let both_are_there = async {
        while bench.store.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        bench.store.step();
        bench.store.step();
    };

    let answers = tokio::join!(bench.fill(&mut one, &form, &fields), bench.fill(&mut two, &form, &fields), both_are_there);

    assert_eq!((answers.0.status, answers.1.status), (303, 303));
    for mut tab in [one, two] {
        assert_eq!(bench.get(&mut tab, "/private/x").await.text, "the app greets alice");
        assert!(bench.data(&tab).await.contains(r#""cart":["hat"]"#), "{}", bench.data(&tab).await);
    }
}

#[tokio::test]
async fn a_form_that_comes_from_elsewhere_is_refused_whatever_its_token() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let form = token(&bench.get(&mut guest, "/login").await.text);
    let (here, elsewhere) = (format!("http://{HOST}"), "http://evil.example".to_owned());
    let page = format!("{here}/login");

    for (headers, status) in [
        (vec![("Sec-Fetch-Site", "same-origin")], 303),
        (vec![("Sec-Fetch-Site", "none")], 303),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Sec-Fetch-Site", "cross-site"), ("Origin", &here)], 403),
        (vec![("Origin", &here)], 303),
        (vec![("Origin", &elsewhere)], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Origin", &here), ("Origin", &elsewhere)], 403),
        (vec![("Referer", &page)], 303),
        (vec![("Referer", &elsewhere)], 403),
        (vec![], 303),
    ] {
        let mut headers: Vec<(&str, &str)> = headers;
        headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        let answer = bench.send(&mut guest.clone(), "POST", "/login", &headers, &body(&form, PASSWORD)).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_keeps_the_name_and_the_way_and_forgets_the_password() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let form = bench.get(&mut guest, "/login?return_to=/private/x").await;

    for (user, password) in [("alice", "wrong-word"), ("nobody", "wrong-word"), ("Alice", PASSWORD)] {
        let answer = bench.fill(&mut guest, &form, &[("username", user), ("password", password), ("remember", "1")]).await;

        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), None);
        assert!(answer.notice().is_some_and(|(_, is_bad)| is_bad));
        assert_eq!(answer.field("username").as_deref(), Some(user));
        assert!(!answer.text.contains(password) && answer.text.contains(" checked>"));
        assert!(hidden(&answer.text).contains(&("return_to".to_owned(), "/private/x".to_owned())));
        assert!(answer.cookie("cloakroom").is_none() && guest.cookie("cloakroom-device").is_none());
    }
}

#[tokio::test]
async fn what_no_browser_sends_is_refused_in_clear_words() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let form = token(&bench.get(&mut guest, "/login").await.text);
    let (kind, long, longest) = ("application/x-www-form-urlencoded", "x".repeat(1025), "x".repeat(1024));
    let with = |fields: &str| format!("token={form}&{fields}");

    for (kind, body, status) in [
        (kind, with("username=alice"), 400),
        (kind, with("username=&password=x"), 400),
        (kind, with(&format!("username=alice&password={long}")), 400),
        (kind, with(&format!("username=alice&password={longest}")), 401),
        (kind, with(&format!("username={}&password=x", "y".repeat(257))), 400),
        (kind, with("username=a%00b&password=x"), 400),
        (kind, with("username=alice&username=admin&password=x"), 400),
        (kind, with("username=%ff%fe&password=%c3%28"), 400),
        (kind, with("username[$ne]=x&password[$ne]=x"), 400),
        (kind, with("username=%zz&password=%"), 401),
        ("application/json", "{\"username\":{\"$gt\":\"\"}}".to_owned(), 415),
        ("text/plain", with("username=alice&password=x"), 415),
        ("multipart/form-data; boundary=x", "--x--".to_owned(), 415),
    ] {
        let answer = bench.send(&mut guest.clone(), "POST", "/login", &[("Content-Type", kind)], &body).await;
        assert_eq!(answer.status, status, "{kind} {body:.60}");
    }
}

#[tokio::test]
async fn a_password_in_the_address_signs_nobody_in() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();

    let seen = bench.get(&mut guest, &format!("/login?username=alice&password={}", PASSWORD.replace(' ', "+"))).await;

    assert!(seen.status == 200 && seen.field("username").as_deref() == Some("") && guest.cookie("cloakroom").is_none());
}

#[tokio::test]
async fn who_is_signed_in_already_is_sent_on_unless_asked_again() {
    let bench = Bench::new().await;
    let mut guest = bench.signed_in("alice").await;

    assert_eq!(bench.get(&mut guest, "/login?return_to=/private/x").await.location(), (303, Some("/private/x")));
    let again = bench.get(&mut guest, "/login?return_to=/private/x&fresh=1").await;
    assert_eq!((again.status, again.field("username").as_deref()), (200, Some("alice")));
    assert!(again.notice().is_some_and(|(said, is_bad)| said.contains("once more") && !is_bad));
    let before = guest.cookie("cloakroom").map(str::to_owned);
    let wrong = bench.fill(&mut guest, &again, &[("username", "alice"), ("password", "wrong")]).await;
    assert_eq!((wrong.status, guest.cookie("cloakroom").map(str::to_owned)), (401, before.clone()));
    let right = bench.fill(&mut guest, &wrong, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(right.location(), (303, Some("/private/x")));
    assert_ne!(guest.cookie("cloakroom").map(str::to_owned), before);
}

#[tokio::test]
async fn a_late_tab_with_an_old_form_is_sent_on_when_another_has_signed_in() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let late = bench.get(&mut guest, "/login?return_to=/private/late").await;
    bench.clock.advance(61 * MINUTE);
    bench.sign_in(&mut guest, "/login", "alice").await;

    let answer = bench.fill(&mut guest, &late, &[("username", "alice"), ("password", PASSWORD)]).await;

    assert_eq!(answer.location(), (303, Some("/private/late")));
}

#[tokio::test]
async fn the_visitor_is_told_why_the_session_ended() {
    let bench = Bench::with("[session]\nidle_timeout = \"30m\"\n[session.cookie]\nmax_age = \"30d\"\n").await;
    let mut guest = bench.signed_in("alice").await;
    bench.clock.advance(31 * MINUTE);

    let form = bench.get(&mut guest, "/login").await;

    assert_eq!(form.notice(), Some(("You were away for more than 30 minutes, so your session ended.".to_owned(), false)));
    guest.headers.push(("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.5".to_owned()));
    let form = bench.get(&mut guest, "/login").await;
    assert_eq!(form.notice().unwrap().0, "您离开已超过 30 分钟，会话已结束。");
    assert!(form.text.contains("<html lang=\"zh-Hans\">"));
}

#[tokio::test]
async fn whose_sessions_are_all_ended_while_the_password_is_hashed_does_not_get_in() {
    let bench = Bench::new().await;
    let mut guest = Guest::default();
    let now = bench.clock.now();
    let ends = async {
        while !bench.store.calls().contains(&Operation::Epoch) {
            tokio::task::yield_now().await;
        }
        bench.store.raise_epoch("alice", now, now.plus(MINUTE)).await.unwrap();
    };

    let (answer, ()) = tokio::join!(bench.sign_in(&mut guest, "/login", "alice"), ends);

    assert_ne!(answer.status, 303);
    assert_eq!(bench.sign_in(&mut guest, "/login", "alice").await.status, 303);
}

#[tokio::test]
async fn remember_me_is_the_difference_between_a_month_and_the_browsers_end() {
    let bench = Bench::with("[session]\nidle_timeout = \"1h\"\n[session.cookie]\nmax_age = \"30d\"\n").await;
    for (fields, lifetime, later) in [
        (vec![("username", "alice"), ("password", PASSWORD)], None, 401),
        (vec![("username", "alice"), ("password", PASSWORD), ("remember", "1")], Some("2592000"), 200),
    ] {
        let mut guest = Guest::default();
        let form = bench.get(&mut guest, "/login").await;

        let answer = bench.fill(&mut guest, &form, &fields).await;

        let cookie = answer.cookie("cloakroom").unwrap();
        assert_eq!(cookie.attribute("max-age"), lifetime);
        bench.clock.advance(Duration::from_secs(7200));
        guest.headers.push(("Sec-Fetch-Mode", "cors".to_owned()));
        assert_eq!(bench.get(&mut guest, "/private/x").await.status, later);
    }
}

#[tokio::test]
async fn a_page_that_wants_a_fresh_login_gets_one_without_a_circle() {
    let vault = "[[routes]]\nmatch = { path = \"/vault\" }\nsession = \"required\"\nrequire = { login_age = \"15m\" }\nupstream = \"http://127.0.0.1:1\"\n";
    let bench = Bench::with(vault).await;
    let mut guest = bench.signed_in("alice").await;
    bench.clock.advance(16 * MINUTE);

    let turned = bench.get(&mut guest, "/vault").await;
    let login = turned.header("location").unwrap().to_owned();
    let form = bench.get(&mut guest, &login).await;
    assert_eq!(form.field("username").as_deref(), Some("alice"), "{login}");
    let answer = bench.fill(&mut guest, &form, &[("username", "alice"), ("password", PASSWORD)]).await;

    assert_eq!(answer.location(), (303, Some("/vault")));
    assert_eq!(bench.get(&mut guest, "/vault").await.text, "the app greets alice");
}

#[tokio::test]
async fn who_tries_too_often_is_told_how_long_to_wait_and_a_known_device_is_not_locked_out() {
    let site = Site::throttled("per_user = \"2 in 5m\", per_client = \"off\"").await;
    let mut owner = site.signed_in("alice").await;
    owner.jar.retain(|(name, _)| name != "cloakroom");
    let mut attacker = site.browser();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(sign_in(&mut attacker, "/login", "alice", "wrong").await);
    }

    let slowed = statuses.pop().unwrap();
    assert_eq!((statuses[0].status, slowed.status), (401, 429));
    let wait: u64 = slowed.header("retry-after").unwrap().parse().unwrap();
    assert!(wait > 0 && slowed.text().contains(&format!("wait {wait} second")), "{}", slowed.text());
    assert_eq!(sign_in(&mut owner, "/login", "alice", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn the_shipped_throttle_keeps_no_known_device_out_and_bounds_its_guesses_too() {
    let site = Site::throttled("per_user = \"5 in 5m\", per_client = \"20 in 5m\"").await;
    let mut owner = site.signed_in("alice").await;
    owner.jar.retain(|(name, _)| name != "cloakroom");
    let mut neighbour = site.browser();
    let mut slowed = 0;
    for number in 0..25 {
        slowed += u32::from(sign_in(&mut neighbour, "/login", &format!("nobody{number}"), "wrong").await.status == 429);
    }
    assert!(slowed > 0);
    assert_eq!(sign_in(&mut neighbour, "/login", "bob", PASSWORD).await.status, 429);

    assert_eq!(sign_in(&mut owner, "/login", "alice", PASSWORD).await.status, 303);
    owner.jar.retain(|(name, _)| name != "cloakroom");
    // However the name is typed: the throttle takes them for one.
    for name in ["alice", "Alice", "ALICE", "alice", "alice"] {
        assert_eq!(sign_in(&mut owner, "/login", name, "guess").await.status, 401, "{name}");
    }
    // Now a stranger, and so a neighbour.
    assert_eq!(sign_in(&mut owner, "/login", "alice", PASSWORD).await.status, 429);
}

#[tokio::test]
async fn the_apps_own_cookies_end_at_logout_and_when_somebody_else_signs_in() {
    let shop = "[[routes]]\nmatch = { path = \"/shop/*\" }\nend_app_cookies = [\"JSESSIONID\"]\nupstream = \"http://127.0.0.1:1\"\n";
    let bench = Bench::with(shop).await;
    let mut guest = bench.signed_in("alice").await;
    let expires = |answer: &crate::bench::Answer| answer.cookie("JSESSIONID").is_some_and(|cookie| cookie.is_expired());

    for (user, ends) in [("alice", false), ("bob", true)] {
        let form = bench.get(&mut guest, "/login?fresh=1").await;
        let answer = bench.fill(&mut guest, &form, &[("username", user), ("password", PASSWORD)]).await;
        assert_eq!((answer.status, expires(&answer)), (303, ends), "{user}");
    }
    assert!(expires(&bench.post(&mut guest, "/logout", "").await));
}
