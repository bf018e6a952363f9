//! Replays raw hostile requests against the running proxy and judges what the app and the client saw.
//!
//! Adding a case is adding a line to `tests/hostile/requests.jsonl`; where the product differs on purpose, that and why
//! stands in `tests/hostile/exceptions.json`.
mod support;

use std::net::SocketAddr;
use std::time::Duration;
use support::cases::{self, Case, Ticket, matches};
use support::wire::{self, Outcome, PATIENCE, Status};
use support::{App, Browser, Cloakroom, app, h2raw, oracles};

const HOST: &str = "app.example.com";
/// What the visitor types: cases append to the port.
const AUTHORITY: &str = "app.example.com:8443";
/// What no log may hold, whatever a client sends.
const LOG_FORBIDS: [(&str, &str); 4] = [
    ("a raw escape sequence", r"\x1b\[2J|\x{9b}31m"),
    ("a forged line", r"(?m)^(INJECTED|2026-01-01T00:00:00Z INFO login ok)"),
    ("a broken-out JSON value", r#"(?<!\\)","event":"login_ok""#),
    ("a password from a URL", r"password=secret"),
];

macro_rules! classes {
    ($($test:ident: $class:literal),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                replay($class).await;
            }
        )*

        #[test]
        fn every_class_of_the_file_is_replayed() {
            let mut left: Vec<_> = cases::load().into_iter().map(|c| c.class).collect();
            left.retain(|c| ![$($class),*].contains(&c.as_str()));

            assert_eq!(left, Vec::<String>::new());
        }
    };
}

classes! {
    every_cache_case_keeps_private_pages_private: "cache",
    every_cookie_case_opens_no_session: "cookie",
    every_csrf_case_is_refused: "csrf",
    every_forwarded_spoof_is_replaced: "forwarded-spoof",
    every_http2_case_is_refused_or_harmless: "h2",
    every_header_spoof_is_stripped: "header-spoof",
    every_hop_by_hop_case_keeps_the_identity: "hop-by-hop",
    every_limit_holds: "limits",
    every_login_case_signs_nobody_in: "login",
    every_log_injection_stays_on_its_line: "log-injection",
    every_open_redirect_stays_here: "open-redirect",
    every_path_bypass_is_refused_or_harmless: "path-bypass",
    every_request_line_case_is_refused_or_harmless: "request-line",
    every_slow_client_is_sent_away: "slow",
    every_smuggling_case_is_refused_or_harmless: "smuggling",
    every_trailer_case_is_harmless: "trailer",
    every_websocket_case_needs_its_origin: "websocket",
}

/// The proxy in front of the echo app, and a visitor who is signed in.
struct Scene {
    app: App,
    proxy: Cloakroom,
    ticket: Ticket,
}

fn proxy_toml(upstream: &str) -> String {
    let route = |host: &str, path: &str, more: &str| {
        format!("[[routes]]\nmatch = {{ host = \"{host}\", path = \"{path}\" }}\nupstream = \"{upstream}\"\n{more}\n")
    };
    let routes = [
        route(HOST, "/public/login-as", "login = true"),
        route(HOST, "/public/*", ""),
        route(HOST, "/private/*", "session = \"required\""),
        route(HOST, "/", ""),
        // A smuggled request must be able to reach the app, or its absence proves nothing.
        route("inner.example", "/smuggled", ""),
    ];
    let head = format!(
        r#"
[server]
listen = [{{ addr = "127.0.0.1:0", h2c = true }}]
public_url = "https://{AUTHORITY}"
[store]
kind = "memory"
[session]
secrets = ["env:HOSTILE_SECRET"]
[login]
throttle = {{ per_user = "off", per_client = "off" }}
[headers]
set = {{ "X-Auth-User" = "{{user}}" }}
"#
    );
    head + &routes.concat()
}

impl Scene {
    /// Without these a case would pass for the wrong reason.
    async fn start() -> Self {
        let app = App::start().await;
        let proxy =
            Cloakroom::with(&proxy_toml(&app.url())).env("HOSTILE_SECRET", "a secret of more than 32 bytes, not for use").start().await;
        let mut scene = Self { app, proxy, ticket: Ticket { host: AUTHORITY.to_owned(), ..Ticket::default() } };
        assert_ne!(scene.stranger().get("/private").await.status, 200, "a stranger gets /private");
        scene.sign_in().await;
        let mark = scene.app.mark();
        assert!(scene.is_signed_in().await, "the visitor does not get /private");
        let told: Vec<_> = scene.app.since(&mark).requests.iter().map(|r| r.headers("X-Auth-User").join(",")).collect();
        assert_eq!(told, ["alice"]);
        scene
    }

    fn stranger(&self) -> Browser {
        Browser::new(self.proxy.addr()).host(&self.ticket.host)
    }

    async fn sign_in(&mut self) {
        let mut browser = self.stranger();
        let page = browser.get("/public/login-as?user=alice").await;
        let cookies = page.set_cookies();
        let cookie = cookies.iter().find(|c| c.value.starts_with("s%3A")).unwrap_or_else(|| panic!("no session cookie: {page:?}"));
        (self.ticket.name, self.ticket.value) = (cookie.name.clone(), cookie.value.clone());
    }

    async fn is_signed_in(&self) -> bool {
        let mut browser = self.stranger();
        browser.jar.push((self.ticket.name.clone(), self.ticket.value.clone()));
        browser.get("/private").await.status == 200
    }
}

async fn replay(class: &str) {
    let cases: Vec<Case> = cases::load().into_iter().filter(|c| c.class == class).collect();
    assert!(!cases.is_empty(), "no case of class {class}");
    let mut scene = Scene::start().await;
    if cases.iter().any(|c| c.transport == "h2") {
        assert!(h2raw::speaks_h2(scene.proxy.addr()).await, "the listener does not speak HTTP/2");
    }

    let (slow, quick): (Vec<_>, Vec<_>) = cases.into_iter().partition(Case::is_slow);
    let mut failures = Vec::new();
    for case in &quick {
        failures.extend(replay_one(case, &mut scene).await);
    }
    let judged = slow.iter().map(|case| run(case, scene.proxy.addr(), &scene.app, &scene.ticket));
    failures.extend(futures_util::future::join_all(judged).await.into_iter().flatten());
    let log = scene.proxy.log();
    for (what, pattern) in LOG_FORBIDS {
        if matches(&fancy_regex::Regex::new(pattern).expect("a pattern"), &log) {
            failures.push(format!("the log holds {what}"));
        }
    }

    assert!(failures.is_empty(), "{} problems:\n  {}\n", failures.len(), failures.join("\n  "));
}

async fn replay_one(case: &Case, scene: &mut Scene) -> Vec<String> {
    let mut failures = run(case, scene.proxy.addr(), &scene.app, &scene.ticket).await;
    if !scene.proxy.is_alive() {
        failures.push(format!("{}: the proxy's process ended", case.id));
        scene.proxy.restart().await;
        scene.sign_in().await;
    } else if case.needs_cookie() && !scene.is_signed_in().await {
        if case.session_must_survive() {
            failures.push(format!("{}: the session is gone", case.id));
        }
        scene.sign_in().await;
    }
    failures
}

/// Sends one case and returns what was wrong.
async fn run(case: &Case, addr: SocketAddr, app: &App, ticket: &Ticket) -> Vec<String> {
    let mark = app.mark();
    let outcome = if case.transport == "h2" {
        h2raw::converse(addr, &ticket.fill(&case.raw)).await
    } else {
        let patience = case.check.max_seconds.map_or(PATIENCE + Duration::from_secs(2), |s| Duration::from_secs(s + 3));
        wire::converse(addr, &case.pieces(ticket), patience).await
    };
    // What the proxy forwards late still counts.
    tokio::time::sleep(Duration::from_millis(50)).await;
    judge(case, ticket, &outcome, &app.since(&mark)).into_iter().map(|p| format!("{}: {p}", case.id)).collect()
}

fn judge(case: &Case, ticket: &Ticket, outcome: &Outcome, seen: &app::Seen) -> Vec<String> {
    let (check, mut problems) = (&case.check, Vec::new());
    let lines = oracles::request_lines(&seen.streams);
    let raw = seen.text();

    let wanted = |s: &serde_json::Value| match outcome.status {
        Status::Answered(code) => s == code,
        Status::Closed => s == "close",
        Status::Reset => s == "rst",
        Status::Silence => s == "none",
    };
    if !check.status.is_empty() && !check.status.iter().any(wanted) {
        problems.push(format!("{:?}, wanted {:?}", outcome.status, check.status));
    }
    if outcome.status == Status::Answered(500) {
        problems.push("status 500".to_owned());
    }
    if check.backend.as_deref() == Some("none") && !seen.streams.is_empty() {
        problems.push(format!("the app saw {raw:.90?}"));
    }
    let forbidden = |text: &str, patterns: &[String], who: &str| -> Vec<String> {
        ticket.patterns(patterns).iter().filter(|p| matches(p, text)).map(|p| format!("{who} {:?}", p.as_str())).collect()
    };
    problems.extend(forbidden(&raw, &check.backend_forbid, "the app saw"));
    for line in &lines {
        problems.extend(forbidden(line, &check.backend_request_forbid, &format!("{line:?} reached the app, it has")));
    }
    for pattern in ticket.patterns(&check.backend_require) {
        let hits: Vec<_> = seen.requests.iter().map(|r| pattern.find_iter(&r.head).count()).collect();
        if hits.iter().sum::<usize>() == 0 || hits.iter().any(|&n| n > 1) {
            problems.push(format!("the app saw {:?} {hits:?} times, wanted once", pattern.as_str()));
        }
    }
    if check.framing_oracle {
        problems.extend(oracles::framing(&seen.streams, case.requests));
    }
    if check.path_oracle {
        problems.extend(oracles::paths(&seen.streams));
    }
    for (name, &most) in &check.backend_max_lines {
        let most_seen = seen.requests.iter().map(|r| r.headers(name).len()).max().unwrap_or(0);
        if most_seen > most {
            problems.push(format!("{most_seen} {name} lines reached the app"));
        }
    }
    problems.extend(forbidden(&outcome.text, &check.client_forbid, "the client saw"));
    let conditional = check.client_require_if.iter().filter(|(s, _)| outcome.status == Status::Answered(s.parse().unwrap_or(0)));
    for pattern in ticket.patterns(&[check.client_require.clone(), conditional.flat_map(|(_, p)| p.clone()).collect()].concat()) {
        if !matches(&pattern, &outcome.text) {
            problems.push(format!("the client did not see {:?}", pattern.as_str()));
        }
    }
    if let Some(most) = check.max_seconds.filter(|&most| outcome.took > Duration::from_secs(most)) {
        problems.push(format!("took {:?}, at most {most} s", outcome.took));
    }
    problems
}

/// The judge itself: asked without a proxy in between, the app is open to nearly all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_the_proxy_is_condemned() {
    let cases = cases::load().into_iter().filter(|c| ["smuggling", "path-bypass", "header-spoof"].contains(&c.class.as_str()));
    let alone = cases.map(|case| async move {
        let app = App::start().await;
        let ticket = Ticket { host: AUTHORITY.to_owned(), name: "cloakroom".to_owned(), value: "s%3Ax.y".to_owned() };
        run(&case, app.addr(), &app, &ticket).await.is_empty()
    });

    let passed = futures_util::future::join_all(alone).await;

    let harmless = passed.iter().filter(|p| **p).count();
    assert!(harmless * 4 < passed.len(), "{harmless} of {} pass without a proxy", passed.len());
}
