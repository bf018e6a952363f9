//! The one question of a login: may this visitor in?

use super::credential::Word;
use super::hash::{Kind, StoredHash, Strength};
use super::pool::{Full, HashPool};
use super::source::{Entry, Source, SourceError, SourceSettings};
use super::throttle::{Counters, Throttle, Try};
use super::users_file::is_name;
use super::{Answer, Attempt, Password};
use crate::clock::Clock;
use crate::random::Entropy;
use crate::session::record::Credential;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What a gatekeeper is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// In order; the first that knows a name decides.
    pub sources: Vec<SourceSettings>,
    /// How many tries there are.
    pub throttle: Throttle,
    /// How hard new hashes are made.
    pub strength: Strength,
}

/// Checks passwords.
pub struct Gatekeeper {
    sources: Vec<Source>,
    counters: Counters,
    pool: HashPool,
    strength: Strength,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Who has a name, and where.
type Found<'a> = Option<(&'a Source, Entry)>;

impl Gatekeeper {
    /// Opens the sources and watches them. The users whom the receiver names were removed, disabled or changed: their sessions must end, but
    /// for those that this gatekeeper vouches for. Call on a runtime.
    pub async fn open(
        settings: &Settings,
        pool: HashPool,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, UnboundedReceiver<String>), SourceError> {
        let (tell, ousted) = unbounded_channel();
        let mut sources = Vec::new();
        for source in &settings.sources {
            sources.push(Source::open(source, &tell).await?);
        }
        let counters = Counters::new(settings.throttle);
        Ok((Gatekeeper { sources, counters, pool, strength: settings.strength, clock, entropy }, ousted))
    }

    /// Answers one try. The work is the same whether the name exists or not, and one line of the log tells what came of it.
    pub async fn check(&self, attempt: Attempt<'_>) -> Answer {
        let Attempt { user, client, known_device, .. } = attempt;
        let admitted = match self.counters.admit(user, client, known_device, self.clock.moment()) {
            Ok(admitted) => admitted,
            Err(wait) => {
                tracing::warn!(alias = self.counters.alias(user), %client, wait_ms = wait.as_millis(), "sign-in slowed down");
                return Answer::Slow(wait);
            }
        };
        let found = match self.find(user).await {
            Ok(found) => found,
            Err(error) => {
                admitted.withdrawn();
                tracing::error!(alias = self.counters.alias(user), %client, error = &error as &dyn std::error::Error, "sign-in not possible");
                return Answer::Unavailable;
            }
        };
        let hash = self.compared_with(&found, user);
        let password = attempt.password.clone();
        match self.pool.run(move || hash.is_of(&password)).await {
            Ok(is_right) => self.decide(found, is_right, admitted, attempt).await,
            Err(Full(wait)) => {
                admitted.withdrawn();
                tracing::warn!(alias = self.counters.alias(user), %client, "sign-in put off: too many at this moment");
                Answer::Busy(wait)
            }
        }
    }

    /// Whether somebody who has signed in may go on: the source that decides about them still knows them by the same password. It is asked
    /// with every request, so it asks nobody: of users in MongoDB it tells what the last look has found, and until the first that they may.
    pub fn vouches_for(&self, user: &str, credential: Credential) -> bool {
        let mut words = self.sources.iter().map(|source| source.word_on(user, credential));
        words.find(|word| *word != Word::Unknown) == Some(Word::Holds)
    }

    /// The session fields that a login fills: no app may write them by `write = "all"`.
    pub fn filled_fields(&self) -> BTreeSet<String> {
        self.sources.iter().flat_map(Source::fields).collect()
    }

    /// Asks every source, also when an earlier one has answered: otherwise the time would tell who is known where. The first that knows
    /// the name decides; one before it that cannot be asked might have known it.
    async fn find(&self, user: &str) -> Result<Found<'_>, SourceError> {
        let mut decided = Ok(None);
        for source in self.sources.iter().filter(|_| is_name(user)) {
            let found = source.find(user).await;
            if let Ok(None) = decided {
                decided = found.map(|entry| entry.map(|entry| (source, entry)));
            }
        }
        decided
    }

    async fn decide(&self, found: Found<'_>, is_right: bool, admitted: Try<'_>, attempt: Attempt<'_>) -> Answer {
        let Attempt { user, client, password, .. } = attempt;
        let alias = self.counters.alias(user);
        // An unknown name is not logged: it may be a password typed into the wrong field.
        let (name, reason) = match &found {
            Some((source, entry)) if is_right && !entry.disabled && source.is_current(entry) => {
                admitted.succeeded();
                tracing::info!(user, alias, %client, "signed in");
                let mut stored = entry.clone();
                if let Some(hash) = self.strengthened(source, entry, password).await {
                    stored.hash = hash;
                }
                let credential = source.admit(&stored);
                return Answer::Welcome(stored.account, credential);
            }
            Some((_, entry)) if entry.disabled => (Some(user), "disabled"),
            Some(_) if is_right => (Some(user), "changed meanwhile"),
            Some(_) => (Some(user), "wrong password"),
            None => (None, "unknown user"),
        };
        tracing::warn!(user = name, alias, %client, reason, "sign-in refused");
        if admitted.failed() {
            tracing::error!(user = name, alias, %client, "100 sign-ins in a row have failed for one name");
        }
        Answer::Refused
    }

    /// What the password is compared with. Who cannot sign in anyway costs what a name does that nobody has: some have no hash at all.
    fn compared_with(&self, found: &Found<'_>, user: &str) -> StoredHash {
        // Made for known names too: the few microseconds would tell.
        let nobody = self.nobody(user);
        found.as_ref().filter(|(_, entry)| !entry.disabled).map_or(nobody, |(_, entry)| entry.hash.clone())
    }

    /// What a name is compared with that nobody has. Each such name costs what one of the real users does, always the same one: so the
    /// time tells nothing, even where old and new hashes are mixed.
    fn nobody(&self, user: &str) -> StoredHash {
        let kinds: Vec<Arc<[Kind]>> = self.sources.iter().map(Source::kinds).collect();
        let all = kinds.iter().map(|kinds| kinds.len()).sum::<usize>().max(1);
        let chosen = usize::try_from(self.counters.number(user) % all as u64).unwrap_or_default();
        let kind = kinds.iter().flat_map(|kinds| kinds.iter()).nth(chosen).copied();
        StoredHash::nobodys(kind.unwrap_or_else(|| self.strength.into()), self.entropy.as_ref())
    }

    /// Replaces a hash that is weaker than those made today, where the source wants that. The visitor is let in whatever comes of it.
    async fn strengthened(&self, source: &Source, entry: &Entry, password: &Password) -> Option<StoredHash> {
        if !source.wants_rehash() || !entry.hash.is_weaker_than(self.strength) {
            return None;
        }
        let (password, strength, entropy) = (password.clone(), self.strength, self.entropy.clone());
        let made = self.pool.run(move || StoredHash::make(&password, strength, entropy.as_ref())).await;
        let hash = made.ok()?.ok()?;
        source.replace_hash(entry, &hash).await.then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Account;
    use crate::clock::ManualClock;
    use crate::random::CountingEntropy;

    #[tokio::test]
    async fn who_cannot_sign_in_costs_what_a_name_costs_that_nobody_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".htpasswd");
        std::fs::write(&path, format!("alice:{}\n", bcrypt::hash("correct horse", 4).unwrap())).unwrap();
        let settings = Settings { sources: vec![SourceSettings::File(path)], throttle: Throttle::default(), strength: Strength::SHIPPED };
        let clock = Arc::new(ManualClock::at(crate::clock::Timestamp(0)));
        let entropy = Arc::new(CountingEntropy::default());
        let (gatekeeper, _ousted) = Gatekeeper::open(&settings, HashPool::new(), clock, entropy.clone()).await.unwrap();
        let hash = StoredHash::nobodys(Strength::SHIPPED.into(), entropy.as_ref());
        let invited = Entry { account: Account { user: "invited".to_owned(), fields: serde_json::Map::new() }, hash, disabled: true };

        let compared_with = gatekeeper.compared_with(&Some((&gatekeeper.sources[0], invited)), "invited");

        assert_eq!(compared_with.kind(), Kind::Bcrypt { cost: 4 });
    }
}
