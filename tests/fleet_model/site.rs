//! What the visitors visit: a small app behind two proxies, each behind relays of its own to the three members of a replica set.

use crate::support::app::{Answer, App, SeenRequest};
use crate::support::{Cloakroom, Relay, ReplicaSet, Traffic};
use crate::ticket::FIELDS;
use serde_json::json;

pub const PROXIES: usize = 2;

pub struct Site {
    pub set: ReplicaSet,
    pub proxies: Vec<Proxy>,
    _app: App,
}

pub struct Proxy {
    pub cloakroom: Cloakroom,
    relays: Vec<Relay>,
}

impl Site {
    pub async fn start() -> Self {
        let (app, set) = (App::answering(|request| Some(answer(request))).await, ReplicaSet::start().await);
        let mut proxies = Vec::new();
        for _ in 0..PROXIES {
            let relays = Relay::to_members(&set.ports()).await;
            let hosts: Vec<String> = relays.iter().map(|relay| format!("127.0.0.1:{}", relay.port())).collect();
            let toml = format!(
                "[store]\nkind = \"mongodb\"\nuri = \"mongodb://{}/?replicaSet=rs0\"\n[session]\nsecrets = \"hex:{}\"\ntouch_after = \"2s\"\n\
                 [log]\naccess = false\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\nlogin = true\n",
                hosts.join(","),
                "5a".repeat(32),
                app.url()
            );
            proxies.push(Proxy { cloakroom: Cloakroom::start(&toml).await, relays });
        }
        Site { set, proxies, _app: app }
    }
}

impl Proxy {
    /// What becomes of all that is said between this proxy and the store.
    pub fn traffic(&self, traffic: Traffic) {
        self.relays.iter().for_each(|relay| relay.set(traffic));
    }
}

/// `/in/USER/N` signs in with every field at `N`, `/put/FIELD/N` changes one, `/renew` asks for a new id, `/out` signs out, `/out/all` everywhere. Every
/// answer tells what the app was told.
fn answer(request: &SeenRequest) -> Answer {
    let told = json!({
        "user": request.header("X-Session-User"), "handle": request.header("X-Session-Handle"), "data": request.session_data(),
    });
    let answer = Answer::text(&told.to_string());
    let words: Vec<&str> = request.path().split('/').skip(1).collect();
    match words[..] {
        ["in", user, number] => {
            let fields: Vec<String> = FIELDS.iter().map(|field| format!("\"{field}\":{number}")).collect();
            answer.with("X-Session-Login", user).with("X-Session-Set", &format!("{{{}}}", fields.join(",")))
        }
        ["put", field, number] => answer.with("X-Session-Set", &format!("{{\"{field}\":{number}}}")),
        ["renew"] => answer.with("X-Session-Renew", "true"),
        ["out"] => answer.with("X-Session-End", "this"),
        ["out", "all"] => answer.with("X-Session-End", "all"),
        _ => answer,
    }
}
