//! What a users file with mistakes still says: who is not in it any more, and who is disabled in it. That much is obeyed, because a typo must
//! not keep in whom somebody wants out; all else stays as it was until the file is mended.
//!
//! It is read table by table, and where that fails line by line. A user counts as removed only if no part of the file that nobody can read
//! holds the name, and as disabled also by a key or a value that is not quite right.

use super::table::{KEYS, nearest};
use super::{Entry, Users};
use std::collections::BTreeMap;
use toml_edit::{Document, TableLike};

/// The readable parts of a file, and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Whether the tables of this name let their user in.
    open: BTreeMap<String, bool>,
    /// Lines that nobody can read, without comments.
    unreadable: String,
}

impl Remains {
    pub(super) fn of(text: &str) -> Self {
        let mut remains = Remains::default();
        let mut tables: Vec<Vec<&str>> = vec![Vec::new()];
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            if line.trim_start().starts_with('[') {
                tables.push(Vec::new());
            }
            tables.last_mut().into_iter().for_each(|table| table.push(line));
        }
        tables.iter().for_each(|lines| remains.read_table(lines));
        remains
    }

    /// The users of before without those who are out.
    pub(super) fn obeyed(&self, before: &Users) -> Users {
        let after = |(name, entry): (&String, &Entry)| {
            let is_open = match self.open.get(name) {
                Some(is_open) => *is_open,
                None if mentions(&self.unreadable, name) => true,
                None => return None,
            };
            Some((name.clone(), Entry { disabled: entry.disabled || !is_open, ..entry.clone() }))
        };
        before.iter().filter_map(after).collect()
    }

    fn read_table(&mut self, lines: &[&str]) {
        if self.read(&lines.join("\n")) {
            return;
        }
        let header = lines.first().filter(|line| line.trim_start().starts_with('['));
        // A bracket may be what is missing.
        let header = header.map(|line| format!("[{}]\n", line.trim().trim_matches(['[', ']']))).unwrap_or_default();
        if !self.read(&header) {
            self.unreadable.push_str(&header);
        }
        for line in lines.iter().skip(usize::from(!header.is_empty())) {
            if !self.read(&format!("{header}{line}")) {
                self.unreadable.push_str(line);
                self.unreadable.push('\n');
            }
        }
    }

    /// Notes who is in a piece of the file; false: it is no TOML.
    fn read(&mut self, piece: &str) -> bool {
        let Ok(document) = Document::parse(piece) else { return false };
        for (section, item) in document.as_table().iter() {
            let Some(table) = item.as_table_like() else { continue };
            let users = table.iter().filter_map(|(name, item)| Some((name, item.as_table_like()?)));
            // `[alice]` or `[user.alice]` is a mistake, and says all the same who is there.
            for (name, user) in users.chain(Some((section, table)).filter(|_| section != "users")) {
                *self.open.entry(name.to_owned()).or_insert(true) &= !is_disabled(user);
            }
        }
        true
    }
}

/// Whether the text holds the name as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + name.len()..).unwrap_or_default());
        !before.ends_with(goes_on) && !after.starts_with(goes_on)
    })
}

fn is_disabled(user: &dyn TableLike) -> bool {
    user.iter().any(|(key, item)| nearest(key, &KEYS) == Some("disabled") && item.as_bool() != Some(false))
}
