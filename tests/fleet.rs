//! Proxies that share one MongoDB: what one ends or changes the others see, whatever becomes of the servers.

#[allow(dead_code)] // the stores' tests use the rest
#[path = "support/records.rs"]
mod records;
mod support;

use cloakroom::clock::SystemClock;
use cloakroom::secret::Secret;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::store::cached::{CacheSettings, News, Shelf};
use cloakroom::session::store::health::StreamHealth;
use cloakroom::session::store::mongo::{Format, MongoSettings};
use cloakroom::session::store::{CachedStore, Found, GuardedStore, MongoStore, SessionStore, StoreError, Tombstone, Updated, Whose};
use mongodb::bson::{DateTime, Document, doc};
use records::{LATER, NOW, changed, created, key, loaded, record, touch};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Mongod, Relay, ReplicaSet};

const READ: Duration = Duration::from_secs(1);
const WRITE: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);
/// What a busy machine may add to any length of time.
const SLACK: Duration = Duration::from_millis(1500);

/// One proxy's store with all that stands in front of it.
struct Proxy {
    store: Arc<CachedStore>,
    shelf: Arc<Shelf>,
}

impl Proxy {
    async fn start(uri: &str, ttl: Duration) -> Self {
        let settings = MongoSettings {
            uri: Secret::new(uri),
            database: "fleet".to_owned(),
            collection: "sessions".to_owned(),
            format: Format::String,
            read_timeout: READ,
            write_timeout: WRITE,
            configured_max_age: None,
        };
        let mongo = MongoStore::connect(settings).await.unwrap();
        let mongo = Arc::new(mongo);
        let guarded = Arc::new(GuardedStore::new(mongo.clone(), Arc::new(SystemClock)));
        let store = Arc::new(CachedStore::new(guarded, CacheSettings { ttl, sessions: 1000, bytes: 1 << 24 }, Arc::new(SystemClock)));
        mongo.follow_changes(store.shelf());
        Proxy { shelf: store.shelf().clone(), store }
    }

    /// The same, once its change stream is heard.
    async fn listening(uri: &str, ttl: Duration) -> Self {
        let proxy = Proxy::start(uri, ttl).await;
        proxy.until_live().await;
        proxy
    }

    fn stream(&self) -> StreamHealth {
        self.shelf.health().stream
    }

    async fn until_live(&self) {
        until("the stream is live", Duration::from_secs(30), || matches!(self.stream(), StreamHealth::Live { .. })).await;
    }

    fn holds(&self, name: &str) -> bool {
        matches!(self.store.at_hand(&key(name), NOW), Some(Found::Live(..)))
    }

    async fn is_let_in(&self, name: &str) -> Result<bool, StoreError> {
        if self.holds(name) {
            return Ok(true);
        }
        Ok(matches!(self.store.load(&key(name), NOW).await?, Found::Live(..)))
    }
}

/// Waits for a condition; how long it took.
async fn until(what: &str, within: Duration, is_so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

/// Removes a session, again and again until that is acknowledged.
async fn removed(proxy: &Proxy, name: &str) {
    let began = Instant::now();
    while proxy.store.remove(&key(name)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(40), "{name} cannot be removed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_proxy_ends_or_changes_the_others_see_in_well_under_a_second() {
    let mongod = Mongod::replica_set().await;
    let (here, there) = (Proxy::listening(&mongod.uri(), HOUR).await, Proxy::listening(&mongod.uri(), HOUR).await);
    let (first, version) = created(here.store.as_ref(), "changed", record()).await;
    created(here.store.as_ref(), "ended", record()).await;
    created(here.store.as_ref(), "of user", records::of_user("bob")).await;
    for name in ["changed", "ended", "of user"] {
        loaded(there.store.as_ref(), name).await;
    }
    let mut news = there.shelf.news();

    let next = changed(&first, "a", "1");
    assert_eq!(here.store.update(&key("changed"), &version, Arc::new(next.clone()), NOW).await.unwrap(), Updated::Done);
    let of_change = until("the change is seen", SLACK, || !there.holds("changed")).await;
    here.store.remove(&key("ended")).await.unwrap();
    let of_end = until("the end is seen", SLACK, || !there.holds("ended")).await;
    let tombstone = Tombstone { why: Lapse::Revoked, until: LATER };
    here.store.bury(&Whose::User("bob".to_owned()), &tombstone).await.unwrap();
    let of_all = until("the end of all is seen", SLACK, || !there.holds("of user")).await;

    println!("seen elsewhere after {of_change:?}, {of_end:?}, {of_all:?}");
    let settled = here.store.load_settled(&key("changed"), NOW).await.unwrap();
    assert!(matches!(&settled, Found::Live(record, _) if **record == next), "{settled:?}");
    assert_eq!(loaded(there.store.as_ref(), "changed").await.0, next);
    let handle = record().handle;
    assert_eq!(news.recv().await, Ok(News::Changed { key: key("changed"), handle: handle.clone() }));
    assert_eq!(news.recv().await, Ok(News::Ended { key: key("ended"), handle: handle.clone() }));
    assert_eq!(news.recv().await, Ok(News::Ended { key: key("of user"), handle }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_stream_is_live_a_known_session_costs_no_read_however_old_it_is() {
    let mongod = Mongod::replica_set().await;
    let proxy = Proxy::listening(&mongod.uri(), Duration::from_millis(1)).await;
    created(proxy.store.as_ref(), "k", record()).await;
    let (_, version) = loaded(proxy.store.as_ref(), "k").await;
    // Our own writes come back as changes: they drive nothing out.
    for n in 1..=5 {
        let further = LATER.plus(Duration::from_secs(n));
        assert_eq!(proxy.store.touch(&key("k"), &version, &touch(Some(further)), NOW).await.unwrap(), Updated::Done);
    }
    let before = proxy.shelf.health().misses;

    let (began, mut asked) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(2) {
        loaded(proxy.store.as_ref(), "k").await;
        asked += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    let health = proxy.shelf.health();
    // A machine that stands still for half a second delays a batch; then a read is right.
    assert!(health.misses - before <= 2 && asked > 50, "{} reads of {asked}", health.misses - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_that_another_proxy_noted_is_known_here_without_a_read() {
    let mongod = Mongod::replica_set().await;
    let (here, there) = (Proxy::listening(&mongod.uri(), HOUR).await, Proxy::listening(&mongod.uri(), HOUR).await);
    let (_, version) = created(here.store.as_ref(), "k", record()).await;
    loaded(there.store.as_ref(), "k").await;
    let before = there.shelf.health().misses;
    let end = || match there.store.at_hand(&key("k"), NOW) {
        Some(Found::Live(record, _)) => (record.expires_at, record.updated_at),
        other => panic!("{other:?}"),
    };

    let further = Some(LATER.plus(Duration::from_secs(60)));
    here.store.touch(&key("k"), &version, &touch(further), NOW).await.unwrap();
    until("the use is known", SLACK, || end() == (further, Some(NOW))).await;
    // A Node app's touch.
    let (furthest, modified) = (LATER.plus(Duration::from_secs(120)), NOW.plus(Duration::from_secs(1)));
    let set = doc! { "expires": DateTime::from_millis(furthest.0), "lastModified": DateTime::from_millis(modified.0) };
    let documents = mongod.client().await.database("fleet").collection::<Document>("sessions");
    documents.update_one(doc! { "_id": "k" }, doc! { "$set": set }).await.unwrap();
    until("the Node app's use is known", SLACK, || end() == (Some(furthest), Some(modified))).await;
    // A Node app's change.
    documents.update_one(doc! { "_id": "k" }, doc! { "$set": { "session": "{\"cookie\":{},\"a\":1}" } }).await.unwrap();
    until("the Node app's change is known", SLACK, || !there.holds("k")).await;

    assert_eq!(there.shelf.health().misses, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_that_a_node_app_shortens_is_over_on_every_proxy() {
    let mongod = Mongod::replica_set().await;
    let there = Proxy::listening(&mongod.uri(), HOUR).await;
    created(there.store.as_ref(), "k", record()).await;
    loaded(there.store.as_ref(), "k").await;

    // What connect-mongo's touch sends for a cookie of a shorter life.
    let documents = mongod.client().await.database("fleet").collection::<Document>("sessions");
    documents.update_one(doc! { "_id": "k" }, doc! { "$set": { "expires": DateTime::from_millis(NOW.0) } }).await.unwrap();

    until("the end is seen", SLACK, || !there.holds("k")).await;
    assert!(!there.is_let_in("k").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_change_stream_the_ttl_is_the_bound() {
    let mongod = Mongod::start().await;
    let ttl = Duration::from_millis(300);
    let (here, there) = (Proxy::start(&mongod.uri(), ttl).await, Proxy::start(&mongod.uri(), ttl).await);
    until("the stream is known to be absent", SLACK * 4, || there.stream() == StreamHealth::Absent).await;
    created(here.store.as_ref(), "k", record()).await;
    loaded(there.store.as_ref(), "k").await;

    here.store.remove(&key("k")).await.unwrap();

    let began = Instant::now();
    while there.is_let_in("k").await.unwrap() {
        assert!(began.elapsed() < ttl + SLACK);
    }
    assert!(!here.is_let_in("k").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_cut_off_lets_an_ended_session_in_no_longer_than_promised() {
    let mongod = Mongod::replica_set().await;
    let relay = Relay::to(mongod.port()).await;
    let here = Proxy::listening(&mongod.uri(), TTL).await;
    let there = Proxy::listening(&format!("mongodb://127.0.0.1:{}/?directConnection=true", relay.port()), TTL).await;
    for name in ["old", "fresh"] {
        created(here.store.as_ref(), name, record()).await;
    }
    loaded(there.store.as_ref(), "old").await;
    tokio::time::sleep(TTL).await;
    assert!(there.holds("old"), "the stream vouches for it");
    loaded(there.store.as_ref(), "fresh").await;

    relay.hold();
    for name in ["old", "fresh"] {
        here.store.remove(&key(name)).await.unwrap();
    }
    let ended = Instant::now();
    let seen_for = |name: &'static str| {
        let there = &there;
        async move {
            while there.is_let_in(name).await.unwrap_or(false) {
                tokio::task::yield_now().await;
            }
            ended.elapsed()
        }
    };
    let (old, fresh) = tokio::join!(seen_for("old"), seen_for("fresh"));
    println!("cut off, ended sessions were let in for {old:?} (old) and {fresh:?} (just read)");
    assert!(old <= Duration::from_secs(1) + READ + SLACK && fresh <= TTL + READ + SLACK, "{old:?}, {fresh:?}");

    relay.release();
    there.until_live().await;
    assert!(!there.is_let_in("old").await.unwrap() && !there.is_let_in("fresh").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_stream_cannot_go_on_the_cache_is_emptied_and_a_new_one_begins() {
    let mongod = Mongod::replica_set().await;
    let (here, there) = (Proxy::listening(&mongod.uri(), HOUR).await, Proxy::listening(&mongod.uri(), HOUR).await);
    created(here.store.as_ref(), "k", record()).await;
    loaded(there.store.as_ref(), "k").await;
    let mut news = there.shelf.news();

    // Ends the stream for good: its token is of no use afterwards.
    mongod.client().await.database("fleet").collection::<Document>("sessions").drop().await.unwrap();

    until("the cache is empty", SLACK * 2, || !there.holds("k")).await;
    assert_eq!(news.recv().await, Ok(News::Gap));
    created(here.store.as_ref(), "k", record()).await;
    there.until_live().await;
    loaded(there.store.as_ref(), "k").await;
    here.store.remove(&key("k")).await.unwrap();
    until("the end is seen", SLACK, || !there.holds("k")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_primary_is_killed_the_stream_goes_on_and_nothing_was_missed() {
    let mut set = ReplicaSet::start().await;
    let (here, there) = (Proxy::listening(&set.uri(), HOUR).await, Proxy::listening(&set.uri(), HOUR).await);
    let names: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
    for name in &names {
        created(here.store.as_ref(), name, record()).await;
        loaded(there.store.as_ref(), name).await;
    }
    let primary = set.primary().await;

    let (ended, kept) = names.split_at(40);
    for (n, name) in ended.iter().enumerate() {
        if n == 20 {
            set.kill(primary);
        }
        removed(&here, name).await;
    }
    there.until_live().await;
    for name in ended {
        until("the end is seen", SLACK, || !there.holds(name)).await;
    }

    // What nobody ended was not driven out: the stream went on, it did not begin anew.
    assert_eq!(kept.iter().filter(|name| there.holds(name)).count(), kept.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_primary_stands_still_an_ended_session_is_seen_no_longer_than_promised() {
    let set = ReplicaSet::start().await;
    let (here, there) = (Proxy::listening(&set.uri(), TTL).await, Arc::new(Proxy::listening(&set.uri(), TTL).await));
    created(here.store.as_ref(), "k", record()).await;
    loaded(there.store.as_ref(), "k").await;
    let primary = set.primary().await;

    // The other proxy is asked all the time, before, during and after.
    let asking = tokio::spawn({
        let there = there.clone();
        async move {
            let (mut last_in, began) = (None, Instant::now());
            while began.elapsed() < Duration::from_secs(45) {
                match there.is_let_in("k").await {
                    Ok(true) => last_in = Some(Instant::now()),
                    Ok(false) => return last_in,
                    Err(StoreError::Unavailable { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the end was never seen");
        }
    });
    set.freeze(primary);
    removed(&here, "k").await;
    let ended = Instant::now();
    let last_in = asking.await.unwrap().expect("it was let in before");
    set.thaw(primary);

    let seen_for = last_in.saturating_duration_since(ended);
    println!("an ended session was let in for {seen_for:?} more while the primary stood still");
    assert!(seen_for <= TTL + READ + SLACK, "{seen_for:?}");
    assert!(!there.is_let_in("k").await.unwrap_or(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_steps_down_no_operation_fails() {
    let set = ReplicaSet::start().await;
    let proxy = Proxy::listening(&set.uri(), Duration::from_millis(1)).await;
    let (mut record, mut version) = created(proxy.store.as_ref(), "k", record()).await;

    let stepping = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        set.step_down().await;
    };
    let working = async {
        let began = Instant::now();
        let mut done = 0;
        while began.elapsed() < Duration::from_secs(4) {
            let next = changed(&record, "n", &done.to_string());
            let answer = proxy.store.update(&key("k"), &version, Arc::new(next), NOW).await.expect("a write that is done");
            assert_eq!(answer, Updated::Done);
            (record, version) = loaded(proxy.store.as_ref(), "k").await;
            done += 1;
        }
        done
    };
    let ((), done) = tokio::join!(stepping, working);

    assert!(done > 20, "{done}");
}
