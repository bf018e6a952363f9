//! Which WebSockets are open, and for whom: the end of a session ends them.

use crate::session::id::SessionKey;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// RFC 6455 section 7.4.1: the server is going away; the message violates a policy.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;

/// So many closings are remembered for handshakes that are under way.
const REMEMBERED: usize = 256;

/// The open tunnels.
#[derive(Default)]
pub struct Tunnels {
    known: Mutex<Known>,
    /// How many closings there have been.
    closings: AtomicU64,
}

#[derive(Default)]
struct Known {
    next: u64,
    open: HashMap<u64, (Whose, Arc<Closer>)>,
    /// The latest closings, the last one last.
    closed: VecDeque<Closed>,
    /// The process ends: what comes now is closed at once.
    is_closing: bool,
}

/// Whose tunnel it is.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    pub handle: Option<String>,
    pub user: Option<String>,
    pub keys: Vec<SessionKey>,
}

/// Whose tunnels were closed.
#[derive(Clone, Debug)]
enum Closed {
    Session(String),
    User(String),
    Key(SessionKey),
}

/// A moment among the closings.
#[derive(Clone, Copy, Debug)]
pub struct Closings(u64);

/// Asks one tunnel to close.
#[derive(Default)]
struct Closer {
    code: AtomicU16,
    bell: Notify,
}

impl Closer {
    fn ring(&self, code: u16) {
        self.code.store(code, Ordering::Release);
        self.bell.notify_one();
    }
}

/// An entry in [`Tunnels`], removed when dropped.
pub struct Ticket {
    tunnels: Arc<Tunnels>,
    number: u64,
    close: Arc<Closer>,
}

impl Ticket {
    /// Resolves when the tunnel must close, with the code to tell. Cancel-safe.
    pub async fn closed(&self) -> u16 {
        self.close.bell.notified().await;
        self.close.code.load(Ordering::Acquire)
    }
}

impl Tunnels {
    /// Now; take it before a session is read whose tunnel is to [`Tunnels::enter`].
    pub fn closings(&self) -> Closings {
        Closings(self.closings.load(Ordering::Acquire))
    }

    /// Notes a tunnel that is about to open. If its session was closed since, it is closed at once.
    pub fn enter(self: &Arc<Self>, whose: Whose, since: Closings) -> Ticket {
        let close = Arc::new(Closer::default());
        let mut known = self.lock();
        if known.is_closing {
            close.ring(GOING_AWAY);
        }
        let missed = usize::try_from(self.closings.load(Ordering::Acquire).saturating_sub(since.0)).unwrap_or(usize::MAX);
        // More closings than are remembered: it may have been among them, and a client may try again.
        if missed > known.closed.len() || known.closed.iter().rev().take(missed).any(|closed| closed.covers(&whose)) {
            close.ring(POLICY);
        }
        let number = known.next;
        known.next += 1;
        known.open.insert(number, (whose, close.clone()));
        drop(known);
        Ticket { tunnels: self.clone(), number, close }
    }

    /// Closes the tunnels of an ended session (1008).
    pub fn close_session(&self, handle: &str) {
        self.close(Closed::Session(handle.to_owned()));
    }

    /// Closes the tunnels of every session of a user (1008).
    pub fn close_user(&self, user: &str) {
        self.close(Closed::User(user.to_owned()));
    }

    /// Closes the tunnels of sessions that were ended without being read (1008).
    pub fn close_keys(&self, keys: &[SessionKey]) {
        keys.iter().for_each(|key| self.close(Closed::Key(key.clone())));
    }

    /// Closes all, and all that are still to come, because the process ends (1001).
    pub fn close_all(&self) {
        let mut known = self.lock();
        known.is_closing = true;
        known.open.values().for_each(|(_, close)| close.ring(GOING_AWAY));
    }

    fn close(&self, closed: Closed) {
        let mut known = self.lock();
        for (_, close) in known.open.values().filter(|(whose, _)| closed.covers(whose)) {
            close.ring(POLICY);
        }
        if known.closed.len() == REMEMBERED {
            known.closed.pop_front();
        }
        known.closed.push_back(closed);
        self.closings.fetch_add(1, Ordering::AcqRel);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Closed {
    fn covers(&self, whose: &Whose) -> bool {
        match self {
            Closed::Session(handle) => whose.handle.as_ref() == Some(handle),
            Closed::User(user) => whose.user.as_ref() == Some(user),
            Closed::Key(key) => whose.keys.contains(key),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tunnels.lock().open.remove(&self.number);
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
            |tunnels| tunnels.close_session("handle"),
            |tunnels| tunnels.close_user("ada"),
            |tunnels| tunnels.close_keys(&[SessionKey::stored("key".to_owned())]),
        ];
        for end in ends {
            let tunnels = Arc::new(Tunnels::default());
            let (ticket, other) = (tunnels.enter(ada(), tunnels.closings()), tunnels.enter(Whose::default(), tunnels.closings()));

            end(&tunnels);

            assert_eq!((ticket.closed().now_or_never(), other.closed().now_or_never()), (Some(POLICY), None));
        }
    }

    #[test]
    fn an_end_between_the_read_of_a_session_and_its_tunnel_is_not_missed() {
        let tunnels = Arc::new(Tunnels::default());
        let read = tunnels.closings();

        tunnels.close_session("handle");
        tunnels.close_session("another");

        assert_eq!(tunnels.enter(ada(), read).closed().now_or_never(), Some(POLICY));
        assert_eq!(tunnels.enter(ada(), tunnels.closings()).closed().now_or_never(), None, "a session of later");
    }

    #[test]
    fn a_tunnel_that_cannot_know_whether_it_missed_its_end_closes() {
        let tunnels = Arc::new(Tunnels::default());
        let read = tunnels.closings();

        (0..=REMEMBERED).for_each(|_| tunnels.close_session("another"));

        assert_eq!(tunnels.enter(ada(), read).closed().now_or_never(), Some(POLICY));
    }

    #[test]
    fn a_tunnel_that_comes_while_the_process_ends_is_told_so() {
        let tunnels = Arc::new(Tunnels::default());

        tunnels.close_all();

        assert_eq!(tunnels.enter(Whose::default(), tunnels.closings()).closed().now_or_never(), Some(GOING_AWAY));
    }
}
