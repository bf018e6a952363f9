//! A circuit breaker: a store that does not answer is asked by one caller a second, and everybody else is told so at once.
//!
//! What one request asks of it is bounded altogether ([`within`]), however many operations that takes.
//!
//! Our own few lines, because the crates that fit time themselves by the machine's clock, which tests cannot move, and let a probe that
//! never ends keep the next one out. How many may ask at the same time is not decided here but by the store (its permits).

use super::health::BreakerHealth;
use super::{Applied, Found, Operation, SessionStore, Sighting, StoreError, StoreHealth, Tombstone, Touch, Updated, Version, Whose};
use crate::clock::{Clock, Moment, Timestamp};
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Epoch, Record};
use crate::telemetry::chain;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task_local;
use tokio::time::{Instant, timeout_at};

/// So many failures in a row open the circuit.
const FAILURES: u32 = 5;

/// While it is open, one operation in this time goes through, whatever became of the last one.
const PROBE_EVERY: Duration = Duration::from_secs(1);

task_local! {
    /// Until when the operations of this task are waited for.
    static DEADLINE: Instant;
}

/// Bounds how long the operations of a guarded store inside are waited for altogether: one that is not over by then is unavailable, a write
/// with an unknown outcome, and those that come after it are not begun.
pub async fn within<T>(limit: Duration, inside: impl Future<Output = T>) -> T {
    DEADLINE.scope(Instant::now() + limit, inside).await
}

/// Where a task has a deadline, and it is over.
#[derive(Debug, thiserror::Error)]
#[error("what this request asks of it has taken too long altogether")]
struct TooLong;

/// A store that is left alone while it does not answer. Never turns *unavailable* into *absent*.
pub struct GuardedStore {
    inner: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    /// Failures in a row of operations that began after the last success.
    failures: u32,
    last_success: Moment,
    /// When the circuit opened, and when the last probe began.
    open: Option<(Moment, Moment)>,
    /// How often it has opened.
    trips: u64,
}

/// Why an open circuit refuses.
#[derive(Debug, thiserror::Error)]
#[error("it did not answer lately, and is asked again within a second")]
struct Open;

impl GuardedStore {
    pub fn new(inner: Arc<dyn SessionStore>, clock: Arc<dyn Clock>) -> Self {
        GuardedStore { inner, clock, breaker: Mutex::default() }
    }

    /// Runs one operation if the circuit lets it through, and learns from its outcome. One that is dropped half-way teaches nothing.
    async fn pass<T>(&self, during: Operation, operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let deadline = DEADLINE.try_with(|deadline| *deadline).ok();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(StoreError::Unavailable { during, applied: Applied::No, source: Box::new(TooLong) });
        }
        let began = self.clock.moment();
        if !self.lock().admits(began) {
            return Err(StoreError::Unavailable { during, applied: Applied::No, source: Box::new(Open) });
        }
        let outcome = match deadline {
            None => operation.await,
            Some(deadline) => timeout_at(deadline, operation).await.unwrap_or_else(|_| {
                let applied = if during.is_read() { Applied::No } else { Applied::Unknown };
                Err(StoreError::Unavailable { during, applied, source: Box::new(TooLong) })
            }),
        };
        match &outcome {
            Err(error @ StoreError::Unavailable { .. }) => self.note_failure(began, error),
            _ => self.note_success(),
        }
        outcome
    }

    fn note_failure(&self, began: Moment, error: &StoreError) {
        if self.lock().fail(began, self.clock.moment()) {
            tracing::warn!(error = chain(error), "the session store does not answer; until it does, requests are refused at once");
        }
    }

    fn note_success(&self) {
        let now = self.clock.moment();
        if let Some(opened) = self.lock().succeed(now) {
            tracing::info!(after_ms = now.since(opened).as_millis(), "the session store answers again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    /// Whether an operation may begin now. While the circuit is open, the one that may is the probe.
    fn admits(&mut self, now: Moment) -> bool {
        match &mut self.open {
            None => true,
            Some((_, probed)) if now.since(*probed) >= PROBE_EVERY => {
                *probed = now;
                true
            }
            Some(_) => false,
        }
    }

    /// An operation failed; whether that opened the circuit. What began before the last success says nothing about the present.
    fn fail(&mut self, began: Moment, now: Moment) -> bool {
        if began < self.last_success {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES || self.open.is_some() {
            return false;
        }
        self.open = Some((now, now));
        self.trips += 1;
        true
    }

    /// An operation succeeded; since when the circuit had been open, if it was.
    fn succeed(&mut self, now: Moment) -> Option<Moment> {
        self.failures = 0;
        self.last_success = now;
        self.open.take().map(|(opened, _)| opened)
    }
}

#[async_trait]
impl SessionStore for GuardedStore {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        self.pass(Operation::Create, self.inner.create(key, record)).await
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        self.pass(Operation::Load, self.inner.load(key, now)).await
    }

    async fn load_settled(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        self.pass(Operation::Load, self.inner.load_settled(key, now)).await
    }

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        self.pass(Operation::Update, self.inner.update(key, seen, record, now)).await
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        self.pass(Operation::Touch, self.inner.touch(key, seen, touch, now)).await
    }

    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError> {
        self.pass(Operation::Remove, self.inner.remove(key)).await
    }

    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError> {
        self.pass(Operation::Bury, self.inner.bury(whose, tombstone)).await
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        self.pass(Operation::List, self.inner.list(user, now)).await
    }

    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        self.pass(Operation::List, self.inner.page(user, after, most, now)).await
    }

    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        self.pass(Operation::Find, self.inner.find(handle, now)).await
    }

    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError> {
        self.pass(Operation::Epoch, self.inner.epoch(user)).await
    }

    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        self.pass(Operation::RaiseEpoch, self.inner.raise_epoch(user, now, until)).await
    }

    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        if self.lock().open.is_some() {
            return Err(StoreError::Unavailable { during: Operation::Estimate, applied: Applied::No, source: Box::new(Open) });
        }
        // Teaches nothing: counting very many may take longer than visitors' requests may.
        self.inner.estimate().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn at_hand(&self, key: &SessionKey, now: Timestamp) -> Option<Found> {
        self.inner.at_hand(key, now)
    }

    fn version_after(&self, record: &Record, before: Option<&Version>, now: Timestamp) -> Option<Version> {
        self.inner.version_after(record, before, now)
    }

    fn health(&self) -> StoreHealth {
        let (now, breaker) = (self.clock.moment(), self.lock());
        let open_for = breaker.open.map(|(opened, _)| now.since(opened));
        StoreHealth { breaker: Some(BreakerHealth { open_for, trips: breaker.trips, failures: breaker.failures }), ..self.inner.health() }
    }
}
