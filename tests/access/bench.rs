//! The whole policy without a socket: requests into `Edge::receive`, answers into `Edge::depart`, time by hand.

use cloakroom::cli::assemble;
use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::config;
use cloakroom::edge::{Departure, Edge, Refused, Verdict, Visit};
use cloakroom::random::OsEntropy;
use cloakroom::reply::Reply;
use cloakroom::secret::Secret;
use cloakroom::session::Sessions;
use cloakroom::session::keyring::Keyring;
use cloakroom::session::store::MemoryStore;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

pub const LOGIN: &str = "[login]\n";
pub const PAGE: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
pub const SCRIPT: (&str, &str) = ("Accept", "application/json");

pub struct Bench {
    pub edge: Edge,
    clock: Arc<ManualClock>,
    /// The browser's cookie of ours, as `Cookie` sends it.
    pub cookie: Option<String>,
}

/// What a visitor meets.
pub enum Met {
    App(Box<Visit>),
    Us(Reply),
}

impl Bench {
    /// `proxy.toml` without its store.
    pub fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.toml");
        std::fs::write(&path, format!("[store]\nkind = \"memory\"\n{toml}")).expect("written");
        let (config, _) = config::load(&path, &|_| None).unwrap_or_else(|report| panic!("{}", report.render(false)));
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let keyring = Keyring::new(&[Secret::new([0x5a; 32])]).expect("a secret");
        let options = assemble::options(&config);
        let sessions = Sessions::new(Arc::new(MemoryStore::default()), keyring, options, clock.clone(), Arc::new(OsEntropy));
        Bench { edge: assemble::edge(&config, Arc::new(sessions)), clock, cookie: None }
    }

    pub fn wait(&self, length: Duration) {
        self.clock.advance(length);
    }

    /// A request of this browser.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Met {
        let mut request = http::Request::builder().method(method).uri("/").header("Host", "app.example.com");
        for (name, value) in headers.iter().copied().chain(self.cookie.as_deref().map(|cookie| ("Cookie", cookie))) {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let inbound = self.edge.understand(&head, target.as_bytes(), [192, 0, 2, 1].into()).expect("understood");
        let asker = inbound.asker(&head.headers);
        match self.edge.receive(Arc::new(inbound), &head.headers).await {
            Verdict::Forward(visit) => Met::App(visit),
            Verdict::Refuse(refusal) => Met::Us(refusal.rejection.reply(asker, self.edge.manner(&head.headers))),
            Verdict::Own(endpoint) => panic!("{} is a page of ours", endpoint.name()),
        }
    }

    pub async fn get(&self, target: &str) -> Met {
        self.ask("GET", target, &[PAGE]).await
    }

    /// The app's answer to a request; the browser keeps our cookie.
    pub async fn answer(&mut self, met: Met, answer: &[(&str, &str)]) -> Result<Departure, Refused> {
        let Met::App(mut visit) = met else { panic!("the app was not asked") };
        let mut headers = HeaderMap::new();
        for (name, value) in answer {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_str(value).expect("a value"));
        }
        let departed = self.edge.depart(&mut visit, &headers).await;
        if let Ok(Departure { set_cookie: Some(line), .. }) = &departed {
            let pair = line.to_str().expect("ASCII").split(';').next().unwrap_or_default().to_owned();
            self.cookie = Some(pair).filter(|pair| !pair.ends_with('='));
        }
        departed
    }

    /// The app at `/app` answers this.
    pub async fn app_says(&mut self, answer: &[(&str, &str)]) -> Departure {
        let met = self.get("/app").await;
        self.answer(met, answer).await.unwrap_or_else(|refused| panic!("{:?}", refused.rejection))
    }

    /// Signs in by the app's word, with these fields.
    pub async fn sign_in(&mut self, user: &str, fields: &str) -> Departure {
        self.app_says(&[("x-session-login", user), ("x-session-set", fields)]).await
    }
}

impl Met {
    pub fn passed(&self) -> bool {
        matches!(self, Met::App(_))
    }

    pub fn us(&self) -> &Reply {
        match self {
            Met::Us(reply) => reply,
            Met::App(_) => panic!("the app was asked"),
        }
    }

    /// `303 /login?…`, `401 page`, `401 json` or `app`.
    pub fn short(&self) -> String {
        let Met::Us(reply) = self else { return "app".to_owned() };
        let status = reply.status;
        match (self.header("location"), self.header("content-type")) {
            (Some(to), _) => format!("{status} {to}"),
            (None, Some("text/html; charset=utf-8")) => format!("{status} page"),
            (None, Some("application/problem+json")) => format!("{status} json"),
            (None, other) => format!("{status} {other:?}"),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.us().headers.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.us().body.to_vec()).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.us().body).expect("JSON")
    }

    /// A header that the app gets from us.
    pub fn told(&self, name: &str) -> Option<&str> {
        let Met::App(visit) = self else { panic!("the app was not asked") };
        visit.dressed.headers().find(|(found, _)| *found == name).and_then(|(_, value)| value.to_str().ok())
    }
}
