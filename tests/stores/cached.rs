//! What only a cache promises: the store is spared, what is told is never older than promised, and an end is final here at once.

use crate::records::{LATER, NOW, changed, created, key, loaded, of_user, record, touch};
use crate::slow_answer::SlowAnswer;
use crate::tap::{Fault, Tap};
use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::{Record, WriteToken};
use cloakroom::session::store::Operation::{Create, Load, Remove, Touch, Update};
use cloakroom::session::store::cached::{CacheSettings, Change, News};
use cloakroom::session::store::{CachedStore, Found, MemoryStore, SessionStore, Tombstone, Updated, Whose};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(2);
const TOMBSTONE: Tombstone = Tombstone { why: Lapse::Revoked, until: LATER };
const ENDS: usize = 2000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// One proxy's cache, the tap between it and the store, and the store itself, in which others may write.
struct Scene {
    cached: Arc<CachedStore>,
    tap: Arc<Tap>,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
}

impl Scene {
    fn new() -> Self {
        Scene::with(1000, 1 << 20, false)
    }

    /// With a store whose every call waits to be let through.
    fn gated() -> Self {
        Scene::with(1000, 1 << 20, true)
    }

    fn with(sessions: usize, bytes: u64, gated: bool) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(ManualClock::at(NOW)));
        let tap = Arc::new(Tap::on(store.clone(), gated));
        let cached = Arc::new(CachedStore::new(tap.clone(), CacheSettings { ttl: TTL, sessions, bytes }, clock.clone()));
        Scene { cached, tap, store, clock }
    }

    async fn revision(&self, name: &str) -> Option<u64> {
        match self.cached.load(&key(name), NOW).await.unwrap() {
            Found::Live(record, _) => Some(record.revision),
            Found::Expired(_) | Found::Absent => None,
        }
    }

    /// Another proxy changes the record in the store.
    async fn changed_elsewhere(&self, name: &str) -> Record {
        let (record, version) = loaded(self.store.as_ref(), name).await;
        let next = changed(&record, "elsewhere", "1");
        assert_eq!(self.store.update(&key(name), &version, Arc::new(next.clone()), NOW).await.unwrap(), Updated::Done);
        next
    }

    /// The change stream begins and says that all has been told until now.
    fn stream_begins(&self) {
        self.cached.shelf().stream().begin(self.cached.shelf().moment());
        self.batch();
    }

    fn batch(&self) {
        self.cached.shelf().stream().hear(self.cached.shelf().moment());
    }
}

fn of(user: &str) -> Whose {
    Whose::User(user.to_owned())
}

fn written(record: &Record) -> Change {
    Change::Written {
        revision: Some(record.revision),
        mark: record.last_write.clone(),
        expires_at: record.expires_at,
        moved: record.moved.is_some(),
        ended: record.ended.is_some(),
    }
}

#[tokio::test]
async fn a_known_session_costs_the_store_nothing_within_the_ttl() {
    let scene = Scene::new();
    scene.store.create(&key("k"), Arc::new(record())).await.unwrap();

    for _ in 0..3 {
        assert_eq!(loaded(scene.cached.as_ref(), "k").await.0, record());
        scene.clock.advance(TTL / 4);
    }

    assert_eq!(scene.tap.calls(), [Load]);
}

#[tokio::test]
async fn what_is_at_hand_is_told_without_waiting_and_what_is_not_is_not() {
    let scene = Scene::new();
    assert!(scene.cached.at_hand(&key("k"), NOW).is_none());
    created(scene.cached.as_ref(), "k", record()).await;

    assert!(matches!(scene.cached.at_hand(&key("k"), NOW), Some(Found::Live(..))));
    assert!(scene.cached.at_hand(&key("other"), NOW).is_none());
}

#[tokio::test]
async fn what_another_proxy_changed_is_seen_when_the_ttl_is_over_and_not_a_moment_later() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.changed_elsewhere("k").await;

    scene.clock.advance(TTL - MILLISECOND);
    assert_eq!(scene.revision("k").await, Some(1));
    scene.clock.advance(MILLISECOND);
    assert_eq!(scene.revision("k").await, Some(2));
}

#[tokio::test]
async fn setting_the_wall_clock_neither_ages_nor_rejuvenates_what_is_cached() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.changed_elsewhere("k").await;

    scene.clock.set(NOW.plus(Duration::from_secs(3000)));
    assert_eq!(scene.revision("k").await, Some(1));
    scene.clock.set(NOW.minus(Duration::from_secs(3000)));
    scene.clock.advance(TTL);
    assert_eq!(scene.revision("k").await, Some(2));
}

#[tokio::test]
async fn a_wall_clock_that_jumps_revives_nothing_that_is_remembered_as_ended_and_ends_nothing_that_is_cached() {
    let scene = Scene::new();
    let (first, version) = created(scene.cached.as_ref(), "ended", record()).await;
    created(scene.cached.as_ref(), "removed", record()).await;
    created(scene.cached.as_ref(), "alive", record()).await;
    let dead = Record { expires_at: Some(NOW), ended: Some(Lapse::Revoked), ..changed(&first, "a", "1") };
    scene.cached.update(&key("ended"), &version, Arc::new(dead), NOW).await.unwrap();
    scene.cached.remove(&key("removed")).await.unwrap();

    for now in [LATER, NOW.minus(Duration::from_secs(3000)), Timestamp(0), LATER.plus(Duration::from_secs(3000)), NOW] {
        scene.clock.set(now);
        for name in ["ended", "removed"] {
            let found = scene.cached.load(&key(name), now).await.unwrap();
            assert!(!matches!(found, Found::Live(..)), "{name} at {now:?}: {found:?}");
        }
        let found = scene.cached.load(&key("alive"), now).await.unwrap();
        assert_eq!(matches!(found, Found::Live(..)), now < LATER, "at {now:?}: {found:?}");
    }
}

#[tokio::test]
async fn the_age_counts_from_the_beginning_of_the_read() {
    let scene = Scene::gated();
    scene.store.create(&key("k"), Arc::new(record())).await.unwrap();
    let cached = scene.cached.clone();
    let read = tokio::spawn(async move { cached.load(&key("k"), NOW).await.unwrap() });
    while scene.tap.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    scene.clock.advance(TTL);
    scene.tap.step();
    read.await.unwrap();

    assert!(scene.cached.at_hand(&key("k"), NOW).is_none());
}

#[tokio::test]
async fn a_creation_a_change_and_a_use_are_known_without_a_read() {
    let scene = Scene::new();
    scene.cached.create(&key("k"), Arc::new(record())).await.unwrap();
    let (first, version) = loaded(scene.cached.as_ref(), "k").await;
    let second = changed(&first, "a", "1");
    scene.cached.update(&key("k"), &version, Arc::new(second.clone()), NOW).await.unwrap();
    let (now, version) = loaded(scene.cached.as_ref(), "k").await;
    let later = LATER.plus(Duration::from_secs(9));
    scene.cached.touch(&key("k"), &version, &touch(Some(later)), NOW).await.unwrap();

    assert_eq!(now, second);
    assert_eq!(loaded(scene.cached.as_ref(), "k").await.0, Record { expires_at: Some(later), updated_at: Some(NOW), ..second });
    assert_eq!(scene.tap.calls(), [Create, Update, Touch]);
}

#[tokio::test]
async fn an_ended_session_is_not_seen_here_again_and_asking_costs_nothing() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;

    scene.cached.remove(&key("k")).await.unwrap();

    assert_eq!(scene.revision("k").await, None);
    assert_eq!(scene.tap.calls(), [Create, Remove]);
}

#[tokio::test]
async fn an_ended_session_is_not_seen_again_by_anybody_while_many_look_and_records_are_opened_and_closed() {
    // Room for one or two open records: each look opens one and closes another.
    let scene = Scene::with(1000, 1 << 14, false);
    let ended = AtomicUsize::new(0);

    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                loop {
                    let gone = ended.load(SeqCst);
                    for n in gone.saturating_sub(1)..gone + 3 {
                        let told = scene.cached.at_hand(&key(&format!("k{n}")), NOW);
                        assert!(n >= gone || !matches!(told, Some(Found::Live(..))), "k{n} of {gone}");
                    }
                    if gone == ENDS {
                        break;
                    }
                }
            });
        }
        threads.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for n in 0..ENDS + 3 {
                runtime.block_on(scene.cached.create(&key(&format!("k{n}")), Arc::new(record()))).unwrap();
                if let Some(first) = n.checked_sub(3) {
                    runtime.block_on(scene.cached.remove(&key(&format!("k{first}")))).unwrap();
                    ended.store(first + 1, SeqCst);
                }
            }
        });
    });
}

#[tokio::test]
async fn a_session_whose_record_was_made_a_dead_one_is_not_seen_here_again() {
    let scene = Scene::new();
    let (record, version) = created(scene.cached.as_ref(), "k", record()).await;

    scene.cached.update(&key("k"), &version, Arc::new(record.tombstone(Lapse::Revoked, LATER)), NOW).await.unwrap();

    assert_eq!(scene.revision("k").await, None);
}

#[tokio::test]
async fn the_end_of_all_of_a_user_is_seen_here_at_once_and_spares_the_others() {
    let scene = Scene::new();
    for (name, user) in [("a", "ada"), ("b", "bob")] {
        created(scene.cached.as_ref(), name, of_user(user)).await;
    }
    scene.tap.calls();

    scene.cached.bury(&of("ada"), &TOMBSTONE).await.unwrap();

    assert_eq!([scene.revision("a").await, scene.revision("b").await], [None, Some(1)]);
    assert_eq!(scene.tap.calls().iter().filter(|call| **call == Load).count(), 1);
}

#[tokio::test]
async fn a_use_that_is_noted_while_all_of_a_users_sessions_end_brings_none_of_them_back() {
    const SESSIONS: usize = 500;
    let scene = Scene::new();
    let keys: Vec<_> = (0..SESSIONS).map(|n| key(&format!("k{n}"))).collect();
    let (ada, shelf) = (of("ada"), scene.cached.shelf());
    for _ in 0..20 {
        for key in &keys {
            scene.cached.create(key, Arc::new(record())).await.unwrap();
        }
        let Some(Found::Live(_, version)) = scene.cached.at_hand(&keys[0], NOW) else { panic!("it is cached") };
        let noted = AtomicUsize::new(0);

        std::thread::scope(|threads| {
            // The store has noted each use before the end; the answers come at the same time.
            threads.spawn(|| {
                for key in &keys {
                    shelf.writing(key, None).touched(&version, &touch(Some(LATER)));
                    noted.fetch_add(1, SeqCst);
                }
            });
            threads.spawn(|| {
                while noted.load(SeqCst) < SESSIONS / 4 {
                    std::hint::spin_loop();
                }
                drop(shelf.burying(&ada));
            });
        });

        let back = keys.iter().filter(|key| scene.cached.at_hand(key, NOW).is_some()).count();
        assert_eq!(back, 0);
        for key in &keys {
            scene.store.remove(key).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_end_of_all_that_are_old_or_of_everybody_is_seen_here_at_once() {
    let scene = Scene::new();
    let began = |moment| Record { created_at: Some(moment), ..record() };
    for (name, moment) in [("old", NOW.minus(MILLISECOND)), ("new", NOW)] {
        created(scene.cached.as_ref(), name, began(moment)).await;
    }

    scene.cached.bury(&Whose::Older(NOW), &TOMBSTONE).await.unwrap();
    let after_the_old = [scene.revision("old").await, scene.revision("new").await];
    scene.cached.bury(&Whose::Everybody, &TOMBSTONE).await.unwrap();

    assert_eq!((after_the_old, scene.revision("new").await), ([None, Some(1)], None));
}

/// What may happen to a record while a read of it is under way.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Removed,
    Changed,
    AllOfUserRemoved,
    ToldRemoved,
    Cleared,
}

#[tokio::test]
async fn a_read_that_began_before_a_write_or_an_end_does_not_put_the_old_record_back() {
    for meanwhile in [Meanwhile::Removed, Meanwhile::Changed, Meanwhile::AllOfUserRemoved, Meanwhile::ToldRemoved, Meanwhile::Cleared] {
        let scene = Scene::new();
        scene.store.create(&key("k"), Arc::new(record())).await.unwrap();
        // The read has passed the store, and its answer is on the way.
        let slow = Arc::new(SlowAnswer::of(Found::Live(Arc::new(record()), loaded(scene.store.as_ref(), "k").await.1)));
        let cached = Arc::new(CachedStore::new(slow.clone(), CacheSettings { ttl: TTL, sessions: 9, bytes: 1 << 20 }, scene.clock.clone()));
        let reading = tokio::spawn({
            let cached = cached.clone();
            async move { cached.load(&key("k"), NOW).await.unwrap() }
        });
        slow.asked.notified().await;

        match meanwhile {
            Meanwhile::Removed => drop(cached.remove(&key("k")).await.unwrap()),
            Meanwhile::Changed => {
                let (record, version) = loaded(scene.store.as_ref(), "k").await;
                let third = changed(&changed(&record, "a", "1"), "b", "1");
                cached.update(&key("k"), &version, Arc::new(third), NOW).await.unwrap();
            }
            Meanwhile::AllOfUserRemoved => drop(cached.bury(&of("ada"), &TOMBSTONE).await.unwrap()),
            Meanwhile::ToldRemoved => cached.shelf().changed(&key("k"), &Change::Removed),
            Meanwhile::Cleared => cached.shelf().clear(),
        }
        slow.answer.notify_one();
        reading.await.unwrap();

        let told = cached.at_hand(&key("k"), NOW);
        let is_old = matches!(&told, Some(Found::Live(told, _)) if told.revision == 1);
        assert!(!is_old, "{meanwhile:?}: {told:?}");
    }
}

#[tokio::test]
async fn of_two_writes_whose_acknowledgements_cross_the_older_is_not_kept() {
    for older_is_a_use in [true, false] {
        let scene = Scene::new();
        scene.store.create(&key("k"), Arc::new(record())).await.unwrap();
        let (first, version) = loaded(scene.store.as_ref(), "k").await;
        let second = changed(&first, "a", "1");
        let slow = Arc::new(SlowAnswer::of(Found::Absent));
        let cached = Arc::new(CachedStore::new(slow.clone(), CacheSettings { ttl: TTL, sessions: 9, bytes: 1 << 20 }, scene.clock.clone()));
        let older = tokio::spawn({
            let (cached, version, second) = (cached.clone(), version.clone(), second.clone());
            async move {
                match older_is_a_use {
                    true => cached.touch(&key("k"), &version, &touch(None), NOW).await,
                    false => cached.update(&key("k"), &version, Arc::new(second), NOW).await,
                }
            }
        });
        slow.asked.notified().await;

        cached.update(&key("k"), &version, Arc::new(changed(&second, "b", "2")), NOW).await.unwrap();
        slow.answer.notify_one();
        older.await.unwrap().unwrap();

        let told = cached.at_hand(&key("k"), NOW);
        assert!(told.as_ref().is_none_or(|told| matches!(told, Found::Live(told, _) if told.revision == 3)), "{told:?}");
    }
}

#[tokio::test]
async fn a_write_of_unknown_or_foreign_outcome_lets_the_record_be_read_anew() {
    for fault in [Some(Fault::Lost), Some(Fault::Landed), None] {
        let scene = Scene::new();
        let (first, version) = created(scene.cached.as_ref(), "k", record()).await;
        match fault {
            Some(fault) => scene.tap.fail(1, 1, fault),
            None => drop(scene.changed_elsewhere("k").await),
        }

        let answer = scene.cached.update(&key("k"), &version, Arc::new(changed(&first, "a", "1")), NOW).await;

        assert_eq!((answer.is_ok(), scene.cached.at_hand(&key("k"), NOW).is_none()), (fault.is_none(), true), "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_read_past_the_cache_takes_the_place_of_what_is_older_there() {
    let scene = Scene::new();
    let (first, version) = created(scene.cached.as_ref(), "k", record()).await;
    let second = Arc::new(changed(&first, "a", "1"));
    scene.tap.fail(1, 1, Fault::Lost);
    assert!(scene.cached.update(&key("k"), &version, second.clone(), NOW).await.is_err());
    // Others look before the write arrives late, and one of them has its answer last.
    let (k, old) = (key("k"), scene.cached.load(&key("k"), NOW).await.unwrap());
    let slow = scene.cached.shelf().reading(&k);
    scene.store.update(&key("k"), &version, second, NOW).await.unwrap();

    let settled = scene.cached.load_settled(&key("k"), NOW).await.unwrap();
    slow.found(&old);

    assert!(matches!(settled, Found::Live(record, _) if record.revision == 2));
    assert_eq!(scene.revision("k").await, Some(2));
}

#[tokio::test]
async fn a_write_that_was_surely_not_applied_leaves_what_is_cached() {
    let scene = Scene::new();
    let (first, version) = created(scene.cached.as_ref(), "k", record()).await;
    scene.tap.set_down(true);

    let answer = scene.cached.update(&key("k"), &version, Arc::new(changed(&first, "a", "1")), NOW).await;

    assert!(answer.is_err());
    assert_eq!(scene.revision("k").await, Some(1));
}

#[tokio::test]
async fn while_the_store_is_down_what_is_cached_is_told_until_its_ttl_and_never_longer() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.tap.set_down(true);

    scene.clock.advance(TTL - MILLISECOND);
    assert_eq!(scene.revision("k").await, Some(1));
    scene.clock.advance(MILLISECOND);
    assert!(scene.cached.load(&key("k"), NOW).await.is_err());
}

#[tokio::test]
async fn a_record_that_has_expired_is_read_again_before_anybody_is_turned_away() {
    let scene = Scene::new();
    let (_, version) = created(scene.cached.as_ref(), "k", record()).await;
    let further = LATER.plus(Duration::from_secs(60));
    scene.store.touch(&key("k"), &version, &touch(Some(further)), NOW).await.unwrap();

    let found = scene.cached.load(&key("k"), LATER).await.unwrap();

    assert!(matches!(found, Found::Live(..)), "{found:?}");
}

#[tokio::test]
async fn that_nothing_is_there_is_remembered_for_the_ttl() {
    let scene = Scene::new();
    scene.store.create(&key("dead"), Arc::new(Record { expires_at: Some(NOW), ..record() })).await.unwrap();

    for _ in 0..2 {
        assert!(matches!(scene.cached.load(&key("none"), NOW).await.unwrap(), Found::Absent));
        let dead = scene.cached.load(&key("dead"), NOW).await.unwrap();
        assert!(matches!(&dead, Found::Expired(told) if told.expires_at == Some(NOW)), "{dead:?}");
    }
    assert_eq!(scene.tap.calls(), [Load, Load]);
    scene.clock.advance(TTL);
    assert!(scene.cached.at_hand(&key("none"), NOW).is_none() && scene.cached.at_hand(&key("dead"), NOW).is_none());
}

#[tokio::test]
async fn a_flood_of_ids_that_are_gone_drives_no_live_session_out() {
    let scene = Scene::with(64, 1 << 20, false);
    for n in 0..32 {
        created(scene.cached.as_ref(), &format!("live{n}"), record()).await;
    }

    for n in 0..5000 {
        scene.cached.load(&key(&format!("gone{n}")), NOW).await.unwrap();
    }

    assert_eq!((0..32).filter(|n| scene.cached.at_hand(&key(&format!("live{n}")), NOW).is_some()).count(), 32);
    let health = scene.cached.health().cache.unwrap();
    assert!(health.entries == 32 && health.gone <= 8, "{health:?}");
}

#[tokio::test]
async fn neither_the_number_nor_the_bytes_are_exceeded() {
    let big = changed(&record(), "big", &format!("\"{}\"", "x".repeat(10_000)));
    for (sessions, bytes, record) in [(50, 1 << 20, record()), (1000, 200_000, big)] {
        let scene = Scene::with(sessions, bytes, false);

        for n in 0..500 {
            created(scene.cached.as_ref(), &format!("k{n}"), record.clone()).await;
        }

        let health = scene.cached.health().cache.unwrap();
        assert!(health.entries <= sessions as u64 && health.bytes <= bytes && health.entries > 5, "{health:?}");
    }
}

#[tokio::test]
async fn with_a_live_stream_what_is_old_is_told_without_a_read() {
    let scene = Scene::new();
    scene.stream_begins();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.tap.calls();

    for _ in 0..20 {
        scene.clock.advance(TTL / 2);
        scene.batch();
        assert_eq!(scene.revision("k").await, Some(1));
    }

    assert_eq!(scene.tap.calls(), []);
}

#[tokio::test]
async fn a_stream_that_has_been_silent_for_more_than_a_second_vouches_for_nothing() {
    let scene = Scene::new();
    scene.stream_begins();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.clock.advance(TTL);
    scene.batch();
    scene.tap.calls();

    scene.clock.advance(Duration::from_secs(1));
    scene.revision("k").await;
    assert_eq!(scene.tap.calls(), []);
    scene.clock.advance(MILLISECOND);
    scene.revision("k").await;
    assert_eq!(scene.tap.calls(), [Load]);
}

#[tokio::test]
async fn what_was_read_before_the_stream_began_is_read_again_after_its_ttl() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.clock.advance(MILLISECOND);
    scene.stream_begins();
    scene.clock.advance(TTL);
    scene.batch();

    assert!(scene.cached.at_hand(&key("k"), NOW).is_none());
}

#[tokio::test]
async fn a_change_that_the_stream_tells_is_seen_at_once() {
    let scene = Scene::new();
    scene.stream_begins();
    created(scene.cached.as_ref(), "k", record()).await;
    let next = scene.changed_elsewhere("k").await;

    scene.cached.shelf().changed(&key("k"), &written(&next));

    assert_eq!(scene.revision("k").await, Some(2));
}

#[tokio::test]
async fn the_streams_echo_of_our_own_writes_costs_no_read() {
    let scene = Scene::new();
    scene.stream_begins();
    let (first, version) = created(scene.cached.as_ref(), "k", record()).await;
    let second = changed(&first, "a", "1");
    scene.cached.update(&key("k"), &version, Arc::new(second.clone()), NOW).await.unwrap();
    scene.tap.calls();

    scene.cached.shelf().changed(&key("k"), &written(&second));
    let late =
        Change::Written { revision: Some(1), mark: Some(WriteToken("another's".to_owned())), expires_at: None, moved: false, ended: false };
    scene.cached.shelf().changed(&key("k"), &late);

    assert_eq!((scene.revision("k").await, scene.tap.calls()), (Some(2), vec![]));
}

/// Of a change of the cache's one record, "k", the store's echo comes first, with `told` instead if that is another one; whether the changed record is at hand
/// once the write's own answer has come.
async fn echoed_early(second: Record, told: Change) -> (bool, Vec<News>) {
    let slow = Arc::new(SlowAnswer::of(Found::Absent));
    let settings = CacheSettings { ttl: TTL, sessions: 9, bytes: 1 << 20 };
    let cached = Arc::new(CachedStore::new(slow.clone(), settings, Arc::new(ManualClock::at(NOW))));
    cached.create(&key("k"), Arc::new(record())).await.unwrap();
    let Some(Found::Live(_, version)) = cached.at_hand(&key("k"), NOW) else { panic!("it is cached") };
    let mut news = cached.news().unwrap();
    let writing = tokio::spawn({
        let (cached, second) = (cached.clone(), Arc::new(second.clone()));
        async move { cached.update(&key("k"), &version, second, NOW).await.unwrap() }
    });
    slow.asked.notified().await;

    cached.shelf().changed(&key("k"), &told);
    let heard = std::iter::from_fn(|| news.try_recv().ok()).collect();
    slow.answer.notify_one();
    writing.await.unwrap();

    let is_at_hand = matches!(cached.at_hand(&key("k"), NOW), Some(Found::Live(told, _)) if *told == second);
    (is_at_hand, heard)
}

#[tokio::test]
async fn the_echo_of_a_change_that_comes_before_its_answer_costs_no_read() {
    let second = changed(&record(), "a", "1");

    assert_eq!(echoed_early(second.clone(), written(&second)).await, (true, vec![]));
}

#[tokio::test]
async fn a_change_by_somebody_else_while_one_is_under_way_is_seen_at_once() {
    let second = changed(&record(), "a", "1");
    let others = Record { revision: second.revision, ..changed(&second, "a", "2") };

    let (is_at_hand, heard) = echoed_early(second, written(&others)).await;

    assert!(!is_at_hand && matches!(heard[..], [News::Changed { .. }]), "{heard:?}");
}

#[tokio::test]
async fn an_end_is_passed_on_when_its_echo_comes_before_its_answer() {
    let ended = Record { ended: Some(Lapse::Revoked), ..changed(&record(), "a", "1") };

    let (_, heard) = echoed_early(ended.clone(), written(&ended)).await;

    assert!(matches!(heard[..], [News::Ended { .. }]), "{heard:?}");
}

#[tokio::test]
async fn the_echo_of_a_use_that_comes_before_its_answer_costs_no_read() {
    let slow = Arc::new(SlowAnswer::of(Found::Absent));
    let settings = CacheSettings { ttl: TTL, sessions: 9, bytes: 1 << 20 };
    let cached = Arc::new(CachedStore::new(slow.clone(), settings, Arc::new(ManualClock::at(NOW))));
    cached.create(&key("k"), Arc::new(record())).await.unwrap();
    let Some(Found::Live(_, version)) = cached.at_hand(&key("k"), NOW) else { panic!("it is cached") };
    let using = tokio::spawn({
        let cached = cached.clone();
        async move { cached.touch(&key("k"), &version, &touch(Some(LATER)), NOW).await.unwrap() }
    });
    slow.asked.notified().await;

    cached.shelf().changed(&key("k"), &Change::Touched { expires_at: Some(LATER), updated_at: Some(NOW) });
    slow.answer.notify_one();
    using.await.unwrap();

    assert!(matches!(cached.at_hand(&key("k"), NOW), Some(Found::Live(told, _)) if told.updated_at == Some(NOW)));
}

#[tokio::test]
async fn a_write_of_a_stranger_who_raises_no_revision_is_seen_at_once() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;

    scene.cached.shelf().changed(&key("k"), &Change::Written { revision: None, mark: None, expires_at: None, moved: false, ended: false });

    assert!(scene.cached.at_hand(&key("k"), NOW).is_none());
}

#[tokio::test]
async fn a_use_that_another_proxy_noted_is_taken_over_without_a_read() {
    let scene = Scene::new();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.tap.calls();
    let (expires_at, updated_at) = (Some(LATER.plus(TTL)), Some(NOW.plus(TTL)));

    scene.cached.shelf().changed(&key("k"), &Change::Touched { expires_at, updated_at });

    assert_eq!(loaded(scene.cached.as_ref(), "k").await.0, Record { expires_at, updated_at, ..record() });
    assert_eq!(scene.tap.calls(), []);
}

#[tokio::test]
async fn a_life_that_a_stranger_shortens_is_seen_at_once_and_passed_on() {
    for expires_at in [LATER.minus(TTL), NOW] {
        for known in [Some(record()), Some(Record { expires_at: None, ..record() }), None] {
            let scene = Scene::new();
            let is_news = known.is_some() || expires_at == NOW;
            if let Some(record) = known {
                created(scene.cached.as_ref(), "k", record).await;
            }
            let mut news = scene.cached.shelf().news();

            scene.cached.shelf().changed(&key("k"), &Change::Touched { expires_at: Some(expires_at), updated_at: None });

            assert!(scene.cached.at_hand(&key("k"), NOW).is_none());
            assert_eq!(matches!(news.try_recv(), Ok(News::Changed { .. })), is_news, "{expires_at:?}");
        }
    }
}

#[tokio::test]
async fn a_use_that_is_told_late_does_not_lengthen_a_life_that_was_shortened_since() {
    let scene = Scene::new();
    let (first, version) = created(scene.cached.as_ref(), "k", record()).await;
    let short = Record { expires_at: Some(NOW.plus(TTL)), updated_at: Some(NOW), ..changed(&first, "a", "1") };
    scene.cached.update(&key("k"), &version, Arc::new(short.clone()), NOW).await.unwrap();

    let before = Some(NOW.minus(MILLISECOND));
    scene.cached.shelf().changed(&key("k"), &Change::Touched { expires_at: Some(LATER), updated_at: before });

    assert_eq!(loaded(scene.cached.as_ref(), "k").await.0, short);
}

#[tokio::test]
async fn a_use_that_another_proxy_noted_brings_back_what_is_remembered_as_expired() {
    let scene = Scene::new();
    let (_, version) = created(scene.store.as_ref(), "k", record()).await;
    assert!(matches!(scene.cached.load(&key("k"), LATER).await.unwrap(), Found::Expired(_)));
    let further = Some(LATER.plus(TTL));
    // It was on its way when this proxy looked.
    scene.store.touch(&key("k"), &version, &touch(further), NOW).await.unwrap();

    scene.cached.shelf().changed(&key("k"), &Change::Touched { expires_at: further, updated_at: Some(NOW) });

    assert!(matches!(scene.cached.load(&key("k"), LATER).await.unwrap(), Found::Live(..)));
}

#[tokio::test]
async fn when_changes_may_have_been_missed_nothing_cached_is_told() {
    let scene = Scene::new();
    scene.stream_begins();
    created(scene.cached.as_ref(), "k", record()).await;
    scene.revision("none").await;

    scene.cached.shelf().stream().lose();
    scene.cached.shelf().clear();

    assert!(scene.cached.at_hand(&key("k"), NOW).is_none() && scene.cached.at_hand(&key("none"), NOW).is_none());
}

#[tokio::test]
async fn ends_are_passed_on_with_the_handle_wherever_they_happen() {
    let scene = Scene::new();
    let mut news = scene.cached.shelf().news();
    let ended = |name: &str| News::Ended { key: key(name), handle: record().handle };
    for name in ["here", "elsewhere", "dead"] {
        created(scene.cached.as_ref(), name, record()).await;
    }

    scene.cached.remove(&key("here")).await.unwrap();
    scene.cached.shelf().changed(&key("elsewhere"), &Change::Removed);
    let dead = record().tombstone(Lapse::Revoked, LATER);
    scene.cached.shelf().changed(&key("dead"), &written(&dead));
    scene.cached.bury(&of("ada"), &TOMBSTONE).await.unwrap();
    scene.cached.shelf().clear();

    assert_eq!([news.try_recv(), news.try_recv(), news.try_recv()], ["here", "elsewhere", "dead"].map(ended).map(Ok));
    assert_eq!([news.try_recv(), news.try_recv()], [Ok(News::UserEnded { user: "ada".to_owned() }), Ok(News::Gap)]);
}

#[tokio::test]
async fn hits_and_misses_are_counted() {
    let scene = Scene::new();
    scene.store.create(&key("k"), Arc::new(record())).await.unwrap();
    for _ in 0..5 {
        scene.revision("k").await;
    }
    scene.clock.advance(TTL);
    scene.revision("k").await;

    let health = scene.cached.health().cache.unwrap();

    assert_eq!((health.entries, health.hits, health.misses), (1, 4, 2));
}
