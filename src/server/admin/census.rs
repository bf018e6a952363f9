//! How many sessions the store keeps, without asking it too often: counting may read an index from end to end.

use crate::session::Sessions;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counting may take a fiftieth of the time.
const REST: u32 = 50;

/// After a count that failed.
const LONG_REST: Duration = Duration::from_secs(30);

/// The last count, and until when it serves.
#[derive(Default)]
pub struct Census(Mutex<Option<(Option<u64>, Instant)>>);

impl Census {
    /// About how many there are; `None`: the store does not say.
    pub async fn count(&self, sessions: &Sessions) -> Option<u64> {
        let began = Instant::now();
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, until)) = known
            && began < until
        {
            return count;
        }
        let answer = sessions.estimate().await;
        let rest = if answer.is_ok() { began.elapsed() * REST } else { LONG_REST };
        let count = answer.ok().flatten();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((count, Instant::now() + rest));
        count
    }
}
