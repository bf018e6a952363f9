//! The login's desk and its look, from what `[login]` says.

use super::gate;
use crate::auth::source::SourceError;
use crate::config;
use crate::endpoint::Desk;
use crate::pages::{Color, Logo, Look};
use crate::random::OsEntropy;
use crate::session::Sessions;
use std::sync::Arc;

/// Opens the sources of users.
pub async fn open(login: &config::Login, sessions: &Arc<Sessions>) -> Result<Desk, SourceError> {
    Ok(Desk {
        default_return: login.default_return.clone(),
        logout_return: login.logout_return.clone(),
        offers_remember: login.remember,
        clears_cache: login.clear_site_data,
        gatekeeper: gate::open(login, sessions).await?,
        entropy: Arc::new(OsEntropy),
    })
}

/// The look of the operator's pages.
pub fn look(page: &config::Page) -> Look {
    let logo = page.logo.as_ref().map(|logo| Logo::new(logo.media_type, bytes::Bytes::copy_from_slice(&logo.bytes)));
    Look::new(page.title.clone(), logo, page.accent.map(|[red, green, blue]| Color::new(red, green, blue)))
}
