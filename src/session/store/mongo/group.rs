//! Changes that arrive while others are under way travel together: one `update` command for many sessions.
//!
//! A command costs the driver, MongoDB and its journal hardly less for one change than for thirty. So at most [`LANES`] commands are under
//! way: a change that finds a free lane leaves at once and alone, the others with the next command. Each is a compare-and-swap of its own,
//! is waited for until its own deadline, and fails for no other's sake.

use super::super::{Applied, Operation, StoreError, Updated};
use super::{document, errors};
use crate::clock::Timestamp;
use crate::mongo::{Connection, Unanswered};
use crate::session::id::SessionKey;
use crate::session::record::WriteToken;
use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc, rawdoc};
use mongodb::{Client, Database};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Commands under way at most. More make each smaller, and so dearer; one alone would let a connection that hangs hold up everybody.
const LANES: usize = 2;

/// Changes in one command at most, and their bytes: the first ones must not wait long for the last ones.
const MOST: usize = 64;
const MOST_BYTES: usize = 256 * 1024;

type Answer = Result<Updated, StoreError>;

/// A compare-and-swap of one document.
pub struct Change {
    pub during: Operation,
    pub key: SessionKey,
    pub filter: Document,
    pub update: Document,
    /// By what the document shows that this change was made.
    pub proof: Proof,
    pub now: Timestamp,
}

/// What a document has after a change and had not before.
#[derive(Clone)]
pub enum Proof {
    /// The mark of the write.
    Mark(Option<WriteToken>),
    /// A use at this moment, or later.
    Use(Timestamp),
}

/// Where changes wait.
pub struct Groups {
    connection: Arc<Connection>,
    database: String,
    collection: String,
    /// How long a change is waited for.
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes_in_use: usize,
    waiting: VecDeque<Waiting>,
    tickets: u64,
}

struct Waiting {
    ticket: u64,
    deadline: Instant,
    /// `{ q: …, u: … }`.
    statement: RawDocumentBuf,
    subject: Subject,
    answer: oneshot::Sender<Answer>,
}

/// Whom a statement is about, and how to see what it did.
struct Subject {
    during: Operation,
    key: SessionKey,
    proof: Proof,
    now: Timestamp,
}

impl Groups {
    pub fn new(connection: Arc<Connection>, database: String, collection: String, limit: Duration) -> Arc<Self> {
        Arc::new(Groups { connection, database, collection, limit, state: Mutex::default() })
    }

    /// Makes the change, with others if there are any.
    pub async fn make(self: &Arc<Self>, change: Change) -> Answer {
        let deadline = Instant::now() + self.limit;
        let Change { during, key, filter, update, proof, now } = change;
        let raw = |document: &Document| RawDocumentBuf::try_from(document).map_err(|_| StoreError::TooLarge);
        let statement = rawdoc! { "q": raw(&filter)?, "u": raw(&update)? };
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
        if state.lanes_in_use < LANES {
            state.lanes_in_use += 1;
            self.connection.runtime().spawn(self.clone().drive());
        }
        ticket
    }

    /// Leaves the queue; `false`: too late, it is under way.
    fn step_out(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|waiting| waiting.ticket == ticket);
        at.and_then(|at| state.waiting.remove(at)).is_some()
    }

    /// One lane: command after command until nobody waits.
    async fn drive(self: Arc<Self>) {
        while let Some(group) = self.next_group() {
            let (statements, rest): (Vec<_>, Vec<_>) =
                group.into_iter().map(|waiting| (waiting.statement, (waiting.subject, waiting.answer))).unzip();
            let (subjects, answers): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
            for (made, answer) in self.send(statements, subjects).await.into_iter().zip(answers) {
                // Who stopped waiting has been told that the outcome is unknown.
                let _ = answer.send(made);
            }
        }
    }

    /// The changes that leave now; `None` when there are none, and the lane is given back. Who could hardly be answered in time does not, so that
    /// it can be told that nothing was done.
    fn next_group(&self) -> Option<Vec<Waiting>> {
        let latest = Instant::now() + self.limit / 10;
        let mut state = self.lock();
        let (mut group, mut bytes) = (Vec::new(), 0);
        let fits = |bytes: usize, next: &Waiting| bytes == 0 || bytes + next.statement.as_bytes().len() <= MOST_BYTES;
        while group.len() < MOST
            && state.waiting.front().is_some_and(|next| fits(bytes, next))
            && let Some(next) = state.waiting.pop_front()
        {
            if next.deadline < latest {
                let _ = next.answer.send(Err(errors::unavailable(next.subject.during, Applied::No, Unanswered::NotBegun)));
                continue;
            }
            bytes += next.statement.as_bytes().len();
            group.push(next);
        }
        if group.is_empty() {
            state.lanes_in_use -= 1;
            return None;
        }
        Some(group)
    }

    /// One command, and what it did to each.
    async fn send(&self, statements: Vec<RawDocumentBuf>, subjects: Vec<Subject>) -> Vec<Answer> {
        let all: Vec<Operation> = subjects.iter().map(|subject| subject.during).collect();
        let command = command(&self.collection, statements);
        let (database, collection) = (self.database.clone(), self.collection.clone());
        let operation = move |client: Client| async move { Ok(carry_out(client.database(&database), collection, command, subjects).await) };
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

fn command(collection: &str, statements: Vec<RawDocumentBuf>) -> RawDocumentBuf {
    let mut updates = RawArrayBuf::new();
    statements.into_iter().for_each(|statement| updates.push(statement));
    // Commands of our own get no write concern from the driver.
    rawdoc! { "update": collection, "updates": updates, "ordered": false, "writeConcern": { "w": "majority", "j": true } }
}

/// What the server says of the whole command.
struct Report {
    matched: usize,
    /// Statements that it refused, by their place.
    refused: HashMap<usize, Refused>,
}

/// A statement that the server did not carry out.
#[derive(Clone, Debug, thiserror::Error)]
#[error("MongoDB refused the change: {message} ({code})")]
struct Refused {
    code: i32,
    message: String,
}

/// Carried out by a server, and perhaps not by those that come after it.
#[derive(Debug, thiserror::Error)]
#[error("the change is not confirmed: {message} ({code})")]
struct Unconfirmed {
    code: i32,
    message: String,
}

async fn carry_out(database: Database, collection: String, command: RawDocumentBuf, subjects: Vec<Subject>) -> Vec<Answer> {
    let report = match tried_twice(&database, command).await {
        Ok(report) => report,
        Err(error) => return subjects.iter().map(|subject| Err(errors::map(subject.during, error.clone()))).collect(),
    };
    let report = match report {
        Ok(report) => report,
        Err(unconfirmed) => {
            let unconfirmed = Arc::new(unconfirmed);
            let told = |subject: &Subject| Err(errors::unavailable(subject.during, Applied::Unknown, unconfirmed.clone()));
            return subjects.iter().map(told).collect();
        }
    };
    if report.matched + report.refused.len() == subjects.len() {
        let told =
            |(at, subject): (usize, &Subject)| report.refused.get(&at).map_or(Ok(Updated::Done), |refused| refused.told(subject.during));
        return subjects.iter().enumerate().map(told).collect();
    }
    looked_up(&database, &collection, &report, &subjects).await
}

/// The driver tries again once what it knows to be a write; commands of our own are ours to try again. Twice does no harm: each statement
/// names the version that it replaces.
async fn tried_twice(database: &Database, command: RawDocumentBuf) -> Result<Result<Report, Unconfirmed>, mongodb::error::Error> {
    let first = database.run_raw_command(command.clone()).await.map(|answer| Report::read(&answer));
    if !is_worth_another_try(&first) {
        return first;
    }
    match database.run_raw_command(command).await {
        Ok(answer) => Ok(Report::read(&answer)),
        // The first one may have been carried out, which the second one's error may deny.
        Err(_) => first,
    }
}

fn is_worth_another_try(answer: &Result<Result<Report, Unconfirmed>, mongodb::error::Error>) -> bool {
    answer
        .as_ref()
        .map_or_else(errors::is_passing, |report| matches!(report, Err(unconfirmed) if errors::is_passing_code(unconfirmed.code)))
}

impl Report {
    fn read(answer: &Document) -> Result<Self, Unconfirmed> {
        if let Ok(concern) = answer.get_document("writeConcernError") {
            return Err(Unconfirmed { code: code_of(concern), message: message_of(concern) });
        }
        let errors = answer.get_array("writeErrors").map_or(&[] as &[Bson], Vec::as_slice);
        let refused = errors.iter().filter_map(Bson::as_document).filter_map(|error| {
            let at = usize::try_from(whole(error, "index")?).ok()?;
            Some((at, Refused { code: code_of(error), message: message_of(error) }))
        });
        Ok(Report { matched: whole(answer, "n").and_then(|n| usize::try_from(n).ok()).unwrap_or(0), refused: refused.collect() })
    }
}

impl Refused {
    fn told(&self, during: Operation) -> Answer {
        Err(if errors::is_too_large(self.code) { StoreError::TooLarge } else { errors::unavailable(during, Applied::No, self.clone()) })
    }
}

/// Some statements matched nothing, and the server does not say which: the documents do.
async fn looked_up(database: &Database, collection: &str, report: &Report, subjects: &[Subject]) -> Vec<Answer> {
    let keys: Vec<&str> = subjects.iter().map(|subject| subject.key.as_str()).collect();
    let found =
        async { database.collection::<RawDocumentBuf>(collection).find(doc! { "_id": { "$in": keys } }).await?.try_collect().await };
    let documents: Vec<RawDocumentBuf> = match found.await {
        Ok(documents) => documents,
        Err(error) => {
            return subjects.iter().map(|subject| Err(errors::unavailable(subject.during, Applied::Unknown, error.clone()))).collect();
        }
    };
    let by_key: HashMap<&str, &RawDocument> =
        documents.iter().filter_map(|document| Some((document.get_str("_id").ok()?, document.as_ref()))).collect();
    let told = |(at, subject): (usize, &Subject)| match (report.refused.get(&at), by_key.get(subject.key.as_str())) {
        (Some(refused), _) => refused.told(subject.during),
        (None, Some(document)) if subject.proof.is_in(document) => Ok(Updated::Done),
        (None, Some(document)) if document::lives(document, subject.now) => Ok(Updated::Stale),
        (None, _) => Ok(Updated::Gone),
    };
    subjects.iter().enumerate().map(told).collect()
}

impl Proof {
    fn is_in(&self, document: &RawDocument) -> bool {
        match self {
            Proof::Mark(mark) => mark.is_some() && *mark == document::mark_of(document),
            Proof::Use(at) => document::used_at(document).is_some_and(|used| used >= *at),
        }
    }
}

fn whole(document: &Document, name: &str) -> Option<i64> {
    match document.get(name)? {
        Bson::Int32(number) => Some((*number).into()),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

fn code_of(error: &Document) -> i32 {
    whole(error, "code").and_then(|code| code.try_into().ok()).unwrap_or_default()
}

fn message_of(error: &Document) -> String {
    error.get_str("errmsg").unwrap_or("no reason given").to_owned()
}
