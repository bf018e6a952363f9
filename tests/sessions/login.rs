//! Signing in and out, by the app's word and by a field of the data.

use super::bench::*;
use cloakroom::random::OsEntropy;
use cloakroom::session::id::{IdHash, SessionId, SessionKey};
use cloakroom::session::record::{Credential, Record};
use cloakroom::session::sessions::{Keep, Options};
use cloakroom::session::store::SessionStore as _;
use cloakroom::session::{Changes, Dropped, Event, Visitor};
use std::sync::Arc;

fn by_field(path: &str) -> impl FnOnce(&mut Options) {
    let path = path.split('.').map(str::to_owned).collect();
    |options| options.user_from = Some(path)
}

fn login_with(user: &str, patch: &str) -> Changes {
    Changes { patches: set(patch).patches, ..login(user) }
}

#[tokio::test]
async fn a_login_gives_a_new_id_and_handle_and_the_old_id_is_dead_at_once() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"cart":1}"#)).await;
    let before = bench.see(&old).await;
    bench.clock.advance(DAY);

    let outcome = bench.send(&old, login("alice")).await;

    let new = cookie_in(&outcome).unwrap();
    let after = bench.see(&new).await;
    assert_eq!((outcome.event, after.user(), bench.stored(&old).await), (Event::LoggedIn, Some("alice"), None));
    assert_ne!((bench.id(&new), after.handle()), (bench.id(&old), before.handle()));
    assert_eq!((after.record().created_at, after.record().login_at), (Some(START.plus(DAY)), Some(START.plus(DAY))));
    assert!(!matches!(bench.resume(&old).await, Visitor::Known(_)));
}

#[tokio::test]
async fn a_stranger_can_sign_in() {
    let bench = Bench::new();

    let cookie = bench.begin(login_with("alice", r#"{"role":"admin"}"#)).await;

    let session = bench.see(&cookie).await;
    assert_eq!((session.user(), session.record().data.to_json().as_str()), (Some("alice"), r#"{"role":"admin"}"#));
}

#[tokio::test]
async fn what_the_desk_has_checked_stays_with_the_session_and_with_nobody_elses() {
    let bench = Bench::with(by_field("who"));
    let credential = Some(Credential([7; 16]));
    let at_the_desk = |user: &str| Changes { credential, ..login(user) };
    let cookie = bench.begin(at_the_desk("alice")).await;
    assert_eq!(bench.see(&cookie).await.credential(), Some(("alice", Credential([7; 16]))));

    bench.send(&cookie, set(r#"{"cart":1}"#)).await;
    let cookie = cookie_in(&bench.send(&cookie, renew()).await).unwrap();
    assert_eq!(bench.see(&cookie).await.credential(), Some(("alice", Credential([7; 16]))));

    let by_field = cookie_in(&bench.send(&cookie, set(r#"{"who":"bob"}"#)).await).unwrap();
    assert_eq!((bench.see(&by_field).await.user(), bench.see(&by_field).await.credential()), (Some("bob"), None));
    let at_the_desk = cookie_in(&bench.send(&by_field, at_the_desk("bob")).await).unwrap();
    let by_app = cookie_in(&bench.send(&at_the_desk, login("carol")).await).unwrap();
    assert_eq!((bench.see(&by_app).await.user(), bench.see(&by_app).await.credential()), (Some("carol"), None));
}

#[tokio::test]
async fn what_an_app_says_of_the_same_user_again_sets_a_session_free_of_nothing_that_the_desk_has_checked() {
    let bench = Bench::new();
    let credential = Credential([7; 16]);
    // The role is the desk's, and comes along.
    let at_the_desk = Changes { credential: Some(credential), ..login_with("alice", r#"{"role":"admin"}"#) };
    let cookie = bench.begin(at_the_desk).await;

    let by_app = cookie_in(&bench.send(&cookie, login("alice")).await).unwrap();

    assert_eq!(
        (bench.data(&by_app).await.as_str(), bench.see(&by_app).await.credential()),
        (r#"{"role":"admin"}"#, Some(("alice", credential)))
    );
    let at_the_desk_again = Changes { credential: Some(Credential([8; 16])), ..login("alice") };
    let again = cookie_in(&bench.send(&by_app, at_the_desk_again).await).unwrap();
    assert_eq!(bench.see(&again).await.credential(), Some(("alice", Credential([8; 16]))));
}

#[tokio::test]
async fn who_is_signed_in_by_a_node_app_later_has_proven_nothing() {
    let bench = Bench::with(by_field("who"));
    let ours = bench.begin(Changes { credential: Some(Credential([7; 16])), ..login("alice") }).await;
    // express-session changes the field and leaves the rest of the record alone.
    let record = Record { data: data(r#"{"who":"bob"}"#), ..bench.stored(&ours).await.unwrap() };
    let id = SessionId::generate(&OsEntropy);
    bench.store.create(&SessionKey::of(&id, IdHash::Sha256), Arc::new(record)).await.unwrap();
    let cookie = bench.sessions.keyring().sign(&id);

    assert_eq!((bench.see(&cookie).await.user(), bench.see(&cookie).await.credential()), (Some("bob"), None));
    bench.send(&cookie, set(r#"{"cart":1}"#)).await;
    assert_eq!((bench.see(&cookie).await.user(), bench.see(&cookie).await.credential()), (Some("bob"), None));
}

#[tokio::test]
async fn who_is_signed_in_by_a_node_app_later_is_renewed_whatever_was_ended_before() {
    let bench = Bench::with(by_field("who"));
    let ours = bench.begin(login("alice")).await;
    bench.sessions.end_user("bob").await.unwrap();
    let record = Record { data: data(r#"{"who":"bob"}"#), ..bench.stored(&ours).await.unwrap() };
    let id = SessionId::generate(&OsEntropy);
    bench.store.create(&SessionKey::of(&id, IdHash::Sha256), Arc::new(record)).await.unwrap();

    let renewed = bench.send(&bench.sessions.keyring().sign(&id), renew()).await;

    assert_eq!((renewed.event, bench.see(&cookie_in(&renewed).unwrap()).await.user()), (Event::Renewed, Some("bob")));
}

#[tokio::test]
async fn what_comes_along_at_login_depends_on_who_was_there() {
    for (before, user, kept) in [
        (None, "alice", r#"{"cart":1,"seen":2,"role":"x"}"#),
        (Some("alice"), "alice", r#"{"cart":1,"seen":2,"role":"x"}"#),
        (Some("bob"), "alice", r#"{"role":"x"}"#),
    ] {
        let bench = Bench::new();
        let first = Changes { login: before.map(str::to_owned), ..set(r#"{"cart":1,"seen":2}"#) };
        let old = bench.begin(first).await;

        let new = cookie_in(&bench.send(&old, login_with(user, r#"{"role":"x"}"#)).await).unwrap();

        assert_eq!(bench.data(&new).await, kept, "{before:?} then {user}");
    }
}

#[tokio::test]
async fn an_anonymous_session_brings_only_the_listed_fields() {
    let bench = Bench::with(|options| options.keep_at_login = Keep::Fields(vec!["cart".into()]));
    let old = bench.begin(set(r#"{"cart":1,"seen":2}"#)).await;

    let new = cookie_in(&bench.send(&old, login("alice")).await).unwrap();

    assert_eq!(bench.data(&new).await, r#"{"cart":1}"#);
}

#[tokio::test]
async fn a_login_is_measured_by_what_it_stores() {
    let bench = Bench::with(|options| options.max_bytes = 30);
    let bobs = bench.begin(login_with("bob", r#"{"a":"01234567890123"}"#)).await;

    let fits = bench.send(&bobs, login_with("alice", r#"{"b":"01234567890123"}"#)).await;
    let alices = cookie_in(&fits).unwrap();
    let does_not = bench.send(&alices, login_with("alice", r#"{"c":"01234567890123"}"#)).await;

    assert_eq!((fits.event, does_not.event), (Event::LoggedIn, Event::Dropped(Dropped::TooLarge)));
    assert_eq!(bench.data(&alices).await, r#"{"b":"01234567890123"}"#);
}

#[tokio::test]
async fn a_field_names_the_user() {
    for (path, patch, user) in [
        ("userinfo", r#"{"userinfo":"alice"}"#, Some("alice")),
        ("passport.user", r#"{"passport":{"user":"5f2"}}"#, Some("5f2")),
        ("passport.user", r#"{"passport":{"user":17}}"#, Some("17")),
        ("userinfo", r#"{"userinfo":{"name":"alice"}}"#, None),
        ("userinfo", r#"{"userinfo":""}"#, None),
    ] {
        let bench = Bench::with(by_field(path));

        let cookie = bench.begin(set(patch)).await;

        let session = bench.see(&cookie).await;
        assert_eq!((session.user(), session.record().user.as_deref()), (user, user), "{path} {patch}");
    }
}

#[tokio::test]
async fn a_change_of_user_by_a_field_is_a_login() {
    let bench = Bench::with(by_field("userinfo"));
    let old = bench.begin(set(r#"{"cart":1}"#)).await;

    let outcome = bench.send(&old, set(r#"{"userinfo":"alice"}"#)).await;

    let new = cookie_in(&outcome).unwrap();
    let session = bench.see(&new).await;
    assert_eq!((outcome.event, session.user(), session.record().login_at), (Event::LoggedIn, Some("alice"), Some(START)));
    assert_eq!((session.record().data.to_json().as_str(), bench.stored(&old).await), (r#"{"cart":1,"userinfo":"alice"}"#, None));
}

#[tokio::test]
async fn another_user_by_a_field_brings_nothing_along() {
    let bench = Bench::with(by_field("userinfo"));
    let old = bench.begin(set(r#"{"userinfo":"bob","secret":1}"#)).await;

    let new = cookie_in(&bench.send(&old, set(r#"{"userinfo":"alice","b":2}"#)).await).unwrap();

    assert_eq!(bench.data(&new).await, r#"{"userinfo":"alice","b":2}"#);
}

#[tokio::test]
async fn a_change_beside_the_users_field_keeps_the_session() {
    let bench = Bench::with(by_field("userinfo"));
    let cookie = bench.begin(set(r#"{"userinfo":"alice"}"#)).await;
    bench.clock.advance(DAY);

    let outcome = bench.send(&cookie, set(r#"{"userinfo":"alice","b":2}"#)).await;

    assert_eq!((outcome.event, bench.see(&cookie).await.record().login_at), (Event::Changed, Some(START)));
}

#[tokio::test]
async fn removing_the_field_signs_the_visitor_out_and_leaves_nothing_of_theirs() {
    let bench = Bench::with(by_field("userinfo"));
    let old = bench.begin(set(r#"{"userinfo":"alice","cart":1}"#)).await;

    let new = cookie_in(&bench.send(&old, set(r#"{"userinfo":null,"flash":"bye"}"#)).await).unwrap();

    let session = bench.see(&new).await;
    assert_eq!((session.user(), session.record().login_at), (None, None));
    assert_eq!((session.record().data.to_json().as_str(), bench.stored(&old).await), (r#"{"flash":"bye"}"#, None));
}

#[tokio::test]
async fn the_apps_word_wins_over_the_field_and_is_written_into_it() {
    let bench = Bench::with(by_field("passport.user"));
    let old = bench.begin(set(r#"{"passport":{"user":"bob"}}"#)).await;

    let new = cookie_in(&bench.send(&old, login_with("alice", r#"{"passport":{"user":"carol","x":1}}"#)).await).unwrap();

    let session = bench.see(&new).await;
    assert_eq!((session.user(), session.record().user.as_deref()), (Some("alice"), Some("alice")));
    assert_eq!(session.record().data.to_json(), r#"{"passport":{"user":"alice","x":1}}"#);
}

#[tokio::test]
async fn a_login_over_a_session_that_another_tab_changed_keeps_that_change() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&cookie).await;
    bench.send(&cookie, set(r#"{"b":2}"#)).await;

    let new = cookie_in(&bench.commit(slow, login("alice")).await).unwrap();

    assert_eq!(bench.data(&new).await, r#"{"a":1,"b":2}"#);
}

#[tokio::test]
async fn a_login_over_a_session_that_another_tab_renewed_ends_the_renewed_one() {
    let bench = Bench::new();
    let cookie = bench.begin(login_with("alice", r#"{"a":1}"#)).await;
    let slow = bench.resume(&cookie).await;
    let renewed = cookie_in(&bench.send(&cookie, renew()).await).unwrap();

    let new = cookie_in(&bench.commit(slow, login("alice")).await).unwrap();

    assert!(!matches!(bench.resume(&renewed).await, Visitor::Known(_)));
    assert_eq!(bench.data(&new).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_login_ends_a_renewed_session_under_every_id_that_a_renewal_gave_it() {
    let bench = Bench::with(|options| options.lifecycle.renew_grace = None);
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let slow = bench.resume(&cookie).await;
    let renewed = cookie_in(&bench.send(&cookie, renew()).await).unwrap();
    // Another proxy is just renewing the same session: it has inserted, and not yet seen that it was too late.
    let unfinished = bench.stored(&renewed).await.unwrap();
    bench.store.create(&SessionKey::stored("0".into()), Arc::new(unfinished)).await.unwrap();

    let outcome = bench.commit(slow, login("alice")).await;

    assert_eq!(outcome.event, Event::LoggedIn);
    assert!(!matches!(bench.resume(&renewed).await, Visitor::Known(_)));
}

#[tokio::test]
async fn two_logins_at_once_both_stand_and_the_anonymous_cart_comes_along_with_both() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"cart":1}"#)).await;
    let (first, second) = (bench.resume(&cookie).await, bench.resume(&cookie).await);

    for visitor in [first, second] {
        let new = cookie_in(&bench.commit(visitor, login("alice")).await).unwrap();
        assert_eq!(bench.data(&new).await, r#"{"cart":1}"#);
    }
}
