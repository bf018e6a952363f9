//! The admin listener: for the operator's machines, never for visitors.
//!
//! `/livez` and `/readyz` ask for no token and tell nothing else. Whoever sees and ends sessions shows `[admin] token`: a program to the
//! API (`api`), a person to the page over it (`console`).

mod api;
mod census;
mod console;
mod figures;
mod gate;
mod hour;
pub mod shown;

pub use gate::Gate;

use crate::pages::Look;
use crate::proxy::Proxy;
use crate::session::Sessions;
use axum::Router;
use axum::http::StatusCode;
use census::Census;
use hour::{Hour, Totals};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;

/// Sessions of one page of a list.
pub const PAGE: usize = 100;

/// What the admin listener looks at.
pub struct Office {
    gate: Gate,
    sessions: Arc<Sessions>,
    proxy: Proxy,
    look: Look,
    began: Instant,
    hour: Hour,
    census: Census,
    passes: console::Passes,
}

impl Office {
    /// Opens with the process. `look` is that of the other pages of ours.
    pub fn new(gate: Gate, sessions: Arc<Sessions>, proxy: Proxy, look: Look) -> Self {
        Office {
            gate,
            sessions,
            proxy,
            look,
            began: Instant::now(),
            hour: Hour::default(),
            census: Census::default(),
            passes: console::Passes::default(),
        }
    }

    fn totals(&self) -> Totals {
        Totals { sessions: self.sessions.counts(), requests: self.proxy.requests() }
    }
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, office: Office) -> io::Result<()> {
    let office = Arc::new(office);
    let nothing = || async { api::said(StatusCode::NOT_FOUND, &serde_json::json!({ "error": "there is no such page" })) };
    let not_so = || async { api::said(StatusCode::METHOD_NOT_ALLOWED, &serde_json::json!({ "error": "not by this method" })) };
    let pages = Router::new().merge(api::routes(&office)).merge(console::routes(&office));
    let router = pages.fallback(nothing).method_not_allowed_fallback(not_so).with_state(office.clone());
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served,
        () = office.hour.keep(|| office.totals()) => Ok(()),
    }
}
