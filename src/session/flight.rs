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
pub struct Flights(Mutex<HashMap<SessionKey, Flight>>);

#[derive(Debug, Default)]
struct Flight {
    outcome: Arc<OnceCell<Outcome>>,
    passengers: usize,
}

impl Flights {
    /// Loads a record, or waits for the load of the same record that is under way. If the first caller leaves, the next one takes over.
    pub async fn load(&self, store: &dyn SessionStore, key: &SessionKey, now: Timestamp) -> Outcome {
        let passenger = self.board(key);
        passenger.outcome.get_or_init(|| async { store.load(key, now).await.map_err(Arc::new) }).await.clone()
    }

    fn board<'a>(&'a self, key: &'a SessionKey) -> Passenger<'a> {
        let mut under_way = self.lock();
        let flight = under_way.entry(key.clone()).or_default();
        flight.passengers += 1;
        Passenger { flights: self, key, outcome: flight.outcome.clone() }
    }

    /// To be called after every acknowledged write: who asks from now on must not join a read that began before it.
    pub fn forget(&self, key: &SessionKey) {
        self.lock().remove(key);
    }

    /// The same for all records.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits for a load. The last one to leave, also by giving up, takes the flight off the board.
struct Passenger<'a> {
    flights: &'a Flights,
    key: &'a SessionKey,
    outcome: Arc<OnceCell<Outcome>>,
}

impl Drop for Passenger<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        // Another flight of the same key if this one was forgotten.
        let Some(flight) = under_way.get_mut(self.key).filter(|flight| Arc::ptr_eq(&flight.outcome, &self.outcome)) else { return };
        flight.passengers -= 1;
        if flight.passengers == 0 || self.outcome.initialized() {
            under_way.remove(self.key);
        }
    }
}
