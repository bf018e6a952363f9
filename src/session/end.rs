//! Ending: in the store first; if it refuses, this proxy turns the session away from memory and keeps trying.

use super::changes::{CookieOrder, End, Event, Outcome};
use super::ended::Unconfirmed;
use super::sessions::{Sessions, Visitor};
use super::store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// An unconfirmed end is tried again after this long, then twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A day of refusals, and the end is given up, with an error in the log.
const MOST_TRIES: u32 = 8640;

impl Sessions {
    /// Ends the visitor's session, or all of its user's. `Ok` even if the store refuses: then the event says that the end is unconfirmed,
    /// the cookie goes all the same, and this proxy lets the session in no more.
    pub async fn end(self: &Arc<Self>, visitor: &Visitor, end: End, secure: bool) -> Result<Outcome, Arc<StoreError>> {
        let (mut ends, event) = match visitor {
            Visitor::Known(session) => (vec![Unconfirmed::Key(session.key.clone())], Event::Ended),
            Visitor::Unreachable { keys, .. } => (keys.iter().cloned().map(Unconfirmed::Key).collect(), Event::Ended),
            Visitor::Stranger | Visitor::Lapsed(_) => return Ok(Outcome::quiet(Event::None)),
        };
        let mut event = event;
        if let (Visitor::Known(session), End::All) = (visitor, end)
            && let Some(user) = session.user()
        {
            ends.push(Unconfirmed::User(user.to_owned(), self.now()));
            event = Event::EndedAll;
        }
        for end in ends {
            if let Err(error) = self.end_in_store(&end).await {
                tracing::error!(%error, "a session's end is not confirmed by the store; it is refused from memory and tried again");
                self.keep_trying(end);
                event = Event::EndUnconfirmed;
            }
        }
        Ok(Outcome { cookie: CookieOrder::Set(self.clearing_cookie(secure)), event })
    }

    async fn end_in_store(&self, end: &Unconfirmed) -> Result<(), StoreError> {
        match end {
            Unconfirmed::Key(key) => {
                let removed = self.store.remove(key).await;
                self.flights.forget(key);
                removed.map(drop)
            }
            Unconfirmed::User(user, _) => {
                let removed = self.store.remove_all_of(user).await;
                self.flights.forget_all();
                removed.map(drop)
            }
        }
    }

    /// Refuses from memory at once, and ends in the store when it lets us.
    pub(super) fn keep_trying(self: &Arc<Self>, end: Unconfirmed) {
        if !self.ended.insert(&end) {
            return;
        }
        let sessions = self.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            for _ in 0..MOST_TRIES {
                tokio::time::sleep(pause).await;
                if sessions.end_in_store(&end).await.is_ok() {
                    sessions.ended.remove(&end);
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            tracing::error!("a session could not be ended in the store and is given up; it ends by itself when it expires");
        });
    }
}
