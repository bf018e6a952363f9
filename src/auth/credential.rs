//! What a session remembers of the login that began it: a digest of what was checked, kept beside the session and compared with each
//! request. Whoever changed meanwhile, also while no Cloakroom ran, is out.
//!
//! It has no key. What it digests has a random salt in it that nobody can guess, so it tells nothing, and a secret that is retired one day
//! ends no session.

use super::hash::StoredHash;
use crate::session::record::Credential;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What decides about a user: the first byte of a credential says which kind of source has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    File = 1,
    Mongo = 2,
}

/// What a source says of somebody's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// They may still sign in with the same password. Also said as long as nobody can tell.
    Holds,
    /// They have another password or other rights, or are disabled.
    Fails,
    /// They are not known here: ask the next source.
    Unknown,
}

/// Fields of a user that say what they may do.
pub(super) const RIGHTS: [&str; 2] = ["role", "groups"];

impl Issuer {
    /// What a user of a file proves. With the rights that the file gives: they are in the session, and would stay there.
    pub(super) fn of_file(user: &str, hash: &StoredHash, fields: &Map<String, Value>) -> Credential {
        let rights = RIGHTS.map(|field| fields.get(field).map(Value::to_string).unwrap_or_default());
        Issuer::File.issue(&[user, &digest(hash.as_text()), &rights[0], &rights[1]])
    }

    /// What a user in MongoDB proves whose stored hash has this [`digest`].
    pub(super) fn of_mongo(user: &str, digest: &str) -> Credential {
        Issuer::Mongo.issue(&[user, digest])
    }

    pub(super) fn has_issued(self, credential: Credential) -> bool {
        credential.0[0] == self as u8
    }

    fn issue(self, about: &[&str]) -> Credential {
        let mut digest = Sha256::new_with_prefix(b"cloakroom credential");
        for part in about {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut credential = [0; 16];
        credential.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        credential[0] = self as u8;
        Credential(credential)
    }
}

/// Stands for a stored hash where the hash itself need not be seen.
pub(super) fn digest(hash: &str) -> String {
    Sha256::digest(hash.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hash::Kind;
    use crate::random::OsEntropy;
    use serde_json::json;

    fn fields(json: Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn another_name_hash_role_or_group_is_another_credential() {
        let hash = || StoredHash::nobodys(Kind::Bcrypt { cost: 4 }, &OsEntropy);
        let (own, plain) = (hash(), Map::new());
        let of = |user: &str, json: Value| Issuer::of_file(user, &own, &fields(json));
        let alice = of("alice", json!({}));

        assert_eq!(alice, of("alice", json!({ "email": "a@b", "display_name": "A" })));
        let mongo = Issuer::of_mongo("alice", &digest(own.as_text()));
        let others = [
            of("alicE", json!({})),
            of("alice", json!({ "role": "admin" })),
            of("alice", json!({ "groups": ["admin"] })),
            of("alice", json!({ "groups": [] })),
            Issuer::of_file("alice", &hash(), &plain),
            mongo,
        ];
        for (number, other) in others.iter().enumerate() {
            assert!(*other != alice && !others[..number].contains(other), "{number}");
        }
        assert!(Issuer::File.has_issued(alice) && !Issuer::File.has_issued(mongo) && Issuer::Mongo.has_issued(mongo));
    }

    #[test]
    fn a_credential_is_stored_as_it_is() {
        let made = Issuer::of_mongo("alice", "digest");

        assert_eq!(Credential::parse(&made.to_text()), Some(made));
        for odd in ["", "+0000000000000000000000000000001", "0", &made.to_text().to_uppercase(), &format!("{}0", made.to_text())] {
            assert_eq!(Credential::parse(odd), None, "{odd}");
        }
    }
}
