//! Which credentials the sessions of MongoDB's users have named, and what the last look at those users says of each.

use crate::auth::credential::Word;
use crate::session::record::Credential;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

/// Users that are watched: some 20 MB. One who falls out is watched again from their next request on.
const MOST: usize = 100_000;
/// Users that one look is about: what MongoDB answers in some tens of milliseconds.
const MOST_AT_ONCE: usize = 10_000;
/// Credentials of one user: as often the password may change while a session lives.
const MOST_OF_ONE: usize = 16;

/// What was claimed. Asked with every request, changed with a login or a look.
#[derive(Default)]
pub(super) struct Claims(RwLock<Held>);

#[derive(Default)]
struct Held {
    users: HashMap<Arc<str>, Claimant>,
    /// Who is looked at next: who came last, then who was looked at longest ago. Where there are too many, the last one goes.
    order: VecDeque<Arc<str>>,
}

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

    /// For one look, all of this moment, or as many as one look takes: the others' turn comes with the next. A look judges no other claims:
    /// one that came meanwhile may be of a password that is newer than what the look reads.
    pub(super) fn next(&self) -> Vec<(Arc<str>, Vec<Credential>)> {
        let turn = self.0.write().unwrap_or_else(PoisonError::into_inner).take_turn();
        // The longer part of it, and no request waits.
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let credentials = |user| held.users.get(user).into_iter().flat_map(|claimant: &Claimant| &claimant.claims);
        turn.iter().map(|user| (user.clone(), credentials(user).map(|claim| claim.credential).collect())).collect()
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

    /// Who is looked at now goes to the end.
    fn take_turn(&mut self) -> Vec<Arc<str>> {
        let many = self.order.len().min(MOST_AT_ONCE);
        self.order.rotate_left(many);
        self.order.iter().rev().take(many).cloned().collect()
    }

    fn add(&mut self, user: &str, credential: Credential) {
        if self.word_on(user, credential).is_some() {
            return;
        }
        if !self.users.contains_key(user) {
            let user: Arc<str> = user.into();
            if self.users.len() >= MOST
                && let Some(last) = self.order.pop_back()
            {
                self.users.remove(&last);
            }
            self.order.push_front(user.clone());
            self.users.insert(user, Claimant { claims: Vec::with_capacity(1), is_missed: false });
        }
        let Some(Claimant { claims, .. }) = self.users.get_mut(user) else { return };
        claims.push(Claim { credential, word: Word::Holds });
        if claims.len() > MOST_OF_ONE {
            claims.remove(0);
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
        let all = claims.next();
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
        let asked = claims.next();

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
    fn memory_is_bounded_and_whoever_falls_out_is_watched_again_when_they_come_back() {
        let claims = Claims::default();

        for number in 0..=MOST {
            claims.word_on(&number.to_string(), OLD);
        }
        for number in 0..=MOST_OF_ONE {
            claims.word_on("1", Credential([u8::try_from(number).unwrap(); 16]));
        }

        let all = everybody(&claims);
        assert_eq!((all.len(), all.contains_key("0"), all["1"].len()), (MOST, false, MOST_OF_ONE));
        claims.word_on("0", OLD);
        assert!(claims.next().iter().any(|(user, _)| &**user == "0"));
        assert_eq!(everybody(&claims).len(), MOST);
    }

    /// As many looks as it takes to see all who are watched.
    fn everybody(claims: &Claims) -> HashMap<Arc<str>, Vec<Credential>> {
        (0..MOST / MOST_AT_ONCE).flat_map(|_| claims.next()).collect()
    }

    #[test]
    fn whoever_is_one_too_many_for_a_look_is_looked_at_by_the_next() {
        let claims = Claims::default();
        let names: Vec<String> = (0..MOST_AT_ONCE + 2).map(|number| number.to_string()).collect();
        for user in &names {
            claims.word_on(user, OLD);
        }

        let (first, second) = (claims.next(), claims.next());

        let is_in = |look: &[(Arc<str>, Vec<Credential>)], user: &str| look.iter().any(|(name, _)| &**name == user);
        assert_eq!((first.len(), second.len()), (MOST_AT_ONCE, MOST_AT_ONCE));
        let seen = ["0", "1", "2", "4"].map(|user| (is_in(&first, user), is_in(&second, user)));
        assert_eq!(seen, [(false, true), (false, true), (true, false), (true, true)]);
        claims.word_on("new", OLD);
        assert!(is_in(&claims.next(), "new"), "who has just come waits for nobody");
    }
}
