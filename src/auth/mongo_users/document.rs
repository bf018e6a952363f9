//! A user's document, read as the hostile text that it may be.

use super::MongoUsersSettings;
use super::REHASHED;
use crate::auth::Account;
use crate::auth::hash::{StoredHash, Strength};
use crate::auth::source::Entry;
use crate::random::OsEntropy;
use crate::session::store::mongo::values;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Which part of a document is what.
pub(super) struct Reader {
    name: String,
    hash: String,
    disabled: String,
    active: Option<String>,
    fields: BTreeMap<String, String>,
}

impl Reader {
    pub(super) fn new(settings: &MongoUsersSettings) -> Self {
        Reader {
            name: settings.name_field.clone(),
            hash: settings.hash_field.clone(),
            disabled: settings.disabled_field.clone(),
            active: settings.active_field.clone(),
            fields: settings.fields.clone(),
        }
    }

    /// The parts that are of use: an app's documents may be large. A part of a part that is asked for too is left out, as MongoDB wants.
    pub(super) fn projection(&self) -> Document {
        let own = [&self.name, &self.hash, &self.disabled].into_iter().chain(&self.active).map(String::as_str);
        let wanted: Vec<&str> = own.chain(self.fields.values().map(String::as_str)).chain([REHASHED]).collect();
        let is_inside = |path: &str| wanted.iter().any(|other| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.')));
        wanted.iter().filter(|path| !is_inside(path)).map(|path| ((*path).to_owned(), Bson::Int32(1))).collect()
    }

    /// `None`: the document's name is no text, or another than the one looked for.
    pub(super) fn entry(&self, looked_for: &str, document: &RawDocument) -> Option<Entry> {
        let user = self.name_of(document)?;
        if user != looked_for {
            return None;
        }
        let hash = match self.hash_of(document).map(StoredHash::parse) {
            Some(Ok(hash)) => hash,
            Some(Err(error)) => {
                tracing::warn!(user, %error, "a user's hash cannot be used: no sign-in");
                return Some(closed(user));
            }
            // A user who signs in elsewhere: by another provider, or by an invitation that was not taken up.
            None => return Some(closed(user)),
        };
        let fields = self.fields.iter().filter_map(|(field, path)| Some((field.clone(), json(at(document, path)?)?))).collect();
        Some(Entry { account: Account { user: user.to_owned(), fields }, hash, disabled: !self.is_open(document) })
    }

    pub(super) fn name_of<'a>(&self, document: &'a RawDocument) -> Option<&'a str> {
        at(document, &self.name)?.as_str()
    }

    pub(super) fn hash_of<'a>(&self, document: &'a RawDocument) -> Option<&'a str> {
        at(document, &self.hash)?.as_str()
    }

    /// What is neither true nor false counts against the user.
    pub(super) fn is_open(&self, document: &RawDocument) -> bool {
        let is_active = |path: &String| at(document, path) == Some(RawBsonRef::Boolean(true));
        matches!(at(document, &self.disabled), None | Some(RawBsonRef::Null | RawBsonRef::Boolean(false)))
            && self.active.as_ref().is_none_or(is_active)
    }
}

/// Somebody whom no password lets in.
pub(super) fn closed(user: &str) -> Entry {
    let hash = StoredHash::nobodys(Strength::SHIPPED.into(), &OsEntropy);
    Entry { account: Account { user: user.to_owned(), fields: Map::new() }, hash, disabled: true }
}

/// A dotted path into sub-documents.
fn at<'a>(document: &'a RawDocument, path: &str) -> Option<RawBsonRef<'a>> {
    match path.split_once('.') {
        None => document.get(path).ok()?,
        Some((first, rest)) => at(document.get(first).ok()??.as_document()?, rest),
    }
}

/// As Node's `JSON.stringify` would show it; `null` and `undefined` are no field.
fn json(value: RawBsonRef<'_>) -> Option<Value> {
    serde_json::from_str(&values::to_json(value).ok()?).ok().filter(|value: &Value| !value.is_null())
}
