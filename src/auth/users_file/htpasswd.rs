//! `.htpasswd`: `name:hash` lines as Apache and nginx read them. bcrypt and argon2 hashes are accepted; the older ones are too weak.

use super::{Contents, Fault, is_name};
use crate::auth::Account;
use crate::auth::hash::{HashError, StoredHash};
use crate::auth::source::Entry;
use serde_json::Map;
use std::path::Path;

/// Reads all lines. A line that is of no use is doubtful, not wrong: such files often hold old hashes beside new ones.
pub(super) fn parse(path: &Path, text: &str) -> Contents {
    let mut contents = Contents::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line) {
            // The first line of a name is the one that other servers use.
            Ok(entry) if contents.users.contains_key(&entry.account.user) => {
                contents.doubts.push(doubt(path, number, "the name is there twice"))
            }
            Ok(entry) => drop(contents.users.insert(entry.account.user.clone(), entry)),
            Err(what) => contents.doubts.push(doubt(path, number, what)),
        }
    }
    contents
}

fn doubt(path: &Path, line: usize, what: &str) -> Fault {
    Fault { path: path.to_owned(), line, column: 1, what: what.to_owned() }
}

fn entry(line: &str) -> Result<Entry, &'static str> {
    let (name, hash) = line.split_once(':').filter(|(name, _)| is_name(name)).ok_or("not a line of NAME:HASH")?;
    let hash = StoredHash::parse(hash).map_err(|error| match error {
        HashError::Unknown => "a hash that is too weak to be accepted: write it again with `htpasswd -B`",
        HashError::Damaged => "a damaged hash",
        HashError::TooCostly => "a hash that is too costly to check",
    })?;
    Ok(Entry { account: Account { user: name.to_owned(), fields: Map::new() }, hash, disabled: false })
}
