//! The gatekeeper of `[login]`, and the end of sessions whose users may not sign in any more.

use crate::auth::gatekeeper::{Gatekeeper, Settings};
use crate::auth::hash::Strength;
use crate::auth::pool::HashPool;
use crate::auth::source::SourceError;
use crate::clock::SystemClock;
use crate::config::Login;
use crate::random::OsEntropy;
use crate::session::Sessions;
use std::sync::Arc;
use std::sync::Weak;
use tokio::sync::mpsc::UnboundedReceiver;

/// Opens the sources of users. From then on, users who are removed, disabled or changed lose their sessions.
pub async fn open(login: &Login, sessions: &Arc<Sessions>) -> Result<Arc<Gatekeeper>, SourceError> {
    let settings = Settings { sources: login.users.clone(), throttle: login.throttle, strength: Strength::SHIPPED };
    let (gatekeeper, ousted) = Gatekeeper::open(&settings, HashPool::new(), Arc::new(SystemClock), Arc::new(OsEntropy)).await?;
    let gatekeeper = Arc::new(gatekeeper);
    tokio::spawn(end_sessions(ousted, Arc::downgrade(&gatekeeper), sessions.clone()));
    Ok(gatekeeper)
}

/// Ends with the gatekeeper. Where the store cannot confirm an end, the sessions are refused from memory and the store is asked again.
async fn end_sessions(mut ousted: UnboundedReceiver<String>, gatekeeper: Weak<Gatekeeper>, sessions: Arc<Sessions>) {
    while let Some(user) = ousted.recv().await {
        let Some(gatekeeper) = gatekeeper.upgrade() else { return };
        match sessions.end_outdated(&user, |credential| gatekeeper.vouches_for(&user, credential)).await {
            Ok(event) => tracing::info!(user, ?event, "the user was removed, disabled or changed: the sessions end"),
            Err(error) => tracing::error!(user, %error, "the sessions of a user who was removed, disabled or changed could not be ended"),
        }
    }
}
