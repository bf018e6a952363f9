//! Users in a MongoDB collection that an app keeps, with the hashes of Node's `argon2` and `bcrypt`. Cloakroom only reads it, but for
//! stronger hashes (`rehash`).

mod claims;
mod document;
mod watch;

use super::credential::{Issuer, Word, digest};
use super::hash::{Kind, StoredHash};
use super::source::Entry;
use crate::mongo::{Connection, MongoSetupError, Unanswered};
use crate::secret::Secret;
use crate::session::record::Credential;
use claims::Claims;
use document::Reader;
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Which hash was replaced by a stronger one of the same password. Without it, all proxies would take the stronger one for a new password.
pub(super) const REHASHED: &str = "rehashed";

const ISSUER: Issuer = Issuer(2);

/// What a user proves whose stored hash has this [`digest`].
fn proof(user: &str, digest: &str) -> Credential {
    ISSUER.issue(&[user, digest])
}

/// Where the users are, and what in a document is what. Fields may be dotted paths, as in `local.email`.
#[derive(Clone, Debug, PartialEq)]
pub struct MongoUsersSettings {
    pub uri: Secret,
    pub database: String,
    pub collection: String,
    /// What a visitor types as name.
    pub name_field: String,
    pub hash_field: String,
    /// Users with `true` here cannot sign in.
    pub disabled_field: String,
    /// Only users with `true` here can sign in; `None`: all can.
    pub active_field: Option<String>,
    /// Fields of the session, and where in a document they come from.
    pub fields: BTreeMap<String, String>,
    /// Names are stored in lower case, and may be typed in any.
    pub lowercase: bool,
    /// Replace weak hashes at sign-in: only if all that read the collection know argon2id.
    pub rehash: bool,
    /// How long a question or a write may take.
    pub timeout: Duration,
}

/// Why the collection cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum MongoUsersError {
    #[error(transparent)]
    Setup(#[from] MongoSetupError),
    #[error("MongoDB did not answer about its users: {0}")]
    Unanswered(#[from] Unanswered),
    #[error("could not ask MongoDB for its users: {0}")]
    Driver(#[from] Error),
}

/// The users of one collection.
pub struct MongoUsers {
    connection: Connection,
    settings: MongoUsersSettings,
    reader: Reader,
    /// What a sample of the hashes costs.
    kinds: RwLock<Arc<[Kind]>>,
    claims: Claims,
}

impl MongoUsers {
    /// Prepares the connection; MongoDB may be down. `tell` gets the names of users whose sessions must end.
    pub async fn open(settings: &MongoUsersSettings, tell: UnboundedSender<String>) -> Result<Arc<Self>, MongoUsersError> {
        let connection = Connection::prepare(&settings.uri, settings.timeout).await?;
        let users = Arc::new(MongoUsers {
            connection,
            reader: Reader::new(settings),
            settings: settings.clone(),
            kinds: RwLock::new([].into()),
            claims: Claims::default(),
        });
        watch::keep_watching(Arc::downgrade(&users), tell);
        Ok(users)
    }

    /// Looks a name up. The name is only ever compared as text: no value of it is an operator.
    pub async fn find(&self, user: &str) -> Result<Option<Entry>, MongoUsersError> {
        if self.kinds().is_empty() {
            // Before the first answer: it must not tell who is known by what it costs.
            self.sample().await;
        }
        let name = if self.settings.lowercase { user.to_lowercase() } else { user.to_owned() };
        let filter = doc! { &self.settings.name_field: { "$eq": &name } };
        let projection = self.reader.projection();
        let found = self
            .ask(move |users| async move {
                // Two, to see a name that is there twice.
                let mut cursor = users.find(filter).projection(projection).limit(2).await?;
                let mut found = Vec::new();
                while cursor.advance().await? {
                    found.push(cursor.current().to_owned());
                }
                Ok(found)
            })
            .await?;
        match found.as_slice() {
            [] => Ok(None),
            [document] => Ok(self.reader.entry(&name, document)),
            [..] => {
                tracing::error!(user = name, collection = self.settings.collection, "the name is there twice, so it cannot sign in");
                Ok(Some(document::closed(&name)))
            }
        }
    }

    /// The user has signed in, and is watched from now on. What their session is to remember.
    pub(super) fn admit(&self, entry: &Entry) -> Credential {
        let user = &entry.account.user;
        let credential = proof(user, &digest(entry.hash.as_text()));
        self.claims.word_on(user, credential);
        credential
    }

    /// What the last look has found about the user. One who was not looked at yet is from now on.
    pub(super) fn word_on(&self, user: &str, credential: Credential) -> Word {
        if ISSUER.has_issued(credential) { self.claims.word_on(user, credential) } else { Word::Unknown }
    }

    /// Replaces the hash, if it is still the one that was read; whether it did.
    pub async fn replace_hash(&self, entry: &Entry, hash: &StoredHash) -> bool {
        let user = entry.account.user.as_str();
        let field = self.settings.hash_field.clone();
        let filter = doc! { &self.settings.name_field: { "$eq": user }, &field: { "$eq": entry.hash.as_text() } };
        let rehashed = doc! { "from": digest(entry.hash.as_text()), "to": digest(hash.as_text()) };
        let update = doc! { "$set": { field: hash.as_text(), REHASHED: rehashed } };
        let written = self.ask(move |users| async move { Ok(users.update_one(filter, update).await?.matched_count) }).await;
        match &written {
            Ok(0) => tracing::info!(user, "the hash changed meanwhile; it was not made stronger"),
            Ok(_) => tracing::info!(user, "the password's hash was made stronger"),
            Err(error) => tracing::warn!(user, %error, "the password's hash could not be made stronger"),
        }
        written.is_ok_and(|count| count > 0)
    }

    /// What a sample of the users costs to check.
    pub fn kinds(&self) -> Arc<[Kind]> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings.
    pub fn settings(&self) -> &MongoUsersSettings {
        &self.settings
    }

    /// One operation on the collection, in a task of its own.
    async fn ask<T, F, Fut>(&self, operation: F) -> Result<T, MongoUsersError>
    where
        T: Send + 'static,
        F: FnOnce(Collection<RawDocumentBuf>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (database, collection) = (self.settings.database.clone(), self.settings.collection.clone());
        let operation = move |client: mongodb::Client| operation(client.database(&database).collection(&collection));
        Ok(self.connection.run(self.settings.timeout, |error| error, operation).await??)
    }

    /// Documents by their ids, or a sample of all.
    async fn documents(&self, pipeline: Vec<Document>) -> Result<Vec<RawDocumentBuf>, MongoUsersError> {
        self.ask(move |users| async move {
            let mut cursor = users.aggregate(pipeline).with_type::<RawDocumentBuf>().await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.current().to_owned());
            }
            Ok(found)
        })
        .await
    }
}
