//! Changes to `users.toml` from the command line: whole or not at all, comments kept, one at a time.

use super::{FIELDS, ReadError, Users};
use crate::auth::hash::StoredHash;
use serde_json::{Map, Value};
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use toml_edit::{Array, DocumentMut, Item, Table, value};

/// Why a users file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("there is a user `{0}` already")]
    Taken(String),
    #[error("there is no user `{0}`")]
    Unknown(String),
    #[error(transparent)]
    Unsound(#[from] ReadError),
    #[error("could not write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
}

/// One change.
#[derive(Debug)]
pub enum Edit<'a> {
    /// A new user.
    Add { user: &'a str, hash: &'a StoredHash, fields: &'a Map<String, Value> },
    /// Another password.
    Password { user: &'a str, hash: &'a StoredHash },
    /// No such user any more.
    Remove { user: &'a str },
}

/// Changes the file; a missing one is made, readable by its owner alone.
pub fn edit(path: &Path, edit: &Edit<'_>) -> Result<(), EditError> {
    let unwritable = |source| EditError::Unwritable { path: path.to_owned(), source };
    // A link stays a link: what it leads to is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    // Two editors at the same time would lose one's change; the lock is let go with the handle.
    let held = File::open(&directory).map_err(unwritable)?;
    held.lock().map_err(unwritable)?;
    let users = super::read(&target)?.users;
    let text = if target.exists() { std::fs::read_to_string(&target).map_err(unwritable)? } else { String::new() };
    let mut document: DocumentMut = text.parse().map_err(|_| unwritable(std::io::ErrorKind::InvalidData.into()))?;
    apply(&mut document, &users, edit).map_err(|error| error.unwrap_or_else(|| unwritable(std::io::ErrorKind::InvalidData.into())))?;
    replace(&directory, &target, document.to_string().as_bytes()).map_err(unwritable)
}

/// `Err(None)`: the document has another shape than the reader saw.
fn apply(document: &mut DocumentMut, users: &Users, edit: &Edit<'_>) -> Result<(), Option<EditError>> {
    let section = document.entry("users").or_insert_with(|| {
        let mut users = Table::new();
        users.set_implicit(true);
        Item::Table(users)
    });
    let table = section.as_table_like_mut().ok_or(None)?;
    match edit {
        Edit::Add { user, .. } if users.contains_key(*user) => Err(Some(EditError::Taken((*user).to_owned()))),
        Edit::Password { user, .. } | Edit::Remove { user } if !users.contains_key(*user) => {
            Err(Some(EditError::Unknown((*user).to_owned())))
        }
        Edit::Add { user, hash, fields } => {
            table.insert(user, Item::Table(new_user(hash, fields)));
            Ok(())
        }
        Edit::Password { user, hash } => {
            let old = table.get_mut(user).and_then(Item::as_table_like_mut).and_then(|user| user.get_mut("hash")).ok_or(None)?;
            let decor = old.as_value().map(|old| old.decor().clone());
            *old = value(hash.as_text());
            if let (Some(decor), Some(new)) = (decor, old.as_value_mut()) {
                *new.decor_mut() = decor;
            }
            Ok(())
        }
        Edit::Remove { user } => table.remove(user).map(drop).ok_or(None),
    }
}

fn new_user(hash: &StoredHash, fields: &Map<String, Value>) -> Table {
    let mut user = Table::new();
    user.insert("hash", value(hash.as_text()));
    for (field, content) in FIELDS.iter().filter_map(|field| Some((field, fields.get(*field)?))) {
        match content {
            Value::Array(items) => drop(user.insert(field, value(items.iter().filter_map(Value::as_str).collect::<Array>()))),
            other => drop(user.insert(field, value(other.as_str().unwrap_or_default()))),
        }
    }
    user
}

/// A reader sees the old file or the new one, never a piece, also after a loss of power.
fn replace(directory: &Path, target: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = directory.join(name);
    // What an interrupted run has left behind.
    let _ = std::fs::remove_file(&temporary);
    let written = write(&temporary, std::fs::metadata(target).ok().as_ref(), contents).and_then(|()| std::fs::rename(&temporary, target));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write(path: &Path, like: Option<&Metadata>, contents: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if let Some(like) = like {
        keep_owner(path, &file, like)?;
        file.set_permissions(like.permissions())?;
    }
    file.write_all(contents)?;
    file.sync_all()
}

/// Root edits the file of a service: the service must still be able to read it.
#[cfg(unix)]
fn keep_owner(path: &Path, file: &File, like: &Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let is = file.metadata()?;
    if (is.uid(), is.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &File, _: &Metadata) -> std::io::Result<()> {
    Ok(())
}
