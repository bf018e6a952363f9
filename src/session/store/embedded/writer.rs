//! The one thread that writes: it commits whatever waits in one transaction, and answers each caller after the commit.

use super::file::OpenError;
use super::rows;
use crate::clock::{Clock as _, SystemClock};
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Changes that wait at most; beyond, the store is unavailable.
const QUEUE: usize = 4096;

/// Changes in one transaction at most.
const GROUP: usize = 64;

/// Expired records are swept in small batches with pauses, so that a sweep never holds up a visitor.
const SWEEP_BATCH: usize = 500;
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Expired records stay for an hour, so that a visitor who comes back can be told why.
const KEEP_EXPIRED: Duration = Duration::from_secs(3600);

type Committed = Result<(), rusqlite::Error>;
type Answer = Box<dyn FnOnce(&Committed) + Send>;
/// Gets no connection when no transaction could begin: then the change is not tried.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;

/// The door to the writing thread. Dropping it lets the thread finish what waits and waits for it.
pub struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// The queue is full, or the thread has ended.
#[derive(Debug, thiserror::Error)]
#[error("too many changes wait for the disk")]
pub struct Full;

impl Writer {
    pub fn start(connection: Connection) -> Result<Self, OpenError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("session-writer".to_owned())
            .spawn(move || run(connection, &queue))
            .map_err(OpenError::Thread)?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a change. The receiver answers once it is durable, or failed.
    pub fn submit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<rusqlite::Result<T>>, Full> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.map(change);
            Box::new(move |committed| {
                let outcome = match (result, committed) {
                    (Some(Err(error)), _) => Err(error),
                    (Some(Ok(done)), Ok(())) => Ok(done),
                    (_, Err(error)) => Err(copy(error)),
                    (None, Ok(())) => Err(rusqlite::Error::InvalidQuery),
                };
                // A caller that stopped waiting has been told that the outcome is unknown.
                let _ = answer.send(outcome);
            })
        });
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(answered),
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => Err(Full),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to write.
            let _ = thread.join();
        }
    }
}

fn run(connection: Connection, queue: &Receiver<Job>) {
    connection.set_prepared_statement_cache_capacity(32);
    let mut next_sweep = Instant::now() + SWEEP_PAUSE;
    loop {
        match queue.recv_timeout(next_sweep.saturating_duration_since(Instant::now())) {
            Ok(first) => commit_group(&connection, first, queue),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= next_sweep {
            next_sweep = Instant::now() + if sweep(&connection) { SWEEP_PAUSE } else { SWEEP_EVERY };
        }
    }
    // The file is whole without it: this only spares the next start the recovery.
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize;");
}

fn commit_group(connection: &Connection, first: Job, queue: &Receiver<Job>) {
    let began = connection.execute_batch("BEGIN IMMEDIATE");
    let mut answers = Vec::new();
    for job in std::iter::once(first).chain(queue.try_iter()).take(GROUP) {
        answers.push(job(began.is_ok().then_some(connection)));
    }
    // If a full disk rolled the transaction back, this fails and every caller hears that the outcome is unknown.
    let committed = began.and_then(|()| connection.execute_batch("COMMIT"));
    if committed.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    answers.into_iter().for_each(|answer| answer(&committed));
}

/// Whether there is more to sweep.
fn sweep(connection: &Connection) -> bool {
    match rows::sweep(connection, SystemClock.now().minus(KEEP_EXPIRED), SWEEP_BATCH) {
        Ok(0) => {
            // Frees pages in place; a failure leaves the file larger, nothing else.
            let _ = connection.execute_batch("PRAGMA incremental_vacuum(256)");
            false
        }
        Ok(swept) => swept == SWEEP_BATCH,
        Err(error) => {
            tracing::warn!(%error, "could not sweep expired sessions out of the file");
            false
        }
    }
}

/// The same error for another member of the group.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    let code = error.sqlite_error().copied().unwrap_or(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR));
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}
