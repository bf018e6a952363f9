//! `users.toml`: a table `[users.NAME]` per user, with its `hash`, `disabled` and the fields for the session.

use super::{Contents, FIELDS, Fault, Users, is_name};
use crate::auth::Account;
use crate::auth::hash::StoredHash;
use crate::auth::source::Entry;
use serde_json::{Map, Value};
use std::ops::Range;
use std::path::Path;
use toml_edit::{Document, Item, TableLike};

/// What a user's table may say.
pub(super) const KEYS: [&str; 6] = ["hash", "disabled", FIELDS[0], FIELDS[1], FIELDS[2], FIELDS[3]];

/// Reads a whole file: all users, or all mistakes.
pub(super) fn parse(path: &Path, text: &str) -> Result<Contents, Vec<Fault>> {
    let mut reader = Reader { path, text, faults: Vec::new() };
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            reader.fault(error.span(), format!("not TOML: {}", error.message().lines().next().unwrap_or_default()));
            return Err(reader.faults);
        }
    };
    let users = reader.users(document.as_table());
    if reader.faults.is_empty() { Ok(Contents { users, ..Contents::default() }) } else { Err(reader.faults) }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn users(&mut self, root: &dyn TableLike) -> Users {
        let mut users = Users::new();
        for (section, item) in root.iter() {
            if section != "users" {
                self.unknown(root, section, "the file", &["users"], "; a user is a table [users.NAME]");
                continue;
            }
            let Some(table) = item.as_table_like() else {
                self.fault(item.span(), "a user is a table [users.NAME]".to_owned());
                continue;
            };
            for (name, item) in table.iter() {
                let place = || table.key(name).and_then(toml_edit::Key::span);
                match item.as_table_like() {
                    _ if !is_name(name) => self.fault(place(), "a name has 1 to 256 bytes and no control characters".to_owned()),
                    None => self.fault(place(), "a user is a table with a `hash`".to_owned()),
                    Some(user) => {
                        if let Some(entry) = self.user(name, user, place()) {
                            users.insert(name.to_owned(), entry);
                        }
                    }
                }
            }
        }
        users
    }

    fn user(&mut self, name: &str, table: &dyn TableLike, place: Option<Range<usize>>) -> Option<Entry> {
        let (mut hash, mut disabled, mut fields) = (None, false, Map::new());
        for (key, item) in table.iter() {
            match key {
                "hash" => match item.as_str().map(StoredHash::parse) {
                    Some(Ok(parsed)) => hash = Some(parsed),
                    Some(Err(error)) => self.fault(item.span(), error.to_string()),
                    None => self.fault(item.span(), "`hash` must be text in quotes".to_owned()),
                },
                "disabled" => match item.as_bool() {
                    Some(flag) => disabled = flag,
                    None => self.fault(item.span(), "`disabled` must be true or false".to_owned()),
                },
                "groups" => match texts(item) {
                    Some(groups) => drop(fields.insert(key.to_owned(), groups)),
                    None => self.fault(item.span(), "`groups` must be a list of texts, as in [\"staff\"]".to_owned()),
                },
                field if FIELDS.contains(&field) => match item.as_str() {
                    Some(text) => drop(fields.insert(key.to_owned(), Value::from(text))),
                    None => self.fault(item.span(), format!("`{field}` must be text in quotes")),
                },
                other => {
                    self.unknown(table, other, "a user", &KEYS, "");
                }
            }
        }
        if !table.contains_key("hash") {
            self.fault(place, "a user without a `hash`: `cloakroom user password NAME` makes one".to_owned());
        }
        hash.map(|hash| Entry { account: Account { user: name.to_owned(), fields }, hash, disabled })
    }

    fn unknown(&mut self, table: &dyn TableLike, key: &str, place: &str, known: &[&str], more: &str) {
        let shown: String = key.chars().flat_map(char::escape_debug).take(60).collect();
        let help = match nearest(key, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the keys here are `{}`", known.join("`, `")),
        };
        self.fault(table.key(key).and_then(toml_edit::Key::span), format!("unknown key `{shown}` in {place}; {help}{more}"));
    }

    fn fault(&mut self, at: Option<Range<usize>>, what: String) {
        let before = self.text.get(..at.map_or(self.text.len(), |span| span.start)).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.faults.push(Fault { path: self.path.to_owned(), line, column, what });
    }
}

/// Which of the known keys was perhaps meant.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, name) = known.iter().map(|name| (strsim::damerau_levenshtein(key, name), *name)).min()?;
    (distance <= (key.chars().count() / 3).max(1)).then_some(name)
}

fn texts(item: &Item) -> Option<Value> {
    item.as_array()?.iter().map(|text| text.as_str().map(Value::from)).collect()
}
