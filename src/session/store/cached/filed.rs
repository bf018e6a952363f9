//! Keys as the shelf files them: most are 64 hex digits, which take a third of the room as bytes and no block of their own.

use crate::session::id::{SessionKey, unhex};
use quick_cache::Equivalent;

/// A key, or one that is looked for (`Filed<&str>`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Filed<Text = Box<str>> {
    Hash([u8; 32]),
    /// Of another form: with `id_hash = "none"` it is the id.
    Text(Text),
}

impl<'a> Filed<&'a str> {
    pub fn sought(key: &'a SessionKey) -> Self {
        unhex(key.as_str()).map_or(Filed::Text(key.as_str()), Filed::Hash)
    }

    pub fn to_owned(&self) -> Filed {
        match self {
            Filed::Hash(bytes) => Filed::Hash(*bytes),
            Filed::Text(text) => Filed::Text((*text).into()),
        }
    }
}

impl Equivalent<Filed> for Filed<&str> {
    fn equivalent(&self, filed: &Filed) -> bool {
        match (self, filed) {
            (Filed::Hash(sought), Filed::Hash(bytes)) => sought == bytes,
            (Filed::Text(sought), Filed::Text(text)) => **sought == **text,
            (Filed::Hash(_), Filed::Text(_)) | (Filed::Text(_), Filed::Hash(_)) => false,
        }
    }
}

impl Filed {
    /// Bytes beside the key itself.
    pub fn outside(&self) -> usize {
        match self {
            Filed::Hash(_) => 0,
            Filed::Text(text) => text.len() + 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher as _, RandomState};

    #[test]
    fn every_key_is_found_as_itself_and_as_no_other() {
        let hash = "0123456789abcdef".repeat(4);
        let texts = [hash.clone(), hash.to_uppercase(), hash[1..].to_owned(), format!("{hash}00"), "apple".to_owned(), String::new()];
        let keys = texts.map(SessionKey::stored);
        let hasher = RandomState::new();

        for (a, key) in keys.iter().enumerate() {
            let filed = Filed::sought(key).to_owned();
            for (b, other) in keys.iter().enumerate() {
                assert_eq!(Filed::sought(other).equivalent(&filed), a == b, "{a} {b}");
            }
            assert_eq!(hasher.hash_one(Filed::sought(key)), hasher.hash_one(&filed), "{a}");
        }
    }
}
