//! The demo app, and the example of how an app uses Cloakroom.
//!
//! It is a plain HTTP server without a session library, a database or a cookie. What it knows of a visitor arrives in the
//! `X-Session-*` headers of the request; what it wants remembered leaves in the `X-Session-Set` header of its answer.
//! `session` has both directions in a few lines to copy; the handlers below show them at work; `page` only draws.

mod page;
mod session;

use std::io;

use askama::Template;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, request};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use self::page::Page;
use self::session::{Visitor, ascii, remember};
use crate::pages::{self, Look};

/// For a route that only lets signed-in visitors through: the app itself asks nothing.
const MEMBERS: &str = "/members/";
const NAME_LENGTH: usize = 60;
const ITEM_LENGTH: usize = 80;
const CART_ITEMS: usize = 20;
/// Headers have limits: one answer may set 8 KiB, and all that a request carries should stay below the same.
const CART_BYTES: usize = 3 * 1024;

/// Serves the demo until the task is dropped.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let (look, icon) = (Look::plain(), Look::plain().icon());
    let app = Router::new()
        .route("/", get(home))
        .route(MEMBERS, get(home))
        .route("/sign-in", post(sign_in))
        .route("/cart", post(add_to_cart))
        .route("/cart/remove", post(remove_from_cart))
        // Cloakroom answers these two itself; here they are for a demo that runs alone.
        .route(look.sheet_path(), get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], look.sheet().clone()) }))
        .route(icon.path(), get(|| async { ([(CONTENT_TYPE, icon.content_type())], icon.bytes().clone()) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "The demo has no such page.\n") })
        .layer(DefaultBodyLimit::max(16 * 1024));
    axum::serve(listener, app).await
}

/// Greets a visitor and counts the visits of those who gave a name.
async fn home(request: request::Parts) -> Result<Response, Defect> {
    let visitor = Visitor::from(&request.headers);
    let mut answer = HeaderMap::new();
    // A stranger's look remembers nothing, so it starts no session; neither does it count when a program asks with HEAD.
    if visitor.name.is_some() && request.method == Method::GET {
        answer.extend(remember(&json!({"visits": visitor.visits.saturating_add(1)}))?);
    }
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(pages::CONTENT_SECURITY_POLICY));

    let html = Page::new(&visitor, &request, &answer).render()?;
    Ok((answer, Html(html)).into_response())
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
}

/// The demo takes everybody's word. An app that has checked a password answers `X-Session-Login: ada` instead, which gives
/// the visitor a fresh session; its route needs `login = true`.
async fn sign_in(Form(form): Form<SignIn>) -> Result<Response, Defect> {
    match typed(&form.name, NAME_LENGTH) {
        Some(name) => Ok((remember(&json!({"name": name}))?, Redirect::to("/")).into_response()),
        None => Ok(Redirect::to("/").into_response()),
    }
}

#[derive(Deserialize)]
struct Addition {
    item: String,
}

async fn add_to_cart(headers: HeaderMap, Form(form): Form<Addition>) -> Result<Response, Defect> {
    let mut cart = Visitor::from(&headers).cart;
    match typed(&form.item, ITEM_LENGTH) {
        Some(item) if !cart_is_full(&cart) => cart.push(item),
        _ => return Ok(Redirect::to("/").into_response()),
    }
    Ok((remember(&json!({"cart": cart}))?, Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
struct Removal {
    index: usize,
}

async fn remove_from_cart(headers: HeaderMap, Form(form): Form<Removal>) -> Result<Response, Defect> {
    let mut cart = Visitor::from(&headers).cart;
    if form.index >= cart.len() {
        return Ok(Redirect::to("/").into_response());
    }
    cart.remove(form.index);
    Ok((remember(&json!({"cart": cart}))?, Redirect::to("/")).into_response())
}

fn typed(text: &str, length: usize) -> Option<String> {
    let text: String = text.trim().chars().take(length).collect();
    (!text.is_empty()).then_some(text)
}

fn cart_is_full(cart: &[String]) -> bool {
    cart.len() >= CART_ITEMS || ascii(&json!(cart)).len() >= CART_BYTES
}

/// What should not happen; the visitor learns only that it did.
struct Defect;

impl<E: std::error::Error> From<E> for Defect {
    fn from(_: E) -> Self {
        Self
    }
}

impl IntoResponse for Defect {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, "The demo has a defect.\n").into_response()
    }
}

#[cfg(test)]
mod tests;
