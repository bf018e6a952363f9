//! Every number that the admin listener tells, gathered at one moment: for `/stats` and for the page.

use super::Office;
use super::hour::Totals;
use crate::session::store::StoreHealth;
use std::time::{Duration, Instant};

/// The numbers of one moment.
pub struct Figures {
    pub uptime: Duration,
    /// Requests being served.
    pub under_way: usize,
    /// WebSockets, and requests for a session that take long.
    pub open_connections: usize,
    pub touches_under_way: usize,
    pub is_draining: bool,
    /// Where the sessions are.
    pub store: String,
    pub health: StoreHealth,
    /// About how many sessions the store keeps; `None`: it does not say.
    pub kept: Option<u64>,
    /// Since the process began.
    pub totals: Totals,
    /// Minute by minute, the oldest first, the last one ending now; at most an hour.
    pub minutes: Vec<Totals>,
}

impl Figures {
    pub async fn gather(office: &Office) -> Self {
        let kept = office.census.count(&office.sessions).await;
        let totals = office.totals();
        Figures {
            uptime: office.began.elapsed(),
            under_way: office.proxy.in_flight(),
            open_connections: office.proxy.open_connections(),
            touches_under_way: office.sessions.touches_under_way(),
            is_draining: office.proxy.is_draining(),
            store: office.sessions.store_description(),
            health: office.sessions.store_health(),
            kept,
            totals,
            minutes: office.hour.minutes(totals),
        }
    }

    /// One number of each minute.
    pub fn by_minute(&self, which: impl Fn(&Totals) -> u64) -> Vec<u64> {
        self.minutes.iter().map(which).collect()
    }
}

/// How long the store takes to answer a question; `None`: it does not.
pub async fn store_answers_in(office: &Office) -> Option<Duration> {
    let asked = Instant::now();
    office.sessions.store_answers().await.then(|| asked.elapsed())
}
