//! Single flight: parallel loads of one session are one store read.

use super::id::SessionKey;
use super::store::{Found, SessionStore, StoreError};
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

type Outcome = Result<Found, Arc<StoreError>>;

/// The loads under way.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashMap<SessionKey, Arc<OnceCell<Outcome>>>>);

impl Flights {
    /// Loads a record, or waits for the load of the same record that is under way. If the first caller leaves, the next one takes over.
    pub async fn load(&self, store: &dyn SessionStore, key: &SessionKey, now: Timestamp) -> Outcome {
        let flight = Passenger { flights: self, key, flight: self.lock().entry(key.clone()).or_default().clone() };
        flight.flight.get_or_init(|| async { store.load(key, now).await.map_err(Arc::new) }).await.clone()
    }

    /// To be called after every acknowledged write: who asks from now on must not join a read that began before it.
    pub fn forget(&self, key: &SessionKey) {
        self.lock().remove(key);
    }

    /// The same for all records.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<OnceCell<Outcome>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits for a load. The last one to leave, also by giving up, takes the flight off the board.
struct Passenger<'a> {
    flights: &'a Flights,
    key: &'a SessionKey,
    flight: Arc<OnceCell<Outcome>>,
}

impl Drop for Passenger<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let is_listed = under_way.get(self.key).is_some_and(|current| Arc::ptr_eq(current, &self.flight));
        // Two owners: the board and this caller.
        if is_listed && (self.flight.initialized() || Arc::strong_count(&self.flight) == 2) {
            under_way.remove(self.key);
        }
    }
}
