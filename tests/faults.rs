//! What breaks, and what must not break with it: processes killed, databases frozen.
mod support;

use std::time::{Duration, Instant};
use support::{App, Browser, Cloakroom, Mongod, ReplicaSet};

const SET: &str = "/set?json=%7B%22userinfo%22:%22admin%22%7D";
const LIMIT: Duration = Duration::from_millis(700);
/// What a loaded machine may add to a limit.
const SLACK: Duration = Duration::from_millis(1500);

/// With a cache that keeps nothing long enough to matter: what it changes has tests of its own.
fn on_mongo(uri: &str, app: &App, more: &str) -> String {
    on_cached_mongo(uri, app, "1ms", more)
}

fn on_cached_mongo(uri: &str, app: &App, ttl: &str, more: &str) -> String {
    let limit = LIMIT.as_millis();
    format!(
        "[store]\nkind = \"mongodb\"\nuri = \"{uri}\"\nread_timeout = \"{limit}ms\"\nwrite_timeout = \"{limit}ms\"\ncache = {{ ttl = \"{ttl}\" }}\n[session]\nsecrets = \"hex:{}\"\n
         [[routes]]\nupstream = \"{}\"\nwrite = \"all\"\nlogin = true\n{more}",
        "5a".repeat(32),
        app.url()
    )
}

/// Asks until the answer is good; how long it took.
async fn recovers(browser: &mut Browser, within: Duration) -> Duration {
    let began = Instant::now();
    while browser.get("/echo").await.status != 200 {
        assert!(began.elapsed() < within, "no good answer within {within:?}");
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_change_is_lost_when_the_process_is_killed_under_load() {
    let app = App::start().await;
    let mut proxy = Cloakroom::start(&format!("[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n", app.url())).await;
    let mut visitors = Vec::new();
    for _ in 0..4 {
        let mut browser = Browser::new(proxy.addr());
        browser.get("/set?json=%7B%22n%22:0%7D").await;
        visitors.push((browser, 0));
    }

    for cycle in 0..5 {
        let running: Vec<_> = visitors
            .drain(..)
            .map(|(mut browser, mut told)| {
                tokio::spawn(async move {
                    // Until the process is gone: what was not acknowledged may or may not be stored.
                    while let Ok(page) = browser.try_send("GET", &format!("/set?json=%7B%22n%22:{}%7D", told + 1), &[], b"").await {
                        if page.status != 200 {
                            break;
                        }
                        told += 1;
                    }
                    (browser, told)
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(120 + cycle * 70)).await;
        proxy.kill().await;
        for task in running {
            visitors.push(task.await.expect("a visitor"));
        }

        proxy.restart().await;
        for (browser, told) in &mut visitors {
            *browser = std::mem::replace(browser, Browser::new(proxy.addr())).at(proxy.addr());
            let stored: u64 =
                browser.get("/echo").await.received("X-Session-N").first().expect("the session lives").parse().expect("a number");
            assert!(stored == *told || stored == *told + 1, "told {told}, stored {stored}");
            *told = stored;
        }
    }
    assert!(visitors.iter().all(|(_, told)| *told > 5), "there was load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_mongo_is_told_as_503_within_the_limit_and_signs_nobody_out() {
    let (app, mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    let before = browser.jar.clone();

    mongod.stop_signal();
    for path in ["/echo", SET, "/echo"] {
        let began = Instant::now();
        let answer = browser.get(path).await;
        assert_eq!((answer.status, answer.headers("Set-Cookie").len()), (503, 0), "{path}");
        assert!(answer.header("Retry-After").is_some() && began.elapsed() < LIMIT + SLACK, "{path} took {:?}", began.elapsed());
    }
    assert_eq!(Browser::new(proxy.addr()).get("/echo").await.status, 200, "a stranger passes");
    // Load while it is frozen: requests that give up must not clog the pool.
    let flood: Vec<_> = (0..60)
        .map(|_| {
            let (address, jar) = (proxy.addr(), before.clone());
            tokio::spawn(async move {
                let mut browser = Browser::new(address);
                browser.jar = jar;
                browser.get("/echo").await.status
            })
        })
        .collect();
    for answer in flood {
        assert_eq!(answer.await.expect("an answer"), 503);
    }

    mongod.cont_signal();
    recovers(&mut browser, Duration::from_secs(1)).await;
    assert_eq!(browser.get("/echo").await.received("X-Session-Userinfo"), ["admin"]);
    assert_eq!(browser.jar, before);
}

#[tokio::test]
async fn it_starts_without_its_store_and_finds_it_later() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    mongod.kill();

    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    assert_eq!(browser.get("/.cloakroom/livez").await.status, 200);
    assert_eq!(browser.get("/echo").await.status, 200);
    assert_eq!(browser.get(SET).await.status, 503, "the app's answer is discarded");

    mongod.restart().await;
    let began = Instant::now();
    while browser.get(SET).await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(8));
    }
    assert_eq!(browser.get("/echo").await.received("X-Session-Userinfo"), ["admin"]);
}

#[tokio::test]
async fn a_change_that_the_store_refuses_discards_the_apps_answer() {
    let (app, mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    let (address, jar) = (proxy.addr(), browser.jar.clone());
    let mark = app.mark();
    let slow = tokio::spawn(async move {
        let mut browser = Browser::new(address);
        browser.jar = jar;
        browser.get("/slow?ms=400&h=X-Session-Set:%7B%22late%22:1%7D").await
    });
    while app.since(&mark).requests.is_empty() {
        tokio::task::yield_now().await;
    }

    mongod.stop_signal();
    let answer = slow.await.expect("an answer");
    mongod.cont_signal();

    assert_eq!(answer.status, 503);
    assert!(answer.headers("Set-Cookie").is_empty() && !answer.text().contains("late"));
}

#[tokio::test]
async fn anonymous_routes_go_on_without_the_store_but_change_nothing() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "when_down = \"anonymous\"\n")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;

    mongod.kill();

    let answer = browser.get("/echo").await;
    assert_eq!((answer.status, answer.received("X-Session-Handle").len()), (200, 0));
    assert_eq!(browser.get(SET).await.status, 503);
}

#[tokio::test]
async fn a_logout_while_the_store_is_down_is_final() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    let cookie = format!("cloakroom={}", browser.cookie("cloakroom").expect("a cookie"));

    mongod.kill();
    let answer = browser.send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;
    assert_eq!(answer.status, 503, "the visitor is told honestly");
    assert!(answer.set_cookie("cloakroom").is_some_and(|cookie| cookie.is_expired()));

    mongod.restart().await;
    let began = Instant::now();
    loop {
        let answer = Browser::new(proxy.addr()).send("GET", "/echo", &[("Cookie", &cookie)], b"").await;
        assert!(answer.received("X-Session-Handle").is_empty(), "the session was seen again");
        let stored = mongod
            .client()
            .await
            .database("cloakroom")
            .collection::<mongodb::bson::Document>("sessions")
            .count_documents(mongodb::bson::doc! { "session": { "$regex": "admin" } })
            .await;
        if answer.status == 200 && stored.is_ok_and(|count| count == 0) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the end never reached the store");
    }
}

#[tokio::test]
async fn a_killed_mongo_signs_nobody_out_and_is_found_again() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    let before = browser.jar.clone();

    mongod.kill();
    for path in ["/echo", SET] {
        let began = Instant::now();
        let answer = browser.get(path).await;
        assert_eq!((answer.status, answer.set_cookies()), (503, vec![]), "{path}");
        assert!(answer.header("Retry-After").is_some() && began.elapsed() < LIMIT + SLACK, "{path} took {:?}", began.elapsed());
    }
    assert_eq!(Browser::new(proxy.addr()).get("/echo").await.status, 200, "a stranger passes");

    mongod.restart().await;
    recovers(&mut browser, Duration::from_secs(8)).await;
    assert_eq!(browser.get("/echo").await.received("X-Session-Userinfo"), ["admin"]);
    assert_eq!(browser.jar, before);
}

#[tokio::test]
async fn a_known_visitors_cookie_is_503_until_a_store_that_was_down_at_the_start_comes() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let mut proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    mongod.kill();

    proxy.restart().await;
    let mut browser = browser.at(proxy.addr());
    assert_eq!((browser.get("/.cloakroom/livez").await.status, browser.get("/echo").await.status), (200, 503));

    mongod.restart().await;
    recovers(&mut browser, Duration::from_secs(8)).await;
    assert_eq!(browser.get("/echo").await.received("X-Session-Userinfo"), ["admin"]);
}

#[tokio::test]
async fn a_required_route_lets_nobody_in_without_the_store_even_where_visitors_may_be_anonymous() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let open = on_mongo(&mongod.uri(), &app, "when_down = \"anonymous\"\n");
    let required = format!(
        "[[routes]]\nmatch = {{ path = \"/mine\" }}\nupstream = \"{}\"\nsession = \"required\"\nwhen_down = \"anonymous\"\n[[routes]]",
        app.url()
    );
    let proxy = Cloakroom::start(&open.replacen("[[routes]]", &required, 1)).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get("/login-as?user=alice").await;
    assert_eq!(browser.get("/mine").await.status, 200);

    mongod.kill();

    assert_eq!((browser.get("/mine").await.status, Browser::new(proxy.addr()).get("/mine").await.status), (503, 401));
}

#[tokio::test]
async fn a_session_that_was_logged_out_while_the_store_is_frozen_is_refused_at_once() {
    let (app, mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;
    let mut copy = browser.clone();

    mongod.stop_signal();
    // The signal takes effect a moment later.
    let began = Instant::now();
    while copy.get("/echo").await.status != 503 {
        assert!(began.elapsed() < SLACK, "it does not freeze");
    }
    let answer = browser.send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await;
    let while_frozen = copy.get("/echo").await;
    mongod.cont_signal();

    assert_eq!((answer.status, browser.cookie("cloakroom")), (503, None));
    // Known to be over, so this needs no store: not even a 503.
    assert_eq!((while_frozen.status, while_frozen.received("X-Session-Handle")), (200, vec![]));
}

#[tokio::test]
async fn without_the_store_a_cached_session_is_served_on_until_its_ttl_and_then_refused_never_lost() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let ttl = Duration::from_secs(3);
    let proxy = Cloakroom::start(&on_cached_mongo(&mongod.uri(), &app, "3s", "")).await;
    let mut browser = Browser::new(proxy.addr());
    let began = Instant::now();
    browser.get(SET).await;
    let before = browser.jar.clone();

    mongod.kill();
    let mut answers = 0;
    loop {
        let asked = Instant::now();
        let answer = browser.get("/echo").await;
        if answer.status == 503 {
            break;
        }
        assert_eq!((answer.status, answer.received("X-Session-Userinfo")), (200, vec!["admin".to_owned()]));
        assert!(asked - began < ttl + SLACK, "told for too long");
        answers += 1;
    }
    assert!(answers > 0 || began.elapsed() > ttl, "nothing was served from the cache");

    mongod.restart().await;
    recovers(&mut browser, Duration::from_secs(8)).await;
    assert_eq!(browser.get("/echo").await.received("X-Session-Userinfo"), ["admin"]);
    assert_eq!(browser.jar, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stays_away_costs_visitors_no_waiting_after_a_while() {
    let (app, mut mongod) = (App::start().await, Mongod::start().await);
    let proxy = Cloakroom::start(&on_mongo(&mongod.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(SET).await;

    mongod.kill();
    let mut quick = 0;
    let began = Instant::now();
    while quick < 20 {
        let asked = Instant::now();
        assert_eq!(browser.get("/echo").await.status, 503);
        // One in a second is the probe, and waits.
        quick += u32::from(asked.elapsed() < LIMIT / 4);
        assert!(began.elapsed() < Duration::from_secs(20), "requests go on waiting");
    }
    proxy.logged("the session store does not answer").await;

    mongod.restart().await;
    recovers(&mut browser, Duration::from_secs(8)).await;
    proxy.logged("the session store answers again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_primary_holds_that_has_lost_its_followers_is_not_acknowledged() {
    let (app, mut set) = (App::start().await, ReplicaSet::start().await);
    let proxy = Cloakroom::start(&on_mongo(&set.uri(), &app, "")).await;
    let mut browser = Browser::new(proxy.addr());
    while browser.cookie("cloakroom").is_none() {
        browser.get("/set?json=%7B%22n%22:1%7D").await;
    }
    let primary = set.primary().await;
    let followers: Vec<usize> = (0..3).filter(|number| *number != primary).collect();

    followers.iter().for_each(|number| set.freeze(*number));
    let (change, login) = (browser.get("/set?json=%7B%22n%22:2%7D").await, Browser::new(proxy.addr()).get("/login-as?user=alice").await);
    // Deposed before anybody has taken over what it held.
    set.kill(primary);
    followers.iter().for_each(|number| set.thaw(*number));
    set.primary_among(&followers).await;

    assert_eq!((change.status, login.status), (503, 503));
    recovers(&mut browser, Duration::from_secs(20)).await;
    // A follower may have got the change all the same.
    let stored = browser.get("/echo").await.received("X-Session-N");
    assert!(stored == ["1"] || stored == ["2"], "{stored:?}");
}
