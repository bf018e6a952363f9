//! Every store call of every operation fails once, in every way a call can fail: the n-th, for n = 1, 2, 3 … until a run has no failure.
//! (SQLite's way of testing malloc and disk errors.)

use super::bench::*;
use super::tap::{FAULTS, Fault};
use cloakroom::session::sessions::Options;
use cloakroom::session::store::StoreError;
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

/// Runs an operation with every single fault; with every pair of neighbouring faults too where `pairs`.
async fn with_every_fault(
    name: &str,
    stranger: bool,
    changes: Changes,
    pairs: bool,
    check: impl AsyncFn(&Scene, Result<Outcome, Arc<StoreError>>, &str),
) {
    for fault in FAULTS {
        for count in 1..=if pairs { 2 } else { 1 } {
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

#[tokio::test]
async fn a_login_by_a_field_is_either_told_and_stored_or_refused_and_the_visitor_stays() {
    let by_field: fn(&mut Options) = |options| options.user_from = Some(vec!["userinfo".into()]);
    for fault in FAULTS {
        for first in 1..50 {
            let scene = Scene::new(by_field).await;
            let (result, struck) = scene.act(false, set(r#"{"userinfo":"bob"}"#), first, 1, fault).await;
            match &result {
                Ok(outcome) => assert_eq!(scene.bench.see(&cookie_in(outcome).unwrap()).await.user(), Some("bob"), "{result:?}"),
                Err(_) => assert_eq!(scene.bench.see(&scene.phone).await.user(), Some("alice"), "{fault:?} at call {first}: {result:?}"),
            }
            if !struck {
                assert!(result.is_ok() && first > 3, "{result:?}");
                break;
            }
        }
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
