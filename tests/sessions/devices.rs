//! One user on several devices: seeing them, and ending some or all of them.

use super::bench::*;
use cloakroom::session::id::{Handle, IdHash};
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::{Client, Credential};
use cloakroom::session::{Changes, Circumstances, CookieOrder, Device, Dropped, Event, Visitor};

async fn handle(bench: &Bench, cookie: &str) -> String {
    bench.see(cookie).await.handle().as_str().to_owned()
}

async fn is_in(bench: &Bench, cookie: &str) -> bool {
    matches!(bench.resume(cookie).await, Visitor::Known(_))
}

#[tokio::test]
async fn a_user_sees_their_own_devices_this_one_first() {
    let bench = Bench::new();
    let client = |agent: &str| Client { agent: agent.into(), address: "192.0.2.7".into() };
    let from = |agent: &str| Circumstances { client: client(agent), ..here() };
    let laptop = cookie_in(&bench.sessions.commit(Visitor::Stranger, login("alice"), from("laptop")).await.unwrap()).unwrap();
    bench.begin(login("bob")).await;
    bench.clock.advance(DAY);
    let phone = cookie_in(&bench.sessions.commit(Visitor::Stranger, login("alice"), from("phone")).await.unwrap()).unwrap();

    let devices = bench.sessions.devices(&bench.see(&laptop).await).await.unwrap();

    let (this, other) = (bench.see(&laptop).await, bench.see(&phone).await);
    let device = |session: &cloakroom::session::Session, agent: &str, at, is_this| Device {
        handle: session.handle().clone(),
        user: Some("alice".into()),
        client: Some(client(agent)),
        created_at: Some(at),
        login_at: Some(at),
        expires_at: Some(at.plus(14 * DAY)),
        updated_at: Some(at),
        is_this,
    };
    assert_eq!(devices, [device(&this, "laptop", START, true), device(&other, "phone", START.plus(DAY), false)]);
}

#[tokio::test]
async fn who_is_not_signed_in_has_no_devices() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;
    let session = bench.see(&cookie).await;

    assert_eq!(bench.sessions.devices(&session).await.unwrap(), []);
    assert_eq!(bench.sessions.end_others(&session).await.unwrap(), Event::None);
    assert!(is_in(&bench, &cookie).await);
}

#[tokio::test]
async fn a_device_of_the_same_user_can_be_ended_and_nobody_elses() {
    let bench = Bench::new();
    let (phone, laptop, bobs) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await, bench.begin(login("bob")).await);
    let this = bench.see(&phone).await;

    let of_bob = bench.sessions.end_device(&this, &handle(&bench, &bobs).await).await.unwrap();
    let own = bench.sessions.end_device(&this, &handle(&bench, &laptop).await).await.unwrap();
    let unknown = bench.sessions.end_device(&this, "no such handle").await.unwrap();

    assert_eq!((of_bob, own, unknown), (Event::None, Event::Ended, Event::None));
    assert_eq!((is_in(&bench, &phone).await, is_in(&bench, &laptop).await, is_in(&bench, &bobs).await), (true, false, true));
}

#[tokio::test]
async fn the_others_end_and_this_one_stays_even_if_it_was_renewed_meanwhile() {
    let bench = Bench::new();
    let (phone, laptop, bobs) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await, bench.begin(login("bob")).await);
    let this = bench.see(&phone).await;
    let renewed = cookie_in(&bench.send(&phone, renew()).await).unwrap();

    let event = bench.sessions.end_others(&this).await.unwrap();

    assert_eq!(event, Event::Ended);
    assert_eq!((is_in(&bench, &renewed).await, is_in(&bench, &laptop).await, is_in(&bench, &bobs).await), (true, false, true));
}

#[tokio::test]
async fn a_user_can_be_signed_out_everywhere() {
    let bench = Bench::new();
    let (phone, laptop, bobs) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await, bench.begin(login("bob")).await);

    let event = bench.sessions.end_user("alice").await.unwrap();

    assert_eq!(event, Event::EndedAll);
    assert_eq!((is_in(&bench, &phone).await, is_in(&bench, &laptop).await, is_in(&bench, &bobs).await), (false, false, true));
}

#[tokio::test]
async fn devices_behind_a_store_that_is_down_are_neither_listed_nor_ended_in_silence() {
    let bench = Bench::new();
    let (phone, laptop) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await);
    let this = bench.see(&phone).await;
    bench.store.set_down(true);

    let asked = (bench.sessions.devices(&this).await.is_err(), bench.sessions.end_others(&this).await.is_err());
    let everywhere = bench.sessions.end_user("alice").await.unwrap();
    bench.store.set_down(false);

    assert_eq!((asked, everywhere), ((true, true), Event::EndUnconfirmed));
    assert!(!is_in(&bench, &laptop).await);
}

#[tokio::test]
async fn who_was_signed_out_by_somebody_else_is_told_so_for_a_day() {
    for (name, act) in [("device", 0), ("others", 1), ("user", 2), ("end all", 3), ("handle", 4), ("everybody", 5)] {
        let bench = Bench::new();
        let (phone, laptop) = (bench.begin(login("alice")).await, bench.begin(login("alice")).await);
        let (this, theirs) = (bench.see(&phone).await, bench.see(&laptop).await.handle().clone());

        match act {
            0 => drop(bench.sessions.end_device(&this, theirs.as_str()).await.unwrap()),
            1 => drop(bench.sessions.end_others(&this).await.unwrap()),
            2 => drop(bench.sessions.end_user("alice").await.unwrap()),
            3 => drop(bench.send(&phone, end_all()).await),
            4 => drop(bench.sessions.end_handle(&theirs).await.unwrap()),
            _ => drop(bench.sessions.end_all().await.unwrap()),
        }

        bench.clock.advance(DAY - MILLISECOND);
        assert_eq!(bench.lapse(&laptop).await, Some(Lapse::Revoked), "{name}");
        let left = bench.stored(&laptop).await.unwrap();
        assert!(left.data.is_empty() && left.user.is_none() && left.handle.is_none() && left.client.is_none(), "{left:?}");
        assert_eq!(left.expires_at, Some(START.plus(DAY)), "{name}");
    }
}

#[tokio::test]
async fn where_the_key_is_the_id_nothing_that_was_revoked_is_kept() {
    let bench = Bench::with(|options| options.id_hash = IdHash::None);
    let cookie = bench.begin(login("alice")).await;

    bench.sessions.end_user("alice").await.unwrap();

    let left = match bench.resume(&cookie).await {
        Visitor::Lapsed(lapse) => lapse,
        other => panic!("{other:?}"),
    };
    assert_eq!(left, Lapse::Revoked, "as long as the store has not taken it away");
    use cloakroom::session::store::{Found, SessionStore as _};
    let key = cloakroom::session::id::SessionKey::of(&bench.id(&cookie), IdHash::None);
    let Found::Expired(stored) = bench.store.load(&key, START).await.unwrap() else { panic!("live") };
    assert_eq!(stored.expires_at, Some(START));
}

#[tokio::test]
async fn an_old_id_that_leads_to_a_revoked_session_tells_the_same() {
    let bench = Bench::new();
    let old = bench.begin(login("alice")).await;
    let new = cookie_in(&bench.send(&old, renew()).await).unwrap();

    bench.sessions.end_user("alice").await.unwrap();

    assert_eq!((bench.lapse(&old).await, bench.lapse(&new).await), (Some(Lapse::Revoked), Some(Lapse::Revoked)));
}

#[tokio::test]
async fn an_operator_finds_a_session_by_its_handle_and_ends_it() {
    let bench = Bench::new();
    let (alices, bobs) = (bench.begin(login("alice")).await, bench.begin(login("bob")).await);
    let of_alice = bench.see(&alices).await.handle().clone();

    let found = bench.sessions.find(&of_alice).await.unwrap().unwrap();
    let event = bench.sessions.end_handle(&of_alice).await.unwrap();

    assert_eq!((found.user.as_deref(), found.handle, found.expires_at), (Some("alice"), of_alice.clone(), Some(START.plus(14 * DAY))));
    assert_eq!((event, bench.sessions.end_handle(&of_alice).await.unwrap()), (Event::Ended, Event::None));
    assert_eq!(bench.sessions.find(&of_alice).await.unwrap(), None);
    assert_eq!((is_in(&bench, &alices).await, is_in(&bench, &bobs).await), (false, true));
}

#[tokio::test]
async fn a_users_sessions_come_page_by_page() {
    let bench = Bench::new();
    let mut all: Vec<Handle> = Vec::new();
    for _ in 0..5 {
        let cookie = bench.begin(login("alice")).await;
        all.push(bench.see(&cookie).await.handle().clone());
    }
    bench.begin(login("bob")).await;
    all.sort();

    let (mut told, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let page = bench.sessions.page_of_user("alice", cursor.as_ref(), 2).await.unwrap();
        sizes.push(page.devices.len());
        told.extend(page.devices.into_iter().map(|device| device.handle));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }

    assert_eq!((told, sizes), (all, vec![2, 2, 1]));
}

#[tokio::test]
async fn all_sessions_of_before_a_moment_can_be_ended_however_they_were_renewed() {
    let bench = Bench::new();
    let old = bench.begin(set(r#"{"a":1}"#)).await;
    bench.clock.advance(DAY);
    let renewed = cookie_in(&bench.send(&old, renew()).await).unwrap();
    let young = bench.begin(login("alice")).await;

    let ended = bench.sessions.end_older_than(START.plus(DAY)).await.unwrap();

    assert_eq!((ended, bench.lapse(&renewed).await), (2, Some(Lapse::Revoked)), "the session and the pointer to it");
    assert!(is_in(&bench, &young).await);
    assert_eq!((bench.sessions.end_all().await.unwrap(), is_in(&bench, &young).await), (1, false));
}

#[tokio::test]
async fn a_login_beyond_the_limit_ends_the_oldest_session_of_the_user() {
    let bench = Bench::with(|options| options.max_per_user = Some(2));
    let bobs = bench.begin(login("bob")).await;
    let mut cookies = Vec::new();
    for _ in 0..3 {
        cookies.push(bench.begin(login("alice")).await);
        bench.clock.advance(MINUTE);
    }
    let anonymous = bench.begin(set(r#"{"cart":1}"#)).await;

    let over_a_session = cookie_in(&bench.send(&anonymous, login("alice")).await).unwrap();

    assert_eq!((bench.lapse(&cookies[0]).await, bench.lapse(&cookies[1]).await), (Some(Lapse::Replaced), Some(Lapse::Replaced)));
    assert_eq!((is_in(&bench, &cookies[2]).await, is_in(&bench, &over_a_session).await), (true, true));
    assert!(is_in(&bench, &bobs).await);
}

#[tokio::test]
async fn only_what_is_outdated_of_a_users_sessions_ends() {
    let bench = Bench::new();
    let (old, new) = (Credential([1; 16]), Credential([2; 16]));
    let with = |credential| Changes { credential: Some(credential), ..login("alice") };
    let cookies = [bench.begin(with(old)).await, bench.begin(with(new)).await, bench.begin(login("alice")).await];

    bench.sessions.end_outdated("alice", |credential| credential == new).await.unwrap();

    assert_eq!(bench.lapse(&cookies[0]).await, Some(Lapse::Revoked));
    assert!(is_in(&bench, &cookies[1]).await);
    assert_eq!(bench.lapse(&cookies[2]).await, Some(Lapse::Revoked), "nobody knows what this one is of");
}

#[tokio::test]
async fn who_is_locked_out_while_the_password_is_checked_does_not_get_in() {
    let bench = Bench::new();
    let anonymous = bench.begin(set(r#"{"cart":1}"#)).await;
    let epoch = Some(bench.sessions.epoch_of("alice").await.unwrap());

    bench.sessions.end_user("alice").await.unwrap();
    let late = Changes { epoch, ..login("alice") };
    let outcomes = [bench.commit(Visitor::Stranger, late.clone()).await, bench.send(&anonymous, late).await];

    for outcome in outcomes {
        assert_eq!((outcome.event, outcome.cookie), (Event::Dropped(Dropped::Revoked), CookieOrder::Keep));
    }
    assert!(is_in(&bench, &anonymous).await, "the anonymous session stays");
    assert!(is_in(&bench, &bench.begin(login("alice")).await).await, "a later login gets in");
}
