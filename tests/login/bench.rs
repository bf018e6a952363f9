//! The site without a server: requests into the policy, a clock that stands still, and visitors with a jar of cookies.

use crate::site::{PASSWORD, hidden, users, value_of};
use crate::support::browser::SetCookie;
use crate::tap::Tap;
use cloakroom::cli::{assemble, desk};
use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::config;
use cloakroom::edge::{Edge, Verdict};
use cloakroom::random::OsEntropy;
use cloakroom::reply::Reply;
use cloakroom::secret::Secret;
use cloakroom::session::data::Data;
use cloakroom::session::keyring::Keyring;
use cloakroom::session::record::Client;
use cloakroom::session::{Changes, Circumstances, CookieOrder, Patch, Sessions, Visitor, cookie};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOST: &str = "app.example.com";

pub struct Bench {
    edge: Edge,
    pub sessions: Arc<Sessions>,
    pub clock: Arc<ManualClock>,
    pub store: Arc<Tap>,
    _folder: TempDir,
}

/// A visitor's browser.
#[derive(Clone, Default)]
pub struct Guest {
    pub jar: Vec<(String, String)>,
    pub headers: Vec<(&'static str, String)>,
}

/// What the visitor got.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With more sections of `proxy.toml`.
    pub async fn with(toml: &str) -> Self {
        Self::over(Tap::default(), toml).await
    }

    pub async fn over(store: Tap, toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("users.toml"), users()).expect("written");
        let path = folder.path().join("proxy.toml");
        let login = "[login]\nthrottle = { per_user = \"off\", per_client = \"off\" }\n";
        let routes = "[[routes]]\nmatch = { path = \"/private/*\" }\nsession = \"required\"\nupstream = \"http://127.0.0.1:1\"\n\
                      [[routes]]\nupstream = \"http://127.0.0.1:1\"\n";
        std::fs::write(&path, format!("[store]\nkind = \"memory\"\n{login}{toml}\n{routes}")).expect("written");
        let (config, _) = config::load(&path, &|_| None).unwrap_or_else(|report| panic!("{}", report.render(false)));
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let keyring = Keyring::new(&[Secret::new("a secret of more than thirty-two bytes")]).expect("a secret");
        let store = Arc::new(store);
        let sessions = Arc::new(Sessions::new(store.clone(), keyring, assemble::options(&config), clock.clone(), Arc::new(OsEntropy)));
        let login = config.login.as_ref().expect("[login]");
        let desk = desk::open(login, &sessions).await.expect("a desk");
        let edge = assemble::edge(&config, sessions.clone()).with_login(desk, desk::look(&login.page));
        Bench { edge, sessions, clock, store, _folder: folder }
    }

    pub async fn get(&self, guest: &mut Guest, target: &str) -> Answer {
        self.send(guest, "GET", target, &[], "").await
    }

    /// A form's POST by a browser that says where it comes from.
    pub async fn post(&self, guest: &mut Guest, target: &str, body: &str) -> Answer {
        self.send(guest, "POST", target, &[("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")], body)
            .await
    }

    pub async fn send(&self, guest: &mut Guest, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let pairs: Vec<_> = guest.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = Some(pairs.join("; ")).filter(|line| !line.is_empty());
        let mut request = http::Request::builder().method(method).uri("/").header("Host", HOST).header("Accept", "text/html");
        let own = guest.headers.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()).chain(cookies.as_deref().map(|line| ("Cookie", line))) {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let inbound = Arc::new(self.edge.understand(&head, target.as_bytes(), [192, 0, 2, 1].into()).expect("understood"));
        let reply = match self.edge.receive(inbound.clone(), &head.headers).await {
            Verdict::Own(endpoint) => self.edge.answer(endpoint, &inbound, &head.headers, body.as_bytes()).await,
            Verdict::Refuse(refusal) => refusal.rejection.reply(inbound.asker(&head.headers), self.edge.manner(&head.headers)),
            Verdict::Forward(visit) => {
                let user = visit.dressed.user().unwrap_or_default().to_owned();
                return Answer { status: 200, headers: Vec::new(), text: format!("the app greets {user}") };
            }
        };
        let answer = Answer::of(&reply);
        guest.keep(&answer);
        answer
    }

    /// Sends a page's form with these fields.
    pub async fn fill(&self, guest: &mut Guest, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        let action = value_of(&page.text, "action=\"").expect("a form");
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(hidden(&page.text)).extend_pairs(fields);
        self.post(guest, &action, &body.finish()).await
    }

    /// Somebody without a name, whose session holds this.
    pub async fn with_data(&self, json: &str) -> Guest {
        let changes = Changes { patches: vec![Patch::Merge(Data::parse(json).expect("an object"))], ..Changes::default() };
        let at = Circumstances { secure: false, cookie_possible: true, touch: true, client: Client::default() };
        let outcome = self.sessions.commit(Visitor::Stranger, changes, at).await.expect("stored");
        let CookieOrder::Set(line) = outcome.cookie else { panic!("no cookie") };
        let cookie = SetCookie::parse(&line);
        Guest { jar: vec![(cookie.name, cookie.value)], ..Guest::default() }
    }

    /// What a guest's session holds.
    pub async fn data(&self, guest: &Guest) -> String {
        let pair = format!("cloakroom={}", guest.cookie("cloakroom").expect("a session"));
        let values = cookie::values([pair.as_bytes()].into_iter(), "cloakroom");
        let Visitor::Known(session) = self.sessions.resume(&values).await else { panic!("no live session") };
        session.record().data.to_json()
    }

    /// Through the form.
    pub async fn sign_in(&self, guest: &mut Guest, address: &str, user: &str) -> Answer {
        let form = self.get(guest, address).await;
        self.fill(guest, &form, &[("username", user), ("password", PASSWORD)]).await
    }

    /// Somebody who has signed in.
    pub async fn signed_in(&self, user: &str) -> Guest {
        let mut guest = Guest::default();
        let answer = self.sign_in(&mut guest, "/login", user).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        guest
    }
}

impl Guest {
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn forget(&mut self, name: &str) {
        self.jar.retain(|(own, _)| own != name);
    }

    fn keep(&mut self, answer: &Answer) {
        for cookie in answer.cookies() {
            self.forget(&cookie.name);
            if cookie.attribute("max-age") != Some("0") {
                self.jar.push((cookie.name, cookie.value));
            }
        }
    }
}

impl Answer {
    fn of(reply: &Reply) -> Self {
        let headers = reply.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned())).collect();
        Answer { status: reply.status, headers, text: String::from_utf8_lossy(&reply.body).into_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn location(&self) -> (u16, Option<&str>) {
        (self.status, self.header("location"))
    }

    pub fn cookies(&self) -> Vec<SetCookie> {
        self.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, line)| SetCookie::parse(line)).collect()
    }

    pub fn cookie(&self, name: &str) -> Option<SetCookie> {
        self.cookies().into_iter().find(|cookie| cookie.name == name)
    }

    /// What is said above the form, and whether as a failure.
    pub fn notice(&self) -> Option<(String, bool)> {
        let (before, rest) = self.text.split_once("role=\"")?;
        let is_bad = before.rsplit('<').next().is_some_and(|tag| tag.contains("notice bad"));
        let text = rest.split_once('>')?.1.split('<').next()?;
        Some((text.replace("&#39;", "'"), is_bad))
    }

    /// A field's value in the form.
    pub fn field(&self, id: &str) -> Option<String> {
        let tag = self.text.split("<input ").find(|tag| tag.starts_with(&format!("id=\"{id}\"")))?.split('>').next()?;
        value_of(tag, "value=\"")
    }
}
