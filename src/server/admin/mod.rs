//! The admin listener: for the operator's machines, never for visitors.
//!
//! `/livez` and `/readyz` ask for no token and tell nothing else; whoever sees and ends sessions shows `[admin] token`.

mod gate;
pub mod shown;

pub use gate::Gate;

use crate::proxy::Proxy;
use crate::session::id::Handle;
use crate::session::store::StoreError;
use crate::session::{Event, Sessions};
use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use gate::Closed;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;

/// Sessions of one page of a list.
pub const PAGE: usize = 100;

/// What the admin listener looks at.
pub struct Office {
    pub gate: Gate,
    pub sessions: Arc<Sessions>,
    pub proxy: Proxy,
    pub began: Instant,
}

type Desk = State<Arc<Office>>;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, office: Office) -> io::Result<()> {
    axum::serve(listener, router(Arc::new(office))).await
}

fn router(office: Arc<Office>) -> Router {
    let closed = Router::new()
        .route("/stats", get(stats))
        .route("/sessions", get(list).delete(end_all))
        .route("/sessions/{handle}", get(show).delete(end))
        .route("/users/{user}/sessions", delete(end_user))
        .route_layer(from_fn_with_state(office.clone(), admitted));
    let open = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(readyz));
    let nothing = || async { said(StatusCode::NOT_FOUND, json!({ "error": "there is no such page" })) };
    open.merge(closed).fallback(nothing).with_state(office)
}

async fn admitted(State(office): Desk, request: Request, next: Next) -> Response {
    match office.gate.admits(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(closed) => turned_away(closed),
    }
}

fn turned_away(closed: Closed) -> Response {
    let (status, error) = match closed {
        Closed::Foreign => (StatusCode::FORBIDDEN, "this request comes from another site's page, or its Host is not this machine"),
        Closed::Unknown => (StatusCode::UNAUTHORIZED, "show `[admin] token` as Authorization: Bearer"),
        Closed::NoToken => (StatusCode::FORBIDDEN, "closed, because `[admin] token` is not set"),
    };
    let mut answer = said(status, json!({ "error": error }));
    if closed == Closed::Unknown {
        answer.headers_mut().insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
    }
    answer
}

/// Ready: the store answers, and the process is not on its way out.
async fn readyz(State(office): Desk, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let (answers, draining) = (office.sessions.store_answers().await, office.proxy.is_draining());
    let status = if answers && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if query.is_none_or(|query| !query.starts_with("verbose")) {
        let text = if status == StatusCode::OK { "ok\n" } else { "not ready\n" };
        return (status, [(CACHE_CONTROL, "no-store")], text).into_response();
    }
    if let Err(closed) = office.gate.shows_health(&headers) {
        return turned_away(closed);
    }
    let mut body = shown::store(&office.sessions);
    if let Value::Object(fields) = &mut body {
        fields.insert("ready".to_owned(), (status == StatusCode::OK).into());
        fields.insert("store_answers".to_owned(), answers.into());
        fields.insert("draining".to_owned(), draining.into());
    }
    said(status, body)
}

async fn stats(State(office): Desk) -> Response {
    let mut body = shown::store(&office.sessions);
    if let Value::Object(fields) = &mut body {
        fields.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        fields.insert("uptime_s".to_owned(), office.began.elapsed().as_secs().into());
        fields.insert("under_way".to_owned(), office.proxy.in_flight().into());
        fields.insert("open_connections".to_owned(), office.proxy.open_connections().into());
        fields.insert("touches_under_way".to_owned(), office.sessions.touches_under_way().into());
    }
    said(StatusCode::OK, body)
}

async fn list(State(office): Desk, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let named = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let Some(user) = named("user") else {
        return said(StatusCode::BAD_REQUEST, json!({ "error": "whose? as in /sessions?user=ada" }));
    };
    let cursor = named("cursor").map(Handle::stored);
    match office.sessions.page_of_user(&user, cursor.as_ref(), PAGE).await {
        Ok(page) => said(StatusCode::OK, shown::page(&page)),
        Err(error) => refused(&error),
    }
}

async fn show(State(office): Desk, Path(handle): Path<String>) -> Response {
    match office.sessions.find(&Handle::stored(handle)).await {
        Ok(Some(device)) => said(StatusCode::OK, shown::session(&device)),
        Ok(None) => no_such_session(),
        Err(error) => refused(&error),
    }
}

async fn end(State(office): Desk, Path(handle): Path<String>) -> Response {
    match office.sessions.end_handle(&Handle::stored(handle)).await {
        Ok(event) => ended(event),
        Err(error) => refused(&error),
    }
}

async fn end_user(State(office): Desk, Path(user): Path<String>) -> Response {
    tracing::info!(user, "an operator ends the sessions of a user");
    match office.sessions.end_user(&user).await {
        Ok(event) => ended(event),
        Err(error) => refused(&error),
    }
}

async fn end_all(State(office): Desk, RawQuery(query): RawQuery) -> Response {
    if query.as_deref() != Some("all=true") {
        return said(StatusCode::BAD_REQUEST, json!({ "error": "everybody's? say so: DELETE /sessions?all=true" }));
    }
    match office.sessions.end_all().await {
        Ok(count) => {
            tracing::info!(count, "an operator ended everybody's sessions");
            said(StatusCode::OK, json!({ "ended": count }))
        }
        Err(error) => refused(&error),
    }
}

fn ended(event: Event) -> Response {
    match event {
        Event::None => no_such_session(),
        // Nobody is let in here any more; the store is asked again until it confirms.
        Event::EndUnconfirmed => said(StatusCode::ACCEPTED, json!({ "ended": "unconfirmed" })),
        _ => said(StatusCode::OK, json!({ "ended": true })),
    }
}

fn no_such_session() -> Response {
    said(StatusCode::NOT_FOUND, json!({ "error": "there is no such session" }))
}

fn refused(error: &StoreError) -> Response {
    tracing::warn!(error = crate::telemetry::chain(error), "an operator's request could not be answered");
    let mut answer = said(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": "the session store does not answer; do it again" }));
    answer.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
    answer
}

fn said(status: StatusCode, body: Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], format!("{body}\n")).into_response()
}
