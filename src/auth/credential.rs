//! What a session remembers of the login that began it: a digest of what was checked, kept beside the session and compared with each
//! request. Whoever changed meanwhile, also while no Cloakroom ran, is out.
//!
//! It has no key. What it digests has a random salt in it that nobody can guess, so it tells nothing, and a secret that is retired one day
//! ends no session.

use crate::session::record::Credential;
use sha2::{Digest as _, Sha256};

/// Which kind of source decides about a user: the first byte of a credential. Each kind has a number of its own, and none has 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Issuer(pub u8);

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

impl Issuer {
    pub(super) fn has_issued(self, credential: Credential) -> bool {
        credential.0[0] == self.0
    }

    /// A digest of what the user has proven. Of no two lists is it the same.
    pub(super) fn issue(self, about: &[&str]) -> Credential {
        let mut digest = Sha256::new_with_prefix(b"cloakroom credential");
        for part in about {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut credential = [0; 16];
        credential.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        credential[0] = self.0;
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
    use std::collections::HashSet;

    #[test]
    fn a_credential_tells_its_issuer_and_what_it_is_about() {
        let (one, two) = (Issuer(1), Issuer(2));
        let lists: [&[&str]; 5] = [&["a", "bc"], &["ab", "c"], &["abc"], &["a", "bc", ""], &["A", "bc"]];

        let made: Vec<Credential> = [one, two].iter().flat_map(|issuer| lists.map(|about| issuer.issue(about))).collect();

        assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
        let told: Vec<_> = made.iter().map(|credential| (one.has_issued(*credential), two.has_issued(*credential))).collect();
        assert_eq!(told, [[(true, false); 5], [(false, true); 5]].concat());
    }

    #[test]
    fn a_credential_is_stored_as_it_is_and_what_is_none_is_nobodys() {
        let made = Issuer(255).issue(&["alice"]);

        assert_eq!((Credential::parse(&made.to_text()), Credential::stored(&made.to_text())), (Some(made), made));
        for odd in ["", "+0000000000000000000000000000001", "0", &made.to_text().to_uppercase(), &format!("{}0", made.to_text())] {
            assert_eq!(Credential::parse(odd), None, "{odd}");
            assert!(Issuer(0).has_issued(Credential::stored(odd)), "{odd}");
        }
    }
}
