//! What a write leaves to be done when its outcome is known, or until it is.
//!
//! A renewal makes three writes: the new record, a pointer to it in the old one's place, and the pointer's end. Until the third the old id
//! opens the session as if it were the new one, for as long as it takes: it may be the only one that the visitor knows.
//!
//! **A proxy that dies before the third write leaves the old id open**, until the session ends in whatever way (it is followed to a record that
//! lives, or not at all, so it is over with its idle and its absolute limit and with its end), or is renewed again, by whichever id. Nothing
//! else closes it, and nothing else should. If the visitor was told nothing, which is so unless the third write was tried and failed, the old
//! id is the only one there is. If the new one was told, nobody can say of who comes with the old one whether it is a thief; a new id for
//! them would put out the visitor. Either way it opens what it opened before, and only to who knows it; and to a login nothing leads from an
//! old id at all (`succeed.rs`).

use super::end::{FIRST_PAUSE, LONGEST_PAUSE, MOST_TRIES};
use super::id::{SessionKey, hex};
use super::record::{Moved, Record, WriteToken};
use super::sessions::Sessions;
use super::store::{Applied, Found, Operation, StoreError, Updated, Version};
use crate::telemetry::chain;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any operation of the store is under way.
const LATE: Duration = Duration::from_secs(20);

/// A renewal whose pointer was written.
pub(super) struct Renewal {
    pub old: SessionKey,
    /// The version that the pointer replaces.
    pub seen: Version,
    pub pointer: Record,
    pub new: SessionKey,
}

/// What is tried until the store lets us.
enum Unfinished {
    /// The visitor was told the new id: the pointer gets its end.
    Settle { old: SessionKey, new: SessionKey },
    /// The visitor was told nothing: the new record stays only if the old one leads there.
    Resolve { old: SessionKey, new: SessionKey },
    /// A record whose id nobody was told goes.
    Discard(SessionKey),
}

impl Sessions {
    /// The visitor is about to be told the new id: from now on the old one leads there for the grace, and where there is none not at all.
    pub(super) async fn settle(self: &Arc<Self>, renewal: Renewal) {
        let Renewal { old, seen, pointer, new } = renewal;
        let version = self.store.version_after(&pointer, Some(&seen), self.now());
        if let Err(error) = self.end_pointer(&old, &new, version.map(|version| (Arc::new(pointer), version))).await {
            tracing::warn!(key = old.short_hash(), error = chain(&error), "a renewed session's old id goes on until the store answers");
            self.insist(Unfinished::Settle { old, new });
        }
    }

    /// Nobody knows whether the old record was written, or will be; nor was anybody told the new one's id.
    pub(super) fn resolve_later(self: &Arc<Self>, old: &SessionKey, new: &SessionKey) {
        self.insist(Unfinished::Resolve { old: old.clone(), new: new.clone() });
    }

    /// Removes a record whose id nobody was told, now or when the store lets us.
    pub(super) async fn discard(self: &Arc<Self>, key: &SessionKey) {
        if self.store.remove(key).await.is_err() {
            self.insist(Unfinished::Discard(key.clone()));
        }
    }

    /// Removes a record that may be stored later than it is removed, and whose id nobody was told.
    pub(super) fn discard_whenever_it_comes(self: &Arc<Self>, key: SessionKey) {
        self.insist(Unfinished::Discard(key.clone()));
        let sessions = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            sessions.discard(&key).await;
        });
    }

    fn insist(self: &Arc<Self>, unfinished: Unfinished) {
        let sessions = self.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            for _ in 0..MOST_TRIES {
                let tried = match &unfinished {
                    Unfinished::Settle { old, new } => sessions.end_pointer(old, new, None).await,
                    Unfinished::Resolve { old, new } => sessions.resolve(old, new).await,
                    Unfinished::Discard(key) => sessions.store.remove(key).await.map(drop),
                };
                if tried.is_ok() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            tracing::error!("what a renewal or a login left unfinished is given up; it ends by itself when it expires");
        });
    }

    /// `found`: the pointer, if its version is known.
    async fn end_pointer(&self, old: &SessionKey, new: &SessionKey, mut found: Option<(Arc<Record>, Version)>) -> Result<(), StoreError> {
        let Some(grace) = self.options.lifecycle.renew_grace else {
            let removed = self.store.remove(old).await;
            self.flights.forget(old);
            return removed.map(drop);
        };
        for _ in 0..2 {
            let now = self.now();
            let (pointer, version) = match found.take() {
                Some(found) => found,
                None => match self.store.load_settled(old, now).await? {
                    Found::Live(record, version) if is_open_pointer(&record, new) => (record, version),
                    _ => return Ok(()),
                },
            };
            let ended = Record {
                expires_at: Some(now.plus(grace)),
                moved: Some(Moved { to: new.clone(), at: Some(now) }),
                ..self.marked(&pointer)
            };
            let updated = self.store.update(old, &version, Arc::new(ended), now).await;
            self.flights.forget(old);
            if updated? != Updated::Stale {
                return Ok(());
            }
        }
        Err(contended())
    }

    async fn resolve(&self, old: &SessionKey, new: &SessionKey) -> Result<(), StoreError> {
        let now = self.now();
        match self.store.load_settled(old, now).await {
            Ok(Found::Live(found, _)) if found.moved.as_ref().is_some_and(|moved| moved.to == *new) => return Ok(()),
            Ok(Found::Live(found, version)) if found.moved.is_none() => {
                // The write may still be on its way. It replaces one version only, and from now on there is another.
                let updated = self.store.update(old, &version, Arc::new(self.marked(&found)), now).await;
                self.flights.forget(old);
                if updated? != Updated::Done {
                    return Err(contended());
                }
            }
            Ok(_) | Err(StoreError::Unreadable { .. }) => {}
            Err(error) => return Err(error),
        }
        self.store.remove(new).await.map(drop)
    }

    /// The same as a further write.
    fn marked(&self, record: &Record) -> Record {
        let mut mark = [0; 16];
        self.entropy.fill(&mut mark);
        Record { revision: record.revision + 1, last_write: Some(WriteToken(hex(&mark))), ..record.clone() }
    }
}

/// Whether the record leads to this key and has no end yet.
fn is_open_pointer(record: &Record, to: &SessionKey) -> bool {
    record.moved.as_ref().is_some_and(|moved| moved.to == *to && moved.at.is_none())
}

fn contended() -> StoreError {
    StoreError::Unavailable { during: Operation::Update, applied: Applied::No, source: "others keep changing the session".into() }
}
