//! `/.cloakroom/logout`: a button on GET, the end of the session on POST. Works with the store down.

use super::{Question, ReturnTo};
use crate::access::{PostedFrom, posted_from};
use crate::pages::LogoutPage;
use crate::rejection::Rejection;
use crate::reply::Reply;
use crate::session::{End, Event, Visitor};

const PURPOSE: &str = "logout";

/// The page with the button. Changes nothing.
pub fn ask(question: &Question<'_>) -> Reply {
    let Question { inbound, visitor, sessions, manner, .. } = question;
    let return_to = field(inbound.target.query().unwrap_or_default().as_bytes(), "return_to");
    let return_to = return_to.as_deref().and_then(ReturnTo::parse).unwrap_or_else(ReturnTo::front);
    let page = LogoutPage {
        manner: *manner,
        action: "/.cloakroom/logout",
        token: sessions.keyring().token(PURPOSE, &subject(visitor)),
        return_to: return_to.as_str(),
        user: if let Visitor::Known(session) = visitor { session.user() } else { None },
    };
    Reply::page(200, &page)
}

/// Ends the session in the store first, then sends the visitor on.
pub async fn end(question: &Question<'_>) -> Reply {
    let Question { inbound, headers, form, visitor, sessions, .. } = question;
    let token = || field(form, "token").unwrap_or_default();
    match posted_from(inbound, headers) {
        PostedFrom::Here => {}
        PostedFrom::Unsaid if sessions.keyring().is_token(PURPOSE, &subject(visitor), &token()) => {}
        PostedFrom::Unsaid | PostedFrom::Elsewhere => return question.refuse(&Rejection::CrossSite),
    }
    let ended = if let Visitor::Known(session) = visitor { Some(session.handle().as_str().to_owned()) } else { None };
    let event = match sessions.end(visitor, End::This, inbound.secure).await {
        Ok(outcome) => outcome.event,
        Err(_) => Event::EndUnconfirmed,
    };
    let return_to = field(form, "return_to").as_deref().and_then(ReturnTo::parse).unwrap_or_else(ReturnTo::front);
    let reply = match event {
        Event::EndUnconfirmed => question.refuse(&Rejection::LogoutUnconfirmed),
        _ => Reply::see_other(return_to.as_str()),
    };
    // Removed even when the store is down: a browser that asked to leave must not stay signed in.
    reply.with_cookies(question.ended_cookies).with_cookie(&sessions.clearing_cookie(inbound.secure)).with_event(event, ended)
}

/// What the form's token is bound to: this session, or none.
fn subject(visitor: &Visitor) -> String {
    match visitor {
        Visitor::Known(session) => session.handle().as_str().to_owned(),
        _ => String::new(),
    }
}

/// The first value of a name in a form body or a query.
fn field(encoded: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(encoded).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}
