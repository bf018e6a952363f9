//! Users in a file: `users.toml`, or the lines of an `.htpasswd`. The file is read again when it changes (`watch.rs`).

pub mod edit;
mod htpasswd;
mod remains;
mod table;
mod watch;

use super::credential::{Issuer, Word, digest};
use super::hash::Kind;
use super::source::Entry;
use crate::session::record::Credential;
pub use remains::Remains;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The most bytes of a users file: some twenty thousand users.
const LARGEST: u64 = 8 << 20;

/// The fields of a user that go into the session.
pub const FIELDS: [&str; 4] = ["role", "groups", "display_name", "email"];

/// Those that say what the user may do.
const RIGHTS: [&str; 2] = ["role", "groups"];

const ISSUER: Issuer = Issuer(1);

/// Users by name.
pub type Users = BTreeMap<String, Entry>;

/// What a file says, and what is doubtful about it: users who cannot sign in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// All users, the disabled too.
    pub users: Users,
    /// With the file's name, line and column.
    pub doubts: Vec<Fault>,
    /// Whether there is no such file.
    pub is_missing: bool,
}

/// A mistake in a users file. Its message holds no piece of a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {what}", path.display())]
pub struct Fault {
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub what: String,
}

/// Why a users file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("could not read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faulty(Vec<Fault>, Remains),
}

/// Reads a file: `users.toml` if its name ends so, else the lines of an `.htpasswd`. A missing file is no users.
pub fn read(path: &Path) -> Result<Contents, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    let text = match std::fs::metadata(path).and_then(|of| if of.len() > LARGEST { Err(too_large()) } else { std::fs::read(path) }) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| not_text(path, &error.into_bytes()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents { is_missing: true, ..Contents::default() }),
        Err(error) => return Err(unreadable(error)),
    };
    parse(path, &text)
}

fn not_text(path: &Path, bytes: &[u8]) -> ReadError {
    let first = bytes.utf8_chunks().map(|chunk| chunk.valid().len()).next().unwrap_or_default();
    let line = 1 + bytes.iter().take(first).filter(|byte| **byte == b'\n').count();
    let fault = Fault { path: path.to_owned(), line, column: 1, what: "a letter that is not UTF-8".to_owned() };
    ReadError::Faulty(vec![fault], Remains::of(&String::from_utf8_lossy(bytes)))
}

fn too_large() -> std::io::Error {
    std::io::Error::new(ErrorKind::FileTooLarge, "larger than 8 MiB")
}

fn parse(path: &Path, text: &str) -> Result<Contents, ReadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_toml(path) {
        table::parse(path, text).map_err(|faults| ReadError::Faulty(faults, Remains::of(text)))
    } else {
        Ok(htpasswd::parse(path, text))
    }
}

/// Whether the file is one of ours, which `cloakroom user` edits.
pub fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// Whether a name can be a user's: 1 to 256 bytes without control characters.
pub fn is_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The users of one file, as it was when it was last sound.
pub struct UsersFile {
    path: PathBuf,
    loaded: RwLock<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    users: Arc<Users>,
    kinds: Arc<[Kind]>,
    /// By name; `None` of those who are disabled.
    credentials: Arc<HashMap<String, Option<Credential>>>,
    /// There has been no file yet, and perhaps it is only late: nobody counts as removed.
    is_awaited: bool,
}

impl Loaded {
    fn new(users: Users, is_awaited: bool) -> Self {
        let credential = |entry: &Entry| (!entry.disabled).then(|| UsersFile::credential(entry));
        Loaded {
            kinds: users.values().map(|entry| entry.hash.kind()).collect(),
            credentials: Arc::new(users.iter().map(|(name, entry)| (name.clone(), credential(entry))).collect()),
            users: Arc::new(users),
            is_awaited,
        }
    }

    /// Who was removed or disabled, or has another password, role or groups: what is in their sessions is not true any more.
    fn ousted_by(&self, after: &Loaded) -> Vec<String> {
        let credential = |loaded: &Loaded, name: &str| loaded.credentials.get(name).copied().flatten();
        let is_ousted = |name: &&String| credential(self, name).is_some_and(|was| credential(after, name) != Some(was));
        self.users.keys().filter(is_ousted).cloned().collect()
    }
}

impl UsersFile {
    /// Reads the file. An error at the start is told; a later one keeps what was.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let contents = read(path)?;
        Ok(UsersFile { path: path.to_owned(), loaded: RwLock::new(Loaded::new(contents.users, contents.is_missing)) })
    }

    /// What the session of one of its users is to remember; with the rights that the file gives, which are in the session and would stay there.
    pub(super) fn credential(entry: &Entry) -> Credential {
        let rights = RIGHTS.map(|field| entry.account.fields.get(field).map(ToString::to_string).unwrap_or_default());
        ISSUER.issue(&[&entry.account.user, &digest(entry.hash.as_text()), &rights[0], &rights[1]])
    }

    /// Whether the user is still as the credential says.
    pub(super) fn word_on(&self, user: &str, credential: Credential) -> Word {
        let held = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        match held.credentials.get(user) {
            Some(own) if *own == Some(credential) => Word::Holds,
            Some(_) => Word::Fails,
            None if held.is_awaited && ISSUER.has_issued(credential) => Word::Holds,
            None => Word::Unknown,
        }
    }

    /// Looks a name up.
    pub fn find(&self, user: &str) -> Option<Entry> {
        self.users().get(user).cloned()
    }

    /// All users of this moment.
    pub fn users(&self) -> Arc<Users> {
        self.loaded().users
    }

    /// What it costs to check each of them.
    pub fn kinds(&self) -> Arc<[Kind]> {
        self.loaded().kinds
    }

    fn loaded(&self) -> Loaded {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the users; those whose sessions must end are returned.
    fn replace(&self, users: Users) -> Vec<String> {
        // Made outside of the lock, which every request takes.
        let after = Loaded::new(users, false);
        let before = std::mem::replace(&mut *self.loaded.write().unwrap_or_else(PoisonError::into_inner), after.clone());
        before.ousted_by(&after)
    }
}

#[cfg(test)]
mod tests;
