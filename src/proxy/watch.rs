//! The end of a session ends its open connections, wherever it came from: another proxy, an operator, the users file, its own time.

use super::Shared;
use super::closing::{Closings, Name, Whose};
use super::errand::Place;
use crate::session::id::Handle;
use crate::session::store::cached::News;
use crate::session::{Session, Standing};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

/// How often it is looked whose session should be over.
const LOOK: Duration = Duration::from_secs(1);

/// A request that has taken so long is looked out for, and how often it is looked which have: together the bound within which one that is
/// younger than that ends with its session.
const LONG: Duration = Duration::from_millis(400);
const ROUND: Duration = Duration::from_millis(200);

/// A visitor who has not taken within this time what came before the cut is not waited for.
const TAKEN: Duration = Duration::from_secs(1);

/// Where nobody tells what others end, every session of an open connection is looked at once in so many looks.
const LOOKS_BETWEEN_ROUNDS: u32 = 2;

/// Sessions that are read at the same time.
const AT_ONCE: usize = 32;

/// Listens to what is told of sessions, until the process ends.
pub(super) async fn listen(shared: Arc<Shared>, mut news: Receiver<News>) {
    let tunnels = &shared.tunnels;
    loop {
        match news.recv().await {
            Ok(News::Ended { key, handle }) => {
                tunnels.close(Name::Key(key));
                if let Some(handle) = handle {
                    tunnels.close(Name::Session(handle.as_str().to_owned()));
                }
            }
            Ok(News::UserEnded { user }) => tunnels.close(Name::User(user)),
            Ok(News::Changed { key, handle }) => {
                let by_handle = handle.is_some_and(|handle| tunnels.doubt(&Name::Session(handle.as_str().to_owned())));
                if tunnels.doubt(&Name::Key(key)) || by_handle {
                    shared.doubts.notify_one();
                }
            }
            Ok(News::Gap) | Err(RecvError::Lagged(_)) => {
                tunnels.doubt_all();
                shared.doubts.notify_one();
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Looks at the sessions that are in doubt, or should be over, until the process ends.
pub(super) async fn look(shared: Arc<Shared>) {
    let mut looks: u32 = 0;
    loop {
        // Either is reason enough.
        let is_late = tokio::time::timeout(LOOK, shared.doubts.notified()).await.is_err();
        looks = looks.wrapping_add(u32::from(is_late));
        let sessions = &shared.edge.sessions;
        if is_late && looks.is_multiple_of(LOOKS_BETWEEN_ROUNDS) && !sessions.hears_of_others() {
            shared.tunnels.doubt_all();
        }
        let due = shared.tunnels.due(sessions.now());
        futures_util::stream::iter(due).for_each_concurrent(AT_ONCE, |(number, whose)| look_at(&shared, number, whose)).await;
    }
}

async fn look_at(shared: &Shared, number: u64, whose: Whose) {
    let Some(handle) = whose.handle.map(Handle::stored) else { return };
    match shared.edge.sessions.standing(&whose.keys, &handle).await {
        Ok(Standing::Stands { key, user, until }) if user == whose.user => shared.tunnels.confirm(number, key, until),
        Ok(Standing::Stands { .. } | Standing::Over) => shared.tunnels.close_one(number),
        // The store is down: nobody is signed out by that.
        Err(_) => shared.tunnels.doubt_one(number),
    }
}

/// Has requests looked out for that take long, until the process ends. All others are done before anybody would notice, and this way cost
/// next to nothing. What happened to a session before somebody looked is not missed: [`Tunnels::enter`](super::closing::Tunnels::enter).
pub(super) async fn look_out(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(ROUND).await;
        shared.under_way.errands.look_out(LONG, |place, session, since| Lookout::over(&shared, place, session, since));
    }
}

/// Cuts one request when its session ends. Nobody looks out for it any more once this is dropped.
pub struct Lookout(AbortHandle);

impl Lookout {
    fn over(shared: &Arc<Shared>, place: Place, session: &Session, since: Closings) -> Self {
        let ticket = shared.tunnels.enter(Whose::of(session), session.record().expires_at, since);
        let (under_way, handle) = (shared.under_way.clone(), session.handle().as_str().to_owned());
        let task = tokio::spawn(async move {
            ticket.session_ended().await;
            if under_way.errands.cut(place) {
                tracing::info!(handle, "a request is cut, because its session is over");
            }
            tokio::time::sleep(TAKEN).await;
            under_way.errands.give_up(place);
        });
        Lookout(task.abort_handle())
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}
