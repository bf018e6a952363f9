//! For connections that stay open: whether their session still stands, and the news that it may not.

use super::id::{Handle, SessionKey};
use super::record::Record;
use super::sessions::Sessions;
use super::store::StoreError;
use super::store::cached::News;
use super::store::health::StreamHealth;
use crate::clock::Timestamp;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Renewals are followed so often at most.
const MOST_STEPS: usize = 4;

/// News that a slow listener may fall behind before it must look at everything.
const BACKLOG: usize = 1024;

/// What has become of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is over.
    Over,
    /// It is there, under this key.
    Stands { key: SessionKey, user: Option<String>, until: Option<Timestamp> },
}

/// Tells which sessions this process has ended.
pub(super) struct Ends(broadcast::Sender<News>);

impl Default for Ends {
    fn default() -> Self {
        Ends(broadcast::channel(BACKLOG).0)
    }
}

impl Ends {
    pub(super) fn tell(&self, news: News) {
        // Nobody listens: nobody needs it.
        let _ = self.0.send(news);
    }
}

impl Sessions {
    /// What this process ends, and what the store tells of the others' doings, if it does.
    pub fn news(&self) -> (broadcast::Receiver<News>, Option<broadcast::Receiver<News>>) {
        (self.ends.0.subscribe(), self.store.news())
    }

    /// Whether the store tells at once what others end; else one has to look.
    pub fn hears_of_others(&self) -> bool {
        self.store.health().cache.is_some_and(|cache| matches!(cache.stream, StreamHealth::Live { .. }))
    }

    /// Whether the session that had one of these keys still stands, wherever renewals have moved it. `Err`: nobody can tell.
    pub async fn standing(&self, keys: &[SessionKey], handle: &Handle) -> Result<Standing, Arc<StoreError>> {
        for key in keys {
            let mut key = key.clone();
            for _ in 0..MOST_STEPS {
                let Ok((record, _)) = self.load_live(&key).await? else { break };
                match &record.moved {
                    Some(moved) => key = moved.to.clone(),
                    None => return Ok(self.stands(key, &record)),
                }
            }
        }
        // Renewed so often, or so long ago, that no pointer leads there.
        for sighting in self.store.find(handle, self.now()).await.map_err(Arc::new)? {
            if sighting.record.moved.is_none() && self.ended_here(&sighting.key, &sighting.record).is_none() {
                return Ok(self.stands(sighting.key, &sighting.record));
            }
        }
        Ok(Standing::Over)
    }

    fn stands(&self, key: SessionKey, record: &Record) -> Standing {
        Standing::Stands { key, user: self.user_of(record), until: record.expires_at }
    }
}
