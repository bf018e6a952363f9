//! Notices that users who have signed in here were removed or disabled, or have a new password, so that their sessions end.
//!
//! Those users, the latest ten thousand since this process started, are looked up again every few seconds. A change stream would need a
//! replica set, tells nothing of a removed user's name, and has gaps. A user counts as removed when two looks in a row do not find them:
//! a collection that is being restored logs nobody out.

use super::{MongoUsers, MongoUsersError};
use crate::auth::hash::StoredHash;
use crate::auth::source::Entry;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

const EVERY: Duration = Duration::from_secs(5);
/// Users that are watched.
const MOST: usize = 10_000;
/// Users that one question names.
const BATCH: usize = 1000;
/// Looks until the hashes are sampled again.
const SAMPLE_EVERY: u64 = 120;
const SAMPLE: i32 = 64;
const NO_COLLECTION: i32 = 26;

/// Which hash a stronger one has replaced. Without it, the other proxies would take the stronger hash for a new password.
pub(super) const MARK: &str = "rehashedFrom";

/// Of a hash; says nothing about the password that the hash itself does not.
pub(super) fn digest(hash: &StoredHash) -> String {
    digest_of(hash.as_text())
}

fn digest_of(hash: &str) -> String {
    Sha256::digest(hash.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Those who have signed in, and the hash that their password had then.
#[derive(Default)]
pub(super) struct SignedIn(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    users: HashMap<String, Seen>,
    /// The longest watched first.
    order: VecDeque<String>,
}

#[derive(Clone)]
struct Seen {
    hash: String,
    /// Perhaps the session is not stored yet: an end that came now would miss it.
    is_new: bool,
    is_missed: bool,
}

impl Seen {
    fn with(hash: String) -> Self {
        Seen { hash, is_new: false, is_missed: false }
    }
}

impl SignedIn {
    pub(super) fn add(&self, entry: &Entry) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen { is_new: true, ..Seen::with(digest(&entry.hash)) };
        if watched.users.insert(entry.account.user.clone(), seen).is_none() {
            watched.order.push_back(entry.account.user.clone());
        }
        while watched.order.len() > MOST {
            if let Some(oldest) = watched.order.pop_front() {
                watched.users.remove(&oldest);
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).order.iter().cloned().collect()
    }

    /// Compares a user with what is stored now. True: the sessions must end, and the user is not watched any more.
    fn is_ousted(&self, user: &str, now: Option<Now>) -> bool {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = watched.users.get_mut(user) else { return false };
        if std::mem::take(&mut seen.is_new) {
            return false;
        }
        let is_ousted = match now {
            None => std::mem::replace(&mut seen.is_missed, true),
            Some(now) if now.is_open && now.hash == seen.hash => {
                seen.is_missed = false;
                false
            }
            Some(Now { is_open: true, hash, replaced: Some(replaced) }) if replaced == seen.hash => {
                *seen = Seen::with(hash);
                false
            }
            Some(_) => true,
        };
        if is_ousted {
            watched.users.remove(user);
            watched.order.retain(|other| other != user);
        }
        is_ousted
    }
}

/// A collection that does not exist has no index.
fn none_yet(error: Error) -> Result<Vec<String>, Error> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) if command.code == NO_COLLECTION => Ok(Vec::new()),
        _ => Err(error),
    }
}

/// What is stored of a user.
struct Now {
    hash: String,
    replaced: Option<String>,
    is_open: bool,
}

/// Looks again and again until the users' owner or the listener is gone.
pub(super) fn keep_watching(users: Weak<MongoUsers>, tell: UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut is_checked = false;
        for look in 0_u64.. {
            let Some(users) = users.upgrade() else { return };
            if look.is_multiple_of(SAMPLE_EVERY) || !is_checked {
                users.sample().await;
            }
            if !is_checked {
                is_checked = users.check_index().await.is_ok();
            }
            match users.look().await {
                // Nobody listens: the process is about to end.
                Ok(ousted) => ousted.into_iter().for_each(|user| drop(tell.send(user))),
                Err(error) => tracing::debug!(%error, "the users in MongoDB could not be looked at again"),
            }
            drop(users);
            if tell.is_closed() {
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    });
}

impl MongoUsers {
    /// One look at all who have signed in.
    async fn look(&self) -> Result<Vec<String>, MongoUsersError> {
        let mut ousted = Vec::new();
        for names in self.signed_in.names().chunks(BATCH) {
            let filter = doc! { "$match": { &self.settings.name_field: { "$in": names } } };
            let found = self.documents(vec![filter, doc! { "$project": self.reader.projection() }]).await?;
            let mut now: HashMap<&str, &RawDocumentBuf> =
                found.iter().filter_map(|document| Some((self.reader.name_of(document)?, document))).collect();
            let is_out = |user: &&String| {
                let now = now.remove(user.as_str()).map(|document| self.now(document));
                self.signed_in.is_ousted(user, now)
            };
            ousted.extend(names.iter().filter(is_out).cloned());
        }
        Ok(ousted)
    }

    fn now(&self, document: &RawDocument) -> Now {
        Now {
            hash: self.reader.hash_of(document).map(digest_of).unwrap_or_default(),
            replaced: document.get_str(MARK).ok().map(str::to_owned),
            is_open: self.reader.is_open(document),
        }
    }

    /// Without an index each question reads the whole collection.
    async fn check_index(&self) -> Result<(), MongoUsersError> {
        let names = self.ask(|users| async move { users.list_index_names().await.or_else(none_yet) }).await?;
        let field = &self.settings.name_field;
        // The names that the driver and Mongoose give: `email_1`. An index of another name may do as well.
        if *field != "_id" && !names.iter().any(|name| name.starts_with(&format!("{field}_"))) {
            let (collection, field) = (self.settings.collection.as_str(), field.as_str());
            tracing::warn!(collection, field, "the users have no index by their name: signing in reads the whole collection");
        }
        Ok(())
    }

    /// Looks at some hashes, to know what it costs to check a user; names that nobody has will cost the same.
    pub(super) async fn sample(&self) {
        let pipeline = vec![doc! { "$sample": { "size": SAMPLE } }, doc! { "$project": self.reader.projection() }];
        match self.documents(pipeline).await {
            Ok(found) => {
                let kinds = found.iter().filter_map(|document| Some(StoredHash::parse(self.reader.hash_of(document)?).ok()?.kind()));
                *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = kinds.collect();
            }
            Err(error) => tracing::warn!(%error, "the users in MongoDB cannot be looked at"),
        }
    }
}
