//! The login: a form on GET, a session on POST.
//!
//! A POST passes, in this order: its size and time (before it gets here), where it comes from, the form's token, the throttle and the
//! password (`auth`), and the store; then the visitor is sent on.

use super::device::Device;
use super::form::{Form, in_query};
use super::obstacle::Obstacle;
use super::pre_session::PreSession;
use super::token::{self, Token};
use super::{Desk, Question, ReturnTo};
use crate::access::{PostedFrom, posted_from};
use crate::auth::{Account, Answer, Attempt, Password};
use crate::pages::{LoginPage, Notice};
use crate::rejection::Rejection;
use crate::reply::Reply;
use crate::session::data::Data;
use crate::session::record::{Credential, Epoch};
use crate::session::{Changes, Circumstances, CookieOrder, Dropped, Event, Patch, Visitor, cookie};
use crate::telemetry::chain;
use http::header::ORIGIN;

/// A longer name is nobody's.
const LONGEST_NAME: usize = 256;

/// One visit of the form.
struct Visit<'a> {
    question: &'a Question<'a>,
    desk: &'a Desk,
    return_to: ReturnTo,
    /// The wanted page was named, rather than filled in by us.
    is_bound: bool,
    /// Whoever is signed in already is asked again.
    again: bool,
    name: String,
    remember: bool,
    pre: Option<PreSession>,
}

/// A name and a password that belong together.
struct Checked {
    account: Account,
    credential: Credential,
    /// The user's epoch from before the password was looked at, if the name was spelled as theirs.
    epoch: Option<Epoch>,
}

/// Why a POST ends without a login.
enum Stop {
    /// Not with this form.
    Refused(Rejection),
    /// The visitor is signed in already.
    Onward,
    /// The form is shown again.
    Again(Obstacle),
}

/// The form, unless the visitor needs none. Changes nothing.
pub fn ask(question: &Question<'_>, desk: &Desk) -> Reply {
    let query = |name| in_query(question.inbound.target.query(), name);
    let again = query("fresh").as_deref() == Some("1") && question.user().is_some();
    let visit = Visit::new(question, desk, query("return_to").as_deref(), again);
    match &question.visitor {
        Visitor::Unreachable { .. } => question.refuse(&Rejection::StoreUnavailable),
        Visitor::Known(session) if session.user().is_some() && !again => Reply::see_other(visit.return_to.as_str()),
        _ => visit.form(),
    }
}

/// Signs the visitor in.
pub async fn submit(question: &Question<'_>, desk: &Desk) -> Reply {
    let form = match Form::read(question) {
        Ok(form) => form,
        Err(rejection) => return question.refuse(&rejection),
    };
    let mut visit = Visit::new(question, desk, form.get("return_to"), form.ticked("fresh"));
    visit.name = form.get("username").unwrap_or_default().trim().to_owned();
    visit.remember = form.ticked("remember");
    if let Err(stop) = visit.trust(&form) {
        return visit.stopped(stop);
    }
    match visit.check(form.get("password").unwrap_or_default()).await {
        Ok(checked) => visit.sign_in(checked).await,
        Err(stop) => visit.stopped(stop),
    }
}

impl<'a> Visit<'a> {
    fn new(question: &'a Question<'a>, desk: &'a Desk, return_to: Option<&str>, again: bool) -> Self {
        let named = return_to.and_then(|raw| question.onward(Some(raw)));
        let before = if let (true, Visitor::Known(session)) = (again, &question.visitor) { Some(session) } else { None };
        Visit {
            question,
            desk,
            is_bound: named.is_some(),
            return_to: named.unwrap_or_else(|| desk.default_return.clone()),
            again,
            name: before.and_then(|session| session.user()).unwrap_or_default().to_owned(),
            remember: before.is_some_and(|session| session.record().cookie.expires.is_some()),
            pre: PreSession::of(question),
        }
    }

    /// Where the form comes from, and whether it is ours.
    fn trust(&self, form: &Form) -> Result<(), Stop> {
        let Question { inbound, headers, sessions, visitor, .. } = self.question;
        if posted_from(inbound, headers) == PostedFrom::Elsewhere {
            // The same site by plain HTTP, while we are known to be served over TLS: the browser cannot have kept our cookies.
            let plain = inbound.origin().replacen("https://", "http://", 1);
            let is_insecure = inbound.secure && headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes() == plain.as_bytes());
            return Err(if is_insecure { Stop::Again(Obstacle::Insecure) } else { Stop::Refused(Rejection::CrossSite) });
        }
        if matches!(visitor, Visitor::Unreachable { .. }) {
            return Err(Stop::Refused(Rejection::StoreUnavailable));
        }
        let nonce = self.pre.as_ref().map(|pre| pre.nonce.as_str());
        match token::judge(sessions.keyring(), nonce, form.get("token").unwrap_or_default(), sessions.now()) {
            Token::Good => Ok(()),
            // Another tab was faster.
            _ if self.question.user().is_some() && !self.again => Err(Stop::Onward),
            Token::Expired => Err(Stop::Again(Obstacle::Expired)),
            Token::Orphan => Err(Stop::Again(Obstacle::CookieNotKept)),
            Token::Foreign => Err(Stop::Again(Obstacle::Foreign)),
        }
    }

    /// Whether name and password belong together. Who is locked out while the password is hashed does not get in: their epoch is another
    /// by then.
    async fn check(&self, password: &str) -> Result<Checked, Stop> {
        if self.name.is_empty() || password.is_empty() {
            return Err(Stop::Again(Obstacle::Incomplete));
        }
        let password = Password::new(password.as_bytes()).ok_or(Stop::Again(Obstacle::PasswordTooLong))?;
        if self.name.len() > LONGEST_NAME || self.name.chars().any(char::is_control) {
            return Err(Stop::Again(Obstacle::OddName));
        }
        let device =
            Device::of(self.question).filter(|device| device.knows(self.question.sessions.keyring(), &self.desk.gatekeeper, &self.name));
        let known_device = device.as_ref().map(Device::id);
        let client = self.question.inbound.client.address;
        let epoch = self.question.sessions.epoch_of(&self.name).await.map_err(|error| {
            tracing::warn!(error = chain(error.as_ref()), "the session store cannot be asked for a login");
            Stop::Refused(Rejection::StoreUnavailable)
        })?;
        let obstacle = match self.desk.gatekeeper.check(Attempt { user: &self.name, password: &password, client, known_device }).await {
            Answer::Welcome(account, credential) => {
                let epoch = (account.user == self.name).then_some(epoch);
                return Ok(Checked { account, credential, epoch });
            }
            Answer::Refused => Obstacle::Refused,
            Answer::Slow(wait) => Obstacle::TooManyTries(wait),
            Answer::Busy(wait) => Obstacle::Busy(wait),
            Answer::Unavailable => Obstacle::UsersUnavailable,
        };
        Err(Stop::Again(obstacle))
    }

    /// A new session in the place of the one that there was, if any.
    async fn sign_in(&self, checked: Checked) -> Reply {
        let Checked { account, credential, epoch } = checked;
        let Question { inbound, sessions, visitor, client, .. } = self.question;
        let changes = Changes {
            login: Some(account.user.clone()),
            patches: self.patches(&account),
            remember: self.desk.offers_remember.then_some(self.remember),
            epoch,
            credential: Some(credential),
            ..Changes::default()
        };
        let at = Circumstances {
            secure: inbound.secure,
            cookie_possible: sessions.cookie_is_possible(inbound.secure),
            touch: true,
            client: client.clone(),
        };
        let outcome = match sessions.commit(visitor.clone(), changes, at).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(error = chain(error.as_ref()), "the session store refused a login");
                return self.question.refuse(&Rejection::StoreUnavailable);
            }
        };
        match (outcome.cookie, outcome.event) {
            (CookieOrder::Set(line), event) => self.welcome(&account, credential, &line, event),
            (CookieOrder::Keep, Event::Dropped(Dropped::NoCookie)) => self.stopped(Stop::Again(Obstacle::Insecure)),
            (CookieOrder::Keep, event) => {
                tracing::warn!(event = event.as_str(), "a login made no session");
                self.question.refuse(&Rejection::StoreUnavailable)
            }
        }
    }

    fn welcome(&self, account: &Account, credential: Credential, session_cookie: &str, event: Event) -> Reply {
        let question = self.question;
        let pre = self.pre.as_ref().map(|pre| pre.marked_line(question, &self.return_to));
        let device = Device::of(question).unwrap_or_else(|| Device::fresh(self.desk));
        let before = if let Visitor::Known(session) = &question.visitor { Some(session) } else { None };
        // A session that lapsed, or that its browser forgot, was perhaps somebody else's, whom an app behind us still remembers.
        let is_another = before.and_then(|session| session.user()) != Some(account.user.as_str());
        let reply = Reply::see_other(self.return_to.as_str())
            .with_cookies(if is_another { question.ended_cookies } else { &[] })
            .with_cookie(session_cookie)
            .with_cookie(&device.line_with(question, &account.user, credential))
            .with_event(event, before.map(|session| session.handle().as_str().to_owned()));
        match pre {
            Some(pre) => reply.with_cookie(&pre),
            None => reply,
        }
    }

    /// The account's fields, and none that an earlier login or an app had left in their place.
    fn patches(&self, account: &Account) -> Vec<Patch> {
        let empty = self.desk.gatekeeper.filled_fields().into_iter().map(|name| (name, serde_json::Value::Null)).collect();
        let both = [serde_json::Value::Object(empty), serde_json::Value::Object(account.fields.clone())];
        let read = |object: serde_json::Value| match Data::parse_patch(&object.to_string()) {
            Ok(patch) => Some(Patch::Merge(patch)),
            Err(error) => {
                tracing::warn!(%error, "fields of a user do not fit into a session and are left out");
                None
            }
        };
        both.into_iter().filter_map(read).collect()
    }

    /// What is said before anything was typed.
    fn first_notice(&self) -> Option<Notice> {
        let say = &self.question.manner.words.login;
        let sessions = self.question.sessions;
        let has_just_signed_in = || self.pre.as_ref().is_some_and(|pre| pre.has_just_signed_in(self.question, &self.return_to));
        if !sessions.cookie_is_possible(self.question.inbound.secure) {
            return Some(Notice::bad(say.lost.insecure));
        }
        if self.again {
            return Some(Notice::calm(say.why_again));
        }
        match &self.question.visitor {
            Visitor::Lapsed(lapse) => Some(Notice::calm(say.lapse.of(*lapse, sessions.idle_timeout()))),
            Visitor::Stranger if has_just_signed_in() => {
                let domain = sessions.cookie_domain();
                let is_elsewhere = domain.is_some_and(|domain| !cookie::domain_matches(domain, self.question.inbound.host.name()));
                Some(Notice::bad(if is_elsewhere { say.lost.elsewhere } else { say.lost.blocked }))
            }
            _ => None,
        }
    }

    fn stopped(&self, stop: Stop) -> Reply {
        match stop {
            Stop::Refused(rejection) => self.question.refuse(&rejection),
            Stop::Onward => Reply::see_other(self.return_to.as_str()),
            Stop::Again(obstacle) => self.with_page(|page| obstacle.reply(page)),
        }
    }

    fn form(&self) -> Reply {
        self.with_page(|page| {
            page.notice = self.first_notice();
            Reply::page(200, page)
        })
    }

    /// The form with everything that was typed but the password, and with the cookie that belongs to it.
    fn with_page(&self, reply: impl FnOnce(&mut LoginPage<'_>) -> Reply) -> Reply {
        let Question { sessions, manner, inbound, .. } = self.question;
        let pre = self.pre.as_ref().map_or_else(|| PreSession::fresh(self.desk), PreSession::unmarked);
        let mut page = LoginPage {
            manner: *manner,
            action: self.question.inbound.target.path(),
            token: token::issue(sessions.keyring(), &pre.nonce, sessions.now()),
            return_to: self.return_to.as_str(),
            onward: self.is_bound.then(|| self.return_to.shown()).flatten(),
            notice: None,
            name: &self.name,
            again: self.again,
            remember: self.desk.offers_remember.then_some(self.remember),
            host: inbound.host.authority(),
        };
        reply(&mut page).with_cookie(&pre.line(self.question))
    }
}
