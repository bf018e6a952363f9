//! The logout: a button on GET, the end of the session on POST. Works with the store down.

use super::form::{Form, in_query};
use super::pre_session::PreSession;
use super::{Question, ReturnTo};
use crate::access::{PostedFrom, posted_from};
use crate::pages::LogoutPage;
use crate::rejection::Rejection;
use crate::reply::Reply;
use crate::session::{End, Event, Visitor};
use http::{HeaderName, HeaderValue};

const PURPOSE: &str = "logout";

/// The page with the button. Changes nothing.
pub fn ask(question: &Question<'_>) -> Reply {
    let Question { inbound, sessions, manner, .. } = question;
    let named = in_query(inbound.target.query(), "return_to").and_then(|raw| question.onward(Some(&raw)));
    let front = question.front();
    let page = LogoutPage {
        manner: *manner,
        action: inbound.target.path(),
        token: sessions.keyring().token(PURPOSE, &question.subject()),
        return_to: named.as_ref().map(ReturnTo::as_str),
        stay: named.as_ref().unwrap_or(&front).as_str(),
        user: question.user(),
    };
    Reply::page(200, &page)
}

/// Ends the session in the store first, then sends the visitor on.
pub async fn end(question: &Question<'_>) -> Reply {
    let Question { inbound, headers, visitor, sessions, .. } = question;
    let form = match Form::read(question) {
        Ok(form) => form,
        Err(rejection) => return question.refuse(&rejection),
    };
    match posted_from(inbound, headers) {
        PostedFrom::Here => {}
        PostedFrom::Unsaid if sessions.keyring().is_token(PURPOSE, &question.subject(), form.get("token").unwrap_or_default()) => {}
        PostedFrom::Unsaid | PostedFrom::Elsewhere => return question.refuse(&Rejection::CrossSite),
    }
    let ended = if let Visitor::Known(session) = visitor { Some(session.handle().as_str().to_owned()) } else { None };
    let user = question.user().map(str::to_owned);
    let end = if form.ticked("everywhere") { End::All } else { End::This };
    let event = match sessions.end_with(visitor, question.cookies, end, inbound.secure).await {
        Ok(outcome) => outcome.event,
        Err(_) => Event::EndUnconfirmed,
    };
    let mut reply = match event {
        Event::EndUnconfirmed => question.refuse(&Rejection::LogoutUnconfirmed),
        _ => Reply::see_other(onward(question, &form).as_str()),
    };
    if question.desk.is_some_and(|desk| desk.clears_cache) {
        reply.headers.push((HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\"")));
    }
    if let Some(pre) = PreSession::of(question).filter(PreSession::is_marked) {
        // This visitor is out because they wished it, not because a cookie got lost.
        reply = reply.with_cookie(&pre.unmarked().line(question));
    }
    if let Visitor::Unreachable { keys, .. } = visitor {
        reply.ended_keys.clone_from(keys);
    }
    reply.ended_user = user.filter(|_| end == End::All);
    // Removed even when the store is down: a browser that asked to leave must not stay signed in.
    reply.with_cookies(question.ended_cookies).with_cookie(&sessions.clearing_cookie(inbound.secure)).with_event(event, ended)
}

/// Where the form says, else where the site wants those who leave.
fn onward(question: &Question<'_>, form: &Form) -> ReturnTo {
    let configured = || question.desk.map_or_else(ReturnTo::front, |desk| desk.logout_return.clone());
    question.onward(form.get("return_to")).unwrap_or_else(configured)
}
