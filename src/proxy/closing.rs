//! Which connections are open for a session, and for whose: the end of the session ends them.

use super::closer::{Closer, GOING_AWAY, POLICY};
use crate::clock::Timestamp;
use crate::session::Session;
use crate::session::id::SessionKey;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many closings are remembered for handshakes that are under way.
const REMEMBERED: usize = 4096;

/// The open tunnels, and the endless answers.
#[derive(Default)]
pub struct Tunnels {
    known: Mutex<Known>,
    /// How many closings there have been.
    closings: AtomicU64,
}

#[derive(Default)]
struct Known {
    next: u64,
    open: HashMap<u64, Open>,
    /// Every session that ends anywhere in the fleet is looked up here.
    by_name: HashMap<Name, Vec<u64>>,
    /// Whose were the latest closings, the last one last.
    closed: VecDeque<Name>,
    /// The process ends: what comes now is closed at once.
    is_closing: bool,
}

struct Open {
    whose: Whose,
    close: Arc<Closer>,
    /// When its session ends, as far as was last known; `None`: never.
    until: Option<Timestamp>,
    is_doubtful: bool,
}

/// Whose tunnel it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    pub handle: Option<String>,
    pub user: Option<String>,
    pub keys: Vec<SessionKey>,
}

/// By what a session is called when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    Session(String),
    User(String),
    Key(SessionKey),
}

/// A moment among the closings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closings(u64);

/// An entry in [`Tunnels`], removed when dropped.
pub struct Ticket {
    tunnels: Arc<Tunnels>,
    number: u64,
    close: Arc<Closer>,
}

impl Ticket {
    /// Resolves when the tunnel must close, with the code to tell. Cancel-safe.
    pub async fn closed(&self) -> u16 {
        self.close.rung(GOING_AWAY).await
    }

    /// Resolves when the session is over; the end of the process is no reason. Cancel-safe.
    pub async fn session_ended(&self) {
        self.close.rung(POLICY).await;
    }
}

impl Tunnels {
    /// Now; take it before a session is read whose tunnel is to [`Tunnels::enter`].
    pub fn closings(&self) -> Closings {
        Closings(self.closings.load(Ordering::Acquire))
    }

    /// Notes a tunnel that is about to open, and when its session ends. If its session was closed since, it is closed at once.
    ///
    /// It begins in doubt, so that it is looked at once it can be found by its names: what was read of its session may have been old already
    /// when the end was told, or have another key by now.
    pub fn enter(self: &Arc<Self>, whose: Whose, until: Option<Timestamp>, since: Closings) -> Ticket {
        let close = Arc::new(Closer::default());
        let mut known = self.lock();
        if known.is_closing {
            close.ring(GOING_AWAY);
        }
        let missed = usize::try_from(self.closings.load(Ordering::Acquire).saturating_sub(since.0)).unwrap_or(usize::MAX);
        let names: Vec<Name> = whose.names().collect();
        let was_closed = known.closed.iter().rev().take(missed).any(|name| names.contains(name));
        // More than are remembered: it may have been among them. Where nobody can look, a client may try again.
        let is_unsure = missed > known.closed.len() && whose.handle.is_none();
        if was_closed || is_unsure {
            close.ring(POLICY);
        }
        let number = known.next;
        known.next += 1;
        known.list(number, &whose);
        known.open.insert(number, Open { whose, close: close.clone(), until, is_doubtful: true });
        drop(known);
        Ticket { tunnels: self.clone(), number, close }
    }

    /// Closes the tunnels of an ended session, or of all of a user's (1008).
    pub fn close(&self, name: Name) {
        let mut known = self.lock();
        for open in known.by_name.get(&name).into_iter().flatten().filter_map(|number| known.open.get(number)) {
            open.close.ring(POLICY);
        }
        if known.closed.len() == REMEMBERED {
            known.closed.pop_front();
        }
        known.closed.push_back(name);
        self.closings.fetch_add(1, Ordering::AcqRel);
    }

    /// Closes the tunnels of sessions that were ended without being read (1008).
    pub fn close_keys(&self, keys: &[SessionKey]) {
        keys.iter().for_each(|key| self.close(Name::Key(key.clone())));
    }

    /// Closes all, and all that are still to come, because the process ends (1001).
    pub fn close_all(&self) {
        let mut known = self.lock();
        known.is_closing = true;
        known.open.values().for_each(|open| open.close.ring(GOING_AWAY));
    }

    /// Whether all are closed, because the process ends.
    pub fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Somebody's session may have ended: every tunnel of a session is to be looked at.
    pub fn doubt_all(&self) {
        self.lock().open.values_mut().for_each(|open| open.is_doubtful = true);
    }

    /// The session may have changed its key or its user: its tunnels are to be looked at. Whether there are any.
    pub fn doubt(&self, name: &Name) -> bool {
        let mut known = self.lock();
        let Some(numbers) = known.by_name.get(name).cloned() else { return false };
        for number in numbers {
            if let Some(open) = known.open.get_mut(&number) {
                open.is_doubtful = true;
            }
        }
        true
    }

    /// The tunnels to be looked at now: whose session should be over, and who are in doubt. They count as looked at.
    pub fn due(&self, now: Timestamp) -> Vec<(u64, Whose)> {
        // Who is asked to close already needs no look: after the end of many that saves as many reads.
        let is_due = |open: &Open| {
            let should_be_over = open.is_doubtful || open.until.is_some_and(|until| until <= now);
            should_be_over && open.whose.handle.is_some() && !open.close.is_for_its_session()
        };
        let mut known = self.lock();
        let due = known.open.iter_mut().filter(|(_, open)| is_due(open));
        due.map(|(number, open)| {
            open.is_doubtful = false;
            (*number, open.whose.clone())
        })
        .collect()
    }

    /// The look did not succeed: look again.
    pub fn doubt_one(&self, number: u64) {
        if let Some(open) = self.lock().open.get_mut(&number) {
            open.is_doubtful = true;
        }
    }

    /// The session stands. If under a new key, it is looked at once more, for what was told of that one before it was noted here.
    pub fn confirm(&self, number: u64, key: SessionKey, until: Option<Timestamp>) {
        let mut known = self.lock();
        let Some(open) = known.open.get_mut(&number) else { return };
        open.until = until;
        if open.whose.keys == [key.clone()] {
            return;
        }
        open.is_doubtful = true;
        let whose = Whose { keys: vec![key], ..open.whose.clone() };
        let before = std::mem::replace(&mut open.whose, whose.clone());
        known.unlist(number, &before);
        known.list(number, &whose);
    }

    /// Closes one (1008).
    pub fn close_one(&self, number: u64) {
        if let Some(open) = self.lock().open.get(&number) {
            open.close.ring(POLICY);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn list(&mut self, number: u64, whose: &Whose) {
        for name in whose.names() {
            self.by_name.entry(name).or_default().push(number);
        }
    }

    fn unlist(&mut self, number: u64, whose: &Whose) {
        for name in whose.names() {
            if let Some(numbers) = self.by_name.get_mut(&name) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }
}

impl Whose {
    /// The visitor's with this session.
    pub fn of(session: &Session) -> Self {
        let handle = session.handle().as_str().to_owned();
        Whose { handle: Some(handle), user: session.user().map(str::to_owned), keys: vec![session.key().clone()] }
    }

    fn names(&self) -> impl Iterator<Item = Name> + '_ {
        let session = self.handle.iter().cloned().map(Name::Session);
        session.chain(self.user.iter().cloned().map(Name::User)).chain(self.keys.iter().cloned().map(Name::Key))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut known = self.tunnels.lock();
        if let Some(open) = known.open.remove(&self.number) {
            known.unlist(self.number, &open.whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn ada() -> Whose {
        let keys = vec![SessionKey::stored("key".to_owned())];
        Whose { handle: Some("handle".to_owned()), user: Some("ada".to_owned()), keys }
    }

    #[test]
    fn an_end_closes_the_tunnels_of_its_session_by_any_name() {
        let ends: [fn(&Tunnels); 3] = [
            |tunnels| tunnels.close(Name::Session("handle".to_owned())),
            |tunnels| tunnels.close(Name::User("ada".to_owned())),
            |tunnels| tunnels.close_keys(&[SessionKey::stored("key".to_owned())]),
        ];
        for end in ends {
            let tunnels = Arc::new(Tunnels::default());
            let (ticket, other) =
                (tunnels.enter(ada(), None, tunnels.closings()), tunnels.enter(Whose::default(), None, tunnels.closings()));

            end(&tunnels);

            assert_eq!((ticket.closed().now_or_never(), other.closed().now_or_never()), (Some(POLICY), None));
        }
    }

    #[test]
    fn an_end_between_the_read_of_a_session_and_its_tunnel_is_not_missed() {
        let tunnels = Arc::new(Tunnels::default());
        let read = tunnels.closings();

        tunnels.close(Name::Session("handle".to_owned()));
        tunnels.close(Name::Session("another".to_owned()));

        assert_eq!(tunnels.enter(ada(), None, read).closed().now_or_never(), Some(POLICY));
        assert_eq!(tunnels.enter(ada(), None, tunnels.closings()).closed().now_or_never(), None, "a session of later");
    }

    #[test]
    fn a_tunnel_that_cannot_know_whether_it_missed_its_end_is_looked_at_or_closes() {
        let tunnels = Arc::new(Tunnels::default());
        let (read, nameless) = (tunnels.closings(), Whose { handle: None, ..ada() });

        (0..=REMEMBERED).for_each(|_| tunnels.close(Name::Session("another".to_owned())));

        let ticket = tunnels.enter(ada(), None, read);
        assert_eq!((ticket.closed().now_or_never(), tunnels.due(Timestamp(0)).len()), (None, 1));
        assert_eq!(tunnels.enter(nameless, None, read).closed().now_or_never(), Some(POLICY), "nobody could look");
    }

    #[test]
    fn that_the_process_ends_hides_no_end_of_a_session() {
        let tunnels = Arc::new(Tunnels::default());
        let ticket = tunnels.enter(ada(), None, tunnels.closings());

        tunnels.close_all();
        assert_eq!((ticket.session_ended().now_or_never(), ticket.closed().now_or_never()), (None, Some(GOING_AWAY)));
        tunnels.close(Name::User("ada".to_owned()));
        tunnels.close_all();

        assert_eq!((ticket.session_ended().now_or_never(), ticket.closed().now_or_never()), (Some(()), Some(POLICY)));
    }

    #[test]
    fn a_tunnel_that_comes_while_the_process_ends_is_told_so() {
        let tunnels = Arc::new(Tunnels::default());

        tunnels.close_all();

        assert_eq!(tunnels.enter(Whose::default(), None, tunnels.closings()).closed().now_or_never(), Some(GOING_AWAY));
    }

    #[test]
    fn a_session_in_doubt_is_looked_at_and_known_by_its_new_key_from_then_on() {
        let tunnels = Arc::new(Tunnels::default());
        let read = tunnels.closings();
        let (new, later) = (SessionKey::stored("new".to_owned()), Timestamp(2));
        let ticket = tunnels.enter(ada(), Some(Timestamp(1)), read);
        tunnels.due(Timestamp(0));
        assert_eq!(tunnels.due(Timestamp(0)), []);

        assert_eq!(tunnels.due(Timestamp(1)), [(0, ada())], "its session should be over");
        tunnels.confirm(0, new.clone(), Some(later));
        assert_eq!(tunnels.due(Timestamp(1)).len(), 1, "once more: it may have ended before it was known by that key");
        tunnels.confirm(0, new.clone(), Some(later));
        assert_eq!(tunnels.due(Timestamp(1)), []);
        tunnels.doubt(&Name::Key(new.clone()));
        assert_eq!(tunnels.due(Timestamp(1)), [(0, Whose { keys: vec![new.clone()], ..ada() })]);
        tunnels.close_keys(&ada().keys);
        assert_eq!(ticket.closed().now_or_never(), None, "the old key went, the session stays");
        tunnels.close_keys(&[new]);
        assert_eq!(ticket.closed().now_or_never(), Some(POLICY));
    }

    #[test]
    fn a_tunnel_that_opens_is_looked_at_whatever_was_told_before() {
        let tunnels = Arc::new(Tunnels::default());

        let _ticket = tunnels.enter(ada(), None, tunnels.closings());

        assert_eq!(tunnels.due(Timestamp(0)).len(), 1);
        assert_eq!(tunnels.due(Timestamp(0)).len(), 0, "once");
    }
}
