//! What programs ask of the admin listener, in JSON.

use super::figures::Figures;
use super::gate::Closed;
use super::{Office, PAGE, shown};
use crate::config::length_of_time;
use crate::session::Event;
use crate::session::id::Handle;
use crate::session::store::StoreError;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

type Desk = State<Arc<Office>>;

/// A name in the path; `Err` if it is no text.
type Named = Result<Path<String>, PathRejection>;

/// The paths of the API.
pub fn routes(office: &Arc<Office>) -> Router<Arc<Office>> {
    let closed = Router::new()
        .route("/stats", get(stats))
        .route("/sessions", get(list).delete(end_many))
        .route("/sessions/{handle}", get(show).delete(end))
        .route("/users/{user}/sessions", delete(end_user))
        .route_layer(from_fn_with_state(office.clone(), admitted));
    closed.route("/livez", get(|| async { "ok\n" })).route("/readyz", get(readyz))
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
    let mut answer = said(status, &json!({ "error": error }));
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
    let mut body = shown::store(&office.sessions.store_description(), &office.sessions.store_health());
    if let Value::Object(fields) = &mut body {
        fields.insert("ready".to_owned(), (status == StatusCode::OK).into());
        fields.insert("store_answers".to_owned(), answers.into());
        fields.insert("draining".to_owned(), draining.into());
    }
    said(status, &body)
}

async fn stats(State(office): Desk) -> Response {
    said(StatusCode::OK, &shown::figures(&Figures::gather(&office).await))
}

async fn list(State(office): Desk, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let named = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let Some(user) = named("user") else {
        return said(StatusCode::BAD_REQUEST, &json!({ "error": "whose? as in /sessions?user=ada" }));
    };
    let cursor = named("cursor").map(Handle::stored);
    match office.sessions.page_of_user(&user, cursor.as_ref(), PAGE).await {
        Ok(page) => said(StatusCode::OK, &shown::page(&page)),
        Err(error) => refused(&error),
    }
}

async fn show(State(office): Desk, named: Named) -> Response {
    let Ok(Path(handle)) = named else { return no_text() };
    match office.sessions.find(&Handle::stored(handle)).await {
        Ok(Some(device)) => said(StatusCode::OK, &shown::session(&device)),
        Ok(None) => no_such_session(),
        Err(error) => refused(&error),
    }
}

async fn end(State(office): Desk, named: Named) -> Response {
    let Ok(Path(handle)) = named else { return no_text() };
    match office.sessions.end_handle(&Handle::stored(handle)).await {
        Ok(event) => ended(event),
        Err(error) => refused(&error),
    }
}

async fn end_user(State(office): Desk, named: Named) -> Response {
    let Ok(Path(user)) = named else { return no_text() };
    tracing::info!(user, "an operator ends the sessions of a user");
    match office.sessions.end_user(&user).await {
        Ok(event) => ended(event),
        Err(error) => refused(&error),
    }
}

async fn end_many(State(office): Desk, RawQuery(query): RawQuery) -> Response {
    let counted = match many(query.as_deref().unwrap_or_default()) {
        None => {
            let error = "whose? say so: DELETE /sessions?all=true, or /sessions?older_than=30d for those that began longer ago";
            return said(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        }
        Some(Many::Everybodys) => office.sessions.end_all().await,
        Some(Many::Older(age)) => office.sessions.end_older_than(office.sessions.now().minus(age)).await,
    };
    match counted {
        Ok(count) => {
            tracing::info!(count, query, "an operator ended many sessions");
            said(StatusCode::OK, &json!({ "ended": count }))
        }
        Err(error) => refused(&error),
    }
}

enum Many {
    Everybodys,
    Older(Duration),
}

/// Nothing but one clear wish: this cannot be taken back.
fn many(query: &str) -> Option<Many> {
    match query.split_once('=')? {
        ("all", "true") => Some(Many::Everybodys),
        ("older_than", age) => length_of_time(age).filter(|age| !age.is_zero()).map(Many::Older),
        _ => None,
    }
}

fn ended(event: Event) -> Response {
    match event {
        Event::None => no_such_session(),
        // Nobody is let in here any more; the store is asked again until it confirms.
        Event::EndUnconfirmed => said(StatusCode::ACCEPTED, &json!({ "ended": "unconfirmed" })),
        _ => said(StatusCode::OK, &json!({ "ended": true })),
    }
}

fn no_text() -> Response {
    said(StatusCode::BAD_REQUEST, &json!({ "error": "the name in the path is no UTF-8" }))
}

fn no_such_session() -> Response {
    said(StatusCode::NOT_FOUND, &json!({ "error": "there is no such session" }))
}

fn refused(error: &StoreError) -> Response {
    tracing::warn!(error = crate::telemetry::chain(error), "an operator's request could not be answered");
    let mut answer = said(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the session store does not answer; do it again" }));
    answer.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
    answer
}

/// An answer in JSON.
pub fn said(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], format!("{body}\n")).into_response()
}
