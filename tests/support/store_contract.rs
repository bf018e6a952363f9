//! What every store promises: one function for each promise, run over each store by `tests/stores.rs`.

use crate::records::{LATER, NOW, bare, changed, created, key, loaded, of_user, record, touch};
use cloakroom::session::id::Handle;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::{Client, Data, Epoch, Moved, Record, WriteToken};
use cloakroom::session::store::{Found, SessionStore, StoreError, Tombstone, Touch, Updated, Version, Whose};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

async fn update(store: &dyn SessionStore, name: &str, seen: &Version, record: Record) -> Updated {
    store.update(&key(name), seen, Arc::new(record), NOW).await.unwrap()
}

async fn is_absent(store: &dyn SessionStore, name: &str) -> bool {
    matches!(store.load(&key(name), NOW).await.unwrap(), Found::Absent)
}

pub async fn create_refuses_a_taken_key(store: &dyn SessionStore) {
    let (first, _) = created(store, "k", record()).await;

    let second = store.create(&key("k"), Arc::new(changed(&first, "thief", "1"))).await;

    assert!(matches!(second, Err(StoreError::Taken)), "{second:?}");
    assert_eq!(loaded(store, "k").await.0, first);
}

pub async fn create_refuses_the_key_of_an_expired_record(store: &dyn SessionStore) {
    let dead = Record { expires_at: Some(NOW), ..record() };
    store.create(&key("k"), Arc::new(dead.clone())).await.unwrap();

    let second = store.create(&key("k"), Arc::new(changed(&dead, "thief", "1"))).await;

    assert!(matches!(second, Err(StoreError::Taken)), "{second:?}");
}

pub async fn keys_are_told_apart_by_every_character(store: &dyn SessionStore) {
    created(store, "Key", record()).await;

    for other in ["key", "KEY", "Key ", "Ke", "", "{\"$gt\":\"\"}", "Key\u{301}"] {
        assert!(is_absent(store, other).await, "{other:?}");
    }
}

pub async fn an_expired_record_is_never_live(store: &dyn SessionStore) {
    let (record, version) = created(store, "k", record()).await;
    let dead = LATER;

    let found = store.load(&key("k"), dead).await.unwrap();
    let updated = store.update(&key("k"), &version, Arc::new(changed(&record, "x", "1")), dead).await.unwrap();
    let touched = store.touch(&key("k"), &version, &touch(Some(dead.plus(Duration::from_secs(60)))), dead).await.unwrap();
    let listed = store.list("ada", dead).await.unwrap();

    assert!(matches!(&found, Found::Expired(told) if told.expires_at == Some(LATER)), "{found:?}");
    assert_eq!((updated, touched, listed), (Updated::Gone, Updated::Gone, vec![]));
    assert_eq!(loaded(store, "k").await.0, record);
}

pub async fn what_is_settled_is_told_as_by_a_load(store: &dyn SessionStore) {
    created(store, "live", record()).await;
    store.create(&key("dead"), Arc::new(Record { expires_at: Some(NOW), ..record() })).await.unwrap();

    for name in ["live", "dead", "none"] {
        let (settled, loaded) = (store.load_settled(&key(name), NOW).await.unwrap(), store.load(&key(name), NOW).await.unwrap());
        match (settled, loaded) {
            (Found::Live(one, seen), Found::Live(other, also)) => assert_eq!((one, seen), (other, also)),
            (Found::Expired(one), Found::Expired(other)) => assert_eq!(one.expires_at, other.expires_at),
            (Found::Absent, Found::Absent) => {}
            unlike => panic!("{name}: {unlike:?}"),
        }
    }
}

pub async fn update_replaces_the_version_seen(store: &dyn SessionStore) {
    let (first, version) = created(store, "k", record()).await;
    let second = changed(&first, "colour", "\"red\"");

    assert_eq!(update(store, "k", &version, second.clone()).await, Updated::Done);

    assert_eq!(loaded(store, "k").await.0, second);
}

pub async fn update_of_an_older_version_is_stale(store: &dyn SessionStore) {
    let (first, old) = created(store, "k", record()).await;
    let second = changed(&first, "a", "1");
    update(store, "k", &old, second.clone()).await;

    assert_eq!(update(store, "k", &old, changed(&first, "b", "2")).await, Updated::Stale);

    assert_eq!(loaded(store, "k").await.0, second);
}

pub async fn update_takes_absent_fields_away(store: &dyn SessionStore) {
    let (first, version) = created(store, "k", record()).await;
    let bare = Record { revision: 2, ..bare() };

    assert_eq!(update(store, "k", &version, bare.clone()).await, Updated::Done);

    assert_eq!(loaded(store, "k").await.0, bare);
    assert_eq!(store.list(&first.user.unwrap(), NOW).await.unwrap(), vec![]);
}

pub async fn update_never_inserts(store: &dyn SessionStore) {
    let (first, version) = created(store, "k", record()).await;
    store.remove(&key("k")).await.unwrap();

    assert_eq!(update(store, "k", &version, changed(&first, "x", "1")).await, Updated::Gone);
    assert_eq!(update(store, "never", &version, changed(&first, "x", "1")).await, Updated::Gone);

    assert!(is_absent(store, "k").await && is_absent(store, "never").await);
}

pub async fn of_many_updates_of_one_version_exactly_one_is_done(store: &dyn SessionStore) {
    let (first, version) = created(store, "k", record()).await;

    let attempts = (0..16).map(|n| update(store, "k", &version, changed(&first, "winner", &n.to_string())));
    let answers = join_all(attempts).await;

    let winners: Vec<usize> = answers.iter().enumerate().filter(|(_, a)| **a == Updated::Done).map(|(n, _)| n).collect();
    assert_eq!((winners.len(), answers.iter().filter(|a| **a == Updated::Stale).count()), (1, 15), "{answers:?}");
    assert_eq!(loaded(store, "k").await.0.data.json_of("winner"), Some(winners[0].to_string().as_str()));
}

pub async fn touch_moves_forward_only(store: &dyn SessionStore) {
    let (_, version) = created(store, "k", record()).await;
    let further = LATER.plus(Duration::from_secs(5));

    for (asked, stored) in [(NOW.plus(Duration::from_secs(1)), LATER), (further, further), (LATER, further)] {
        assert_eq!(store.touch(&key("k"), &version, &touch(Some(asked)), NOW).await.unwrap(), Updated::Done);
        assert_eq!(loaded(store, "k").await.0.expires_at, Some(stored));
    }
}

pub async fn touch_notes_the_use_and_keeps_the_rest(store: &dyn SessionStore) {
    let (first, version) = created(store, "k", record()).await;
    let client = Some(Client { agent: "curl".to_owned(), address: "192.0.2.1".to_owned() });

    store.touch(&key("k"), &version, &Touch { client: client.clone(), ..touch(None) }, NOW).await.unwrap();
    store.touch(&key("k"), &version, &touch(None), NOW).await.unwrap();

    let (touched, seen) = loaded(store, "k").await;
    assert_eq!(touched, Record { client, updated_at: Some(NOW), ..first.clone() });
    assert_eq!(update(store, "k", &version, changed(&touched, "x", "1")).await, Updated::Done, "the version seen before is still the one");
    assert_eq!(update(store, "k", &seen, changed(&touched, "y", "1")).await, Updated::Stale);
}

pub async fn touch_of_an_older_version_is_stale(store: &dyn SessionStore) {
    let (first, old) = created(store, "k", record()).await;
    let second = changed(&first, "a", "1");
    update(store, "k", &old, second.clone()).await;

    let answer = store.touch(&key("k"), &old, &touch(Some(LATER.plus(Duration::from_secs(9)))), NOW).await.unwrap();

    assert_eq!((answer, loaded(store, "k").await.0), (Updated::Stale, second));
}

pub async fn touch_never_revives(store: &dyn SessionStore) {
    let (_, version) = created(store, "k", record()).await;
    store.remove(&key("k")).await.unwrap();

    let answer = store.touch(&key("k"), &version, &touch(Some(LATER)), NOW).await.unwrap();

    assert_eq!(answer, Updated::Gone);
    assert!(is_absent(store, "k").await);
}

pub async fn a_record_without_end_stays_without_end(store: &dyn SessionStore) {
    let (endless, version) = created(store, "k", Record { expires_at: None, ..record() }).await;

    let answer = store.touch(&key("k"), &version, &touch(Some(LATER)), NOW).await.unwrap();

    assert_eq!((answer, loaded(store, "k").await.0), (Updated::Done, Record { updated_at: Some(NOW), ..endless.clone() }));
    assert_eq!(update(store, "k", &version, changed(&endless, "x", "1")).await, Updated::Done);
}

pub async fn remove_is_final_and_idempotent(store: &dyn SessionStore) {
    created(store, "k", record()).await;

    let answers = [store.remove(&key("k")).await.unwrap(), store.remove(&key("k")).await.unwrap()];

    assert_eq!(answers, [true, false]);
    assert!(is_absent(store, "k").await);
    assert_eq!(store.list("ada", NOW).await.unwrap(), vec![]);
}

const TOMBSTONE: Tombstone = Tombstone { why: Lapse::Revoked, until: LATER };

async fn why_it_ended(store: &dyn SessionStore, name: &str) -> Option<Lapse> {
    match store.load(&key(name), NOW).await.unwrap() {
        Found::Expired(left) => {
            assert!(left.data.is_empty() && left.user.is_none() && left.handle.is_none() && left.client.is_none(), "{left:?}");
            left.ended
        }
        other => panic!("{name} has no tombstone: {other:?}"),
    }
}

pub async fn bury_ends_only_that_users(store: &dyn SessionStore) {
    for (name, user) in [("a1", "ada"), ("a2", "ada"), ("b", "bob"), ("c", "Ada")] {
        created(store, name, of_user(user)).await;
    }
    created(store, "anonymous", Record { user: None, ..record() }).await;

    let of_ada = Whose::User("ada".to_owned());
    let buried = [store.bury(&of_ada, &TOMBSTONE).await.unwrap(), store.bury(&of_ada, &TOMBSTONE).await.unwrap()];

    assert_eq!(buried, [2, 0]);
    for name in ["a1", "a2"] {
        assert_eq!(why_it_ended(store, name).await, Some(Lapse::Revoked));
    }
    for other in ["b", "c", "anonymous"] {
        loaded(store, other).await;
    }
}

pub async fn bury_ends_those_that_began_before_or_nobody_knows_when(store: &dyn SessionStore) {
    let moment = NOW.minus(Duration::from_secs(60));
    let just_before = moment.minus(Duration::from_millis(1));
    for (name, created_at) in [("older", Some(just_before)), ("as old", Some(moment)), ("younger", Some(NOW)), ("unknown", None)] {
        created(store, name, Record { created_at, ..record() }).await;
    }

    let older =
        [store.bury(&Whose::Older(moment), &TOMBSTONE).await.unwrap(), store.bury(&Whose::Older(moment), &TOMBSTONE).await.unwrap()];
    for spared in ["as old", "younger"] {
        loaded(store, spared).await;
    }
    let all = [store.bury(&Whose::Everybody, &TOMBSTONE).await.unwrap(), store.bury(&Whose::Everybody, &TOMBSTONE).await.unwrap()];

    assert_eq!((older, all), ([2, 0], [2, 0]));
    for name in ["older", "as old", "younger", "unknown"] {
        assert_eq!(why_it_ended(store, name).await, Some(Lapse::Revoked));
    }
}

pub async fn a_tombstone_is_never_live_and_tells_why(store: &dyn SessionStore) {
    let (first, version) = created(store, "one", record()).await;
    let (_, of_many) = created(store, "many", of_user("bob")).await;

    assert_eq!(update(store, "one", &version, first.clone().tombstone(Lapse::Replaced, LATER)).await, Updated::Done);
    store.bury(&Whose::User("bob".to_owned()), &TOMBSTONE).await.unwrap();

    assert_eq!((why_it_ended(store, "one").await, why_it_ended(store, "many").await), (Some(Lapse::Replaced), Some(Lapse::Revoked)));
    for (name, version) in [("one", &version), ("many", &of_many)] {
        let touched = store.touch(&key(name), version, &touch(Some(LATER.plus(Duration::from_secs(9)))), NOW).await.unwrap();
        assert_eq!((update(store, name, version, changed(&first, "x", "1")).await, touched), (Updated::Gone, Updated::Gone), "{name}");
        let mark = Some(WriteToken("another".to_owned()));
        let inserted = store.create(&key(name), Arc::new(Record { last_write: mark, ..first.clone() })).await;
        assert!(matches!(inserted, Err(StoreError::Taken)), "{name}: {inserted:?}");
    }
    for user in ["ada", "bob"] {
        assert_eq!((store.list(user, NOW).await.unwrap(), store.page(user, None, 9, NOW).await.unwrap()), (vec![], vec![]));
    }
    assert!(store.find(&first.handle.unwrap(), NOW).await.unwrap().is_empty());
}

pub async fn a_page_goes_on_where_the_last_one_ended(store: &dyn SessionStore) {
    for number in 0..5 {
        let handle = Some(Handle::stored(format!("handle {}", (number * 3) % 5)));
        created(store, &number.to_string(), Record { handle, ..record() }).await;
    }
    created(store, "bob's", of_user("bob")).await;
    created(store, "nameless", Record { handle: None, ..record() }).await;
    store.create(&key("dead"), Arc::new(Record { expires_at: Some(NOW), ..record() })).await.unwrap();

    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store.page("ada", after.as_ref(), 2, NOW).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.handle);
        pages.push(page.iter().map(|record| record.handle.as_ref().unwrap().as_str().to_owned()).collect::<Vec<_>>());
    }

    assert_eq!(pages, [vec!["handle 0", "handle 1"], vec!["handle 2", "handle 3"], vec!["handle 4"]]);
}

pub async fn find_is_by_handle_and_live(store: &dyn SessionStore) {
    let named = |handle: &str| Record { handle: Some(Handle::stored(handle.to_owned())), ..record() };
    for (name, handle) in [("old", "h"), ("new", "h"), ("other", "H")] {
        created(store, name, named(handle)).await;
    }
    store.create(&key("dead"), Arc::new(Record { expires_at: Some(NOW), ..named("h") })).await.unwrap();

    let mut found = store.find(&Handle::stored("h".to_owned()), NOW).await.unwrap();
    found.sort_by(|a, b| a.key.cmp(&b.key));

    let sighted: Vec<_> = found.iter().map(|sighting| (sighting.key.as_str(), Record::clone(&sighting.record))).collect();
    assert_eq!(sighted, [("new", named("h")), ("old", named("h"))]);
    assert_eq!(update(store, "new", &found[0].version, changed(&named("h"), "x", "1")).await, Updated::Done, "the version is the one seen");
    assert!(store.find(&Handle::stored(String::new()), NOW).await.unwrap().is_empty());
}

pub async fn an_epoch_only_grows(store: &dyn SessionStore) {
    let first = store.epoch("ada").await.unwrap();

    let mut epochs = vec![first];
    // The clock of another proxy may be behind.
    for now in [NOW, NOW, NOW.minus(Duration::from_secs(3600)), LATER] {
        store.raise_epoch("ada", now, LATER.plus(Duration::from_secs(60))).await.unwrap();
        epochs.push(store.epoch("ada").await.unwrap());
    }

    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    assert_eq!((first, store.epoch("bob").await.unwrap()), (Epoch(0), Epoch(0)));
}

pub async fn an_estimate_counts_what_is_kept(store: &dyn SessionStore) {
    for name in ["a", "b", "c"] {
        created(store, name, record()).await;
    }
    store.remove(&key("b")).await.unwrap();

    assert_eq!(store.estimate().await.unwrap(), Some(2));
}

pub async fn list_is_by_user_and_live(store: &dyn SessionStore) {
    let odd = "{\"$ne\":\"\"}.é\"'";
    for (name, user) in [("a1", "ada"), ("a2", "ada"), ("b", odd)] {
        created(store, name, of_user(user)).await;
    }
    store.create(&key("dead"), Arc::new(Record { expires_at: Some(NOW), ..record() })).await.unwrap();
    created(store, "endless", Record { expires_at: None, ..record() }).await;

    let mut of_ada = store.list("ada", NOW).await.unwrap();
    of_ada.sort_by(|(a, _), (b, _)| a.cmp(b));

    assert_eq!(of_ada.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a1", "a2", "endless"]);
    assert_eq!(*of_ada[0].1, record());
    assert_eq!(store.list(odd, NOW).await.unwrap(), vec![(key("b"), Arc::new(of_user(odd)))]);
    assert_eq!(store.list("nobody", NOW).await.unwrap(), vec![]);
}

pub async fn every_field_survives_the_trip(store: &dyn SessionStore) {
    assert_eq!(created(store, "full", record()).await.0, record());
    assert_eq!(created(store, "bare", bare()).await.0, bare());
}

pub async fn a_pointer_survives_the_trip(store: &dyn SessionStore) {
    let (first, version) = created(store, "k", record()).await;
    let open = Record { data: Data::default(), user: None, moved: Some(Moved { to: key("new"), at: None }), revision: 2, ..first };
    let ended = Record { moved: Some(Moved { to: key("new"), at: Some(NOW) }), revision: 3, ..open.clone() };

    assert_eq!(update(store, "k", &version, open.clone()).await, Updated::Done);
    let (stored, version) = loaded(store, "k").await;
    assert_eq!(stored, open);
    assert_eq!(update(store, "k", &version, ended.clone()).await, Updated::Done);

    assert_eq!(loaded(store, "k").await.0, ended);
}

pub async fn large_and_foreign_text_survives_the_trip(store: &dyn SessionStore) {
    let text = "😀 \u{7f}\u{2028} \\u0000 \\\" é ".repeat(2_500);
    let (first, version) = created(store, "k", changed(&record(), "big", &format!("\"{text}\""))).await;
    let second = changed(&first, "more", "1");

    assert!(first.data.size() > 50_000);
    assert_eq!(update(store, "k", &version, second.clone()).await, Updated::Done);
    assert_eq!(loaded(store, "k").await.0, second);
}

/// Only of stores that keep the session as text.
pub async fn odd_json_survives_byte_for_byte(store: &dyn SessionStore) {
    let odd =
        Data::parse(r#"{"10":1.0,"2":1e2,"s":"\ud83d","\udead":[ 1 , 2 ],"é":{"x":0.10},"$set":{"a.b":-0},"":123456789012345678901}"#);
    let odd = Record { data: odd.unwrap(), ..record() };

    let (first, version) = created(store, "k", odd.clone()).await;
    let second = changed(&first, "new", "true");

    assert_eq!(first.data.to_json(), odd.data.to_json());
    assert_eq!(update(store, "k", &version, second.clone()).await, Updated::Done);
    assert_eq!(loaded(store, "k").await.0.data.to_json(), second.data.to_json());
}
