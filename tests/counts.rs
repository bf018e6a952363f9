//! What a request costs MongoDB, counted by the server's own profiler.
mod support;

mod counts {
    mod round_trips;
    mod targets;
}

use futures_util::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{App, Browser, Cloakroom, Mongod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START: &str = "/set?json=%7B%22a%22:1%7D";

struct Scene {
    mongod: Mongod,
    _app: App,
    proxy: Cloakroom,
    database: Database,
}

/// Operations on the sessions by kind: `query`, `insert`, `update`, `remove`.
type Costs = BTreeMap<String, u64>;

fn costs<const N: usize>(expected: [(&str, u64); N]) -> Costs {
    expected.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

impl Scene {
    /// Without a cache.
    async fn start(session: &str) -> Self {
        Scene::on(Mongod::start().await, "\"off\"", session).await
    }

    /// With a cache in which nothing ages while a test runs.
    async fn cached(session: &str) -> Self {
        Scene::on(Mongod::start().await, "{ ttl = \"1h\" }", session).await
    }

    async fn on(mongod: Mongod, cache: &str, session: &str) -> Self {
        let app = App::start().await;
        let proxy = Cloakroom::start(&format!(
            "[store]\nkind = \"mongodb\"\nuri = \"{}\"\nread_timeout = \"20s\"\nwrite_timeout = \"20s\"\ncache = {cache}\n\
             [session]\nsecrets = \"hex:{}\"\n{session}\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\nlogin = true\n",
            mongod.uri(),
            "5a".repeat(32),
            app.url()
        ))
        .await;
        let database = mongod.client().await.database("cloakroom");
        Scene { mongod, _app: app, proxy, database }
    }

    async fn visitor(&self) -> Browser {
        let mut browser = Browser::new(self.proxy.addr());
        browser.get(START).await;
        assert!(browser.cookie("cloakroom").is_some(), "a session began");
        browser
    }

    /// From now on every operation is written down.
    async fn count(&self) {
        self.database.run_command(doc! { "profile": 2 }).await.expect("profiling");
    }

    /// What was written down of the sessions. The proxy is stopped first: it leaves when its last touch has reached the store.
    async fn counted(self) -> Costs {
        let mut found = Costs::new();
        for operation in self.written_down(&["cloakroom.sessions"]).await {
            *found.entry(operation.get_str("op").expect("a kind").to_owned()).or_default() += 1;
        }
        found
    }

    /// Every operation on these collections.
    async fn written_down(mut self, collections: &[&str]) -> Vec<Document> {
        self.proxy.stop().await;
        self.database.run_command(doc! { "profile": 0 }).await.expect("no profiling");
        let kinds = ["query", "getmore", "insert", "update", "remove", "command"];
        // The indexes are made at the start, in the background, and for no request.
        let no = doc! { "$exists": false };
        let filter = doc! {
            "ns": { "$in": collections }, "op": { "$in": kinds.as_slice() },
            "command.createIndexes": &no, "command.listIndexes": &no,
        };
        let found = self.database.collection::<Document>("system.profile").find(filter).await.expect("a profile");
        found.try_collect().await.expect("all of it")
    }
}

#[tokio::test]
async fn a_known_session_costs_one_read_and_no_write() {
    let scene = Scene::start("").await;
    let mut browser = scene.visitor().await;
    scene.count().await;

    for _ in 0..3 {
        assert_eq!(browser.get("/").await.received("X-Session-A"), ["1"]);
    }

    assert_eq!(scene.counted().await, costs([("query", 3)]));
}

#[tokio::test]
async fn a_touch_that_is_due_costs_one_write_more() {
    let scene = Scene::start("touch_after = \"0s\"").await;
    let mut browser = scene.visitor().await;
    scene.count().await;

    browser.get("/").await;

    assert_eq!(scene.counted().await, costs([("query", 1), ("update", 1)]));
}

#[tokio::test]
async fn a_cached_session_costs_nothing() {
    let scene = Scene::cached("").await;
    let mut browser = scene.visitor().await;
    scene.count().await;

    for _ in 0..20 {
        assert_eq!(browser.get("/").await.received("X-Session-A"), ["1"]);
    }

    assert_eq!(scene.counted().await, costs([]));
}

#[tokio::test]
async fn a_change_of_a_cached_session_costs_one_write_and_the_next_request_nothing() {
    let scene = Scene::cached("").await;
    let mut browser = scene.visitor().await;
    scene.count().await;

    for n in 2..5 {
        browser.get(&format!("/set?json=%7B%22a%22:{n}%7D")).await;
        assert_eq!(browser.get("/").await.received("X-Session-A"), [n.to_string()]);
    }

    assert_eq!(scene.counted().await, costs([("update", 3)]));
}

#[tokio::test]
async fn a_busy_cached_session_costs_one_write_per_touch_interval() {
    let scene = Scene::cached("touch_after = \"1s\"").await;
    let began = Instant::now();
    let mut browser = scene.visitor().await;
    scene.count().await;

    while began.elapsed() < Duration::from_millis(2500) {
        assert_eq!(browser.get("/").await.received("X-Session-A"), ["1"]);
    }
    let intervals = began.elapsed().as_secs();

    let counted = scene.counted().await;
    let touches = counted.get("update").copied().unwrap_or_default();
    assert!((1..=intervals).contains(&touches) && counted.len() == 1, "{counted:?} in {intervals} s");
}

#[tokio::test]
async fn on_a_replica_set_a_known_session_costs_nothing_however_old_it_is() {
    let scene = Scene::on(Mongod::replica_set().await, "{ ttl = \"1ms\" }", "").await;
    assert!(scene.proxy.log().contains("changes elsewhere are seen at once"), "{}", scene.proxy.log());
    let mut browser = scene.visitor().await;
    scene.count().await;

    let mut asked = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        assert_eq!(browser.get("/").await.received("X-Session-A"), ["1"]);
        asked += 1;
    }

    let mut counted = scene.counted().await;
    // Those are the change stream's, whatever is asked.
    counted.remove("getmore");
    // A machine that stands still for half a second delays a batch; then a read is right.
    assert!(
        counted.get("query").copied().unwrap_or_default() <= 2 && !counted.contains_key("update") && asked > 50,
        "{counted:?} of {asked}"
    );
}

#[tokio::test]
async fn the_start_tells_that_a_server_alone_has_no_change_stream() {
    let scene = Scene::cached("").await;

    assert!(scene.proxy.log().contains("changes elsewhere are seen after 1 hour (this MongoDB is no replica set"), "{}", scene.proxy.log());
}

#[tokio::test]
async fn a_stranger_costs_nothing() {
    let scene = Scene::start("").await;
    scene.count().await;

    assert_eq!(Browser::new(scene.proxy.addr()).get("/").await.status, 200);

    assert_eq!(scene.counted().await, costs([]));
}

#[tokio::test]
async fn a_forged_cookie_costs_nothing() {
    let scene = Scene::start("").await;
    let mut browser = scene.visitor().await;
    let (_, value) = &mut browser.jar[0];
    let (id, signature) = value.rsplit_once('.').expect("a signature");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    *value = format!("{id}.{other}{}", &signature[1..]);
    scene.count().await;

    let page = browser.get("/").await;

    assert_eq!((page.status, page.received("X-Session-Handle")), (200, vec![]));
    assert_eq!(scene.counted().await, costs([]));
}

#[tokio::test]
async fn of_many_rightly_signed_cookies_four_cost_a_read() {
    let scene = Scene::start("").await;
    let mut hoarder = Browser::new(scene.proxy.addr());
    for _ in 0..6 {
        hoarder.jar.extend(scene.visitor().await.jar);
    }
    scene.database.collection::<Document>("sessions").delete_many(doc! {}).await.expect("deleted");
    scene.count().await;

    assert_eq!(hoarder.get("/").await.status, 200);

    assert_eq!(scene.counted().await, costs([("query", 4)]));
}

#[tokio::test]
async fn a_new_session_costs_one_insert() {
    let scene = Scene::start("").await;
    scene.count().await;

    scene.visitor().await;

    assert_eq!(scene.counted().await, costs([("insert", 1)]));
}

#[tokio::test]
async fn a_change_costs_one_read_and_one_write() {
    let scene = Scene::start("").await;
    let mut browser = scene.visitor().await;
    scene.count().await;

    browser.get("/set?json=%7B%22a%22:2%7D").await;

    assert_eq!(scene.counted().await, costs([("query", 1), ("update", 1)]));
}

#[tokio::test]
async fn a_change_that_changes_nothing_costs_no_write() {
    let scene = Scene::start("").await;
    let mut browser = scene.visitor().await;
    scene.count().await;

    browser.get(START).await;

    assert_eq!(scene.counted().await, costs([("query", 1)]));
}

#[tokio::test]
async fn parallel_first_loads_are_one_read() {
    let scene = Scene::start("").await;
    let browser = scene.visitor().await;
    scene.count().await;
    scene.mongod.stop_signal();

    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(asked(scene.proxy.addr(), &browser).await);
    }
    // What comes after them has been to the app and back: they have all been read by now and wait for the frozen store.
    for _ in 0..20 {
        assert_eq!(Browser::new(scene.proxy.addr()).get("/").await.status, 200);
    }
    scene.mongod.cont_signal();
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.to_ascii_lowercase().contains("x-session-a"), "{answer}");
    }

    assert_eq!(scene.counted().await, costs([("query", 1)]));
}

/// A connection on which the visitor has asked and that has not been answered.
async fn asked(proxy: SocketAddr, browser: &Browser) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.expect("a connection");
    let cookie = browser.cookie("cloakroom").expect("a cookie");
    let request = format!("GET / HTTP/1.1\r\nHost: {proxy}\r\nCookie: cloakroom={cookie}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}
