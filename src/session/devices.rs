//! A user's sessions on all their devices: listing them, and ending some or all.

use super::changes::Event;
use super::id::{Handle, SessionKey};
use super::record::{Client, Record};
use super::sessions::{Session, Sessions};
use super::store::StoreError;
use crate::clock::Timestamp;
use std::sync::Arc;

/// One session of a user, as its owner may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub handle: Handle,
    /// Who used it last.
    pub client: Option<Client>,
    pub login_at: Option<Timestamp>,
    /// The last use that was noted: at most one `touch_after` behind.
    pub updated_at: Option<Timestamp>,
    /// The session that asks.
    pub is_this: bool,
}

type Listed = Vec<(SessionKey, Arc<Record>)>;

impl Sessions {
    /// The live sessions of this session's user, the one used last first. Empty for somebody who is not signed in.
    pub async fn devices(&self, of: &Session) -> Result<Vec<Device>, Arc<StoreError>> {
        let device = |(_, record): &(SessionKey, Arc<Record>)| {
            let handle = record.handle.clone()?;
            let is_this = handle == *of.handle();
            Some(Device { client: record.client.clone(), login_at: record.login_at, updated_at: record.updated_at, is_this, handle })
        };
        let mut devices: Vec<Device> = self.sessions_of(of).await?.iter().filter_map(device).collect();
        devices.sort_by_key(|device| std::cmp::Reverse((device.is_this, device.updated_at)));
        Ok(devices)
    }

    /// Ends the session of this handle if it is one of the same user's. [`Event::None`]: there is none, or it is somebody else's.
    pub async fn end_device(self: &Arc<Self>, of: &Session, handle: &str) -> Result<Event, Arc<StoreError>> {
        let mut found = self.sessions_of(of).await?;
        found.retain(|(_, record)| record.handle.as_ref().is_some_and(|its| its.as_str() == handle));
        Ok(self.end_listed(found).await)
    }

    /// Ends all other sessions of this session's user; this one stays, also if it was renewed meanwhile. [`Event::None`]: there are none.
    pub async fn end_others(self: &Arc<Self>, of: &Session) -> Result<Event, Arc<StoreError>> {
        let mut found = self.sessions_of(of).await?;
        found.retain(|(_, record)| record.handle.as_ref() != Some(of.handle()));
        Ok(self.end_listed(found).await)
    }

    /// Ends every session of a user, because an operator wants it, or the user may not sign in any more.
    pub async fn end_user(self: &Arc<Self>, user: &str) -> Result<Event, Arc<StoreError>> {
        let mut event = Event::Ended;
        self.end_all_of(user, &mut event).await;
        Ok(event)
    }

    async fn sessions_of(&self, session: &Session) -> Result<Listed, Arc<StoreError>> {
        let Some(user) = session.user() else { return Ok(Vec::new()) };
        self.store.list(user, self.now()).await.map_err(Arc::new)
    }

    async fn end_listed(self: &Arc<Self>, found: Listed) -> Event {
        let mut event = if found.is_empty() { Event::None } else { Event::Ended };
        for (key, _) in found {
            self.end_one(&key, None, &mut event).await;
        }
        event
    }
}
