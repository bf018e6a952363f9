//! The visitor's own devices: a list on GET, the end of one or of all others on POST.
//!
//! Ending asks for the password again when the login is older than a quarter of an hour (ASVS 7.5.2).

use super::form::Form;
use super::{Question, ReturnTo, agent};
use crate::access::{PostedFrom, posted_from};
use crate::pages::{DeviceRow, DevicesPage, Ending};
use crate::rejection::{Rejection, WayIn};
use crate::reply::Reply;
use crate::session::store::StoreError;
use crate::session::{Device, Event, Session, Visitor};
use crate::telemetry::chain;
use std::sync::Arc;
use std::time::Duration;

const PURPOSE: &str = "devices";

/// What the form says instead of a handle.
const OTHERS: &str = "others";

/// A login is this young, or the password is asked for.
const YOUNG: Duration = Duration::from_secs(15 * 60);

/// A use so short ago is now: uses are noted once a minute.
const NOW: Duration = Duration::from_secs(120);

/// The list. Changes nothing.
pub async fn list(question: &Question<'_>) -> Reply {
    let session = match signed_in(question) {
        Ok(session) => session,
        Err(reply) => return *reply,
    };
    match question.sessions.devices(session).await {
        Ok(devices) => page(question, session, &devices),
        Err(error) => unreachable(question, &error),
    }
}

/// Ends one, or all others, and shows what is left.
pub async fn end(question: &Question<'_>) -> Reply {
    let session = match signed_in(question) {
        Ok(session) => session,
        Err(reply) => return *reply,
    };
    let form = match Form::read(question) {
        Ok(form) => form,
        Err(rejection) => return question.refuse(&rejection),
    };
    let is_ours = question.sessions.keyring().is_token(PURPOSE, &question.subject(), form.get("token").unwrap_or_default());
    if posted_from(question.inbound, question.headers) == PostedFrom::Elsewhere || !is_ours {
        return question.refuse(&Rejection::CrossSite);
    }
    match ending(question, session) {
        Ending::Allowed => {}
        Ending::AfterPassword(path) => return Reply::see_other(&path),
        Ending::AfterLogin => return Reply::see_other(ReturnTo::devices().as_str()),
    }
    let wanted = form.get("end").unwrap_or_default();
    match end_named(question, session, wanted).await {
        Ok((Event::EndUnconfirmed, ended)) => question.refuse(&Rejection::EndUnconfirmed).with_event(Event::EndUnconfirmed, ended),
        Ok((event, ended)) => Reply::see_other(ReturnTo::devices().as_str()).with_event(event, ended),
        Err(error) => unreachable(question, &error),
    }
}

/// Ends `others`, or the session of this handle: never this one, for which there is the logout. With the handles of what ended.
async fn end_named(question: &Question<'_>, session: &Session, wanted: &str) -> Result<(Event, Vec<String>), Arc<StoreError>> {
    let sessions = question.sessions;
    let of_others = sessions.devices(session).await?.into_iter().filter(|device| !device.is_this);
    let mut handles: Vec<String> = of_others.map(|device| device.handle.as_str().to_owned()).collect();
    if wanted == OTHERS {
        return Ok((sessions.end_others(session).await?, handles));
    }
    handles.retain(|handle| handle == wanted);
    match handles.first() {
        Some(handle) => Ok((sessions.end_device(session, handle).await?, handles)),
        None => Ok((Event::None, handles)),
    }
}

/// The visitor's session; or the way to one.
fn signed_in<'a>(question: &'a Question<'_>) -> Result<&'a Session, Box<Reply>> {
    match &question.visitor {
        Visitor::Known(session) if session.user().is_some() => Ok(session),
        Visitor::Unreachable { .. } => Err(Box::new(question.refuse(&Rejection::StoreUnavailable))),
        _ => Err(Box::new(match question.doors.login_url(Some(&ReturnTo::devices()), false) {
            Some(login) => Reply::see_other(&login),
            None => question.refuse(&Rejection::NotSignedIn { lapse: None, way: WayIn::default() }),
        })),
    }
}

fn ending(question: &Question<'_>, session: &Session) -> Ending {
    let login_at = session.record().login_at;
    if login_at.is_some_and(|at| question.sessions.now().since(at) <= YOUNG) {
        return Ending::Allowed;
    }
    question.doors.login_url(Some(&ReturnTo::devices()), true).map_or(Ending::AfterLogin, Ending::AfterPassword)
}

fn page(question: &Question<'_>, session: &Session, devices: &[Device]) -> Reply {
    let action = ReturnTo::devices();
    let page = DevicesPage {
        manner: question.manner,
        user: session.user().unwrap_or_default(),
        action: action.as_str(),
        token: question.sessions.keyring().token(PURPOSE, &question.subject()),
        rows: devices.iter().map(|device| row(question, device)).collect(),
        ending: ending(question, session),
    };
    Reply::page(200, &page)
}

fn row(question: &Question<'_>, device: &Device) -> DeviceRow {
    let say = &question.manner.words.devices;
    let ago = |at| question.sessions.now().since(at);
    let active = |length: Duration| if length <= NOW { say.active_now.to_owned() } else { (say.active)(length) };
    DeviceRow {
        handle: device.handle.as_str().to_owned(),
        name: agent::name(device.client.as_ref().map_or("", |client| &client.agent), say),
        address: device.client.as_ref().map(|client| client.address.clone()).filter(|address| !address.is_empty()),
        signed_in: device.login_at.map(|at| (say.signed_in)(ago(at))),
        active: if device.is_this { Some(say.active_now.to_owned()) } else { device.updated_at.map(|at| active(ago(at))) },
        is_this: device.is_this,
    }
}

fn unreachable(question: &Question<'_>, error: &StoreError) -> Reply {
    tracing::warn!(error = chain(error), "a visitor's sessions could not be listed");
    question.refuse(&Rejection::StoreUnavailable)
}
