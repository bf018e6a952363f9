//! `users.toml`: one table per user, written by hand or by `cloakroom user`.

use super::Account;
use super::hash::StoredHash;
use super::source::Entry;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use toml_edit::{Document, Item, TableLike};

/// The users of one file.
pub struct UsersFile {
    users: BTreeMap<String, Entry>,
}

impl UsersFile {
    /// Reads the file; a missing one is no users.
    pub fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        UsersFile { users: parse(&text) }
    }

    /// Looks a name up.
    pub fn find(&self, user: &str) -> Option<Entry> {
        self.users.get(user).cloned()
    }
}

fn parse(text: &str) -> BTreeMap<String, Entry> {
    let Ok(document) = Document::parse(text) else { return BTreeMap::new() };
    let users = document.get("users").and_then(Item::as_table_like);
    users
        .into_iter()
        .flat_map(TableLike::iter)
        .filter_map(|(name, item)| Some((name.to_owned(), entry(name, item.as_table_like()?)?)))
        .collect()
}

fn entry(name: &str, table: &dyn TableLike) -> Option<Entry> {
    let hash = StoredHash::parse(table.get("hash")?.as_str()?).ok()?;
    let disabled = table.get("disabled").and_then(Item::as_bool).unwrap_or(false);
    let mut fields = Map::new();
    for key in ["role", "display_name", "email"] {
        if let Some(text) = table.get(key).and_then(Item::as_str) {
            fields.insert(key.to_owned(), Value::from(text));
        }
    }
    if let Some(groups) = table.get("groups").and_then(Item::as_array) {
        fields.insert("groups".to_owned(), groups.iter().filter_map(|group| group.as_str()).map(Value::from).collect());
    }
    Some(Entry { account: Account { user: name.to_owned(), fields }, hash, disabled })
}
