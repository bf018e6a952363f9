//! The one thread that writes: it commits whatever waits in one transaction, and answers each caller after the commit.

use super::Full;
use super::file::OpenError;
use super::rows;
use crate::clock::{Clock as _, SystemClock};
use crate::session::store::Applied;
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

/// Expired records stay for a day, so that a visitor who comes back can be told why.
const KEEP_EXPIRED: Duration = Duration::from_secs(24 * 3600);

/// Why a change did not become durable, and whether it may become so all the same.
#[derive(Debug)]
pub struct Failed {
    pub error: rusqlite::Error,
    pub applied: Applied,
}

type Committed = Result<(), Failed>;
type Answer = Box<dyn FnOnce(&Committed) + Send>;
/// Gets no connection when there is no transaction to join: then the change is not tried.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;

/// The door to the writing thread. Dropping it lets the thread finish what waits and waits for it.
pub struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

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
    ) -> Result<oneshot::Receiver<Result<T, Failed>>, Full> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.map(change);
            Box::new(move |committed| {
                let outcome = match (result, committed) {
                    // A failed statement undoes itself and leaves the others of its group alone.
                    (Some(Err(error)), _) => Err(Failed { error, applied: Applied::No }),
                    (Some(Ok(done)), Ok(())) => Ok(done),
                    (_, Err(failed)) => Err(Failed { error: copy(&failed.error), applied: failed.applied }),
                    (None, Ok(())) => Err(Failed { error: rusqlite::Error::InvalidQuery, applied: Applied::No }),
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
    let mut next_sweep = Instant::now() + SWEEP_EVERY;
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
    let begun = execute(connection, "BEGIN IMMEDIATE");
    let mut answers = Vec::new();
    for job in std::iter::once(first).chain(queue.try_iter()).take(GROUP) {
        // A full disk or a failed write may have rolled the whole transaction back; nothing may run outside of one.
        answers.push(job((!connection.is_autocommit()).then_some(connection)));
    }
    let committed = match begun {
        Err(error) => Err(Failed { error, applied: Applied::No }),
        Ok(()) if connection.is_autocommit() => Err(Failed { error: rolled_back(), applied: Applied::No }),
        Ok(()) => execute(connection, "COMMIT").map_err(|error| Failed { error, applied: Applied::Unknown }),
    };
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "could not take a failed transaction back");
    }
    answers.into_iter().for_each(|answer| answer(&committed));
}

/// A statement that is parsed once.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn rolled_back() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
    rusqlite::Error::SqliteFailure(code, Some("another change of the same transaction met a full or failing disk".to_owned()))
}

/// Whether there is more to sweep.
fn sweep(connection: &Connection) -> bool {
    if let Err(error) = rows::sweep_epochs(connection, SystemClock.now()) {
        tracing::warn!(%error, "could not forget old ends of all sessions");
    }
    match rows::sweep(connection, SystemClock.now().minus(KEEP_EXPIRED), SWEEP_BATCH) {
        Ok(0) => {
            if let Err(error) = give_room_back(connection) {
                tracing::debug!(%error, "the session file stays larger than it need be");
            }
            false
        }
        Ok(swept) => swept == SWEEP_BATCH,
        Err(error) => {
            tracing::warn!(%error, "could not sweep expired sessions out of the file");
            false
        }
    }
}

/// Frees pages at the end of the file; each step of the statement frees one.
fn give_room_back(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("PRAGMA incremental_vacuum(256)")?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// The same error for another member of the group.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    let code = error.sqlite_error().copied().unwrap_or(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR));
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn writer(directory: &tempfile::TempDir) -> (Writer, Connection) {
        let path = directory.path().join("file.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (k INTEGER PRIMARY KEY) STRICT").unwrap();
        (Writer::start(connection).unwrap(), Connection::open(path).unwrap())
    }

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    /// A writer that is busy until the sender is dropped or sent to.
    fn hold(writer: &Writer) -> std::sync::mpsc::Sender<()> {
        let (release, held) = channel::<()>();
        writer
            .submit(move |_| {
                // Released by a dropped sender as well.
                let _ = held.recv();
                Ok(())
            })
            .unwrap();
        release
    }

    #[test]
    fn changes_that_wait_share_one_commit() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, other) = writer(&directory);
        let release = hold(&writer);
        let before = (0..15).map(|k| writer.submit(move |db| db.execute("INSERT INTO t VALUES (?1)", [k])).unwrap()).collect::<Vec<_>>();
        // The sixteenth looks at the file from outside: none of the fifteen is committed yet.
        let last = writer.submit(move |db| Ok((count(db), count(&other)))).unwrap();

        release.send(()).unwrap();

        assert_eq!(last.blocking_recv().unwrap().unwrap(), (15, 0));
        assert!(before.into_iter().all(|answer| matches!(answer.blocking_recv(), Ok(Ok(1)))));
    }

    #[test]
    fn a_sweep_with_nothing_to_sweep_gives_room_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.db");
        let connection = super::super::file::open_for_writing(&path).unwrap();
        let pages = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).unwrap();
        connection
            .execute_batch("CREATE TABLE large (a BLOB); INSERT INTO large VALUES (zeroblob(4096 * 300)); DELETE FROM large")
            .unwrap();
        let (all, free) = (pages("page_count"), pages("freelist_count"));

        assert!(!sweep(&connection));

        assert!(free > 256);
        // Pages that only say whose the others are go with them.
        assert!(pages("page_count") <= all - 256 && pages("freelist_count") <= free - 256);
    }

    #[test]
    fn a_failed_change_leaves_the_others_of_its_group_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, other) = writer(&directory);
        let release = hold(&writer);
        let answers: Vec<_> =
            [1, 1, 2].into_iter().map(|k| writer.submit(move |db| db.execute("INSERT INTO t VALUES (?1)", [k])).unwrap()).collect();

        release.send(()).unwrap();

        let done: Vec<bool> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().is_ok()).collect();
        assert_eq!((done, count(&other)), (vec![true, false, true], 2));
    }

    #[test]
    fn a_transaction_that_was_rolled_back_is_surely_not_applied() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, other) = writer(&directory);
        let release = hold(&writer);
        let before = writer.submit(|db| db.execute("INSERT INTO t VALUES (1)", [])).unwrap();
        let culprit = writer.submit(|db| db.execute("INSERT OR ROLLBACK INTO t VALUES (1)", [])).unwrap();
        let after = writer.submit(|db| db.execute("INSERT INTO t VALUES (2)", [])).unwrap();

        release.send(()).unwrap();

        let applied = [before, culprit, after].map(|answer| answer.blocking_recv().unwrap().unwrap_err().applied);
        assert_eq!((applied, count(&other)), ([Applied::No; 3], 0));
    }

    #[test]
    fn what_waits_is_written_before_the_writer_goes() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, other) = writer(&directory);
        let release = hold(&writer);
        let answers: Vec<_> = (0..200).map(|k| writer.submit(move |db| db.execute("INSERT INTO t VALUES (?1)", [k])).unwrap()).collect();

        drop(release);
        drop(writer);

        assert_eq!(count(&other), 200);
        assert!(answers.into_iter().all(|answer| matches!(answer.blocking_recv(), Ok(Ok(1)))));
    }
}
