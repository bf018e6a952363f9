//! `cloakroom explain`: what a request would meet. The answer comes from the same code that serves.

use super::check::Output;
use super::{Explain, FINE, WRONG, assemble};
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::edge::{Edge, Verdict};
use crate::header::forwarded;
use crate::inbound::Asker;
use crate::random::{Entropy, OsEntropy};
use crate::rejection::Rejection;
use crate::route::{Require, Route, SessionUse, Wanted};
use crate::secret::Secret;
use crate::session::data::Data;
use crate::session::keyring::Keyring;
use crate::session::record::Client;
use crate::session::store::MemoryStore;
use crate::session::{Changes, Circumstances, CookieOrder, Patch, Sessions, Visitor};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

/// Where the request comes from, as far as it matters.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Writes the explanation to `out`. Returns the exit code: 0, or 2 if the question or the configuration is wrong.
pub fn explain(path: &Path, env: &dyn Fn(&str) -> Option<String>, question: &Explain, to: Output<'_>) -> std::io::Result<u8> {
    let config = match config::load(path, env) {
        Ok((config, _)) => config,
        Err(report) => {
            to.err.write_all(report.render(to.color).as_bytes())?;
            return Ok(WRONG);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(told(&config, question)) {
        Ok(text) => {
            to.out.write_all(text.as_bytes())?;
            Ok(FINE)
        }
        Err(wrong) => {
            writeln!(to.err, "error: {wrong}")?;
            Ok(WRONG)
        }
    }
}

async fn told(config: &Config, question: &Explain) -> Result<String, String> {
    let site =
        Url::parse(&question.url, config).ok_or_else(|| format!("`{}` is no URL such as https://app.example.com/x", question.url))?;
    let mut key = [0; 32];
    OsEntropy.fill(&mut key);
    let keyring = Keyring::new(&[Secret::new(key)]).ok_or("no key")?;
    let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(SystemClock));
    let sessions = Arc::new(Sessions::new(store, keyring, assemble::options(config), clock, Arc::new(OsEntropy)));
    let cookie = begin(&sessions, question, site.secure).await?;
    let edge = assemble::edge(config, sessions);
    let mut text = format!("{} {}\n\n", question.method, question.url);
    let person = ask(&edge, &site, question, cookie.as_ref(), Asker::Person).await?;
    let script = ask(&edge, &site, question, cookie.as_ref(), Asker::Script).await?;
    match &person {
        Met::Unread(rejection) => line(&mut text, &format!("refused before any route is looked at: {}", short(rejection))),
        Met::Own(name) => line(&mut text, &format!("a page of Cloakroom itself ({name}): no app sees it")),
        Met::Refused(..) | Met::App(_) => {
            routes(&mut text, config, &site.host, &site.path, &question.method);
            line(&mut text, "");
            meets(&mut text, question, &person, &script);
        }
    }
    Ok(text)
}

/// What was asked about.
struct Url {
    secure: bool,
    /// As in `Host`.
    authority: String,
    /// Lower case, without port.
    host: String,
    path: String,
    /// Path and query, as written.
    target: String,
}

impl Url {
    fn parse(text: &str, config: &Config) -> Option<Self> {
        let public = config.server.public_url.as_ref();
        let (secure, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest.to_owned())
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest.to_owned())
        } else if text.starts_with('/') {
            (public.is_some_and(|url| url.https), format!("{}{text}", public.map_or("localhost", |url| url.host.as_str())))
        } else {
            return None;
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(at)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let host = crate::inbound::Host::parse(authority.as_bytes()).ok()?;
        let path = target.split('?').next().unwrap_or_default().to_owned();
        Some(Url { secure, authority: authority.to_owned(), host: host.name().to_owned(), path, target })
    }
}

/// A session with this user and this data, in a store of its own; `None`: nobody asked for one.
async fn begin(sessions: &Arc<Sessions>, question: &Explain, secure: bool) -> Result<Option<HeaderValue>, String> {
    if question.user.is_none() && question.session_data.is_none() {
        return Ok(None);
    }
    let data = question.session_data.as_deref().unwrap_or("{}");
    let patch = Data::parse_patch(data).map_err(|error| format!("--session-data is no JSON object: {error}"))?;
    let changes = Changes { login: question.user.clone(), patches: vec![Patch::Merge(patch)], ..Changes::default() };
    let at = Circumstances { secure, cookie_possible: true, touch: true, client: Client::default() };
    let outcome = sessions.commit(Visitor::Stranger, changes, at).await.map_err(|error| error.to_string())?;
    match outcome.cookie {
        CookieOrder::Set(line) => Ok(line.split(';').next().and_then(|pair| HeaderValue::from_str(pair).ok())),
        CookieOrder::Keep => Err("no session can be made of that: name a --user, or data that fits".to_owned()),
    }
}

/// What a request meets.
enum Met {
    /// It cannot be understood.
    Unread(Rejection),
    Own(&'static str),
    Refused(Rejection),
    /// What the app gets.
    App(Vec<String>),
}

async fn ask(edge: &Edge, site: &Url, question: &Explain, cookie: Option<&HeaderValue>, asker: Asker) -> Result<Met, String> {
    let head = head(site, question, cookie, asker).ok_or_else(|| format!("`{}` is no method such as GET", question.method))?;
    let mut inbound = match edge.understand(&head, site.target.as_bytes(), NOBODY) {
        Ok(inbound) => inbound,
        Err(malformed) => return Ok(Met::Unread(Rejection::Malformed(malformed))),
    };
    inbound.secure |= site.secure;
    Ok(match edge.receive(Arc::new(inbound), &head.headers).await {
        Verdict::Own(endpoint) => Met::Own(endpoint.name()),
        Verdict::Refuse(refusal) => Met::Refused(refusal.rejection),
        Verdict::Forward(visit) => {
            let prefix = visit.route.stripped(visit.inbound.target.path()).map(|(gone, _)| gone);
            let forwarded = forwarded::headers(&visit.inbound, &HeaderMap::new(), prefix);
            let dressed = visit.dressed.headers().map(|(name, value)| field(name.as_str(), value));
            Met::App(dressed.chain(forwarded.map(|(name, value)| field(name.as_str(), &value))).collect())
        }
    })
}

fn head(site: &Url, question: &Explain, cookie: Option<&HeaderValue>, asker: Asker) -> Option<Parts> {
    let accept = if asker == Asker::Person { "text/html" } else { "application/json" };
    let mut request = http::Request::builder().method(question.method.as_str()).header("host", &site.authority).header("accept", accept);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    request.body(()).ok().map(|request| request.into_parts().0)
}

/// The routes in order, up to the one that matches, and why the others do not.
fn routes(text: &mut String, config: &Config, host: &str, path: &str, method: &str) {
    let width = config.routes.iter().map(|route| route.name.chars().count()).max().unwrap_or_default();
    for (number, route) in (1..).zip(&config.routes) {
        let pattern = &route.pattern;
        let why = if !pattern.matches_host(host) {
            "no: it is for another host"
        } else if !route.matches_path(path) {
            "no: it is for another path"
        } else if !pattern.matches_method(method) {
            "no: it is for other methods"
        } else {
            line(text, &format!("route {number}  {:width$}  yes: {}", route.name, asks(route)));
            return;
        };
        line(text, &format!("route {number}  {:width$}  {why}", route.name));
    }
    line(text, "no route matches");
}

/// What the route asks of its visitors, and where it leads.
fn asks(route: &Route) -> String {
    let mut asks = match route.session {
        SessionUse::Off => "no session is read".to_owned(),
        SessionUse::Optional => "everybody passes".to_owned(),
        SessionUse::Required => "asks for a signed-in user".to_owned(),
    };
    if let Some(Require { user, any, all, login_age }) = &route.require {
        let wanted = |Wanted { path, values }: &Wanted| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!("{} = {}", path.join("."), values.join("|"))
        };
        let listed = |fields: &[Wanted], word: &str| fields.iter().map(wanted).collect::<Vec<_>>().join(word);
        let users = user.iter().map(|users| format!("who is {}", users.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")));
        let any = Some(any).filter(|any| !any.is_empty()).map(|any| format!("with {}", listed(any, " or ")));
        let all = Some(all).filter(|all| !all.is_empty()).map(|all| format!("with {}", listed(all, " and ")));
        let age = login_age.map(|age| format!("whose login is at most {} s old", age.as_secs()));
        asks = [asks].into_iter().chain(users).chain(any).chain(all).chain(age).collect::<Vec<_>>().join(", ");
    }
    format!("{asks}; leads to {}", route.upstream)
}

/// What becomes of the visitor, as a person and as a script.
fn meets(text: &mut String, question: &Explain, person: &Met, script: &Met) {
    let visitor = match (&question.user, &question.session_data) {
        (Some(user), _) => format!("{user}, signed in just now,"),
        (None, Some(_)) => "a visitor with that session and no user".to_owned(),
        (None, None) => "a visitor without a session".to_owned(),
    };
    let outcome = |met: &Met| match met {
        Met::App(_) => "passes".to_owned(),
        Met::Refused(Rejection::SentToLogin { to, .. }) => format!("is sent to {to}"),
        Met::Unread(rejection) | Met::Refused(rejection) => format!("gets {}", short(rejection)),
        Met::Own(name) => format!("gets {name}"),
    };
    let (as_person, as_script) = (outcome(person), outcome(script));
    if as_person == as_script {
        line(text, &format!("{visitor} {as_person}"));
    } else {
        line(text, &format!("{visitor} {as_person}; a script {as_script}"));
    }
    if let Met::App(headers) = person {
        line(text, "");
        line(text, "the app gets, beside the visitor's own headers:");
        headers.iter().for_each(|header| line(text, &format!("  {header}")));
    }
}

fn short(rejection: &Rejection) -> String {
    format!("{} {}", rejection.status(), rejection.log_reason())
}

/// Values are ASCII but for `encoding = "raw"` and `"latin1"`.
fn field(name: &str, value: &HeaderValue) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    format!("{}: {}", words.collect::<Vec<_>>().join("-"), String::from_utf8_lossy(value.as_bytes()))
}

/// Writing to a string cannot fail. A control character in a configured name does not reach the terminal.
fn line(text: &mut String, line: &str) {
    let line: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let _ = writeln!(text, "{}", if line.is_empty() { line } else { format!("  {line}") });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "[store]\nkind = \"mongodb\"\nuri = \"mongodb://nowhere/\"\n[session]\nsecrets = [\"a secret that is long enough, not for use\"]\n[login]\n
        [[routes]]\nmatch = { host = \"other.example.com\" }\nupstream = \"http://127.0.0.1:1\"\n
        [[routes]]\nmatch = { path = \"/admin/*\", methods = [\"POST\"] }\nupstream = \"http://127.0.0.1:2\"\n
        [[routes]]\nmatch = { path = \"/admin/*\" }\nupstream = \"http://127.0.0.1:3\"\nrequire = { any = { role = [\"admin\"] } }\n
        [[routes]]\nmatch = { host = \"app.example.com\" }\nupstream = \"http://127.0.0.1:4\"\n";

    fn explained(url: &str, user: Option<&str>, data: Option<&str>) -> (u8, String, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy.toml");
        std::fs::write(&path, TOML).unwrap();
        let question =
            Explain { method: "GET".into(), url: url.into(), user: user.map(str::to_owned), session_data: data.map(str::to_owned) };
        let (mut out, mut err) = (Vec::new(), Vec::new());

        let code = explain(&path, &|_| None, &question, Output { out: &mut out, err: &mut err, color: false }).unwrap();

        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_route_is_named_and_why_the_earlier_ones_are_not_it() {
        let (code, out, _) = explained("https://app.example.com/admin/x?y=1", None, None);

        let expected = "GET https://app.example.com/admin/x?y=1\n
  route 1  other.example.com/*  no: it is for another host
  route 2  POST /admin/*        no: it is for other methods
  route 3  /admin/*             yes: asks for a signed-in user, with role = admin; leads to http://127.0.0.1:3

  a visitor without a session is sent to /login?return_to=/admin/x%3Fy%3D1; a script gets 401 not-signed-in\n";
        assert_eq!((code, out.as_str()), (0, expected));
    }

    #[test]
    fn who_passes_sees_what_the_app_gets_and_who_does_not_sees_why() {
        let (_, passes, _) = explained("https://app.example.com/admin/x", Some("ada"), Some(r#"{"role":"admin"}"#));
        let (_, lacks, _) = explained("https://app.example.com/admin/x", Some("ada"), Some(r#"{"role":"guest"}"#));

        assert!(passes.contains("\n  ada, signed in just now, passes\n"), "{passes}");
        for header in ["X-Session-User: ada", "X-Session-Role: admin", "X-Forwarded-Proto: https", "X-Session-Data: {\"role\":\"admin\"}"] {
            assert!(passes.contains(&format!("\n    {header}\n")), "{passes}");
        }
        assert!(lacks.contains("\n  ada, signed in just now, gets 403 not-allowed\n"), "{lacks}");
    }

    #[test]
    fn our_own_pages_and_ambiguous_requests_reach_no_route() {
        assert!(explained("/.cloakroom/logout", None, None).1.contains("a page of Cloakroom itself"));
        assert!(
            explained("http://app.example.com/a/../b", None, None).1.contains("refused before any route is looked at: 400 ambiguous-path")
        );
        assert!(explained("http://nowhere.example.com/", None, None).1.contains("no route matches"));
    }

    #[test]
    fn a_wrong_question_is_told() {
        for (url, data) in [("app", None), ("ftp://a/", None), ("/a", Some("[1]")), ("/a", Some("{}"))] {
            let (code, out, err) = explained(url, None, data);

            assert!(code == 2 && out.is_empty() && err.starts_with("error: "), "{url} {data:?}: {err}");
        }
    }
}
