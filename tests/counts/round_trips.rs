//! What many requests cost MongoDB together, and what one costs in round trips, seen on the wire.

use super::super::support::{App, Browser, Cloakroom, KeptAlive, Mongod, Relay, Traffic};
use super::super::{START, Scene};
use mongodb::bson::Document;
use std::time::{Duration, Instant};

/// Requests of the hot path, over so many connections.
const REQUESTS: usize = 4000;
const CONNECTIONS: usize = 8;

#[tokio::test]
async fn a_thousand_requests_of_known_sessions_cost_mongodb_no_more_than_one_operation() {
    let scene = Scene::on(Mongod::replica_set().await, "{ ttl = \"2s\" }", "").await;
    let mut visitors = Vec::new();
    for _ in 0..CONNECTIONS {
        visitors.push(scene.visitor().await);
    }
    scene.count().await;

    let address = scene.proxy.addr();
    let busy = visitors.iter().map(|visitor| async move {
        let cookie = format!("cloakroom={}", visitor.cookie("cloakroom").expect("a cookie"));
        let mut connection = KeptAlive::to(address);
        for _ in 0..REQUESTS / CONNECTIONS {
            let page = connection.send("GET", "/echo", &[("Cookie", &cookie)]).await.expect("an answer");
            assert_eq!(page.received("X-Session-A"), ["1"]);
        }
    });
    futures_util::future::join_all(busy).await;

    let mut counted = scene.counted().await;
    // The change stream's, about three a second for all requests together.
    counted.remove("getmore");
    let operations: u64 = counted.values().sum();
    assert!(operations as usize <= REQUESTS / 1000, "{counted:?} of {REQUESTS} requests");
}

#[tokio::test]
async fn a_change_of_a_cached_session_is_one_round_trip_before_the_head() {
    let (mongod, app) = (Mongod::start().await, App::start().await);
    let relay = Relay::noting("sessions\0", mongod.port()).await;
    let uri = mongod.uri().replace(&mongod.port().to_string(), &relay.port().to_string());
    let store = format!("kind = \"mongodb\"\nuri = \"{uri}\"\nread_timeout = \"20s\"\nwrite_timeout = \"20s\"\ncache = {{ ttl = \"1h\" }}");
    let session = format!("[session]\nsecrets = \"hex:{}\"\n", "5a".repeat(32));
    let proxy = Cloakroom::start(&format!("[store]\n{store}\n{session}[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n", app.url())).await;
    let mut browser = Browser::new(proxy.addr());
    browser.get(START).await;
    until_indexes_stand(&mongod).await;
    let before = relay.noted();

    // What is said arrives; the answer does not.
    relay.set(Traffic::Mute);
    let change = tokio::spawn(async move { browser.get("/set?json=%7B%22a%22:2%7D").await.status });
    relay.until_noted(before + 1).await;
    // What comes after it has been to the app and back.
    for _ in 0..20 {
        assert_eq!(Browser::new(proxy.addr()).get("/echo").await.status, 200);
    }
    let is_told_early = change.is_finished();
    relay.set(Traffic::Flows);

    assert_eq!(change.await.expect("an answer"), 200);
    assert!(!is_told_early, "the head waits for the store's answer");
    assert_eq!(relay.noted(), before + 1, "one question, one answer");
}

/// They are made at the start, in the background; the one on epochs comes last.
async fn until_indexes_stand(mongod: &Mongod) {
    let epochs = mongod.client().await.database("cloakroom").collection::<Document>("sessions_epochs");
    let began = Instant::now();
    while !epochs.list_index_names().await.is_ok_and(|names| names.iter().any(|name| name == "expires_1")) {
        assert!(began.elapsed() < Duration::from_secs(30), "no indexes");
    }
}
