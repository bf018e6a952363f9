//! What only the circuit breaker promises: a store that does not answer is left alone, found again at once, and never called empty.

use crate::records::{NOW, changed, created, key, loaded, record};
use crate::tap::{Fault, Tap};
use cloakroom::clock::ManualClock;
use cloakroom::session::store::Operation::{self, Load};
use cloakroom::session::store::guard::within;
use cloakroom::session::store::health::BreakerHealth;
use cloakroom::session::store::{Applied, Found, GuardedStore, MemoryStore, SessionStore, StoreError};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

struct Scene {
    guarded: Arc<GuardedStore>,
    tap: Arc<Tap>,
    clock: Arc<ManualClock>,
}

impl Scene {
    fn new() -> Self {
        Scene::over(Tap::default())
    }

    fn over(tap: Tap) -> Self {
        let (tap, clock) = (Arc::new(tap), Arc::new(ManualClock::at(NOW)));
        Scene { guarded: Arc::new(GuardedStore::new(tap.clone(), clock.clone())), tap, clock }
    }

    /// A store that has failed five times in a row, so that it is left alone.
    async fn opened() -> Self {
        let scene = Scene::new();
        created(scene.guarded.as_ref(), "k", record()).await;
        scene.tap.set_down(true);
        for _ in 0..5 {
            assert!(scene.load().await.is_err());
        }
        scene.tap.calls();
        scene
    }

    async fn load(&self) -> Result<Found, StoreError> {
        self.guarded.load(&key("k"), NOW).await
    }

    fn breaker(&self) -> BreakerHealth {
        self.guarded.health().breaker.unwrap()
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_left_alone_and_is_unavailable_at_once() {
    let scene = Scene::opened().await;

    for _ in 0..100 {
        let answer = scene.load().await;
        assert!(matches!(answer, Err(StoreError::Unavailable { during: Load, applied: Applied::No, .. })), "{answer:?}");
    }

    assert_eq!((scene.tap.calls(), scene.breaker().open_for), (vec![], Some(Duration::ZERO)));
}

#[tokio::test]
async fn what_is_refused_is_no_operation_whatever_it_was() {
    let scene = Scene::opened().await;
    let (store, k) = (scene.guarded.as_ref(), key("k"));
    let refused =
        |error: StoreError, of: Operation| matches!(error, StoreError::Unavailable { during, applied: Applied::No, .. } if during == of);

    assert!(refused(store.create(&k, Arc::new(record())).await.unwrap_err(), Operation::Create));
    assert!(refused(store.remove(&k).await.unwrap_err(), Operation::Remove));
    assert!(refused(store.epoch("ada").await.unwrap_err(), Operation::Epoch));
    assert!(refused(store.list("ada", NOW).await.unwrap_err(), Operation::List));
    scene.tap.set_down(false);
    scene.clock.advance(SECOND);
    assert_eq!(loaded(store, "k").await.0, record());
}

#[tokio::test]
async fn one_operation_a_second_tries_whether_it_is_back() {
    let scene = Scene::opened().await;

    for _ in 0..3 {
        scene.clock.advance(SECOND - MILLISECOND);
        assert!(scene.load().await.is_err() && scene.load().await.is_err());
        assert_eq!(scene.tap.calls(), []);
        scene.clock.advance(MILLISECOND);
        assert!(scene.load().await.is_err() && scene.load().await.is_err());
        assert_eq!(scene.tap.calls(), [Load]);
    }
}

#[tokio::test]
async fn it_is_used_again_as_soon_as_it_answers() {
    let scene = Scene::opened().await;
    scene.tap.set_down(false);
    assert!(scene.load().await.is_err());

    scene.clock.advance(SECOND);

    for _ in 0..3 {
        assert!(matches!(scene.load().await, Ok(Found::Live(..))));
    }
    assert_eq!(scene.breaker(), BreakerHealth { open_for: None, trips: 1, failures: 0 });
}

#[tokio::test]
async fn a_probe_that_hangs_does_not_keep_the_next_one_out() {
    let scene = Scene::over(Tap::on(Arc::new(MemoryStore::default()), true));
    scene.tap.fail(1, 5, Fault::Refused);
    for _ in 0..5 {
        scene.tap.step();
        assert!(scene.load().await.is_err());
    }
    scene.clock.advance(SECOND);
    let guarded = scene.guarded.clone();
    let hanging = tokio::spawn(async move { guarded.load(&key("k"), NOW).await });
    while scene.tap.waiting() == 0 {
        tokio::task::yield_now().await;
    }

    scene.clock.advance(SECOND);
    scene.tap.step();
    scene.tap.step();

    assert!(matches!(scene.load().await, Ok(Found::Absent)));
    assert!(hanging.await.unwrap().is_ok());
}

#[tokio::test]
async fn failures_among_successes_open_nothing() {
    let scene = Scene::new();

    for _ in 0..20 {
        scene.tap.fail(1, 4, Fault::Lost);
        for _ in 0..4 {
            assert!(scene.load().await.is_err());
        }
        assert!(scene.load().await.is_ok());
    }

    assert_eq!(scene.breaker().trips, 0);
}

#[tokio::test]
async fn what_began_before_it_came_back_and_fails_afterwards_opens_nothing() {
    let scene = Scene::over(Tap::holding(Load));
    let late: Vec<_> = (0..6)
        .map(|_| {
            let guarded = scene.guarded.clone();
            tokio::spawn(async move { guarded.load(&key("k"), NOW).await.is_err() })
        })
        .collect();
    while scene.tap.waiting() < 6 {
        tokio::task::yield_now().await;
    }
    scene.clock.advance(SECOND);
    assert!(!scene.guarded.remove(&key("k")).await.unwrap());

    scene.tap.fail(1, 6, Fault::Refused);
    (0..6).for_each(|_| scene.tap.step());
    for failed in late {
        assert!(failed.await.unwrap());
    }

    assert_eq!(scene.breaker().trips, 0);
}

#[tokio::test]
async fn answers_that_are_no_outage_open_nothing() {
    let scene = Scene::new();
    created(scene.guarded.as_ref(), "k", record()).await;

    for _ in 0..20 {
        assert!(matches!(scene.guarded.create(&key("k"), Arc::new(record())).await, Err(StoreError::Taken)));
    }

    assert_eq!(scene.breaker().trips, 0);
}

#[tokio::test(start_paused = true)]
async fn what_one_request_asks_is_waited_for_no_longer_than_its_deadline_altogether() {
    let scene = Scene::over(Tap::holding(Operation::Update));
    created(scene.guarded.as_ref(), "k", record()).await;
    let (first, version) = loaded(scene.guarded.as_ref(), "k").await;
    let (key, next) = (key("k"), Arc::new(changed(&first, "a", "1")));
    let began = tokio::time::Instant::now();

    let (slow, later) = within(SECOND, async { (scene.guarded.update(&key, &version, next, NOW).await, scene.load().await) }).await;

    assert_eq!(began.elapsed().as_secs(), 1);
    assert!(matches!(slow, Err(StoreError::Unavailable { applied: Applied::Unknown, .. })), "{slow:?}");
    assert!(matches!(later, Err(StoreError::Unavailable { applied: Applied::No, .. })), "{later:?}");
    assert!(scene.load().await.is_ok(), "the next request has a deadline of its own");
}
