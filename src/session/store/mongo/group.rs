//! Changes that arrive while others are under way travel together: one `update` command for many sessions.
//!
//! A command costs the driver, MongoDB and its journal hardly less for one change than for thirty. So at most [`LANES`] commands are under
//! way: a change that finds a free lane leaves at once and alone, the others with the next command. Each is a compare-and-swap of its own,
//! is waited for until its own deadline, and fails for no other's sake. What holds one up (a shard that hangs, a connection that is dead)
//! holds up those of its command at most: when a command takes long, changes travel alone for a while, over as many connections as changes may
//! use. Commands that nobody waits for any more count too, so that reads always find connections that are free.

use super::super::{Applied, Operation};
use super::errors;
use super::outcome::{Answer, Proof, Subject, carry_out};
use crate::clock::Timestamp;
use crate::mongo::{Connection, Unanswered};
use crate::session::id::SessionKey;
use mongodb::Client;
use mongodb::bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use std::collections::VecDeque;
use std::error::Error;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// Commands under way at most, as long as none takes long. More make each smaller, and so dearer; one alone, 7 % cheaper, lets two visitors
/// wait a third longer.
const LANES: usize = 2;

/// A command that takes longer than this part of a change's limit is slow.
const SLOW: u32 = 8;

/// For how many limits after a slow command changes travel alone.
const APART: u32 = 2;

/// Changes in one command at most, and their bytes: the first ones must not wait long for the last ones.
const MOST: usize = 64;
const MOST_BYTES: usize = 256 * 1024;

/// A compare-and-swap of one document.
pub struct Change {
    pub during: Operation,
    pub key: SessionKey,
    pub filter: RawDocumentBuf,
    pub update: RawDocumentBuf,
    /// By what the document shows that this change was made.
    pub proof: Proof,
    pub now: Timestamp,
}

/// Where changes wait.
pub struct Groups {
    connection: Arc<Connection>,
    database: String,
    collection: String,
    /// How long a change is waited for.
    limit: Duration,
    /// One for each connection that changes may use; a command keeps its place until the server has answered, whoever still waits.
    places: Arc<Semaphore>,
    most_places: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes_in_use: usize,
    waiting: VecDeque<Waiting>,
    tickets: u64,
    /// Until when changes travel alone.
    apart: Option<Instant>,
}

struct Waiting {
    ticket: u64,
    deadline: Instant,
    /// `{ q: …, u: … }`.
    statement: RawDocumentBuf,
    subject: Subject,
    answer: oneshot::Sender<Answer>,
}

impl Groups {
    pub fn new(connection: Arc<Connection>, database: String, collection: String, limit: Duration) -> Arc<Self> {
        let most_places = (connection.width() / 2).max(1);
        let places = Arc::new(Semaphore::new(most_places));
        Arc::new(Groups { connection, database, collection, limit, places, most_places, state: Mutex::default() })
    }

    /// Makes the change, with others if there are any.
    pub async fn make(self: &Arc<Self>, change: Change) -> Answer {
        let deadline = Instant::now() + self.limit;
        let Change { during, key, filter, update, proof, now } = change;
        let statement = rawdoc! { "q": filter, "u": update };
        let (answer, answered) = oneshot::channel();
        let ticket = self.line_up(statement, deadline, Subject { during, key, proof, now }, answer);
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(lost)) => Err(errors::unavailable(during, Applied::Unknown, lost)),
            Err(_) if self.step_out(ticket) => Err(errors::unavailable(during, Applied::No, Unanswered::NotBegun)),
            Err(_) => Err(errors::unavailable(during, Applied::Unknown, Unanswered::Late)),
        }
    }

    fn line_up(self: &Arc<Self>, statement: RawDocumentBuf, deadline: Instant, subject: Subject, answer: oneshot::Sender<Answer>) -> u64 {
        let mut state = self.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.push_back(Waiting { ticket, deadline, statement, subject, answer });
        self.open_lanes(&mut state, 1);
        ticket
    }

    /// Opens so many lanes for those who wait, as far as there may be.
    fn open_lanes(self: &Arc<Self>, state: &mut State, needed: usize) {
        let free = self.most_lanes(state).saturating_sub(state.lanes_in_use);
        for _ in 0..free.min(needed).min(state.waiting.len()) {
            state.lanes_in_use += 1;
            self.connection.runtime().spawn(self.clone().drive());
        }
    }

    fn most_lanes(&self, state: &State) -> usize {
        if state.is_apart() { self.most_places } else { LANES }
    }

    /// Leaves the queue; `false`: too late, it is under way.
    fn step_out(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|waiting| waiting.ticket == ticket);
        at.and_then(|at| state.waiting.remove(at)).is_some()
    }

    /// One lane: command after command until nobody waits.
    async fn drive(self: Arc<Self>) {
        let _lane = Lane(self.clone());
        while let Ok(place) = self.places.clone().acquire_owned().await
            && let Some(group) = self.next_group()
        {
            let (statements, rest): (Vec<_>, Vec<_>) =
                group.into_iter().map(|waiting| (waiting.statement, (waiting.subject, waiting.answer))).unzip();
            let (subjects, answers): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
            let mut sent = pin!(self.send(place, statements, subjects));
            let made = match timeout(self.limit / SLOW, &mut sent).await {
                Ok(made) => made,
                Err(_) => {
                    self.set_apart();
                    sent.await
                }
            };
            for (made, answer) in made.into_iter().zip(answers) {
                // Who stopped waiting has been told that the outcome is unknown.
                let _ = answer.send(made);
            }
        }
    }

    /// From now on, and for a while, changes travel alone.
    fn set_apart(self: &Arc<Self>) {
        let mut state = self.lock();
        state.apart = Some(Instant::now() + self.limit * APART);
        let waiting = state.waiting.len();
        self.open_lanes(&mut state, waiting);
    }

    /// The changes that leave now; `None` when there are none, or no lane for them. Who could hardly be answered in time does not, so that it
    /// can be told that nothing was done; nor does one whose caller is gone.
    fn next_group(&self) -> Option<Vec<Waiting>> {
        let latest = Instant::now() + self.limit / 10;
        let mut state = self.lock();
        if state.lanes_in_use > self.most_lanes(&state) {
            return None;
        }
        let most = if state.is_apart() { 1 } else { MOST };
        let (mut group, mut bytes) = (Vec::new(), 0);
        let fits = |bytes: usize, next: &Waiting| bytes == 0 || bytes + next.statement.as_bytes().len() <= MOST_BYTES;
        while group.len() < most
            && state.waiting.front().is_some_and(|next| fits(bytes, next))
            && let Some(next) = state.waiting.pop_front()
        {
            if next.deadline < latest || next.answer.is_closed() {
                let _ = next.answer.send(Err(errors::unavailable(next.subject.during, Applied::No, Unanswered::NotBegun)));
                continue;
            }
            bytes += next.statement.as_bytes().len();
            group.push(next);
        }
        (!group.is_empty()).then_some(group)
    }

    /// One command, and what it did to each.
    async fn send(&self, place: OwnedSemaphorePermit, statements: Vec<RawDocumentBuf>, subjects: Vec<Subject>) -> Vec<Answer> {
        let all: Vec<Operation> = subjects.iter().map(|subject| subject.during).collect();
        let command = command(&self.collection, statements);
        let (database, collection) = (self.database.clone(), self.collection.clone());
        let operation = move |client: Client| async move {
            let _place = place;
            Ok(carry_out(client.database(&database), collection, command, subjects).await)
        };
        let nobody = |applied, source: Arc<dyn Error + Send + Sync>| {
            let failed = |during: &Operation| Err(errors::unavailable(*during, applied, Arc::clone(&source)));
            all.iter().map(failed).collect()
        };
        // No client: nothing was sent.
        match self.connection.run(self.limit, Arc::new, operation).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(no_client)) => nobody(Applied::No, no_client),
            Err(unanswered @ Unanswered::NotBegun) => nobody(Applied::No, Arc::new(unanswered)),
            Err(unanswered) => nobody(Applied::Unknown, Arc::new(unanswered)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_apart(&self) -> bool {
        self.apart.is_some_and(|until| Instant::now() < until)
    }
}

/// A lane in use: given back whatever becomes of its commands, and not before somebody else takes care of those who wait.
struct Lane(Arc<Groups>);

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.lanes_in_use -= 1;
        self.0.open_lanes(&mut state, 1);
    }
}

fn command(collection: &str, statements: Vec<RawDocumentBuf>) -> RawDocumentBuf {
    let mut updates = RawArrayBuf::new();
    statements.into_iter().for_each(|statement| updates.push(statement));
    // Commands of our own get no write concern from the driver.
    rawdoc! { "update": collection, "updates": updates, "ordered": false, "writeConcern": { "w": "majority", "j": true } }
}
