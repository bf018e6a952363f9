//! The page over the API: a person shows the token once, then looks at figures, finds sessions and ends them.

mod pass;
mod view;

pub use pass::Passes;

use super::Office;
use super::figures::{Figures, store_answers_in};
use super::gate::Closed;
use crate::pages::admin::{AdminPage, Door, DoorPage, Found, Live, LivePart, PATH, SCRIPT, script_path};
use crate::pages::{Language, Manner, Notice, SCRIPTED_POLICY};
use crate::reply::{Reply, YEAR};
use crate::secret::Secret;
use crate::session::id::Handle;
use crate::session::store::StoreError;
use crate::session::{Event, Sessions};
use axum::extract::{DefaultBodyLimit, Form, RawQuery, State};
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, body::Body};
use pass::Pass;
use serde::Deserialize;
use std::sync::Arc;

type Desk = State<Arc<Office>>;

/// Sessions of one page.
const SHOWN: usize = 25;

/// The largest form, in bytes: a user's name, every byte of it escaped.
const LARGEST_FORM: usize = 16 * 1024;

/// The paths of the page, and of what it is made of.
pub fn routes(office: &Office) -> Router<Arc<Office>> {
    let (sheet, icon) = (office.look.sheet_path(), office.look.icon().path());
    Router::new()
        .route("/", get(|| async { respond(Reply::see_other(PATH)) }))
        .route(PATH, get(page))
        .route(&format!("{PATH}/live"), get(live))
        .route(&format!("{PATH}/sign-in"), post(sign_in))
        .route(&format!("{PATH}/sign-out"), post(sign_out))
        .route(&format!("{PATH}/end"), post(end))
        .route(script_path(), get(|| async { respond(Reply::file("text/javascript; charset=utf-8", SCRIPT.into(), YEAR)) }))
        .route(sheet, get(stylesheet))
        .route(icon, get(picture))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

/// The figures, and the sessions of whoever is asked for.
async fn page(State(office): Desk, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let pass = match enter(&office, &headers) {
        Ok(pass) => pass,
        Err(closed) => return shut(&office, closed, None),
    };
    let query = query.unwrap_or_default();
    let named = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let user = named("user").unwrap_or_default();
    let cursor = named("cursor").map(Handle::stored);
    let notice = named("told").as_deref().and_then(Told::read).map(Told::notice);
    show(&office, &pass, 200, &user, cursor.as_ref(), notice).await
}

/// The figures alone, for the page's script.
async fn live(State(office): Desk, headers: HeaderMap) -> Response {
    if enter(&office, &headers).is_err() {
        return respond(Reply::text(403, "signed out\n"));
    }
    let live = figures(&office).await;
    respond(Reply::page(200, &LivePart { live: &live }))
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// The token, typed once.
async fn sign_in(State(office): Desk, headers: HeaderMap, Form(form): Form<SignIn>) -> Response {
    let (typed, keyring, now) = (Secret::new(form.token), office.sessions.keyring(), office.sessions.now());
    let admitted = office.gate.is_ours(&headers).and_then(|()| office.gate.admits_typed(&typed));
    match admitted.and_then(|()| Pass::issue(now).line(PATH, keyring, &office.gate, now)) {
        Ok(line) => {
            tracing::info!("an operator signed in to the admin page");
            respond(Reply::see_other(PATH).with_cookie(&line))
        }
        Err(Closed::Unknown) => {
            tracing::warn!("a wrong token was typed into the admin page");
            shut(&office, Closed::Unknown, Some(Notice::bad("That is not the token. Please check it and try again.")))
        }
        Err(closed) => shut(&office, closed, None),
    }
}

#[derive(Deserialize)]
struct SignOut {
    proof: String,
}

async fn sign_out(State(office): Desk, headers: HeaderMap, Form(form): Form<SignOut>) -> Response {
    match enter_with(&office, &headers, &form.proof) {
        Ok(pass) => {
            office.passes.hand_back(&pass, office.sessions.now());
            respond(Reply::see_other(PATH).with_cookie(&pass::clearing_line(PATH)))
        }
        Err(closed) => shut(&office, closed, Some(Notice::calm("You were signed out already."))),
    }
}

#[derive(Deserialize)]
struct End {
    proof: String,
    user: String,
    /// Which session; `None`: all of the user's.
    handle: Option<String>,
}

async fn end(State(office): Desk, headers: HeaderMap, Form(form): Form<End>) -> Response {
    let pass = match enter_with(&office, &headers, &form.proof) {
        Ok(pass) => pass,
        Err(closed) => return shut(&office, closed, Some(Notice::bad("You were signed out, so nothing was ended. Please do it again."))),
    };
    match end_named(&office.sessions, &form).await {
        Ok(event) => {
            tracing::info!(user = form.user, handle = form.handle, event = event.as_str(), "an operator ended sessions on the admin page");
            let told = Told::of(event, form.handle.is_some()).word();
            respond(Reply::see_other(&format!("{PATH}?user={}&told={told}#find", escaped(&form.user))))
        }
        Err(_) => {
            let notice = Notice::bad("The session store does not answer, so nothing was ended. Please do it again.");
            show(&office, &pass, 503, "", None, Some(notice)).await
        }
    }
}

async fn end_named(sessions: &Arc<Sessions>, form: &End) -> Result<Event, Arc<StoreError>> {
    match &form.handle {
        Some(handle) => sessions.end_handle(&Handle::stored(handle.clone())).await,
        None => sessions.end_user(&form.user).await,
    }
}

/// What has become of an end, in the address that the browser is sent to.
#[derive(Clone, Copy)]
enum Told {
    One,
    All,
    Gone,
    Unconfirmed,
}

impl Told {
    fn of(event: Event, is_one: bool) -> Self {
        match event {
            Event::None => Told::Gone,
            Event::EndUnconfirmed => Told::Unconfirmed,
            _ if is_one => Told::One,
            _ => Told::All,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Told::One => "one",
            Told::All => "all",
            Told::Gone => "gone",
            Told::Unconfirmed => "unconfirmed",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Told::One, Told::All, Told::Gone, Told::Unconfirmed].into_iter().find(|told| told.word() == word)
    }

    fn notice(self) -> Notice {
        match self {
            Told::One => Notice::calm("The session is ended."),
            Told::All => Notice::calm("All of this user's sessions are ended."),
            Told::Gone => Notice::calm("That session was over already."),
            Told::Unconfirmed => {
                Notice::bad("It is refused here from now on, but the store has not confirmed the end yet. It is asked again until it does.")
            }
        }
    }
}

/// Who may look.
fn enter(office: &Office, headers: &HeaderMap) -> Result<Pass, Closed> {
    office.gate.is_ours(headers)?;
    office.passes.shown(headers, office.sessions.keyring(), &office.gate, office.sessions.now())
}

/// Who may do something.
fn enter_with(office: &Office, headers: &HeaderMap, proof: &str) -> Result<Pass, Closed> {
    let pass = enter(office, headers)?;
    if pass.is_proof(office.sessions.keyring(), proof) { Ok(pass) } else { Err(Closed::Foreign) }
}

async fn show(office: &Office, pass: &Pass, status: u16, user: &str, cursor: Option<&Handle>, notice: Option<Notice>) -> Response {
    let (found, live) = tokio::join!(find(office, user, cursor), figures(office));
    let (found, notice) = match found {
        Ok(found) => (found, notice),
        Err(_) => (None, notice.or(Some(Notice::bad("The session store does not answer. Please try again in a moment.")))),
    };
    let page = AdminPage { manner: manner(office), proof: pass.proof(office.sessions.keyring()), live, user, found, notice };
    let mut answer = respond(Reply::page(status, &page));
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SCRIPTED_POLICY));
    answer
}

async fn find(office: &Office, user: &str, cursor: Option<&Handle>) -> Result<Option<Found>, Arc<StoreError>> {
    if user.is_empty() {
        return Ok(None);
    }
    let page = office.sessions.page_of_user(user, cursor, SHOWN).await?;
    let next = page.next.as_ref().map(|next| format!("{PATH}?user={}&cursor={}#find", escaped(user), escaped(next.as_str())));
    let rows = page.devices.iter().map(|device| view::open_session(device, office.sessions.now())).collect();
    Ok(Some(Found { rows, goes_on: cursor.is_some(), next }))
}

async fn figures(office: &Office) -> Live {
    let (figures, answers_in) = tokio::join!(Figures::gather(office), store_answers_in(office));
    view::live(&figures, answers_in, office.sessions.now())
}

fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn shut(office: &Office, closed: Closed, notice: Option<Notice>) -> Response {
    let door = match closed {
        Closed::Unknown => Door::Token,
        Closed::NoToken => Door::NoToken,
        Closed::Foreign => Door::Foreign,
    };
    // Nothing was refused to somebody who has just come to the form.
    let status = if door == Door::Token && notice.is_none() { 200 } else { 403 };
    respond(Reply::page(status, &DoorPage { manner: manner(office), door, notice }))
}

fn manner(office: &Office) -> Manner<'_> {
    Manner::new(&office.look, Language::English)
}

async fn stylesheet(State(office): Desk) -> Response {
    respond(Reply::file("text/css; charset=utf-8", office.look.sheet().clone(), YEAR))
}

async fn picture(State(office): Desk) -> Response {
    let icon = office.look.icon();
    respond(Reply::file(icon.content_type(), icon.bytes().clone(), YEAR))
}

fn respond(reply: Reply) -> Response {
    let mut answer = Response::new(Body::from(reply.body));
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        answer.headers_mut().append(name, value);
    }
    answer
}
