//! Which credentials the sessions of MongoDB's users have named, and what the last look at those users says of each.

use crate::auth::credential::Word;
use crate::session::record::Credential;
use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock};

/// Users that are watched.
const MOST: usize = 10_000;
/// Credentials of one user: as often the password may change while a session lives.
const MOST_OF_ONE: usize = 16;

/// What was claimed, the longest watched user first. Asked with every request, changed with a login or a look.
#[derive(Default)]
pub(super) struct Claims(RwLock<Held>);

#[derive(Default)]
struct Held {
    users: HashMap<String, Claimant>,
    order: VecDeque<String>,
}

#[derive(Default)]
struct Claimant {
    claims: Vec<Claim>,
    /// The last look did not find the user. Only two in a row count: a collection that is being restored logs nobody out.
    is_missed: bool,
}

struct Claim {
    credential: Credential,
    word: Word,
}

/// A user as a look has found them.
pub(super) struct Now {
    /// What signs in now; `None`: nothing does, they are disabled.
    pub(super) proof: Option<Credential>,
    /// What did before the same password got a stronger hash.
    pub(super) before: Option<Credential>,
}

impl Claims {
    /// What the last look says. A credential that is new holds until the next.
    pub(super) fn word_on(&self, user: &str, credential: Credential) -> Word {
        let told = self.0.read().unwrap_or_else(PoisonError::into_inner).word_on(user, credential);
        told.unwrap_or_else(|| {
            self.0.write().unwrap_or_else(PoisonError::into_inner).add(user, credential);
            Word::Holds
        })
    }

    /// All of this moment. A look judges no others: one that came meanwhile may be of a password that is newer than what the look reads.
    pub(super) fn all(&self) -> Vec<(String, Vec<Credential>)> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let credentials = |claimant: &Claimant| claimant.claims.iter().map(|claim| claim.credential).collect();
        held.users.iter().map(|(user, claimant)| (user.clone(), credentials(claimant))).collect()
    }

    /// Compares the user's claims that were there when the look began with what it has found. True: one of them holds no more.
    pub(super) fn judge(&self, user: &str, asked: &[Credential], now: Option<&Now>) -> bool {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(claimant) = held.users.get_mut(user) else { return false };
        let was_missed = std::mem::replace(&mut claimant.is_missed, now.is_none());
        let mut is_ousted = false;
        for claim in claimant.claims.iter_mut().filter(|claim| asked.contains(&claim.credential)) {
            let word = match now {
                None if was_missed => Word::Unknown,
                None => claim.word,
                Some(now) if [now.proof, now.before].contains(&Some(claim.credential)) => Word::Holds,
                Some(_) => Word::Fails,
            };
            is_ousted |= claim.word == Word::Holds && word != Word::Holds;
            claim.word = word;
        }
        is_ousted
    }
}

impl Held {
    fn word_on(&self, user: &str, credential: Credential) -> Option<Word> {
        self.users.get(user)?.claims.iter().find(|claim| claim.credential == credential).map(|claim| claim.word)
    }

    fn add(&mut self, user: &str, credential: Credential) {
        if self.word_on(user, credential).is_some() {
            return;
        }
        if !self.users.contains_key(user) {
            self.order.push_back(user.to_owned());
        }
        let claims = &mut self.users.entry(user.to_owned()).or_default().claims;
        claims.push(Claim { credential, word: Word::Holds });
        if claims.len() > MOST_OF_ONE {
            claims.remove(0);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.users.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Credential = Credential([2; 16]);
    const NEW: Credential = Credential([3; 16]);

    fn now(proof: Option<Credential>, before: Option<Credential>) -> Option<Now> {
        Some(Now { proof, before })
    }

    /// A look that finds this.
    fn look(claims: &Claims, found: Option<Now>) -> bool {
        let all = claims.all();
        let (user, asked) = &all[0];
        claims.judge(user, asked, found.as_ref())
    }

    #[test]
    fn a_credential_holds_until_a_look_finds_another_and_is_told_once() {
        let claims = Claims::default();

        assert_eq!(claims.word_on("alice", OLD), Word::Holds);
        assert!(!look(&claims, now(Some(OLD), None)));
        assert_eq!([look(&claims, now(Some(NEW), None)), look(&claims, now(Some(NEW), None))], [true, false]);
        assert_eq!((claims.word_on("alice", OLD), claims.word_on("alice", NEW)), (Word::Fails, Word::Holds));
        assert!(look(&claims, now(None, None)), "disabled");
        assert_eq!(claims.word_on("alice", NEW), Word::Fails);
    }

    #[test]
    fn a_look_says_nothing_of_a_login_that_came_while_it_was_under_way() {
        let claims = Claims::default();
        claims.word_on("alice", OLD);
        let asked = claims.all();

        claims.word_on("alice", NEW);

        assert!(!claims.judge("alice", &asked[0].1, now(Some(OLD), None).as_ref()));
        assert_eq!(claims.word_on("alice", NEW), Word::Holds);
    }

    #[test]
    fn a_stronger_hash_of_the_same_password_changes_nothing() {
        let claims = Claims::default();
        claims.word_on("alice", OLD);

        assert!(!look(&claims, now(Some(NEW), Some(OLD))));
        assert_eq!(claims.word_on("alice", OLD), Word::Holds);
    }

    #[test]
    fn only_who_is_not_found_twice_in_a_row_is_gone() {
        let claims = Claims::default();
        claims.word_on("alice", OLD);

        assert!(!look(&claims, None) && !look(&claims, now(Some(OLD), None)) && !look(&claims, None));
        assert_eq!(claims.word_on("alice", OLD), Word::Holds);
        assert!(look(&claims, None));
        assert_eq!(claims.word_on("alice", OLD), Word::Unknown);
    }

    #[test]
    fn memory_is_bounded() {
        let claims = Claims::default();

        for number in 0..=MOST {
            claims.word_on(&number.to_string(), OLD);
        }
        for number in 0..=MOST_OF_ONE {
            claims.word_on("1", Credential([u8::try_from(number).unwrap(); 16]));
        }

        let all: HashMap<_, _> = claims.all().into_iter().collect();
        assert_eq!((all.len(), all.contains_key("0"), all["1"].len()), (MOST, false, MOST_OF_ONE));
    }
}
