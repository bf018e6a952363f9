//! The store of a fleet: connect-mongo's documents in a MongoDB collection, plus our own top-level fields.
//!
//! Operations go through [`crate::mongo`], which never drops a driver future.

mod document;
mod epochs;
mod errors;
mod group;
mod indexes;
mod outcome;
mod stream;
pub mod values;

use super::cached::Shelf;
use super::{Applied, Found, Operation, SessionStore, Sighting, StoreError, Tombstone, Touch, Updated, Version, Whose};
use crate::clock::Timestamp;
pub use crate::mongo::MongoSetupError;
use crate::mongo::{Connection, Unanswered};
use crate::secret::Secret;
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Epoch, Record};
use async_trait::async_trait;
use document::Codec;
use errors::unavailable;
use futures_util::TryStreamExt as _;
use group::{Change, Groups};
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::ReadConcern;
use outcome::Proof;
use std::sync::Arc;
use std::time::Duration;

/// How the `session` field is stored: connect-mongo's `stringify`. Either is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON text (`stringify: true`).
    String,
    /// A sub-document (`stringify: false`).
    Document,
}

/// Where and how sessions are kept.
#[derive(Clone, Debug)]
pub struct MongoSettings {
    pub uri: Secret,
    pub database: String,
    pub collection: String,
    pub format: Format,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// What a cookie's `originalMaxAge` is by default: another value in a Node app's document is that session's own lifetime.
    pub configured_max_age: Option<Duration>,
}

/// Sessions in MongoDB.
pub struct MongoStore {
    connection: Arc<Connection>,
    groups: Arc<Groups>,
    settings: MongoSettings,
    codec: Codec,
}

impl MongoStore {
    /// Prepares the client and connects in the background: MongoDB, and the name server, may be down. Call on the runtime that is to carry
    /// its connections; the operations may then be called on any.
    pub async fn connect(settings: MongoSettings) -> Result<Self, MongoSetupError> {
        let connection = Arc::new(Connection::prepare(&settings.uri, settings.read_timeout.max(settings.write_timeout)).await?);
        let groups = Groups::new(connection.clone(), settings.database.clone(), settings.collection.clone(), settings.write_timeout);
        indexes::keep_trying(connection.background(), settings.database.clone(), settings.collection.clone());
        let codec = Codec { format: settings.format, configured_max_age: settings.configured_max_age };
        Ok(MongoStore { connection, groups, settings, codec })
    }

    /// From now on tells the cache what anybody writes, as long as both exist.
    pub fn follow_changes(&self, shelf: &Arc<Shelf>) {
        let place = stream::Place {
            connection: self.connection.background(),
            database: self.settings.database.clone(),
            collection: self.settings.collection.clone(),
        };
        self.connection.runtime().spawn(stream::follow(place, Arc::downgrade(shelf)));
    }

    /// Runs one operation; waits for it no longer than its limit.
    async fn run<T, F, Fut>(&self, during: Operation, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Collection<RawDocumentBuf>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let limit = if during.is_read() { self.settings.read_timeout } else { self.settings.write_timeout };
        self.run_within(limit, during, operation).await
    }

    async fn run_within<T, F, Fut>(&self, limit: Duration, during: Operation, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Collection<RawDocumentBuf>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let unfinished = if during.is_read() { Applied::No } else { Applied::Unknown };
        let (database, collection) = (self.settings.database.clone(), self.settings.collection.clone());
        let failed = move |error| errors::map(during, error);
        let answer = self.connection.run(limit, failed, move |client| operation(client.database(&database).collection(&collection))).await;
        answer.unwrap_or_else(|unanswered| {
            let applied = if matches!(unanswered, Unanswered::NotBegun) { Applied::No } else { unfinished };
            Err(unavailable(during, applied, unanswered))
        })
    }

    /// The live records that match; `most` of them in the order of their handles.
    async fn select(&self, during: Operation, filter: Document, most: Option<i64>, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        let codec = self.codec;
        self.run(during, move |collection| async move {
            let failed = |error| errors::map(during, error);
            let query = collection.find(filter);
            let query = if let Some(most) = most { query.sort(doc! { "handle": 1 }).limit(most) } else { query };
            let documents: Vec<RawDocumentBuf> = query.await.map_err(failed)?.try_collect().await.map_err(failed)?;
            let live = |document: &RawDocumentBuf| match codec.read(document, now) {
                Ok(Found::Live(record, version)) => {
                    Some(Sighting { key: SessionKey::stored(document.get_str("_id").ok()?.to_owned()), record, version })
                }
                _ => None,
            };
            Ok(documents.iter().filter_map(live).collect())
        })
        .await
    }
}

#[async_trait]
impl SessionStore for MongoStore {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        let (key, document) = (key.clone(), self.codec.new_document(key, &record)?);
        self.run(Operation::Create, move |collection| async move {
            let taken = match collection.insert_one(document).await {
                Ok(_) => return Ok(()),
                Err(error) => errors::map(Operation::Create, error),
            };
            // The driver repeats an insert whose answer was lost; then the record in the way is our own.
            if matches!(taken, StoreError::Taken) {
                let found =
                    collection.find_one(doc! { "_id": key.as_str() }).await.map_err(|error| errors::map(Operation::Create, error))?;
                let mark = found.and_then(|document| document::mark_of(&document));
                if mark.is_some() && mark == record.last_write {
                    return Ok(());
                }
            }
            Err(taken)
        })
        .await
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        let (key, codec) = (key.clone(), self.codec);
        self.run(Operation::Load, move |collection| async move {
            let found = collection.find_one(doc! { "_id": key.as_str() }).await.map_err(|error| errors::map(Operation::Load, error))?;
            found.map_or(Ok(Found::Absent), |document| codec.read(&document, now))
        })
        .await
    }

    async fn load_settled(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        let (filter, codec, limit) = (doc! { "_id": key.as_str() }, self.codec, self.settings.read_timeout);
        self.run(Operation::Load, move |collection| async move {
            let settled = collection.find_one(filter.clone()).read_concern(ReadConcern::linearizable()).max_time(limit).await;
            let found = match settled {
                Err(error) if errors::code(&error) == Some(errors::NOT_A_REPLICA_SET) => collection.find_one(filter).await,
                found => found,
            };
            let found = found.map_err(|error| errors::map(Operation::Load, error))?;
            found.map_or(Ok(Found::Absent), |document| codec.read(&document, now))
        })
        .await
    }

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        let (filter, update) = (document::exactly(key, seen, now)?, self.codec.update(seen, &record, now)?);
        let (during, key, proof) = (Operation::Update, key.clone(), Proof::Mark(record.last_write.clone(), record.revision));
        self.groups.make(Change { during, key, filter, update, proof, now }).await
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        let change = |filter, touch: &Touch| Change {
            during: Operation::Touch,
            key: key.clone(),
            filter,
            update: document::touch(touch),
            proof: Proof::Use(touch.updated_at),
            now,
        };
        let answer = self.groups.make(change(document::touchable(key, seen, now), touch)).await?;
        if answer != Updated::Stale {
            return Ok(answer);
        }
        let use_only = Touch { expires_at: None, ..touch.clone() };
        self.groups.make(change(document::touchable_for_ever(key, seen), &use_only)).await
    }

    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError> {
        let filter = doc! { "_id": key.as_str() };
        self.run(Operation::Remove, move |collection| async move {
            let removed = collection.delete_one(filter).await.map_err(|error| errors::map(Operation::Remove, error))?;
            Ok(removed.deleted_count > 0)
        })
        .await
    }

    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError> {
        let (filter, update) = (document::buried(whose), self.codec.burial(tombstone));
        self.run_within(whose.patience(self.settings.write_timeout), Operation::Bury, move |collection| async move {
            let buried = collection.update_many(filter, vec![update]).await.map_err(|error| errors::map(Operation::Bury, error))?;
            Ok(buried.matched_count)
        })
        .await
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        let found = self.select(Operation::List, doc! { "userId": user }, None, now).await?;
        Ok(found.into_iter().map(|sighting| (sighting.key, sighting.record)).collect())
    }

    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        let filter = document::page(user, after, now);
        let found = self.select(Operation::List, filter, Some(i64::try_from(most).unwrap_or(i64::MAX)), now).await?;
        Ok(found.into_iter().map(|sighting| sighting.record).collect())
    }

    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        self.select(Operation::Find, doc! { "handle": handle.as_str() }, None, now).await
    }

    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError> {
        let user = user.to_owned();
        self.run(Operation::Epoch, move |sessions| async move {
            epochs::read(&sessions, &user).await.map_err(|error| errors::map(Operation::Epoch, error))
        })
        .await
    }

    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        let user = user.to_owned();
        self.run(Operation::RaiseEpoch, move |sessions| async move {
            epochs::raise(&sessions, &user, now, until).await.map_err(|error| errors::map(Operation::RaiseEpoch, error))
        })
        .await
    }

    /// From the collection's metadata: no scan, however many there are.
    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        let count = self.run(Operation::Estimate, |collection| async move {
            collection.estimated_document_count().await.map_err(|error| errors::map(Operation::Estimate, error))
        });
        count.await.map(Some)
    }

    fn describe(&self) -> String {
        format!("MongoDB at {}, {}.{}", self.connection.hosts(), self.settings.database, self.settings.collection)
    }

    fn version_after(&self, record: &Record, before: Option<&Version>, now: Timestamp) -> Option<Version> {
        self.codec.version_after(record, before, now)
    }
}
