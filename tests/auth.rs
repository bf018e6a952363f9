//! Who may sign in: the gatekeeper over real files and a real MongoDB, and what becomes of the sessions of those who may not any more.

#[path = "auth/enumeration.rs"]
mod enumeration;
#[path = "auth/files.rs"]
mod files;
#[path = "auth/mongo.rs"]
mod mongo;
#[allow(dead_code)] // what only the login's own tests use
#[path = "login/site.rs"]
mod site;
mod support;

use cloakroom::auth::gatekeeper::{Gatekeeper, Settings};
use cloakroom::auth::hash::{StoredHash, Strength};
use cloakroom::auth::pool::HashPool;
use cloakroom::auth::{Answer, Attempt, Password, Rate, SourceSettings, Throttle};
use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::random::OsEntropy;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Hashes that cost next to nothing.
const CHEAP: Strength = Strength { memory: 8, passes: 1, lanes: 1 };
const UNLIMITED: Throttle = Throttle { per_user: None, per_client: None };
/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gatekeeper, a clock to move by hand, and the folder of its files.
struct Gate {
    gatekeeper: Gatekeeper,
    clock: Arc<ManualClock>,
    ousted: UnboundedReceiver<String>,
}

impl Gate {
    async fn over(sources: Vec<SourceSettings>, throttle: Throttle) -> Gate {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let settings = Settings { sources, throttle, strength: CHEAP };
        let (gatekeeper, ousted) =
            Gatekeeper::open(&settings, HashPool::new(), clock.clone(), Arc::new(OsEntropy)).await.expect("sources that open");
        Gate { gatekeeper, clock, ousted }
    }

    async fn check(&self, user: &str, password: &str) -> Answer {
        self.check_from("192.0.2.1", None, user, password).await
    }

    async fn check_from(&self, client: &str, known_device: Option<&str>, user: &str, password: &str) -> Answer {
        let password = Password::new(password).unwrap();
        self.gatekeeper.check(Attempt { user, password: &password, client: client.parse().unwrap(), known_device }).await
    }

    /// The next user whose sessions must end.
    async fn next_ousted(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.ousted.recv()).await.expect("a change that is noticed").unwrap()
    }
}

fn hash(password: &str) -> String {
    hash_of(password, CHEAP)
}

fn hash_of(password: &str, strength: Strength) -> String {
    StoredHash::make(&Password::new(password).unwrap(), strength, &OsEntropy).unwrap().as_text().to_owned()
}

/// Writes a `users.toml` and returns its path.
fn users_toml(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("users.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn user(answer: &Answer) -> &str {
    match answer {
        Answer::Welcome(account, _) => &account.user,
        other => panic!("{other:?}"),
    }
}

fn rate(count: u32) -> Option<Rate> {
    Some(Rate { count, within: Duration::from_secs(300) })
}
