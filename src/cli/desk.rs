//! The login's desk, from what `[login]` says.

use crate::auth::hash::Strength;
use crate::auth::pool::HashPool;
use crate::auth::source::SourceError;
use crate::auth::{Gatekeeper, Settings};
use crate::clock::Clock;
use crate::config;
use crate::endpoint::Desk;
use crate::pages::{Color, Logo, Look};
use crate::random::OsEntropy;
use crate::session::{Event, Sessions};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// Opens the sources of users; the sessions of those who may not sign in any more end as soon as that is known.
pub async fn open(login: &config::Login, sessions: &Arc<Sessions>, clock: Arc<dyn Clock>) -> Result<Desk, SourceError> {
    let settings = Settings { sources: login.users.clone(), throttle: login.throttle, strength: Strength::SHIPPED };
    let (gatekeeper, ousted) = Gatekeeper::open(&settings, HashPool::new(), clock, Arc::new(OsEntropy)).await?;
    tokio::spawn(end_sessions(ousted, sessions.clone()));
    Ok(Desk {
        default_return: login.default_return.clone(),
        logout_return: login.logout_return.clone(),
        offers_remember: login.remember,
        clears_cache: login.clear_site_data,
        gatekeeper,
        entropy: Arc::new(OsEntropy),
    })
}

/// Until the gatekeeper is gone.
async fn end_sessions(mut ousted: UnboundedReceiver<String>, sessions: Arc<Sessions>) {
    while let Some(user) = ousted.recv().await {
        match sessions.end_user(&user).await {
            Ok(Event::EndUnconfirmed) | Err(_) => {
                tracing::error!(user, "the sessions of a user who was removed or changed are not all ended yet")
            }
            Ok(_) => tracing::info!(user, "the sessions of a user who was removed or changed ended"),
        }
    }
}

/// The look of the operator's pages.
pub fn look(page: &config::Page) -> Look {
    let logo = page.logo.as_ref().map(|logo| Logo::new(logo.media_type, bytes::Bytes::copy_from_slice(&logo.bytes)));
    Look::new(page.title.clone(), logo, page.accent.map(|[red, green, blue]| Color::new(red, green, blue)))
}
