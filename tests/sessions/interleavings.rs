//! Two proxies, one store, two operations on one session: every order in which their store calls can happen.

use super::bench::*;
use super::tap::Tap;
use cloakroom::clock::Clock as _;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::sessions::Options;
use cloakroom::session::store::{MemoryStore, Operation, SessionStore as _};
use cloakroom::session::{Changes, Event, Outcome, Visitor};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Change,
    Renew,
    Login,
    End,
    Touch,
    /// A login by a field of the data, where one is configured.
    Field,
    /// The end of all of the user's sessions, by their own wish.
    EndAll,
}

const ACTS: [Act; 7] = [Act::Change, Act::Renew, Act::Login, Act::End, Act::Touch, Act::Field, Act::EndAll];

const SITES: [fn(&mut Options); 4] = [
    |_| {},
    |options| options.lifecycle.renew_grace = None,
    |options| options.user_from = Some(vec!["userinfo".into()]),
    |options| options.resave = true,
];

impl Act {
    /// What the app of one of the two proxies answers; both change a field of their own.
    fn changes(self, field: &str) -> Changes {
        match self {
            Act::Change => set(&format!(r#"{{"{field}":1}}"#)),
            Act::Renew => renew(),
            Act::Login => login("alice"),
            Act::End => end(),
            Act::EndAll => end_all(),
            Act::Touch => nothing(),
            Act::Field => set(r#"{"userinfo":"bob"}"#),
        }
    }
}

/// Whose turn it is at each point where both could go: the decisions of one run, and which run comes next.
#[derive(Default)]
struct Schedule {
    decisions: Vec<bool>,
    at: usize,
    /// Nobody raises an epoch, so it is all the same when one is read.
    epochs_stand: bool,
}

impl Schedule {
    fn decide(&mut self) -> bool {
        if self.at == self.decisions.len() {
            self.decisions.push(false);
        }
        self.at += 1;
        self.decisions[self.at - 1]
    }

    /// Turns the last `false` into `true`; whether there is another run.
    fn advance(&mut self) -> bool {
        while self.decisions.pop_if(|decision| *decision).is_some() {}
        self.at = 0;
        self.decisions.last_mut().map(|decision| *decision = true).is_some()
    }
}

struct Proxy {
    bench: Bench,
    running: JoinHandle<Outcome>,
}

impl Proxy {
    fn start(site: &Bench, memory: &Arc<MemoryStore>, options: fn(&mut Options), visitor: Visitor, changes: Changes) -> Self {
        let bench = site.beside(Arc::new(Tap::on(memory.clone(), true)), options);
        let sessions = bench.sessions.clone();
        let running = tokio::spawn(async move {
            let outcome = sessions.commit(visitor, changes, here()).await.unwrap();
            while sessions.touches_under_way() > 0 {
                tokio::task::yield_now().await;
            }
            outcome
        });
        Proxy { bench, running }
    }

    fn waits(&self) -> bool {
        self.bench.store.waiting() > 0
    }

    fn reads_epoch(&self) -> bool {
        self.bench.store.next() == Some(Operation::Epoch)
    }

    /// Until it is done or stands before its next store call.
    async fn pause(&self) {
        while !self.running.is_finished() && !self.waits() {
            tokio::task::yield_now().await;
        }
    }
}

/// The site as a third proxy sees it, which has not looked before.
fn afresh(site: &Bench, memory: &Arc<MemoryStore>, options: fn(&mut Options)) -> Bench {
    site.beside(Arc::new(Tap::on(memory.clone(), false)), options)
}

/// Lets the two go on, one store call at a time, as the schedule says; what they were told.
async fn play([one, two]: [Proxy; 2], schedule: &mut Schedule) -> [Outcome; 2] {
    loop {
        one.pause().await;
        two.pause().await;
        let turn = match (one.waits(), two.waits()) {
            (true, true) if schedule.epochs_stand && one.reads_epoch() => &one,
            (true, true) if schedule.epochs_stand && two.reads_epoch() => &two,
            (true, true) if schedule.decide() => &two,
            (true, _) => &one,
            (false, true) => &two,
            (false, false) => break,
        };
        turn.bench.store.step();
        // The permit is taken when the call goes through.
        let before = turn.bench.store.calls().len();
        debug_assert_eq!(before, 0);
        while turn.bench.store.calls().is_empty() {
            tokio::task::yield_now().await;
        }
    }
    [one.running.await.unwrap(), two.running.await.unwrap()]
}

/// One run: the site afterwards, the cookie that both requests came with, and what the two were told.
async fn run(options: fn(&mut Options), [first, second]: [Act; 2], schedule: &mut Schedule) -> (Bench, String, [Outcome; 2]) {
    let memory = Arc::new(MemoryStore::default());
    let site = Bench::over(Arc::new(Tap::on(memory.clone(), false)), options);
    let cookie = site.begin(set(r#"{"x":0}"#)).await;
    site.clock.advance(2 * MINUTE);
    let visitor = site.resume(&cookie).await;
    let one = Proxy::start(&site, &memory, options, visitor.clone(), first.changes("one"));
    let two = Proxy::start(&site, &memory, options, visitor, second.changes("two"));
    let outcomes = play([one, two], schedule).await;
    (afresh(&site, &memory, options), cookie, outcomes)
}

#[tokio::test]
async fn no_order_of_two_operations_revives_a_session_or_loses_a_change() {
    let mut runs = BTreeMap::new();
    let cases = SITES.iter().enumerate().flat_map(|site| ACTS.map(|first| (site, first)));
    for (((number, options), first), second) in cases.flat_map(|case| ACTS.map(|second| (case, second))) {
        let mut schedule = Schedule { epochs_stand: ![first, second].contains(&Act::EndAll), ..Schedule::default() };
        loop {
            let (site, cookie, outcomes) = run(*options, [first, second], &mut schedule).await;
            let label = format!("site {number}: {first:?} and {second:?} in order {:?}: {outcomes:?}", schedule.decisions);
            look(&site, &cookie, [first, second], &outcomes, &label).await;
            *runs.entry(format!("{first:?} {second:?}")).or_insert(0) += 1;
            if !schedule.advance() {
                break;
            }
        }
    }
    assert!(runs.len() == 49 && runs["Renew Login"] > 20 && runs["Change Change"] > 4, "{runs:?}");
}

async fn look(site: &Bench, cookie: &str, acts: [Act; 2], outcomes: &[Outcome; 2], label: &str) {
    let told = |event: Event| outcomes.iter().any(|outcome| outcome.event == event);
    let cookies_of = |event: Event| outcomes.iter().filter(move |outcome| outcome.event == event).filter_map(cookie_in);
    if told(Event::Ended) {
        assert!(!is_in(site, cookie).await, "ended stays ended: {label}");
        for renewed in cookies_of(Event::Renewed) {
            assert!(!is_in(site, &renewed).await, "a renewal does not save it: {label}");
        }
    }
    if told(Event::LoggedIn) {
        assert!(!is_in(site, cookie).await, "the old id is dead: {label}");
        for renewed in cookies_of(Event::Renewed) {
            assert!(!is_in(site, &renewed).await, "under its other id too: {label}");
        }
    }
    let last =
        cookies_of(Event::LoggedIn).next_back().or_else(|| cookies_of(Event::Renewed).next_back()).unwrap_or_else(|| cookie.to_owned());
    if acts.iter().any(|act| matches!(act, Act::End | Act::EndAll)) && !told(Event::LoggedIn) {
        return;
    }
    let Visitor::Known(session) = site.resume(&last).await else { panic!("the visitor is signed out: {label}") };
    let data = session.record().data.to_json();
    for ((outcome, act), field) in outcomes.iter().zip(acts).zip(["one", "two"]) {
        let field = if act == Act::Field { "userinfo" } else { field };
        let is_kept = data.contains(field) || told(Event::Ended);
        assert!(outcome.event != Event::Changed || is_kept, "an acknowledged change is there: {label}: {data}");
    }
}

#[tokio::test]
async fn no_login_and_no_renewal_slips_through_an_end_of_all() {
    for grace in [true, false] {
        let options: fn(&mut Options) = if grace { |_| {} } else { |options| options.lifecycle.renew_grace = None };
        let mut told = BTreeMap::new();
        for act in [Act::Renew, Act::Login] {
            let mut schedule = Schedule::default();
            loop {
                let memory = Arc::new(MemoryStore::default());
                let site = Bench::over(Arc::new(Tap::on(memory.clone(), false)), options);
                let (phone, laptop) = (site.begin(login("alice")).await, site.begin(login("alice")).await);
                let (leaving, other) = (site.resume(&laptop).await, site.resume(&phone).await);
                let one = Proxy::start(&site, &memory, options, leaving, end_all());
                let two = Proxy::start(&site, &memory, options, other, act.changes("two"));

                let outcomes = play([one, two], &mut schedule).await;

                let site = afresh(&site, &memory, options);
                let label = format!("{act:?} in order {:?}: {outcomes:?}", schedule.decisions);
                assert_eq!(outcomes[0].event, Event::EndedAll, "{label}");
                let epoch = memory.epoch("alice").await.unwrap();
                for (_, record) in memory.list("alice", site.clock.now()).await.unwrap() {
                    assert_eq!((record.epoch, act), (Some(epoch), Act::Login), "only who signed in after the end is in: {label}");
                }
                assert!(!is_in(&site, &phone).await && !is_in(&site, &laptop).await, "{label}");
                *told.entry(format!("{act:?} {}", outcomes[1].event.as_str())).or_insert(0) += 1;
                if !schedule.advance() {
                    break;
                }
            }
        }
        assert!(told["Renew dropped-revoked"] > 0 && told["Login dropped-revoked"] > 0 && told["Login logged-in"] > 0, "{told:?}");
    }
}

#[tokio::test]
async fn of_two_logins_at_once_the_limit_leaves_as_many_as_it_says() {
    let options: fn(&mut Options) = |options| options.max_per_user = Some(2);
    let (mut schedule, mut runs) = (Schedule::default(), 0);
    loop {
        let memory = Arc::new(MemoryStore::default());
        let site = Bench::over(Arc::new(Tap::on(memory.clone(), false)), options);
        let before = [site.begin(login("alice")).await, site.begin(login("alice")).await];
        site.clock.advance(MINUTE);
        let proxies = [(); 2].map(|()| Proxy::start(&site, &memory, options, Visitor::Stranger, login("alice")));

        let outcomes = play(proxies, &mut schedule).await;

        let site = afresh(&site, &memory, options);
        let label = format!("in order {:?}: {outcomes:?}", schedule.decisions);
        for cookie in &before {
            assert_eq!(site.lapse(cookie).await, Some(Lapse::Replaced), "{label}");
        }
        for outcome in &outcomes {
            assert!(is_in(&site, &cookie_in(outcome).unwrap()).await, "{label}");
        }
        runs += 1;
        if !schedule.advance() {
            break;
        }
    }
    assert!(runs > 100, "{runs}");
}

async fn is_in(site: &Bench, cookie: &str) -> bool {
    matches!(site.resume(cookie).await, Visitor::Known(_))
}
