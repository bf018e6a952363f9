use super::*;

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.7";

struct Desk {
    counters: Counters,
    now: Moment,
}

impl Desk {
    fn new(per_user: u32, per_client: u32) -> Self {
        let rate = |count| Some(Rate { count, within: 300 * SECOND });
        Self::with(Throttle { per_user: rate(per_user), per_client: rate(per_client) })
    }

    fn shipped() -> Self {
        Self::with(Throttle::default())
    }

    fn with(limits: Throttle) -> Self {
        Desk { counters: Counters::new(limits), now: Moment(1_000_000) }
    }

    fn admit(&self, user: &str, client: &str) -> Result<Try<'_>, Duration> {
        self.counters.admit(user, client.parse().unwrap(), None, self.now)
    }

    fn on_device(&self, user: &str, client: &str, device: &str) -> Result<Try<'_>, Duration> {
        self.counters.admit(user, client.parse().unwrap(), Some(device), self.now)
    }

    /// The wait, if the try was not let through.
    fn fail(&self, user: &str, client: &str) -> Option<Duration> {
        self.admit(user, client).map(Try::failed).err()
    }

    fn succeed(&self, user: &str, client: &str) {
        self.admit(user, client).map(Try::succeeded).unwrap();
    }

    fn wait(&mut self, length: Duration) {
        self.now = self.now.plus(length);
    }
}

#[test]
fn beyond_the_limit_waits_grow_from_one_second_to_a_minute() {
    let mut desk = Desk::new(5, 1000);
    for _ in 0..5 {
        assert_eq!(desk.fail("alice", HOME), None);
    }

    let mut waits = Vec::new();
    for _ in 0..9 {
        let wait = desk.fail("alice", HOME).unwrap();
        desk.wait(wait);
        assert_eq!(desk.fail("alice", HOME), None);
        waits.push(wait.as_secs());
    }

    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn impatience_makes_no_wait_longer() {
    let mut desk = Desk::new(1, 1000);
    desk.fail("alice", HOME);

    for _ in 0..1000 {
        assert_eq!(desk.fail("alice", HOME), Some(SECOND));
    }

    desk.wait(SECOND);
    assert_eq!(desk.fail("alice", HOME), None);
}

#[test]
fn the_window_slides() {
    let mut desk = Desk::new(2, 1000);
    desk.fail("alice", HOME);
    desk.wait(200 * SECOND);
    desk.fail("alice", HOME);
    desk.wait(100 * SECOND);

    let after_the_first_is_forgotten = (desk.fail("alice", HOME), desk.fail("alice", HOME));

    assert_eq!(after_the_first_is_forgotten, (None, Some(SECOND)));
}

#[test]
fn a_network_is_slowed_down_whatever_names_it_tries() {
    let desk = Desk::new(1000, 3);
    let addresses = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3", "2001:db8:1:2::4", "2001:db8:1:3::1"];

    let waits: Vec<_> = (0..).zip(addresses).map(|(number, from)| desk.fail(&format!("user{number}"), from)).collect();

    assert_eq!(waits, [None, None, None, Some(SECOND), None]);
    assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), network("192.0.2.1".parse().unwrap()));
}

#[test]
fn a_known_device_is_not_kept_out_by_its_neighbours() {
    let desk = Desk::shipped();
    for number in 0..20 {
        desk.fail(&format!("nobody{number}"), HOME);
    }
    for _ in 0..5 {
        desk.fail("alice", AWAY);
    }

    assert!(desk.admit("alice", HOME).is_err());
    assert!(desk.on_device("alice", HOME, "phone").is_ok());
    assert!(desk.admit("ALICE", AWAY).is_err());
}

#[test]
fn a_known_device_has_as_many_tries_as_a_stranger_and_no_more() {
    let desk = Desk::shipped();

    let admitted = (0..60).filter(|number| desk.on_device("alice", &format!("10.0.0.{number}"), "stolen").map(Try::failed).is_ok()).count();

    // Five as the device that it is, and what anybody has from as many networks.
    assert_eq!(admitted, 5 + 40);
    let other = desk.on_device("alice", HOME, "phone");
    assert!(other.is_ok());
}

#[test]
fn an_account_with_many_known_devices_has_a_few_tries_at_a_time_and_others_devices_have_theirs() {
    let desk = Desk::shipped();

    let at_once: Vec<_> = (0..40).filter_map(|number| desk.on_device("alice", HOME, &number.to_string()).ok()).collect();

    assert_eq!(at_once.len(), 4);
    assert!(desk.on_device("alice", AWAY, "phone").is_ok() && desk.on_device("bob", HOME, "tablet").is_ok());
    at_once.into_iter().for_each(Try::succeeded);
    assert!(desk.on_device("alice", HOME, "0").is_ok());
}

#[test]
fn one_attacker_who_never_tires_does_not_keep_the_owners_new_device_out() {
    for (per_user, within) in [(5, 300), (1, 3600), (3, 60), (1, 60)] {
        let limits = Throttle { per_user: Some(Rate { count: per_user, within: within * SECOND }), per_client: None };
        let mut desk = Desk::with(limits);
        let mut guesses = 0;
        for second in 0..7200 {
            guesses += u32::from(desk.fail("alice", AWAY).is_none());
            let owner = desk.admit("alice", HOME);
            assert!(owner.is_ok(), "after {second} s at {per_user} in {within} s: {owner:?}", owner = owner.err());
            owner.unwrap().withdrawn();
            desk.wait(SECOND);
        }
        assert!(guesses < 600, "{guesses}");
    }
}

#[test]
fn many_networks_together_have_a_bounded_number_of_guesses() {
    let mut desk = Desk::shipped();

    let guesses =
        |desk: &Desk| (0..500).filter(|number| desk.fail("alice", &format!("10.0.{}.{}", number / 250, number % 250)).is_none()).count();
    let at_first = guesses(&desk);
    let mut later = 0;
    for _ in 0..240 {
        desk.wait(SECOND);
        later += guesses(&desk);
    }

    assert_eq!(at_first, 40);
    assert!(later <= 10, "{later}");
}

#[test]
fn who_must_wait_makes_nobody_elses_failures_forgotten() {
    let desk = Desk::shipped();
    for _ in 0..5 {
        desk.fail("bob", AWAY);
    }
    for number in 0..20 {
        desk.fail(&format!("nobody{number}"), HOME);
    }

    for number in 0..100_000 {
        assert_eq!(desk.fail(&format!("invented{number}"), HOME), Some(SECOND));
    }

    assert_eq!(desk.fail("bob", AWAY), Some(SECOND));
    assert_eq!(desk.counters.state().users.len(), 21);
}

#[test]
fn success_forgives_this_client_this_user_and_nothing_else() {
    let mut desk = Desk::new(3, 3);
    desk.fail("alice", HOME);
    desk.fail("alice", AWAY);
    desk.fail("bob", HOME);

    desk.succeed("alice", HOME);

    // Of alice's failures the one from away is left, and of home's the one with bob.
    assert_eq!([desk.fail("alice", "203.0.113.1"), desk.fail("alice", AWAY)], [None, None]);
    assert_eq!(desk.fail("alice", AWAY), Some(SECOND));
    desk.wait(SECOND);
    assert_eq!([desk.fail("eve", HOME), desk.fail("eve", HOME)], [None, None]);
    assert_eq!(desk.fail("carol", HOME), Some(SECOND));
}

#[test]
fn what_was_never_hashed_does_not_count_and_takes_no_place() {
    let desk = Desk::new(1, 1);

    for number in 0..10 {
        desk.admit(&format!("user{number}"), HOME).map(Try::withdrawn).unwrap();
    }

    assert_eq!(desk.counters.state().users.len(), 0);
    assert_eq!(desk.fail("alice", HOME), None);
}

#[test]
fn tries_at_the_same_time_count_before_they_are_answered() {
    let desk = Desk::new(5, 1000);

    let from_one: Vec<_> = (0..50).filter_map(|_| desk.admit("alice", HOME).ok()).collect();
    let from_another: Vec<_> = (0..50).filter_map(|_| desk.admit("alice", AWAY).ok()).collect();

    // The fifth is everybody's, and one more is within what a network without failures has of its own.
    assert_eq!((from_one.len(), from_another.len()), (4, 2));
}

#[test]
fn an_own_account_has_a_few_tries_at_a_time_whatever_succeeds() {
    let desk = Desk::shipped();
    let known = || desk.on_device("alice", HOME, "phone");

    for admit in [&known as &dyn Fn() -> _, &|| desk.admit("alice", HOME)] {
        let mut in_flight: Vec<_> = (0..50).filter_map(|_| admit().ok()).collect();
        assert_eq!(in_flight.len(), 4);
        for _ in 0..100 {
            in_flight.pop().unwrap().succeeded();
            in_flight.extend((0..50).filter_map(|_| admit().ok()));
            assert_eq!(in_flight.len(), 4);
        }
        in_flight.into_iter().for_each(Try::succeeded);
    }
    let state = desk.counters.state();
    assert_eq!(state.devices.len() + state.pairs.len(), 0);
}

#[test]
fn who_hangs_up_before_the_answer_has_failed() {
    let desk = Desk::new(3, 1000);

    for _ in 0..3 {
        drop(desk.admit("alice", HOME).unwrap());
    }

    assert_eq!(desk.fail("alice", HOME), Some(SECOND));
}

#[test]
fn every_hundredth_failure_in_a_row_is_told() {
    let mut desk = Desk::new(1, 1_000_000);
    let mut told = Vec::new();
    for number in 1..=200 {
        desk.wait(60 * SECOND);
        if desk.admit("alice", &format!("10.0.0.{number}")).unwrap().failed() {
            told.push(number);
        }
    }

    assert_eq!(told, [100, 200]);
}

#[test]
fn without_limits_nobody_waits_and_nothing_is_kept() {
    let desk = Desk::with(Throttle { per_user: None, per_client: None });

    let in_flight: Vec<_> = (0..1000).map(|_| desk.admit("alice", HOME).unwrap()).collect();
    assert_eq!(in_flight.into_iter().map(Try::failed).filter(|told| *told).count(), 10);

    let state = desk.counters.state();
    assert_eq!(state.networks.len() + state.pairs.len(), 0);
}
