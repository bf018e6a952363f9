//! The store itself, when no Cloakroom runs beside this configuration.

use super::super::assemble;
use super::super::run::open_store;
use super::{Ask, Failure};
use crate::clock::SystemClock;
use crate::config::{Config, StoreKind};
use crate::random::OsEntropy;
use crate::server::admin::{PAGE, shown};
use crate::session::id::Handle;
use crate::session::keyring::Keyring;
use crate::session::store::StoreError;
use crate::session::{Event, Sessions};
use serde_json::{Value, json};
use std::sync::Arc;

const NO_WAY_IN: &str = "set `[admin] token`, so that the running cloakroom can be asked";

/// Opens the store for this one question.
pub fn answer(config: &Config, ask: &Ask) -> Result<Value, Failure> {
    match &config.store.kind {
        StoreKind::Memory => {
            return Err(Failure::Refused(format!("the sessions are in the memory of the running cloakroom, if there is one: {NO_WAY_IN}")));
        }
        // Opened, it would be made.
        StoreKind::Embedded { path } if !path.exists() => {
            return Err(Failure::Refused(format!("there are no sessions yet: {} does not exist", path.display())));
        }
        StoreKind::Embedded { .. } | StoreKind::Mongo(_) => {}
    }
    // On one thread, tasks that the store has begun end unasked when the answer is there; among several, MongoDB's driver panics in one that
    // still runs while another is gone.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asked(config, ask))
}

async fn asked(config: &Config, ask: &Ask) -> Result<Value, Failure> {
    let is_embedded = matches!(config.store.kind, StoreKind::Embedded { .. });
    let hint = if is_embedded { format!("\nhelp: {NO_WAY_IN}") } else { String::new() };
    let (store, secrets) = open_store(config).await.map_err(|error| Failure::Refused(format!("{error}{hint}")))?;
    let keyring = Keyring::new(&secrets).ok_or_else(|| Failure::Refused("there is no secret to sign cookies with".to_owned()))?;
    let sessions = Arc::new(Sessions::new(store, keyring, assemble::options(config), Arc::new(SystemClock), Arc::new(OsEntropy)));
    let refused = |error: Arc<StoreError>| Failure::Refused(crate::telemetry::chain(error.as_ref()));
    match ask {
        Ask::List { user, cursor } => {
            let cursor = cursor.clone().map(Handle::stored);
            let page = sessions.page_of_user(user, cursor.as_ref(), PAGE).await.map_err(refused)?;
            Ok(shown::page(&page))
        }
        Ask::Show(handle) => {
            let found = sessions.find(&Handle::stored(handle.clone())).await.map_err(refused)?;
            found.as_ref().map(shown::session).ok_or(Failure::NoSuchSession)
        }
        Ask::EndOne(handle) => ended(sessions.end_handle(&Handle::stored(handle.clone())).await.map_err(refused)?),
        Ask::EndUser(user) => ended(sessions.end_user(user).await.map_err(refused)?),
        Ask::EndOlder(age) => Ok(json!({ "ended": sessions.end_older_than(sessions.now().minus(*age)).await.map_err(refused)? })),
        Ask::EndAll => Ok(json!({ "ended": sessions.end_all().await.map_err(refused)? })),
    }
}

fn ended(event: Event) -> Result<Value, Failure> {
    match event {
        Event::None => Err(Failure::NoSuchSession),
        // This process ends now and cannot ask again.
        Event::EndUnconfirmed => Err(Failure::Refused("the store has not confirmed the end: do it again".to_owned())),
        _ => Ok(json!({ "ended": true })),
    }
}
