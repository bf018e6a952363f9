//! `/.cloakroom/session`: what a page's own script may know of its visitor's session. Looking does not keep the session alive.

use super::Question;
use crate::inbound::Asker;
use crate::rejection::Rejection;
use crate::reply::Reply;
use crate::session::Visitor;
use serde_json::{Map, Value, json};

/// `user`, and in seconds `expires_in` (whatever comes first), `idle_in` (without another request), `login_age`; null where there is
/// none. The data stays at home, unless `[session] expose` names fields.
pub fn session(question: &Question<'_>) -> Reply {
    let session = match &question.visitor {
        Visitor::Known(session) => session,
        Visitor::Unreachable { .. } => return Rejection::StoreUnavailable.reply(Asker::Script, question.manner),
        Visitor::Stranger | Visitor::Lapsed(_) => {
            return Reply::json(200, &json!({ "user": null, "expires_in": null, "idle_in": null, "login_age": null }));
        }
    };
    let (sessions, now) = (question.sessions, question.sessions.now());
    let seconds_until = |at: Option<crate::clock::Timestamp>| at.map(|at| at.since(now).as_secs());
    let idle_end = session.record().expires_at;
    let login_age = session.record().login_at.map(|at| now.since(at).as_secs());
    let mut answer = Map::new();
    answer.insert("user".to_owned(), session.user().into());
    let end = [sessions.absolute_end(session), idle_end].into_iter().flatten().min();
    answer.insert("expires_in".to_owned(), seconds_until(end).into());
    answer.insert("idle_in".to_owned(), seconds_until(idle_end).into());
    answer.insert("login_age".to_owned(), login_age.into());
    for name in question.exposed {
        let value = session.record().data.json_of(name).and_then(|json| serde_json::from_str(json).ok());
        answer.insert(name.clone(), value.unwrap_or(Value::Null));
    }
    Reply::json(200, &Value::Object(answer))
}
