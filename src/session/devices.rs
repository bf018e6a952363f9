//! A user's sessions on all their devices, and anybody's for an operator: finding them, and ending some or all.

use super::changes::Event;
use super::end::Grave;
use super::id::{Handle, SessionKey};
use super::lifecycle::Lapse;
use super::record::{Client, Credential, Epoch, Record};
use super::sessions::{Session, Sessions};
use super::store::cached::News;
use super::store::{StoreError, Whose};
use crate::clock::Timestamp;
use crate::telemetry::chain;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// An end of many looks again so often at most, for what renewals moved behind its back.
const MOST_SCANS: usize = 16;

/// One session, as its owner or an operator may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub handle: Handle,
    pub user: Option<String>,
    /// Who used it last.
    pub client: Option<Client>,
    pub created_at: Option<Timestamp>,
    pub login_at: Option<Timestamp>,
    /// The last use that was noted: at most one `touch_after` behind.
    pub updated_at: Option<Timestamp>,
    /// When it ends if it is not used again.
    pub expires_at: Option<Timestamp>,
    /// The session that asks.
    pub is_this: bool,
}

/// Some of a user's sessions, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub devices: Vec<Device>,
    /// The cursor of the next page; `None`: this is the last one.
    pub next: Option<Handle>,
}

type Listed = Vec<(SessionKey, Arc<Record>)>;

impl Device {
    /// `None` for a record that has no public name yet.
    fn of(record: &Record, this: Option<&Handle>) -> Option<Self> {
        let handle = record.handle.clone()?;
        Some(Device {
            user: record.user.clone(),
            client: record.client.clone(),
            created_at: record.created_at,
            login_at: record.login_at,
            updated_at: record.updated_at,
            expires_at: record.expires_at,
            is_this: this == Some(&handle),
            handle,
        })
    }
}

impl Sessions {
    /// The live sessions of this session's user: this one, then the others, the one used last first. Empty for somebody who is not signed in.
    pub async fn devices(&self, of: &Session) -> Result<Vec<Device>, Arc<StoreError>> {
        let listed = self.sessions_of(of).await?;
        let mut devices: Vec<Device> = listed.iter().filter_map(|(_, record)| Device::of(record, Some(of.handle()))).collect();
        devices.sort_by_key(|device| std::cmp::Reverse((device.is_this, device.updated_at)));
        // A session that is being renewed right now is there twice.
        let mut seen = HashSet::new();
        devices.retain(|device| seen.insert(device.handle.clone()));
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
        let Some(user) = of.user() else { return Ok(Event::None) };
        self.end_those_of(user, |record| record.handle.as_ref() != Some(of.handle())).await
    }

    /// Ends the sessions of a user who was removed, disabled or changed, but for those of a login that `holds` all the same: it came after
    /// the change. Where the store cannot tell them apart now, all of them end as soon as it lets us.
    pub async fn end_outdated(self: &Arc<Self>, user: &str, holds: impl Fn(Credential) -> bool) -> Result<Event, Arc<StoreError>> {
        match self.end_those_of(user, |record| !record.credential.is_some_and(&holds)).await {
            Err(_) => self.end_user(user).await,
            ended => ended,
        }
    }

    /// Ends every session of a user, because an operator wants it, or the user may not sign in any more.
    pub async fn end_user(self: &Arc<Self>, user: &str) -> Result<Event, Arc<StoreError>> {
        let mut event = Event::Ended;
        self.end_all_of(user, &mut event).await;
        Ok(event)
    }

    /// How often all of the user's sessions have been ended: for a login whose password is about to be checked.
    pub async fn epoch_of(&self, user: &str) -> Result<Epoch, Arc<StoreError>> {
        self.store.epoch(user).await.map_err(Arc::new)
    }

    /// Ends the session of a handle, whoever's it is. [`Event::None`]: there is none.
    pub async fn end_handle(self: &Arc<Self>, handle: &Handle) -> Result<Event, Arc<StoreError>> {
        let found = self.store.find(handle, self.now()).await.map_err(Arc::new)?;
        Ok(self.end_listed(found.into_iter().map(|sighting| (sighting.key, sighting.record)).collect()).await)
    }

    /// Ends everybody's sessions; how many there were. `Err`: perhaps not all, do it again.
    pub async fn end_all(&self) -> Result<u64, Arc<StoreError>> {
        let first = self.bury_many(&Whose::Everybody).await?;
        Ok(first + self.end_older_than(self.now().plus(Duration::from_millis(1))).await?)
    }

    /// Ends all sessions that began before the moment, or nobody knows when; how many there were. `Err`: perhaps not all, do it again.
    pub async fn end_older_than(&self, moment: Timestamp) -> Result<u64, Arc<StoreError>> {
        let mut ended = 0;
        for _ in 0..MOST_SCANS {
            match self.bury_many(&Whose::Older(moment)).await? {
                0 => break,
                // Looked again, because a renewal may have gone on behind the scan: it keeps the session's age.
                more => ended += more,
            }
        }
        Ok(ended)
    }

    /// The live session of a handle.
    pub async fn find(&self, handle: &Handle) -> Result<Option<Device>, Arc<StoreError>> {
        let found = self.store.find(handle, self.now()).await.map_err(Arc::new)?;
        Ok(found.iter().find_map(|sighting| Device::of(&sighting.record, None)))
    }

    /// At most `most` live sessions of a user in the order of their handles, from the cursor on.
    pub async fn page_of_user(&self, user: &str, cursor: Option<&Handle>, most: usize) -> Result<Page, Arc<StoreError>> {
        let found = self.store.page(user, cursor, most.saturating_add(1), self.now()).await.map_err(Arc::new)?;
        let mut devices: Vec<Device> = found.iter().filter_map(|record| Device::of(record, None)).collect();
        let is_last = devices.len() <= most;
        devices.truncate(most);
        let next = if is_last { None } else { devices.last().map(|device| device.handle.clone()) };
        devices.dedup_by(|a, b| a.handle == b.handle);
        Ok(Page { devices, next })
    }

    /// After a login: if the user has more sessions than allowed, the oldest end. Every proxy agrees which those are.
    pub(super) async fn end_oldest_beside(self: &Arc<Self>, new: &Record) {
        let (Some(most), Some(user)) = (self.options.max_per_user, &new.user) else { return };
        let mut found = match self.store.list(user, self.now()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = chain(&error), "a user may have more sessions than `max_per_user` until the next login");
                return;
            }
        };
        found.sort_by(|(_, a), (_, b)| (a.created_at, &a.handle).cmp(&(b.created_at, &b.handle)));
        found.dedup_by(|(_, a), (_, b)| a.handle == b.handle);
        found.truncate(found.len().saturating_sub(most));
        for (key, record) in found {
            self.end_one(Grave::of(&key, record.handle.as_ref(), Lapse::Replaced), None, &mut Event::Ended).await;
        }
    }

    async fn end_those_of(self: &Arc<Self>, user: &str, ends: impl Fn(&Record) -> bool) -> Result<Event, Arc<StoreError>> {
        let mut event = Event::None;
        for _ in 0..MOST_SCANS {
            let mut found = self.store.list(user, self.now()).await.map_err(Arc::new)?;
            found.retain(|(_, record)| ends(record));
            match self.end_listed(found).await {
                // Looked again, because a renewal may have gone on behind the list.
                Event::Ended => event = Event::Ended,
                Event::None => break,
                unconfirmed => return Ok(unconfirmed),
            }
        }
        Ok(event)
    }

    async fn sessions_of(&self, session: &Session) -> Result<Listed, Arc<StoreError>> {
        let Some(user) = session.user() else { return Ok(Vec::new()) };
        self.store.list(user, self.now()).await.map_err(Arc::new)
    }

    async fn end_listed(self: &Arc<Self>, found: Listed) -> Event {
        let mut event = if found.is_empty() { Event::None } else { Event::Ended };
        for (key, record) in found {
            self.end_one(Grave::of(&key, record.handle.as_ref(), Lapse::Revoked), None, &mut event).await;
        }
        event
    }

    async fn bury_many(&self, whose: &Whose) -> Result<u64, Arc<StoreError>> {
        let buried = self.store.bury(whose, &self.tombstone(Lapse::Revoked, self.now())).await;
        self.tally.ended(Lapse::Revoked, buried.as_ref().copied().unwrap_or(0));
        self.flights.forget_all();
        self.ends.tell(News::Gap);
        buried.map_err(Arc::new)
    }
}
