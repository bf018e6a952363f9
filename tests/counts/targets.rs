//! Which records an operation is about, as the server was told: in a sharded cluster one whose filter names an `_id` asks one shard, every
//! other asks all of them.

use super::super::support::{Browser, Mongod};
use super::super::{START, Scene};
use mongodb::bson::{Bson, Document, doc};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"a token that is long enough for anybody\"\n";
const BEARER: (&str, &str) = ("Authorization", "Bearer a token that is long enough for anybody");

/// Every request is noted, so that every request has a touch in it.
const SESSION: &str = "touch_after = \"0s\"\nrenew_grace = \"1m\"\n";

/// A profiled scene in front of a fresh server.
async fn scene(cache: &str) -> Scene {
    let scene = Scene::on(Mongod::replica_set().await, cache, &format!("{SESSION}{ADMIN}")).await;
    scene.count().await;
    scene
}

/// The filters of all operations that do not name the `_id` of what they are about, and how many operations there were, the change stream's
/// own left out.
async fn untargeted(scene: Scene) -> (Vec<Document>, usize) {
    let mut all = scene.written_down(&["cloakroom.sessions", "cloakroom.sessions_epochs"]).await;
    let is = |operation: &Document, kind: &str| operation.get_str("op").is_ok_and(|its| its == kind);
    all.retain(|operation| !is(operation, "getmore"));
    let filter = |operation: &Document| {
        let command = operation.get_document("command").expect("a command");
        let named = command.get_document("filter").or_else(|_| command.get_document("q"));
        // An insert goes where its own `_id` belongs.
        (!is(operation, "insert")).then(|| named.unwrap_or(command).clone())
    };
    let is_loose = |filter: &Document| !matches!(filter.get("_id"), Some(Bson::String(_)));
    (all.iter().filter_map(filter).filter(is_loose).collect(), all.len())
}

/// Begins, resumes, changes, renews, comes with the old id, signs in, signs in as somebody else, leaves in this way, and comes back.
async fn visit(scene: &Scene, leaves: &str) {
    let mut browser = Browser::new(scene.proxy.addr());
    for path in [START, "/echo", "/set?json=%7B%22a%22:2%7D", "/echo"] {
        assert_eq!(browser.get(path).await.status, 200);
    }
    let mut late = browser.clone();
    assert_eq!(browser.get("/renew").await.status, 200);
    assert_eq!(late.get("/echo").await.received("X-Session-A"), ["2"], "led on");
    for path in ["/login-as?user=ada", "/echo", "/login-as?user=bob", "/set?json=%7B%22a%22:3%7D", "/renew", "/echo"] {
        assert_eq!(browser.get(path).await.status, 200);
    }
    assert_eq!(browser.get("/echo").await.received("X-Session-User"), ["bob"]);
    let mut gone = browser.clone();
    let page = match leaves {
        "/.cloakroom/logout" => browser.send("POST", leaves, &[("Sec-Fetch-Site", "same-origin")], b"").await,
        _ => browser.get(leaves).await,
    };
    assert!([200, 303].contains(&page.status), "{}", page.status);
    assert_eq!(gone.get("/set?json=%7B%22a%22:4%7D").await.status, 200);
    assert_eq!(gone.get("/echo").await.received("X-Session-User"), Vec::<String>::new());
}

#[tokio::test]
async fn every_operation_of_a_request_names_the_one_record_that_it_is_about() {
    for cache in ["\"off\"", "{ ttl = \"2s\" }"] {
        let scene = scene(cache).await;

        for leaves in ["/.cloakroom/logout", "/end?what=this", "/max-age?s=0"] {
            visit(&scene, leaves).await;
        }

        let (untargeted, all) = untargeted(scene).await;
        assert_eq!(untargeted, [], "cache = {cache}");
        assert!(all > 60, "{all} operations");
    }
}

#[tokio::test]
async fn an_operator_who_ends_a_session_by_its_handle_has_it_looked_up_once() {
    let scene = scene("\"off\"").await;
    let mut browser = Browser::new(scene.proxy.addr());
    browser.get(START).await;
    let handle = browser.get("/echo").await.received("X-Session-Handle").concat();

    let mut operator = Browser::new(scene.proxy.admin_addr());
    let ended = operator.send("DELETE", &format!("/sessions/{handle}"), &[BEARER], b"").await;

    assert_eq!((ended.status, browser.get("/echo").await.received("X-Session-A")), (200, vec![]));
    let (untargeted, _) = untargeted(scene).await;
    assert_eq!(untargeted, [doc! { "handle": handle }]);
}
