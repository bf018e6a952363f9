//! Where users are kept: one variant per kind.

use super::Account;
use super::credential::Word;
use super::hash::{Kind, StoredHash};
use super::mongo_users::{MongoUsers, MongoUsersError, MongoUsersSettings};
use super::users_file::{self, ReadError, UsersFile};
use crate::session::record::Credential;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Which users there are, as configured.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSettings {
    /// A `users.toml`; with any other name the lines of an `.htpasswd`.
    File(PathBuf),
    /// A collection in MongoDB.
    Mongo(Box<MongoUsersSettings>),
}

/// An opened source.
pub(super) enum Source {
    File(Arc<UsersFile>),
    Mongo(Arc<MongoUsers>),
}

/// What a source knows of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What becomes of it at login.
    pub account: Account,
    /// What the password is compared with.
    pub hash: StoredHash,
    /// Disabled users are refused as if their password were wrong.
    pub disabled: bool,
}

/// Why users cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    File(#[from] ReadError),
    #[error(transparent)]
    Mongo(#[from] MongoUsersError),
}

impl Source {
    /// Opens and watches it; `tell` gets the names of users whose sessions must end.
    pub(super) async fn open(settings: &SourceSettings, tell: &UnboundedSender<String>) -> Result<Self, SourceError> {
        match settings {
            SourceSettings::File(path) => {
                let file = Arc::new(UsersFile::open(path)?);
                file.keep_fresh(tell.clone());
                Ok(Source::File(file))
            }
            SourceSettings::Mongo(settings) => Ok(Source::Mongo(MongoUsers::open(settings, tell.clone()).await?)),
        }
    }

    /// Looks a name up; `None` if this source does not know it.
    pub(super) async fn find(&self, user: &str) -> Result<Option<Entry>, SourceError> {
        match self {
            Source::File(file) => Ok(file.find(user)),
            Source::Mongo(users) => Ok(users.find(user).await?),
        }
    }

    /// What it costs to check the users here, one item for each of them or of a sample.
    pub(super) fn kinds(&self) -> Arc<[Kind]> {
        match self {
            Source::File(file) => file.kinds(),
            Source::Mongo(users) => users.kinds(),
        }
    }

    /// The session fields that its users bring.
    pub(super) fn fields(&self) -> Vec<String> {
        match self {
            Source::File(_) => users_file::FIELDS.map(str::to_owned).to_vec(),
            Source::Mongo(users) => users.settings().fields.keys().cloned().collect(),
        }
    }

    /// Whether the entry is still true after the time that hashing took.
    pub(super) fn is_current(&self, entry: &Entry) -> bool {
        match self {
            Source::File(file) => file.find(&entry.account.user).as_ref() == Some(entry),
            // The next look at those who have signed in sees what has changed since it was read.
            Source::Mongo(_) => true,
        }
    }

    /// The user has signed in, and is watched from now on. What their session is to remember.
    pub(super) fn admit(&self, entry: &Entry) -> Credential {
        match self {
            Source::File(_) => UsersFile::credential(entry),
            Source::Mongo(users) => users.admit(entry),
        }
    }

    /// What is known of a credential at this moment, without asking anybody.
    pub(super) fn word_on(&self, user: &str, credential: Credential) -> Word {
        match self {
            Source::File(file) => file.word_on(user, credential),
            Source::Mongo(users) => users.word_on(user, credential),
        }
    }

    /// Whether weak hashes are to be replaced at sign-in.
    pub(super) fn wants_rehash(&self) -> bool {
        match self {
            Source::File(_) => false,
            Source::Mongo(users) => users.settings().rehash,
        }
    }

    /// Replaces the hash of an entry if it is still the one that was read; whether it did.
    pub(super) async fn replace_hash(&self, entry: &Entry, hash: &StoredHash) -> bool {
        match self {
            Source::File(_) => false,
            Source::Mongo(users) => users.replace_hash(entry, hash).await,
        }
    }
}
