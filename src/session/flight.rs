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
        let flight = self.lock().entry(key.clone()).or_default().clone();
        let outcome = flight.get_or_init(|| async { store.load(key, now).await.map_err(Arc::new) }).await.clone();
        self.land(key, &flight);
        outcome
    }

    /// To be called after every acknowledged write: who asks from now on must not join a read that began before it.
    pub fn forget(&self, key: &SessionKey) {
        self.lock().remove(key);
    }

    /// The same for all records.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn land(&self, key: &SessionKey, flight: &Arc<OnceCell<Outcome>>) {
        let mut under_way = self.lock();
        if under_way.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            under_way.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<OnceCell<Outcome>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
