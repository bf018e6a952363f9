//! The login's desk, from what `[login]` says.

use crate::auth::gatekeeper::{Gatekeeper, Settings};
use crate::auth::hash::Strength;
use crate::config;
use crate::endpoint::Desk;
use crate::pages::{Color, Logo, Look};
use crate::random::OsEntropy;
use std::sync::Arc;

/// Opens the sources of users.
pub fn open(login: &config::Login) -> Result<Desk, Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings { sources: login.users.clone(), throttle: login.throttle, strength: Strength::SHIPPED };
    let gatekeeper = Gatekeeper::open(&settings, &OsEntropy)?;
    Ok(Desk {
        default_return: login.default_return.clone(),
        logout_return: login.logout_return.clone(),
        offers_remember: login.remember,
        clears_cache: login.clear_site_data,
        gatekeeper: Arc::new(gatekeeper),
        entropy: Arc::new(OsEntropy),
    })
}

/// The look of the operator's pages.
pub fn look(page: &config::Page) -> Look {
    let logo = page.logo.as_ref().map(|logo| Logo::new(logo.media_type, bytes::Bytes::copy_from_slice(&logo.bytes)));
    Look::new(page.title.clone(), logo, page.accent.map(|[red, green, blue]| Color::new(red, green, blue)))
}
