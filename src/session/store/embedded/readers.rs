//! The threads that read, each with a connection of its own: an async worker only ever waits for an answer, never for a disk.

use super::Full;
use super::file::OpenError;
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Reads that wait at most; beyond, the store is unavailable.
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The door to the reading threads. Dropping it lets them finish and waits for them.
pub struct Readers {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// One thread for each connection.
    pub fn start(connections: Vec<Connection>) -> Result<Self, OpenError> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let mut readers = Readers { jobs: Some(jobs), threads: Vec::new() };
        for connection in connections {
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name("session-reader".to_owned());
            readers.threads.push(thread.spawn(move || run(&connection, &queue)).map_err(OpenError::Thread)?);
        }
        Ok(readers)
    }

    /// Queues a query. It is not run if the caller stops waiting before its turn.
    pub fn submit<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<rusqlite::Result<T>>, Full> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !answer.is_closed() {
                // Nobody waits any more: nothing is lost.
                let _ = answer.send(query(connection));
            }
        });
        self.jobs.as_ref().ok_or(Full)?.try_send(job).map_err(|_| Full)?;
        Ok(answered)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked reads no more.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, queue: &Mutex<Receiver<Job>>) {
    loop {
        // One thread waits in `recv`, the others for the lock: whoever is free takes the next job.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(connection),
            Err(_) => return,
        }
    }
}
