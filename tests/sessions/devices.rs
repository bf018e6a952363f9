//! One user on several devices: seeing them, and ending some or all of them.

use super::bench::*;
use cloakroom::session::record::Client;
use cloakroom::session::{Circumstances, Device, Event, Visitor};

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
        client: Some(client(agent)),
        login_at: Some(at),
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
