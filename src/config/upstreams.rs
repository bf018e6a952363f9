//! `[upstreams.NAME]`, and the URLs that a route may name instead: where the apps are.

use super::notes::{At, Notes};
use super::reader::{Entry, Section, unavailable};
use super::report::{Problem, nearest, one_of, shown};
use crate::route::is_host_name;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// The name of the app that is built in; it has no entry in the table of upstreams.
pub const DEMO: &str = "demo";

/// An app: one server, or several that are asked in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, or its URL as the route writes it.
    pub name: String,
    /// At least one.
    pub servers: Vec<UpstreamServer>,
    /// Who among them gets a request.
    pub balance: Balance,
    /// Whether it is spoken to over TLS; the certificate is checked against the server's host.
    pub tls: bool,
}

/// How requests are spread over an upstream's servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// All of a session's to one.
    HashSession,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// A name, or an address (IPv6 without brackets).
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Reads every `[upstreams.NAME]`.
pub(super) fn read(mut section: Section<'_, '_>) -> BTreeMap<String, Upstream> {
    let notes = section.notes;
    let mut upstreams = BTreeMap::new();
    for (name, entry) in section.take_rest() {
        if name.value == DEMO || name.value.contains("://") || name.value.is_empty() {
            let problem = Problem::error(format!("an upstream cannot be named `{}`", shown(&name.value)));
            notes.add(problem.at(&name.span, "taken").help("choose another name: `demo` is built in, and a URL needs no table"));
        }
        if let Some(table) = entry.section(&format!("`[upstreams.{}]`", shown(&name.value))) {
            // One that is wrong inside stays in the list, so that its routes are not called wrong too.
            let (servers, balance) = servers(table, &name);
            upstreams.insert(name.value.clone(), Upstream { name: name.value, servers, balance, tls: false });
        }
    }
    upstreams
}

/// What a route's `upstream` means. A URL gets an entry under its own text.
pub(super) fn resolve(notes: &Notes<'_>, text: &At<String>, upstreams: &mut BTreeMap<String, Upstream>) {
    let name = &text.value;
    if name == DEMO || upstreams.contains_key(name) {
        return;
    }
    if name.contains("://") {
        match parse_url(name) {
            Ok(upstream) => _ = upstreams.insert(name.clone(), upstream),
            Err((why, help)) => {
                notes.add(Problem::error(format!("`upstream` cannot be `{}`", shown(name))).at(&text.span, why).help(help));
            }
        }
        return;
    }
    let names = || upstreams.keys().map(String::as_str).filter(|name| !name.contains("://")).chain([DEMO]);
    let problem = Problem::error(format!("there is no upstream `{}`", shown(name))).at(&text.span, "not defined");
    notes.add(match (parse_server(name), nearest(name, names())) {
        (Some(_), _) => problem.help(format!("did you mean \"http://{}\"?", shown(name))),
        (None, Some(right)) => problem.help(format!("did you mean `{right}`?")),
        (None, None) => problem.help(format!("write {}, or a URL as in \"http://127.0.0.1:3000\"", one_of(names()))),
    });
}

fn servers(mut section: Section<'_, '_>, name: &At<String>) -> (Vec<UpstreamServer>, Balance) {
    let notes = section.notes;
    section.unavailable("health", "health");
    let balance = section.take("balance").and_then(|balance| match balance.as_text() {
        Some(word @ ("least-conn" | "random")) => {
            notes.add(unavailable(&format!("balance = \"{word}\""), &balance.span));
            None
        }
        _ => balance.choice(&[("round-robin", Balance::RoundRobin), ("hash-session", Balance::HashSession)]),
    });
    let balance = balance.map_or_else(Balance::default, |balance| balance.value);
    let listed = section.list("servers");
    section.finish();
    let Some(At { value: items, span }) = listed else {
        let problem = Problem::error(format!("the upstream `{}` has no `servers`", shown(&name.value))).at(&name.span, "no servers");
        notes.add(problem.help("add servers = [\"127.0.0.1:3000\"]"));
        return (Vec::new(), balance);
    };
    if items.is_empty() {
        notes.add(Problem::error("`servers` is empty").at(&span, "no server").help("write at least one, as in [\"127.0.0.1:3000\"]"));
    }
    (items.into_iter().filter_map(server).collect(), balance)
}

fn server(item: Entry<'_, '_>) -> Option<UpstreamServer> {
    let notes = item.notes;
    let text = item.text()?;
    let parsed = parse_server(&text.value);
    if parsed.is_none() {
        let problem = Problem::error(format!("`{}` is no server", shown(&text.value))).at(&text.span, "needs a host and a port");
        notes.add(problem.help(match text.value.split_once("://") {
            Some((_, rest)) => format!("write it without the scheme: \"{}\"", shown(rest.trim_end_matches('/'))),
            None if is_host_name(&text.value) => format!("add the port: \"{}:80\"", text.value),
            None => "write a host and a port, as in \"10.0.0.11:8000\" or \"[::1]:8000\"".to_owned(),
        }));
    }
    parsed
}

/// Reads `host:port`, `192.0.2.1:80` or `[::1]:80`.
fn parse_server(text: &str) -> Option<UpstreamServer> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0 && text.ends_with(|c: char| c.is_ascii_digit()))?;
    Some(UpstreamServer { host: bare_host(host)?, port })
}

fn bare_host(host: &str) -> Option<String> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| address.to_string()),
        None => is_host_name(host).then(|| host.to_ascii_lowercase()),
    }
}

fn parse_url(text: &str) -> Result<Upstream, (&'static str, &'static str)> {
    const SHAPE: &str = "write the scheme, the host and the port, as in \"http://127.0.0.1:3000\"";
    let (tls, rest, default_port) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest, 80),
        Some(("https", rest)) => (true, rest, 443),
        _ => return Err(("neither http nor https", "an upstream is spoken to over `http://` or `https://`; WebSockets pass over both")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(("a path is not possible here", "name the server only; the app sees the path of the request, less `strip_prefix`"));
    }
    let has_port = authority.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    let server = match has_port {
        true => parse_server(authority),
        false => bare_host(authority).map(|host| UpstreamServer { host, port: default_port }),
    };
    let server = server.ok_or(("not the URL of a server", SHAPE))?;
    if tls && server.host.parse::<IpAddr>().is_ok() {
        return Err(("an address has no name to verify", "write the host name that the server's certificate is for"));
    }
    Ok(Upstream { name: text.to_owned(), servers: vec![server], balance: Balance::default(), tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Option<UpstreamServer> {
        Some(UpstreamServer { host: host.to_owned(), port })
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        assert_eq!(parse_server("10.0.0.11:8000"), server("10.0.0.11", 8000));
        assert_eq!(parse_server("[::1]:8000"), server("::1", 8000));
        assert_eq!(parse_server("App_1:80"), server("app_1", 80));
        assert_eq!(["app", "app:", "app:0", "app:99999", "::1:80", "a b:80", ":80"].map(parse_server), [const { None }; 7]);
    }

    #[test]
    fn a_url_has_the_port_of_its_scheme() {
        let ports = ["http://a", "https://a", "http://a:3000/", "http://[::1]"].map(|url| parse_url(url).unwrap().servers[0].port);

        assert_eq!(ports, [80, 443, 3000, 80]);
    }

    #[test]
    fn a_url_that_cannot_be_spoken_to_says_why() {
        let reasons =
            ["https://10.0.0.1", "https://[::1]:8443", "http://a/b", "ws://a", "http://u@a"].map(|url| parse_url(url).unwrap_err().0);

        assert_eq!(
            reasons,
            [
                "an address has no name to verify",
                "an address has no name to verify",
                "a path is not possible here",
                "neither http nor https",
                "not the URL of a server"
            ]
        );
    }
}
