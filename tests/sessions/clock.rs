//! A wall clock that jumps: it revives nothing that was ended, ends nothing that is not over, and keeps nothing beyond its absolute limit.

use super::bench::*;
use cloakroom::clock::{Clock, Timestamp};
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::{Changes, Event, Visitor};

/// Before the session, at its beginning, and when it would still be alive.
const JUMPS: [Timestamp; 4] = [Timestamp(0), Timestamp(START.0 - 86_400_000), START, Timestamp(START.0 + 60_000)];

#[tokio::test]
async fn a_clock_that_is_set_back_revives_no_ended_session() {
    for ending in [end(), end_all(), max_age(std::time::Duration::ZERO), login("bob"), login("alice")] {
        let bench = Bench::new();
        let cookie = bench.begin(Changes { login: Some("alice".into()), ..set(r#"{"a":1}"#) }).await;
        bench.clock.advance(MINUTE);
        let slow = bench.resume(&cookie).await;
        bench.send(&cookie, ending.clone()).await;

        for jump in JUMPS {
            bench.clock.set(jump);
            assert!(!matches!(bench.resume(&cookie).await, Visitor::Known(_)), "{ending:?} at {jump:?}");
            let late = bench.commit(slow.clone(), set(r#"{"late":1}"#)).await;
            assert!(matches!(late.event, Event::Dropped(_)), "{ending:?} at {jump:?}: {:?}", late.event);
            assert!(!matches!(bench.resume(&cookie).await, Visitor::Known(_)), "{ending:?} at {jump:?}, after a late change");
        }
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_and_is_set_right_has_ended_no_session() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":1}"#)).await;

    for (ahead, lapse) in [(20 * DAY, Lapse::Idle), (100 * DAY, Lapse::Absolute)] {
        bench.clock.set(START.plus(ahead));
        assert_eq!(bench.lapse(&cookie).await, Some(lapse));
        // An answer that comes meanwhile changes nothing, and takes no cookie away.
        let outcome = bench.send(&cookie, nothing()).await;
        assert_eq!((outcome.event, cookie_in(&outcome)), (Event::None, None));
        bench.clock.set(START.plus(MINUTE));
        assert_eq!(bench.data(&cookie).await, r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn uses_and_changes_under_a_jumping_clock_carry_no_session_beyond_its_absolute_limit() {
    let bench = Bench::new();
    let cookie = bench.begin(set(r#"{"a":0}"#)).await;
    let last = START.plus(90 * DAY);

    for days in [0, 13, 1, 14, 27, 20, 33, 46, 40, 53, 66, 79, 70, 83, 89] {
        bench.clock.set(START.plus(days * DAY));
        bench.send(&cookie, nothing()).await;
        bench.settle().await;
        bench.send(&cookie, set(&format!(r#"{{"a":{days}}}"#))).await;
        let stored = bench.stored(&cookie).await.unwrap();
        assert_eq!(stored.created_at, Some(START));
        assert!(stored.expires_at.unwrap() <= last, "on day {days} it was to last until {:?}", stored.expires_at);
    }

    bench.clock.set(last.minus(MILLISECOND));
    assert_eq!(bench.data(&cookie).await, r#"{"a":89}"#);
    bench.clock.set(last);
    assert_eq!((bench.clock.now(), bench.lapse(&cookie).await), (last, Some(Lapse::Absolute)));
}
