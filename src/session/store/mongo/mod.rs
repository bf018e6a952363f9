//! The store of a fleet: connect-mongo's documents in a MongoDB collection, plus our own top-level fields.
//!
//! **A driver future is never dropped.** A dropped one leaves a dead entry in the driver's pool queue; enough of them turn a freeze of
//! three seconds into an outage without end. So each operation runs to its end in a task that owns a permit, and only the wait for
//! that task is bounded. The permits also bound how many operations are under way.

mod document;
mod epochs;
mod errors;
mod indexes;
mod stream;
mod values;

use super::cached::Shelf;
use super::{Applied, Found, Operation, SessionStore, Sighting, StoreError, Tombstone, Touch, Updated, Version, Whose};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Epoch, Record};
use async_trait::async_trait;
use document::Codec;
use errors::unavailable;
use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{Acknowledgment, ClientOptions, ConnectionString, HostInfo, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Collection};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Connections, and so operations at the same time.
const POOL: u32 = 64;

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

/// Why MongoDB cannot be used as configured. That it is down is none: then Cloakroom starts and waits for it.
#[derive(Debug, thiserror::Error)]
pub enum MongoSetupError {
    #[error("the MongoDB address is not UTF-8")]
    NotText,
    #[error("the MongoDB address is not usable: {0}")]
    Address(String),
    #[error("the MongoDB address asks for a read preference; sessions must be read from the primary, so leave `readPreference` out")]
    ReadPreference,
    #[error("the MongoDB address asks for a weak write concern; sessions are written with w=majority, so leave `w` and `journal` out")]
    WriteConcern,
}

/// Sessions in MongoDB.
pub struct MongoStore {
    shared: Arc<Shared>,
    /// Carries the client's connections, so it must outlive the runtimes of the callers.
    runtime: Runtime,
    permits: Arc<Semaphore>,
    codec: Codec,
    hosts: String,
}

struct Shared {
    settings: MongoSettings,
    /// Connections that the driver may open: one for each permit, and one for the change stream.
    connections: u32,
    collection: OnceCell<Collection<RawDocumentBuf>>,
}

impl MongoStore {
    /// Prepares the client and connects in the background: MongoDB, and the name server, may be down. Call on the runtime that is to carry
    /// its connections; the operations may then be called on any.
    pub async fn connect(settings: MongoSettings) -> Result<Self, MongoSetupError> {
        let uri = std::str::from_utf8(settings.uri.expose_secret()).map_err(|_| MongoSetupError::NotText)?;
        let address = ConnectionString::parse(uri).map_err(|error| MongoSetupError::Address(errors::without_password(&error, uri)))?;
        check(&address)?;
        if matches!(address.host_info, HostInfo::HostIdentifiers(_)) {
            // Needs no name server, so what else is wrong is told at once.
            ClientOptions::parse(uri).await.map_err(|error| MongoSetupError::Address(error.to_string()))?;
        }
        let pool = address.max_pool_size.filter(|size| *size > 0).unwrap_or(POOL);
        let codec = Codec { format: settings.format, configured_max_age: settings.configured_max_age };
        let store = MongoStore {
            runtime: Runtime::current(),
            permits: Arc::new(Semaphore::new(pool as usize)),
            codec,
            hosts: hosts(&address.host_info),
            shared: Arc::new(Shared { settings, connections: pool.saturating_add(1), collection: OnceCell::new() }),
        };
        indexes::keep_trying(Arc::downgrade(&store.shared));
        Ok(store)
    }

    /// From now on tells the cache what anybody writes, as long as both exist.
    pub fn follow_changes(&self, shelf: &Arc<Shelf>) {
        self.runtime.spawn(stream::follow(Arc::downgrade(&self.shared), Arc::downgrade(shelf)));
    }

    /// Runs one operation in a task of its own; waits for it no longer than its limit.
    async fn run<T, F, Fut>(&self, during: Operation, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Collection<RawDocumentBuf>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (limit, unfinished) = match during {
            _ if during.is_read() => (self.shared.settings.read_timeout, Applied::No),
            _ => (self.shared.settings.write_timeout, Applied::Unknown),
        };
        let deadline = Instant::now() + limit;
        let permit = match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(closed)) => return Err(unavailable(during, Applied::No, closed)),
            Err(late) => return Err(unavailable(during, Applied::No, late)),
        };
        let shared = self.shared.clone();
        let task = self.runtime.spawn(async move {
            let _permit = permit;
            let collection = shared.collection().await.map_err(|error| errors::map(during, error))?;
            operation(collection).await
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(defect)) => Err(unavailable(during, unfinished, defect)),
            // Only the handle is dropped: the task goes on to its end and gives its permit back by itself.
            Err(late) => Err(unavailable(during, unfinished, late)),
        }
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

    /// An update that matches one version, and what it means if it matched none.
    async fn change(
        &self,
        during: Operation,
        key: &SessionKey,
        filter: Document,
        update: Document,
        now: Timestamp,
    ) -> Result<Updated, StoreError> {
        let key = key.clone();
        self.run(during, move |collection| async move {
            let failed = |error| errors::map(during, error);
            let result = collection.update_one(filter, update).await.map_err(failed)?;
            if result.matched_count > 0 {
                return Ok(Updated::Done);
            }
            let found = collection.find_one(doc! { "_id": key.as_str() }).await;
            // The write surely did nothing, whatever becomes of this read.
            let found = found.map_err(|error| unavailable(during, Applied::No, error))?;
            Ok(if found.is_some_and(|document| document::lives(&document, now)) { Updated::Stale } else { Updated::Gone })
        })
        .await
    }
}

impl Shared {
    async fn collection(&self) -> mongodb::error::Result<Collection<RawDocumentBuf>> {
        let made = self.collection.get_or_try_init(|| async {
            let uri = String::from_utf8_lossy(self.settings.uri.expose_secret()).into_owned();
            let options = with_defaults(ClientOptions::parse(uri).await?, &self.settings, self.connections);
            let client = Client::with_options(options)?;
            Ok(client.database(&self.settings.database).collection(&self.settings.collection))
        });
        made.await.cloned()
    }
}

/// The places that the address names, for the start-up line.
fn hosts(info: &HostInfo) -> String {
    match info {
        HostInfo::HostIdentifiers(hosts) => hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        HostInfo::DnsRecord(name) => name.clone(),
        _ => "an address of another kind".to_owned(),
    }
}

/// What the address asks for must not weaken the promises.
fn check(address: &ConnectionString) -> Result<(), MongoSetupError> {
    match &address.read_preference {
        None | Some(ReadPreference::Primary) => {}
        Some(_) => return Err(MongoSetupError::ReadPreference),
    }
    match &address.write_concern {
        Some(concern) if concern.w.as_ref().is_some_and(|w| *w != Acknowledgment::Majority) => Err(MongoSetupError::WriteConcern),
        Some(concern) if concern.journal == Some(false) => Err(MongoSetupError::WriteConcern),
        _ => Ok(()),
    }
}

/// Measured defaults where the address says nothing: failures are noticed within about a second, and while there is no primary an
/// operation waits for the next one as long as its own limit lets it. The driver then tries it once more by itself.
fn with_defaults(mut options: ClientOptions, settings: &MongoSettings, connections: u32) -> ClientOptions {
    let second = Some(Duration::from_secs(1));
    options.app_name = options.app_name.or_else(|| Some("cloakroom".to_owned()));
    options.server_selection_timeout = options.server_selection_timeout.or(Some(settings.read_timeout.max(settings.write_timeout)));
    options.connect_timeout = options.connect_timeout.or(second);
    options.heartbeat_freq = options.heartbeat_freq.or(second);
    options.max_pool_size = Some(connections);
    options.max_connecting = options.max_connecting.or(Some(8));
    options.max_idle_time = options.max_idle_time.or(Some(Duration::from_secs(300)));
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    options
}

#[async_trait]
impl SessionStore for MongoStore {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        let (key, document) = (key.clone(), self.codec.new_document(key, &record)?);
        self.run(Operation::Create, move |collection| async move {
            let document = RawDocumentBuf::try_from(&document).map_err(|_| StoreError::TooLarge)?;
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

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        let filter = document::exactly(key, seen, now)?;
        self.change(Operation::Update, key, filter, self.codec.update(seen, &record, now)?, now).await
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        let answer = self.change(Operation::Touch, key, document::touchable(key, seen, now), document::touch(touch), now).await?;
        if answer != Updated::Stale {
            return Ok(answer);
        }
        let use_only = document::touch(&Touch { expires_at: None, ..touch.clone() });
        self.change(Operation::Touch, key, document::touchable_for_ever(key, seen), use_only, now).await
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
        self.run(Operation::Bury, move |collection| async move {
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

    fn describe(&self) -> String {
        format!("MongoDB at {}, {}.{}", self.hosts, self.shared.settings.database, self.shared.settings.collection)
    }

    fn version_after(&self, record: &Record, before: Option<&Version>, now: Timestamp) -> Option<Version> {
        self.codec.version_after(record, before, now)
    }
}
