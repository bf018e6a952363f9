//! Where hashing happens: on one core at most, with a short queue and a limit to the wait, so that a flood of sign-ins never slows down
//! what passes through the proxy (ASVS 15.2.2).

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many hashes are made at a time.
const PERMITS: usize = 1;
/// How many may wait.
const QUEUE: usize = 32;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bounded number of blocking threads. Memory is bounded too: the permits times what one hash takes.
#[derive(Clone)]
pub struct HashPool {
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    patience: Duration,
}

/// There is no room; try again after this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub Duration);

impl HashPool {
    /// One core's worth, however many there are.
    pub fn new() -> Self {
        HashPool::with(PERMITS, QUEUE, PATIENCE)
    }

    /// Other bounds.
    pub fn with(permits: usize, queue: usize, patience: Duration) -> Self {
        HashPool { permits: Arc::new(Semaphore::new(permits)), queue: Arc::new(Semaphore::new(queue)), patience }
    }

    /// Runs the work on a blocking thread, when there is room.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Full> {
        let full = Full(self.patience.max(Duration::from_secs(1)));
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                // A waiter that gives up frees its place.
                let _place = self.queue.try_acquire().map_err(|_| full)?;
                let waited = tokio::time::timeout(self.patience, self.permits.clone().acquire_owned()).await;
                waited.ok().and_then(Result::ok).ok_or(full)?
            }
        };
        // The permit goes with the work: a client that hangs up does not free it early.
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.map_err(|defect| {
            tracing::error!(%defect, "hashing a password failed");
            full
        })
    }
}

impl Default for HashPool {
    fn default() -> Self {
        HashPool::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Work that goes on until the sender is dropped.
    fn endless() -> (mpsc::Sender<()>, impl FnOnce() + Send) {
        let (stop, stopped) = mpsc::channel::<()>();
        (stop, move || assert!(stopped.recv().is_err()))
    }

    #[test]
    fn the_shipped_pool_takes_one_core() {
        assert_eq!(HashPool::new().permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn beyond_the_permits_and_the_queue_there_is_no_room() {
        let pool = HashPool::with(1, 1, Duration::from_secs(60));
        let (stop, work) = endless();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(work).await }
        });
        while pool.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| 7).await }
        });
        while pool.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        let beyond = pool.run(|| 8).await;

        assert_eq!(beyond, Err(Full(Duration::from_secs(60))));
        drop(stop);
        assert_eq!((running.await.unwrap(), waiting.await.unwrap()), (Ok(()), Ok(7)));
    }

    #[tokio::test]
    async fn a_wait_has_an_end_and_frees_its_place() {
        let pool = HashPool::with(1, 1, Duration::from_millis(1));
        let (stop, work) = endless();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(work).await }
        });
        while pool.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        let waited = (pool.run(|| 1).await, pool.run(|| 2).await);

        let full = Full(Duration::from_secs(1));
        assert_eq!(waited, (Err(full), Err(full)));
        drop(stop);
        assert_eq!(running.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_does_not_free_the_permit_early() {
        let pool = HashPool::with(1, 0, Duration::from_secs(60));
        let (stop, work) = endless();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(work).await }
        });
        while pool.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());

        assert_eq!(pool.run(|| 1).await, Err(Full(Duration::from_secs(60))));
        drop(stop);
    }

    #[tokio::test]
    async fn work_that_panics_is_no_answer_and_frees_its_permit() {
        let pool = HashPool::with(1, 0, Duration::from_secs(1));

        let panicked = pool.run(|| panic!("defect")).await;

        assert_eq!((panicked, pool.run(|| 2).await), (Err(Full(Duration::from_secs(1))), Ok(2)));
    }
}
