//! The one question of the login: may this visitor in?

use super::hash::{StoredHash, Strength};
use super::source::{Source, SourceSettings};
use super::throttle::Throttle;
use super::{Answer, Attempt, Password};
use crate::random::Entropy;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

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
    /// Compared with when nobody has the name, so that it takes as long.
    nobody: Arc<StoredHash>,
}

impl Gatekeeper {
    /// Opens the sources.
    pub fn open(settings: &Settings, entropy: &dyn Entropy) -> Result<Self, super::hash::HashError> {
        let mut random = [0; 32];
        entropy.fill(&mut random);
        let password = Password::new(random).ok_or(super::hash::HashError::Damaged)?;
        let nobody = Arc::new(StoredHash::make(&password, settings.strength, entropy)?);
        Ok(Gatekeeper { sources: settings.sources.iter().map(Source::open).collect(), nobody })
    }

    /// Answers one try. The work is the same whether the name exists or not.
    pub async fn check(&self, attempt: Attempt<'_>) -> Answer {
        let mut known = None;
        for source in &self.sources {
            known = known.or(source.find(attempt.user).await);
        }
        let hash = known.as_ref().map_or_else(|| self.nobody.clone(), |entry| Arc::new(entry.hash.clone()));
        let password = attempt.password.clone();
        let Ok(is_right) = tokio::task::spawn_blocking(move || hash.is_of(&password)).await else {
            return Answer::Busy(Duration::from_secs(1));
        };
        match known {
            Some(entry) if is_right && !entry.disabled => Answer::Welcome(entry.account),
            _ => Answer::Refused,
        }
    }

    /// The session fields that a login fills: no app may write them by `write = "all"`.
    pub fn filled_fields(&self) -> BTreeSet<String> {
        ["role", "groups", "display_name", "email"].map(str::to_owned).into()
    }
}
