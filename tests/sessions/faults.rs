//! Every store call of every operation fails once, in every way a call can fail: the n-th, for n = 1, 2, 3 … until a run has no failure.
//! (SQLite's way of testing malloc and disk errors.)

use super::bench::*;
use super::tap::{FAULTS, Fault, Tap};
use cloakroom::clock::Clock as _;
use cloakroom::session::sessions::Options;
use cloakroom::session::store::{MemoryStore, SessionStore as _, StoreError};
use cloakroom::session::{Changes, CookieOrder, Event, Outcome, Visitor};
use std::sync::Arc;

/// Alice on two devices; the first one is about to do something.
struct Scene {
    bench: Bench,
    phone: String,
    laptop: String,
}

impl Scene {
    async fn new(options: fn(&mut Options)) -> Self {
        let bench = Bench::with(options);
        let alice = || Changes { login: Some("alice".into()), ..set(r#"{"a":1}"#) };
        let (phone, laptop) = (bench.begin(alice()).await, bench.begin(alice()).await);
        Scene { bench, phone, laptop }
    }

    /// One request of the phone while the calls from the `first`-th on fail.
    async fn act(
        &self,
        stranger: bool,
        changes: Changes,
        first: usize,
        count: usize,
        fault: Fault,
    ) -> (Result<Outcome, Arc<StoreError>>, bool) {
        self.bench.store.fail(first, count, fault);
        let visitor = if stranger { Visitor::Stranger } else { self.bench.resume(&self.phone).await };
        let result = self.bench.sessions.commit(visitor, changes, here()).await;
        let struck = self.bench.store.heal();
        (result, struck)
    }

    async fn is_in(&self, cookie: &str) -> bool {
        matches!(self.bench.resume(cookie).await, Visitor::Known(_))
    }
}

/// So many faults in a row are all that are to come.
const FROM_THEN_ON: usize = 1000;

/// Runs an operation with every single fault; where `rows`, also with every pair of neighbouring faults, and with a store that fails from
/// some call on.
async fn with_every_fault(
    name: &str,
    stranger: bool,
    changes: Changes,
    rows: bool,
    check: impl AsyncFn(&Scene, Result<Outcome, Arc<StoreError>>, &str),
) {
    for fault in FAULTS {
        for count in [1, 2, FROM_THEN_ON].into_iter().take(if rows { 3 } else { 1 }) {
            for first in 1.. {
                assert!(first < 50, "{name} never ends");
                let scene = Scene::new(|_| {}).await;
                let (result, struck) = scene.act(stranger, changes.clone(), first, count, fault).await;
                let label = format!("{name}, {fault:?} at call {first} ({count}): {result:?}");
                assert!(struck || result.is_ok(), "without a fault it works: {label}");
                check(&scene, result, &label).await;
                assert!(scene.is_in(&scene.laptop).await || changes.end.is_some(), "the other device is not touched: {label}");
                if !struck {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_begin_is_either_told_and_stored_or_refused() {
    with_every_fault("begin", true, set(r#"{"b":2}"#), true, async |scene, result, label| {
        let Ok(outcome) = result else { return };
        let cookie = cookie_in(&outcome).expect(label);
        assert_eq!(scene.bench.data(&cookie).await, r#"{"b":2}"#, "{label}");
    })
    .await;
}

#[tokio::test]
async fn a_change_is_either_told_and_stored_or_refused_and_the_visitor_stays() {
    with_every_fault("change", false, set(r#"{"b":2}"#), true, async |scene, result, label| {
        let data = scene.bench.data(&scene.phone).await;
        match result {
            Ok(outcome) => assert_eq!((outcome.event, data.as_str()), (Event::Changed, r#"{"a":1,"b":2}"#), "{label}"),
            // Refused is not undone: the outcome may have been unknown.
            Err(_) => assert!([r#"{"a":1}"#, r#"{"a":1,"b":2}"#].contains(&data.as_str()), "{label}: {data}"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_renewal_is_either_told_and_stored_or_refused_and_the_visitor_stays() {
    with_every_fault("renew", false, Changes { renew: true, ..set(r#"{"b":2}"#) }, true, async |scene, result, label| {
        let Ok(outcome) = result else {
            assert_eq!(scene.bench.see(&scene.phone).await.user(), Some("alice"), "{label}");
            // Nobody was told a new id, so the old one goes on: not only for the grace, and not only to be read.
            scene.bench.clock.advance(MINUTE);
            let next = scene.bench.send(&scene.phone, set(r#"{"c":3}"#)).await;
            assert_eq!(next.event, Event::Changed, "{label}");
            let data = scene.bench.data(&scene.phone).await;
            assert!([r#"{"a":1,"c":3}"#, r#"{"a":1,"b":2,"c":3}"#].contains(&data.as_str()), "{label}: {data}");
            return;
        };
        let new = cookie_in(&outcome).expect(label);
        assert_eq!((outcome.event, scene.bench.data(&new).await.as_str()), (Event::Renewed, r#"{"a":1,"b":2}"#), "{label}");
        // Perhaps it was not confirmed at first that the pointer has an end.
        while scene.bench.stored(&scene.phone).await.is_some_and(|pointer| pointer.moved.is_some_and(|moved| moved.at.is_none())) {
            tokio::task::yield_now().await;
        }
        scene.bench.clock.advance(10 * SECOND);
        assert!(!scene.is_in(&scene.phone).await && scene.is_in(&new).await, "the old id leads nowhere after the grace: {label}");
    })
    .await;
}

#[tokio::test]
async fn a_login_is_either_told_and_stored_or_refused_and_the_visitor_stays() {
    let again = Changes { login: Some("alice".into()), ..set(r#"{"b":2}"#) };
    with_every_fault("login", false, again, true, async |scene, result, label| {
        let Ok(outcome) = result else {
            assert_eq!(scene.bench.see(&scene.phone).await.user(), Some("alice"), "{label}");
            return;
        };
        let new = cookie_in(&outcome).expect(label);
        assert_eq!((outcome.event, scene.bench.data(&new).await.as_str()), (Event::LoggedIn, r#"{"a":1,"b":2}"#), "{label}");
        assert!(!scene.is_in(&scene.phone).await, "the old id is dead: {label}");
    })
    .await;
}

/// Bob signs in by a field over the session of Alice, or of nobody, or she signs out by it.
struct ByField {
    here: Bench,
    /// Another proxy, which has not looked before.
    elsewhere: Bench,
    old: String,
    told: Result<Outcome, Arc<StoreError>>,
    /// Whether any call failed.
    struck: bool,
}

impl ByField {
    /// While the calls of the commit from the `first`-th on fail.
    async fn act(before: &str, after: &str, first: usize, count: usize, fault: Fault) -> Self {
        let options: fn(&mut Options) = |options| options.user_from = Some(vec!["userinfo".into()]);
        let memory = Arc::new(MemoryStore::default());
        let here = Bench::over(Arc::new(Tap::on(memory.clone(), false)), options);
        let elsewhere = here.beside(Arc::new(Tap::on(memory, false)), options);
        let old = here.begin(set(before)).await;
        let visitor = here.resume(&old).await;
        here.store.fail(first, count, fault);
        let told = here.sessions.commit(visitor, set(after), super::bench::here()).await;
        let struck = here.store.heal();
        ByField { here, elsewhere, old, told, struck }
    }
}

const CHANGES_OF_USER: [(&str, &str, Option<&str>); 3] = [
    (r#"{"a":1}"#, r#"{"userinfo":"bob"}"#, Some("bob")),
    (r#"{"a":1,"userinfo":"alice"}"#, r#"{"userinfo":"bob"}"#, Some("bob")),
    (r#"{"a":1,"userinfo":"alice"}"#, r#"{"userinfo":null}"#, None),
];

#[tokio::test]
async fn a_login_by_a_field_is_either_told_and_stored_or_refused_and_the_old_id_never_leads_to_it() {
    for (before, after, user) in CHANGES_OF_USER {
        for (fault, count) in FAULTS.into_iter().flat_map(|fault| [1, 2, 3, FROM_THEN_ON].map(|count| (fault, count))) {
            for first in 1..50 {
                let ByField { here, elsewhere, old, told, struck } = ByField::act(before, after, first, count, fault).await;
                let label = format!("{before} {after}, {fault:?} at call {first} ({count}): {told:?}");
                if let Visitor::Known(session) = elsewhere.resume(&old).await {
                    assert_eq!(session.record().data.to_json(), before, "what it opened before, if anything: {label}");
                }
                if let Ok(outcome) = &told {
                    assert_eq!(here.see(&cookie_in(outcome).expect(&label)).await.user(), user, "{label}");
                    assert!(!matches!(here.resume(&old).await, Visitor::Known(_)), "here the old id opens nothing: {label}");
                } else {
                    assert_eq!(here.data(&old).await, before, "{label}");
                    // Nor does it end later: whoever was told nothing goes on.
                    here.clock.advance(MINUTE);
                    assert_eq!(here.send(&old, set(r#"{"c":3}"#)).await.event, Event::Changed, "{label}");
                    assert!(here.data(&old).await.contains(r#""c":3"#), "{label}");
                }
                if !struck {
                    assert!(told.is_ok() && first > 3, "{label}");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_login_by_a_field_that_nobody_was_told_of_leaves_nothing_behind() {
    for fault in [Fault::Lost, Fault::Landed] {
        // The second write, and the question what has become of it. Before it come the first one and two looks at the epoch.
        let site = ByField::act(r#"{"a":1}"#, r#"{"userinfo":"bob"}"#, 4, 2, fault).await;
        assert!(site.struck && site.told.is_err(), "{fault:?}: {:?}", site.told);

        while !site.here.store.list("bob", site.here.clock.now()).await.expect("an answer").is_empty() {
            tokio::task::yield_now().await;
        }

        assert_eq!(site.here.data(&site.old).await, r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn a_sign_out_by_a_field_whose_end_is_not_confirmed_says_so_and_is_one_here_at_once() {
    for fault in [Fault::Lost, Fault::Landed] {
        // The end of the old record, and the question what has become of it.
        let site = ByField::act(r#"{"userinfo":"alice"}"#, r#"{"userinfo":null,"b":2}"#, 3, 2, fault).await;

        let outcome = site.told.expect("the new id is told");
        assert!(site.struck && outcome.event == Event::EndUnconfirmed, "{fault:?}: {outcome:?}");
        assert_eq!(site.here.data(&cookie_in(&outcome).expect("a cookie")).await, r#"{"b":2}"#);
        assert!(!matches!(site.here.resume(&site.old).await, Visitor::Known(_)));
    }
}

#[tokio::test]
async fn an_ended_session_is_never_seen_again_however_the_store_fails() {
    with_every_fault("end", false, end(), true, async |scene, result, label| {
        let outcome = result.expect(label);
        assert!(matches!(outcome.event, Event::Ended | Event::EndUnconfirmed), "{label}");
        assert!(matches!(outcome.cookie, CookieOrder::Set(_)) && cookie_in(&outcome).is_none(), "the cookie goes: {label}");
        assert!(!scene.is_in(&scene.phone).await, "{label}");
    })
    .await;
}

#[tokio::test]
async fn all_ended_sessions_are_never_seen_again_however_the_store_fails() {
    with_every_fault("end all", false, end_all(), true, async |scene, result, label| {
        let outcome = result.expect(label);
        assert!(!scene.is_in(&scene.phone).await, "{label}");
        // Who could not be read is not known to be Alice: then only this session ends, and the event does not claim more.
        let claims_all = outcome.event == Event::EndedAll;
        let told_honestly = matches!(outcome.event, Event::Ended | Event::EndUnconfirmed);
        assert!(claims_all || told_honestly, "{label}");
        assert!(!claims_all || !scene.is_in(&scene.laptop).await, "{label}");
    })
    .await;
}

#[tokio::test]
async fn a_change_of_unknown_outcome_never_undoes_what_came_after_it() {
    let memory = Arc::new(MemoryStore::default());
    let site = Bench::over(Arc::new(Tap::on(memory.clone(), false)), |_| {});
    let cookie = site.begin(set(r#"{"n":0}"#)).await;
    let one = site.beside(Arc::new(Tap::on(memory, true)), |_| {});
    one.store.fail(1, 1, Fault::Landed);
    let (sessions, visitor) = (one.sessions.clone(), site.resume(&cookie).await);
    let changing = tokio::spawn(async move { sessions.commit(visitor, set(r#"{"n":1}"#), here()).await });
    let before_next_call = async || {
        while one.store.waiting() == 0 && !changing.is_finished() {
            tokio::task::yield_now().await;
        }
    };
    before_next_call().await;
    one.store.step();
    while one.store.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    one.store.heal();
    before_next_call().await;
    // Another proxy has seen the change, and made one upon it.
    let other = site.beside(site.store.clone(), |_| {});
    other.sessions.commit(other.resume(&cookie).await, set(r#"{"n":2}"#), here()).await.unwrap();

    while !changing.is_finished() {
        one.store.step();
        tokio::task::yield_now().await;
    }

    assert!(changing.await.unwrap().is_err());
    assert_eq!(other.data(&cookie).await, r#"{"n":2}"#);
}
