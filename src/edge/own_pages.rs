//! Our own pages: what they need to know of a request.

use super::{Edge, client};
use crate::endpoint::{self, Desk, Endpoint, Question};
use crate::inbound::Inbound;
use crate::pages::{Language, Look, Manner};
use crate::reply::Reply;
use crate::session::Visitor;
use crate::telemetry::chain;
use http::header::USER_AGENT;
use http::{HeaderMap, Method};

impl Edge {
    /// With a login of its own, in the operator's look. No app may write what a login fills by `write = "all"`.
    pub fn with_login(mut self, desk: Desk, look: Look) -> Self {
        self.policy.protected.extend(desk.gatekeeper.filled_fields());
        Edge { desk: Some(desk), look, ..self }
    }

    /// How our pages speak to whoever sent these headers.
    pub fn manner(&self, headers: &HeaderMap) -> Manner<'_> {
        Manner::new(&self.look, Language::of(headers))
    }

    /// Answers one of our own pages. `form` is the body of a POST.
    pub async fn answer(&self, endpoint: Endpoint, inbound: &Inbound, headers: &HeaderMap, form: &[u8]) -> Reply {
        // Read whatever its path says: a logout must find the session.
        let cookies = if endpoint.is_personal() { self.named_cookies(headers) } else { Vec::new() };
        let visitor = self.visitor(&cookies).await;
        if let Visitor::Unreachable { error, .. } = &visitor {
            tracing::warn!(error = chain(error.as_ref()), page = endpoint.name(), "a visitor's session cannot be read");
        }
        let client = client(inbound, headers.get(USER_AGENT));
        let ended_cookies = if inbound.method == Method::POST { self.ended_cookies(inbound) } else { Vec::new() };
        let (sessions, ended_cookies) = (&self.sessions, ended_cookies.as_slice());
        let (exposed, doors, desk, manner) = (self.policy.exposed.as_slice(), &self.policy.doors, self.desk.as_ref(), self.manner(headers));
        let cookies = cookies.as_slice();
        let question = Question { inbound, headers, form, visitor, cookies, client, sessions, ended_cookies, exposed, manner, doors, desk };
        endpoint::answer(endpoint, &question).await
    }
}
