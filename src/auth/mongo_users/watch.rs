//! Notices that users were removed or disabled, or have a new password, so that their sessions end.
//!
//! Those whose sessions are in use are looked up again every few seconds, ten thousand at a time. A change stream would need a replica set,
//! tells nothing of a removed user's name, and has gaps.

use super::claims::Now;
use super::{MongoUsers, MongoUsersError, REHASHED, proof};
use crate::auth::credential::digest;
use crate::auth::hash::StoredHash;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use std::collections::HashMap;
use std::sync::{PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

const EVERY: Duration = Duration::from_secs(5);
/// Users that one question names.
const BATCH: usize = 1000;
/// Looks until the hashes are sampled again.
const SAMPLE_EVERY: u64 = 120;
const SAMPLE: i32 = 64;
const NO_COLLECTION: i32 = 26;

/// Looks again and again until the users' owner or the listener is gone.
pub(super) fn keep_watching(users: Weak<MongoUsers>, tell: UnboundedSender<String>) {
    tokio::spawn(async move {
        let (mut is_checked, mut is_blind) = (false, false);
        for look in 0_u64.. {
            let Some(users) = users.upgrade() else { return };
            if look.is_multiple_of(SAMPLE_EVERY) || !is_checked {
                users.sample().await;
            }
            if !is_checked {
                is_checked = users.check_index().await.is_ok();
            }
            // Nobody listens: the process is about to end.
            let looked = users.look(|user| drop(tell.send(user))).await;
            let was_blind = std::mem::replace(&mut is_blind, looked.is_err());
            match looked {
                Err(error) if !was_blind => {
                    tracing::error!(%error, "the users in MongoDB cannot be looked at: until they can, whoever is removed or changed there stays signed in");
                }
                Ok(()) if was_blind => tracing::info!("the users in MongoDB can be looked at again"),
                _ => {}
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
    /// One look at those whose sessions are in use; tells who is out.
    async fn look(&self, tell: impl Fn(String)) -> Result<(), MongoUsersError> {
        for asked in self.claims.next().chunks(BATCH) {
            let names: Vec<&str> = asked.iter().map(|(user, _)| &**user).collect();
            let filter = doc! { "$match": { &self.settings.name_field: { "$in": names } } };
            let found = self.documents(vec![filter, doc! { "$project": self.reader.projection() }]).await?;
            let found: HashMap<&str, &RawDocumentBuf> =
                found.iter().filter_map(|document| Some((self.reader.name_of(document)?, document))).collect();
            for (user, credentials) in asked {
                let now = found.get(&**user).map(|document| self.now(user, document));
                if self.claims.judge(user, credentials, now.as_ref()) {
                    tell(user.to_string());
                }
            }
        }
        Ok(())
    }

    fn now(&self, user: &str, document: &RawDocument) -> Now {
        let hash = self.reader.hash_of(document).map(digest).filter(|_| self.reader.is_open(document));
        // What was rehashed long ago says nothing of a password that came later.
        let rehashed = document.get_document(REHASHED).ok().filter(|rehashed| rehashed.get_str("to").ok() == hash.as_deref());
        let before = rehashed.and_then(|rehashed| rehashed.get_str("from").ok());
        Now { before: before.map(|from| proof(user, from)), proof: hash.map(|hash| proof(user, &hash)) }
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

/// A collection that does not exist has no index.
fn none_yet(error: Error) -> Result<Vec<String>, Error> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) if command.code == NO_COLLECTION => Ok(Vec::new()),
        _ => Err(error),
    }
}
