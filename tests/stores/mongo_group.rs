//! Changes that travel together, against a real MongoDB: one command for many, and each with an outcome of its own.

use crate::mongod::Mongod;
use crate::records::{LATER, NOW, changed, key, loaded, record, touch};
use crate::relay::{Relay, Traffic};
use cloakroom::secret::Secret;
use cloakroom::session::record::Record;
use cloakroom::session::store::mongo::{Format, MongoSettings, MongoStore};
use cloakroom::session::store::{Applied, Found, SessionStore, StoreError, Updated, Version};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// In every command that changes sessions, and in no other.
const UPDATE: &str = "update\0";

/// More than any number of commands under way, so that some must wait.
const MANY: usize = 40;

type Answers = Vec<(usize, Result<Updated, StoreError>)>;

/// Many sessions in a store of their own behind a relay, each as it was read.
struct Scene {
    relay: Relay,
    store: Arc<MongoStore>,
    sessions: Vec<(Record, Version)>,
    settings: MongoSettings,
}

impl Scene {
    async fn new(patience: Duration) -> Self {
        Scene::with(Mongod::shared(), patience, "").await
    }

    async fn with(mongod: &Mongod, patience: Duration, options: &str) -> Self {
        let relay = Relay::noting(UPDATE, mongod.port()).await;
        let settings = MongoSettings { read_timeout: patience, write_timeout: patience, ..mongod.settings(Format::String) };
        let through = settings.uri.expose_secret().to_vec();
        let uri = String::from_utf8(through).unwrap().replace(&mongod.port().to_string(), &relay.port().to_string());
        let store = Arc::new(MongoStore::connect(MongoSettings { uri: Secret::new(uri + options), ..settings.clone() }).await.unwrap());
        let mut sessions = Vec::new();
        for number in 0..MANY {
            store.create(&name(number), Arc::new(record())).await.unwrap();
            sessions.push(loaded(store.as_ref(), &format!("s{number}")).await);
        }
        Scene { relay, store, sessions, settings }
    }

    /// Changes all of them at the same time, while nothing gets through until `meanwhile` has been done.
    async fn change_all(&self, meanwhile: impl AsyncFnOnce(&Relay)) -> Answers {
        let mut changing = JoinSet::new();
        for (number, (first, version)) in self.sessions.iter().enumerate() {
            let (store, version, next) = (self.store.clone(), version.clone(), Arc::new(second(first, number)));
            changing.spawn(async move { (number, store.update(&name(number), &version, next, NOW).await) });
        }
        meanwhile(&self.relay).await;
        let mut answers = changing.join_all().await;
        answers.sort_by_key(|(number, _)| *number);
        answers
    }

    /// The first has left, and its answer does not come until the others wait, who can but wait.
    async fn change_all_together(&self) -> Answers {
        self.relay.set(Traffic::Mute);
        let release = async |relay: &Relay| {
            relay.until_noted(1).await;
            relay.release();
        };
        self.change_all(release).await
    }

    async fn is_changed(&self, number: usize) -> bool {
        self.is_changed_in(&self.store, number).await
    }

    async fn is_changed_in(&self, store: &MongoStore, number: usize) -> bool {
        matches!(store.load(&name(number), NOW).await, Ok(Found::Live(found, _)) if found.data.json_of("number").is_some())
    }
}

fn name(number: usize) -> cloakroom::session::id::SessionKey {
    key(&format!("s{number}"))
}

fn unavailable(answers: &Answers, told: Applied) -> usize {
    let is_it = |answer: &Result<Updated, StoreError>| matches!(answer, Err(StoreError::Unavailable { applied, .. }) if *applied == told);
    answers.iter().filter(|(_, answer)| is_it(answer)).count()
}

fn second(first: &Record, number: usize) -> Record {
    changed(first, "number", &number.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_wait_travel_in_one_command() {
    let scene = Scene::new(Duration::from_secs(30)).await;

    let answers = scene.change_all_together().await;

    assert!(answers.iter().all(|(_, answer)| matches!(answer, Ok(Updated::Done))), "{answers:?}");
    assert!(scene.relay.noted() < MANY / 2, "{} commands for {MANY} changes", scene.relay.noted());
    for number in 0..MANY {
        assert!(scene.is_changed(number).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_changes_that_travel_together_each_has_an_outcome_of_its_own() {
    let scene = Scene::new(Duration::from_secs(30)).await;
    // Every third was changed, every other third ended by somebody else.
    let directly = MongoStore::connect(scene.settings.clone()).await.unwrap();
    for (number, (first, version)) in scene.sessions.iter().enumerate() {
        match number % 3 {
            0 => drop(directly.update(&name(number), version, Arc::new(changed(first, "theirs", "1")), NOW).await.unwrap()),
            1 => drop(directly.remove(&name(number)).await.unwrap()),
            _ => {}
        }
    }

    let answers = scene.change_all_together().await;

    let told: Vec<Updated> = answers.into_iter().map(|(_, answer)| answer.unwrap()).collect();
    let due = (0..MANY).map(|number| [Updated::Stale, Updated::Gone, Updated::Done][number % 3].clone());
    assert_eq!(told, due.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_whose_answer_was_cut_off_are_found_out_and_made_once() {
    let scene = Scene::new(Duration::from_secs(30)).await;
    scene.relay.set(Traffic::Mute);

    let answers = scene
        .change_all(async |relay| {
            relay.until_noted(1).await;
            relay.cut_once().await;
        })
        .await;

    for (number, answer) in answers {
        let changed = scene.is_changed(number).await;
        assert!(matches!((&answer, changed), (Ok(Updated::Done), true)), "{number}: {answer:?}, changed: {changed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_was_cut_off_and_that_was_written_over_is_not_called_unmade() {
    let scene = Scene::new(Duration::from_secs(30)).await;
    let directly = MongoStore::connect(scene.settings.clone()).await.unwrap();
    let (first, version) = scene.sessions[0].clone();
    let ours = Arc::new(second(&first, 0));
    scene.relay.set(Traffic::Mute);

    let key = name(0);
    let (answer, ()) = tokio::join!(scene.store.update(&key, &version, ours, NOW), async {
        while !scene.is_changed_in(&directly, 0).await {}
        let (made, version) = loaded(&directly, "s0").await;
        directly.update(&key, &version, Arc::new(changed(&made, "theirs", "1")), NOW).await.unwrap();
        scene.relay.cut_once().await;
    });

    assert!(matches!(answer, Err(StoreError::Unavailable { applied: Applied::Unknown, .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waited_in_vain_was_surely_not_made() {
    let scene = Scene::with(Mongod::shared(), Duration::from_secs(2), "?maxPoolSize=4").await;
    scene.relay.hold();

    let answers = scene.change_all(async |_| {}).await;

    let (surely_not, perhaps) = (unavailable(&answers, Applied::No), unavailable(&answers, Applied::Unknown));
    assert!(perhaps > 0 && surely_not > MANY / 2 && surely_not + perhaps == MANY, "{surely_not} surely not, {perhaps} perhaps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_are_held_up_hold_up_no_others() {
    let mongod = Mongod::start().unwrap();
    let scene = Scene::with(&mongod, Duration::from_secs(4), "").await;
    // As many as may be under way at a time.
    mongod.hold_up_updates(2, Duration::from_secs(8)).await;

    let answers = scene.change_all(async |_| {}).await;

    let done = answers.iter().filter(|(_, answer)| matches!(answer, Ok(Updated::Done))).count();
    assert_eq!((done, unavailable(&answers, Applied::Unknown)), (MANY - 2, 2), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_hang_leave_connections_to_reads() {
    let mongod = Mongod::start().unwrap();
    let scene = Scene::with(&mongod, Duration::from_secs(2), "?maxPoolSize=4").await;
    mongod.hold_up_updates(1000, Duration::from_secs(8)).await;

    let answers = scene
        .change_all(async |relay| {
            relay.until_noted(1).await;
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(1) {
                loaded(scene.store.as_ref(), "s0").await;
            }
        })
        .await;
    // Nobody waits for them any more, and they still hang.
    loaded(scene.store.as_ref(), "s0").await;

    assert_eq!((unavailable(&answers, Applied::Unknown), unavailable(&answers, Applied::No)), (2, MANY - 2), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_too_large_leaves_the_others_of_its_command_alone() {
    let scene = Scene::new(Duration::from_secs(30)).await;
    let (whole, version) = scene.sessions[0].clone();
    let huge = changed(&whole, "a", &format!("\"{}\"", "x".repeat(17 << 20)));
    scene.relay.set(Traffic::Mute);
    let (huge, small, used) = (Arc::new(huge), Arc::new(second(&scene.sessions[1].0, 1)), touch(Some(LATER)));
    let (first, second, third) = (name(0), name(1), name(2));

    let all = async {
        tokio::join!(
            scene.store.update(&first, &version, huge, NOW),
            scene.store.update(&second, &scene.sessions[1].1, small, NOW),
            scene.store.touch(&third, &scene.sessions[2].1, &used, NOW),
        )
    };
    let (answers, ()) = tokio::join!(all, async { scene.relay.release() });

    assert!(matches!(answers, (Err(StoreError::TooLarge), Ok(Updated::Done), Ok(Updated::Done))), "{answers:?}");
}
