//! `[login.mongodb]`: users in a collection that an app keeps.

use super::notes::At;
use super::reader::{Entry, Section};
use super::report::{Problem, shown};
use super::secrets;
use super::store::{Store, StoreKind};
pub use crate::auth::MongoUsersSettings;
use crate::secret::Secret;
use std::collections::BTreeMap;

/// Reads the table, if it is there.
pub(super) fn read(mut section: Section<'_, '_>, store: &Store) -> Option<MongoUsersSettings> {
    let span = section.span()?.clone();
    let notes = section.notes;
    let uri = section.take("uri").map(|entry| secrets::read_uri(entry).unwrap_or_else(|| Secret::new("")));
    let shared = match &store.kind {
        StoreKind::Mongo(mongo) => Some(mongo),
        _ => None,
    };
    let uri = uri.or_else(|| shared.map(|mongo| mongo.uri.clone())).unwrap_or_else(|| {
        let problem = Problem::error("`[login.mongodb]` needs a `uri`").at(&span, "the sessions are not in MongoDB");
        notes.add(problem.help("add uri = \"env:MONGODB_URI\""));
        Secret::new("")
    });
    let database = section.take("database").and_then(word).or_else(|| shared.map(|mongo| mongo.database.clone()));
    if database.is_none() {
        let problem = Problem::error("`[login.mongodb]` needs a `database`").at(&span, "in which database?");
        notes.add(problem.help("add database = \"myapp\""));
    }
    let mut field = |key, shipped: &str| section.take(key).and_then(word).unwrap_or_else(|| shipped.to_owned());
    let (name_field, hash_field) = (field("name_field", "username"), field("hash_field", "password"));
    let (collection, disabled_field) = (field("collection", "users"), field("disabled_field", "disabled"));
    let settings = MongoUsersSettings {
        fields: section.take("fields").map(|entry| fields(entry, &hash_field)).unwrap_or_default(),
        active_field: section.take("active_field").and_then(word),
        lowercase: section.flag("lowercase").is_some_and(|flag| flag.value),
        rehash: section.flag("rehash").is_some_and(|flag| flag.value),
        database: database.unwrap_or_default(),
        timeout: store.read_timeout,
        uri,
        collection,
        name_field,
        hash_field,
        disabled_field,
    };
    section.finish();
    Some(settings)
}

/// A name in MongoDB, which must not look like an operator.
fn word(entry: Entry<'_, '_>) -> Option<String> {
    if entry.as_text().is_some_and(|text| text.is_empty() || text.contains(['\0', '$']) || text.split('.').any(str::is_empty)) {
        entry.notes.add(entry.wrong("must not be empty or contain `$`"));
        return None;
    }
    entry.text().map(|text| text.value)
}

/// A list of names, or a table of the session's names and those in the document.
fn fields(entry: Entry<'_, '_>, hash_field: &str) -> BTreeMap<String, String> {
    let notes = entry.notes;
    let pairs: Vec<(At<String>, String)> = if entry.is_list() {
        let names = entry.texts().map(|names| names.value).unwrap_or_default();
        names.into_iter().map(|name| (name.clone(), name.value)).collect()
    } else {
        let Some(mut table) = entry.section("`fields`") else { return BTreeMap::new() };
        table.take_rest().into_iter().filter_map(|(name, path)| Some((name, word(path)?))).collect()
    };
    let mut fields = BTreeMap::new();
    for (name, path) in pairs {
        let is_hash = path == hash_field || hash_field.starts_with(&format!("{path}."));
        let why = match name.value.as_str() {
            "cookie" => "the cookie's own settings",
            "" => "empty",
            field if field.contains(['.', '$', '\0']) => "not a field of the session",
            _ if is_hash => "holds the password's hash",
            _ => {
                fields.insert(name.value, path);
                continue;
            }
        };
        let problem = Problem::error(format!("`fields` cannot copy `{}`", shown(&name.value))).at(&name.span, why);
        notes.add(problem.help("write names of fields, as in [\"role\"], or { role = \"profile.role\" } for one that lies deeper"));
    }
    fields
}
