//! A MongoDB that is down, frozen or killed: unavailable in time, never absent, and good again at once.

use crate::mongod::Mongod;
use crate::records::{LATER, NOW, changed, created, key, loaded, record};
use cloakroom::secret::Secret;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::Record;
use cloakroom::session::store::mongo::{Format, MongoSettings, MongoStore};
use cloakroom::session::store::{Applied, Found, SessionStore, StoreError, Tombstone, Version, Whose};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const READ: Duration = Duration::from_millis(500);
const WRITE: Duration = Duration::from_secs(1);
/// Long enough for a slow machine; reached by a failure only.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much later than its limit an answer may come on a busy machine.
const SLACK: Duration = Duration::from_millis(400);

/// A store with short limits that has read its one record, "k", which a patient one wrote: a fresh server is slow at first.
async fn impatient(mongod: &Mongod, options: &str) -> (MongoStore, Record, Version) {
    let settings = MongoSettings { uri: Secret::new(mongod.uri() + options), ..mongod.settings(Format::String) };
    created(&MongoStore::connect(settings.clone()).await.unwrap(), "k", record()).await;
    let store = MongoStore::connect(MongoSettings { read_timeout: READ, write_timeout: WRITE, ..settings }).await.unwrap();
    for _ in 0..20 {
        if store.load(&key("k"), NOW).await.is_ok() {
            break;
        }
    }
    let (record, version) = loaded(&store, "k").await;
    (store, record, version)
}

struct Read {
    began: Instant,
    took: Duration,
    good: bool,
}

/// How reading goes.
#[derive(Default)]
struct Progress {
    good: AtomicUsize,
    bad: AtomicUsize,
    is_over: AtomicBool,
}

impl Progress {
    /// Waits for so many more.
    async fn more(&self, of: impl Fn(&Self) -> &AtomicUsize, count: usize) {
        let (began, before) = (Instant::now(), of(self).load(Ordering::Relaxed));
        while of(self).load(Ordering::Relaxed) < before + count {
            assert!(began.elapsed() < PATIENCE, "the reads do not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Reads 50 times a second until that is over, whatever becomes of the earlier reads.
async fn read_on(store: Arc<MongoStore>, progress: Arc<Progress>) -> Vec<Read> {
    let mut reads = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !progress.is_over.load(Ordering::Relaxed) {
        tick.tick().await;
        let (store, progress) = (store.clone(), progress.clone());
        reads.push(tokio::spawn(async move {
            let began = Instant::now();
            let good = match store.load(&key("k"), NOW).await {
                Ok(Found::Live(..)) => true,
                Err(StoreError::Unavailable { applied: Applied::No, .. }) => false,
                other => panic!("neither live nor unavailable: {other:?}"),
            };
            if good { &progress.good } else { &progress.bad }.fetch_add(1, Ordering::Relaxed);
            Read { began, took: began.elapsed(), good }
        }));
    }
    futures_util::future::join_all(reads).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_end_of_everybody_is_waited_for_longer_than_a_write() {
    let mongod = Mongod::start().unwrap();
    let settings = mongod.settings(Format::String);
    created(&MongoStore::connect(settings.clone()).await.unwrap(), "k", record()).await;
    let store = MongoStore::connect(MongoSettings { write_timeout: Duration::ZERO, ..settings }).await.unwrap();

    let buried = store.bury(&Whose::Everybody, &Tombstone { why: Lapse::Revoked, until: LATER }).await;

    assert_eq!(buried.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unavailable_in_time_and_good_again_at_once() {
    freeze("").await;
}

/// Here the driver notices nothing and clears no pool: if operations were broken off at their limit, none would succeed for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_that_the_driver_does_not_notice_is_over_when_it_is_over() {
    freeze("?heartbeatFrequencyMS=10000&connectTimeoutMS=10000&maxPoolSize=10").await;
}

async fn freeze(options: &str) {
    let mongod = Mongod::start().unwrap();
    let store = Arc::new(impatient(&mongod, options).await.0);

    let progress = Arc::new(Progress::default());
    let reading = tokio::spawn(read_on(store.clone(), progress.clone()));
    progress.more(|reads| &reads.good, 20).await;
    mongod.signal("STOP");
    // Its threads stop one by one.
    let frozen = Instant::now() + Duration::from_millis(100);
    progress.more(|reads| &reads.bad, 120).await;
    mongod.signal("CONT");
    let thawed = Instant::now();
    progress.more(|reads| &reads.good, 120).await;
    while thawed.elapsed() < Duration::from_secs(1) {
        progress.more(|reads| &reads.good, 1).await;
    }
    progress.more(|reads| &reads.good, 60).await;
    progress.is_over.store(true, Ordering::Relaxed);
    let reads = reading.await.unwrap();

    let late: Vec<Duration> = reads.iter().map(|read| read.took).filter(|took| *took > READ + SLACK).collect();
    let in_the_freeze: Vec<&Read> = reads.iter().filter(|read| read.began > frozen && read.began + READ < thawed).collect();
    let after: Vec<&Read> = reads.iter().filter(|read| read.began > thawed + Duration::from_secs(1)).collect();
    assert!(late.is_empty(), "{late:?}");
    let good = in_the_freeze.iter().filter(|read| read.good).count();
    assert!(in_the_freeze.len() > 50 && good == 0, "{good} of {} reads in the freeze were good", in_the_freeze.len());
    let bad = after.iter().filter(|read| !read.good).count();
    assert!(after.len() > 50 && bad == 0, "{bad} of {} reads failed a second after the freeze", after.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_frozen_server_has_an_unknown_outcome() {
    let mongod = Mongod::start().unwrap();
    let (store, first, version) = impatient(&mongod, "").await;
    mongod.signal("STOP");

    let began = Instant::now();
    let answer = store.update(&key("k"), &version, Arc::new(changed(&first, "x", "1")), NOW).await;
    let took = began.elapsed();
    mongod.signal("CONT");

    assert!(matches!(answer, Err(StoreError::Unavailable { applied: Applied::Unknown, .. })), "{answer:?}");
    assert!(took < WRITE + SLACK, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_unavailable_and_nothing_acknowledged_is_lost() {
    let mongod = Mongod::start().unwrap();
    let (store, ..) = impatient(&mongod, "").await;
    mongod.signal("KILL");
    // The kill takes effect when the connection breaks: until then a read may still be answered.
    let mut answer = store.load(&key("k"), NOW).await;
    for _ in 0..10 {
        if answer.is_err() {
            break;
        }
        answer = store.load(&key("k"), NOW).await;
    }
    let began = Instant::now();
    let create = store.create(&key("new"), Arc::new(record())).await;

    assert!(matches!(answer, Err(StoreError::Unavailable { applied: Applied::No, .. })), "{answer:?}");
    assert!(matches!(create, Err(StoreError::Unavailable { .. })) && began.elapsed() < WRITE + SLACK, "{create:?}");
    let _mongod = tokio::task::spawn_blocking(move || mongod.restarted()).await.unwrap();
    let back = Instant::now();
    while store.load(&key("k"), NOW).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(3), "still unavailable");
    }
    assert_eq!(loaded(&store, "k").await.0, record());
}

#[tokio::test]
async fn a_store_that_is_down_from_the_start_is_unavailable_never_absent() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = MongoSettings {
        uri: Secret::new(format!("mongodb://127.0.0.1:{port}/")),
        database: "d".to_owned(),
        collection: "c".to_owned(),
        format: Format::String,
        read_timeout: READ,
        write_timeout: WRITE,
        configured_max_age: None,
    };
    let store = MongoStore::connect(settings).await.unwrap();

    let began = Instant::now();
    let (read, removed) = (store.load(&key("k"), NOW).await, store.remove(&key("k")).await);

    assert!(matches!(read, Err(StoreError::Unavailable { applied: Applied::No, .. })), "{read:?}");
    assert!(matches!(removed, Err(StoreError::Unavailable { .. })), "{removed:?}");
    assert!(began.elapsed() < READ + WRITE + SLACK);
}

/// Proxy workers have runtimes of their own, which come and go; the connections belong to the one that `connect` was called on.
#[test]
fn the_store_outlives_the_runtimes_of_its_callers() {
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = home.block_on(async { Mongod::shared().store(Format::String).await.0 });
    let visitor = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    visitor().block_on(created(&store, "k", record()));

    let found = visitor().block_on(loaded(&store, "k")).0;

    assert_eq!(found, record());
}
