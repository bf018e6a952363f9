//! Where users are kept. The first source that knows a name decides.

use super::Account;
use super::hash::StoredHash;
use super::users_file::UsersFile;
use std::path::PathBuf;

/// Which users there are, as configured.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSettings {
    /// A `users.toml`, or any other name: lines of `.htpasswd`.
    File(PathBuf),
}

/// An opened source.
pub(super) enum Source {
    File(UsersFile),
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

impl Source {
    pub(super) fn open(settings: &SourceSettings) -> Self {
        match settings {
            SourceSettings::File(path) => Source::File(UsersFile::open(path)),
        }
    }

    /// Looks a name up; `None` if this source does not know it.
    pub(super) async fn find(&self, user: &str) -> Option<Entry> {
        match self {
            Source::File(file) => file.find(user),
        }
    }
}
