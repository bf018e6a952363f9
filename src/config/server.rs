//! `[server]` and `[admin]`: where the proxy listens, and what it accepts.

use super::notes::{At, Notes};
use super::reader::{Entry, Section, unavailable};
use super::report::{Problem, shown};
use super::secrets;
pub use crate::inbound::PathPolicy;
pub use crate::inbound::UnderscoreHeaders;
use crate::route::HostPattern;
use crate::secret::Secret;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// At least one.
    pub listen: Vec<Listen>,
    /// How visitors reach the site, if it is known.
    pub public_url: Option<PublicUrl>,
    /// Peers that may set `X-Forwarded-*`.
    pub trusted_proxies: Vec<IpNet>,
    /// What happens to header names with an underscore.
    pub underscore_headers: UnderscoreHeaders,
    /// What happens to paths that can be read in two ways.
    pub path_policy: PathPolicy,
    /// What a client may send.
    pub limits: Limits,
    /// How long open requests may take after the signal to stop.
    pub drain: Duration,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port 0 lets the system choose.
    pub addr: SocketAddr,
    /// Whether HTTP/2 without TLS is spoken too.
    pub h2c: bool,
}

/// `public_url`, which has no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Else http.
    pub https: bool,
    /// Lower case.
    pub host: String,
    /// `None`: the scheme's own.
    pub port: Option<u16>,
}

/// What one request may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line and all headers.
    pub head_bytes: usize,
    /// Number of headers.
    pub head_fields: usize,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// A connection without a request; `None`: no limit.
    pub idle: Option<Duration>,
    /// Bytes of the request's target.
    pub uri_bytes: usize,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// The admin listener.
    pub listen: SocketAddr,
    /// What a caller must show; `None`: nobody sees or ends sessions.
    pub token: Option<Secret>,
}

/// Reads `[server]`; the environment may name other listeners.
pub(super) fn read(mut section: Section<'_, '_>) -> Server {
    // Read even when the environment overrides it: a mistake in the file is told before the variable goes.
    let listed = section.take("listen").and_then(listed);
    let in_file = listen(section.notes, listed);
    let server = Server {
        listen: listen_from_env(section.notes).unwrap_or(in_file),
        public_url: section.text("public_url").and_then(|url| public_url(section.notes, &url)),
        trusted_proxies: trusted_proxies(&mut section),
        underscore_headers: underscore_headers(&mut section),
        path_policy: section
            .choice("path_policy", &[("strict", PathPolicy::Strict), ("normalize", PathPolicy::Normalize)])
            .map_or(PathPolicy::Strict, |policy| policy.value),
        limits: limits(section.section("limits", "`limits`")),
        drain: section.duration("drain", Duration::ZERO..=DAY).unwrap_or(Duration::from_secs(10)),
    };
    section.finish();
    server
}

/// Reads `[admin]`, if it is there.
pub(super) fn read_admin(mut section: Section<'_, '_>, server: &Server) -> Option<Admin> {
    section.span()?;
    let notes = section.notes;
    let found = section.text("listen");
    let addr = found.as_ref().and_then(|text| address(notes, text)).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9901)));
    let token = section.take("token");
    let span = found.map(|text| text.span).or_else(|| section.span().cloned()).unwrap_or_default();
    if addr.port() != 0 && server.listen.iter().any(|listen| listen.addr == addr) {
        let problem = Problem::error(format!("`{addr}` is a listener of `[server]` already")).at(&span, "the same address");
        notes.add(problem.help("give the admin listener a port of its own"));
    }
    if !addr.ip().is_loopback() && token.is_none() {
        let problem =
            Problem::warning("the admin listener is open to other machines and asks for no token").at(&span, "not a loopback address");
        notes.add(problem.help("add token = \"env:CLOAKROOM_ADMIN_TOKEN\", or listen on 127.0.0.1"));
    }
    let admin = Admin { listen: addr, token: token.and_then(secrets::read) };
    section.finish();
    Some(admin)
}

/// Behind a proxy that ends TLS, and that we do not believe, all visitors seem to come from its address: for `[login]`.
pub(super) fn warn_if_all_are_one_client(notes: &Notes<'_>, server: &Server, at: Option<&Range<usize>>) {
    let Some(at) = at.filter(|_| server.public_url.as_ref().is_some_and(|url| url.https) && server.trusted_proxies.is_empty()) else {
        return;
    };
    let problem = Problem::warning("all visitors count as one client: one who guesses passwords slows down every login");
    let problem = problem.at(at, "`public_url` is https, and no `trusted_proxies`");
    notes.add(problem.help("name the proxy that ends TLS, as in trusted_proxies = [\"127.0.0.1/32\"]"));
}

fn listen_from_env(notes: &Notes<'_>) -> Option<Vec<Listen>> {
    let text = notes.env("CLOAKROOM_LISTEN").filter(|text| !text.trim().is_empty())?;
    let mut listeners: Vec<Listen> = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.parse::<SocketAddr>() {
            Ok(addr) if addr.port() != 0 && listeners.iter().any(|other| other.addr == addr) => {
                notes.add(Problem::error(format!("`$CLOAKROOM_LISTEN` names `{addr}` twice")).help("remove one of them"));
            }
            Ok(addr) => listeners.push(Listen { addr, h2c: false }),
            Err(_) => {
                let problem = Problem::error(format!("`$CLOAKROOM_LISTEN` names no address: `{}`", shown(part)));
                notes.add(problem.help("write addresses with ports, separated by commas, as in 0.0.0.0:8080,[::]:8080"));
            }
        }
    }
    Some(listeners)
}

fn listed<'n, 'i>(entry: Entry<'n, 'i>) -> Option<At<Vec<Entry<'n, 'i>>>> {
    let Some(port) = entry.as_text().and_then(|text| text.trim_start_matches(':').parse::<u16>().ok()) else { return entry.list() };
    let problem = Problem::error("`listen` must be a list in [ ]").at(&entry.span, "a string");
    entry.notes.add(problem.help(format!("did you mean [\"127.0.0.1:{port}\"]?")));
    None
}

fn listen(notes: &Notes<'_>, listed: Option<At<Vec<Entry<'_, '_>>>>) -> Vec<Listen> {
    let Some(At { value: items, span }) = listed else {
        return vec![Listen { addr: SocketAddr::from(([127, 0, 0, 1], 8080)), h2c: false }];
    };
    if items.is_empty() {
        notes.add(Problem::error("`listen` is empty").at(&span, "no address").help("write at least one, as in [\"127.0.0.1:8080\"]"));
    }
    let mut listeners: Vec<Listen> = Vec::new();
    for item in items {
        let span = item.span.clone();
        let Some(listener) = listener(item) else { continue };
        if listener.addr.port() != 0 && listeners.iter().any(|other| other.addr == listener.addr) {
            notes.add(Problem::error(format!("`{}` is listed twice", listener.addr)).at(&span, "again").help("remove one of them"));
        }
        listeners.push(listener);
    }
    listeners
}

fn listener(item: Entry<'_, '_>) -> Option<Listen> {
    let notes = item.notes;
    if item.is_text() {
        return address(notes, &item.text()?).map(|addr| Listen { addr, h2c: false });
    }
    let mut section = item.section("an item of `listen`")?;
    let addr = section.text("addr");
    if addr.is_none() {
        let span = section.span().cloned().unwrap_or_default();
        notes.add(Problem::error("a listener without `addr`").at(&span, "no `addr` here").help("add addr = \"0.0.0.0:8080\""));
    }
    let h2c = section.flag("h2c").is_some_and(|flag| flag.value);
    if let Some(tls) = section.take("tls") {
        notes.add(unavailable("tls", &tls.span));
    }
    section.finish();
    Some(Listen { addr: address(notes, &addr?)?, h2c })
}

fn address(notes: &Notes<'_>, text: &At<String>) -> Option<SocketAddr> {
    if let Ok(addr) = text.value.parse() {
        return Some(addr);
    }
    let port = text.value.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let help = match (port, text.value.parse::<std::net::IpAddr>()) {
        (_, Ok(ip)) => format!("add a port: \"{}\"", SocketAddr::new(ip, 8080)),
        (Some(port), _) => {
            format!("write an IP address and a port: \"127.0.0.1:{port}\" for this machine only, \"0.0.0.0:{port}\" for all")
        }
        _ => "write an IP address and a port, as in \"127.0.0.1:8080\" or \"[::]:8080\"".to_owned(),
    };
    notes.add(Problem::error(format!("`{}` is no address to listen on", shown(&text.value))).at(&text.span, "not an address").help(help));
    None
}

fn public_url(notes: &Notes<'_>, text: &At<String>) -> Option<PublicUrl> {
    let parsed = parse_public_url(&text.value);
    if parsed.is_none() {
        let problem = Problem::error(format!("`public_url` cannot be `{}`", shown(&text.value))).at(&text.span, "not the URL of a site");
        notes.add(problem.help("write the scheme and the host, without a path, as in \"https://app.example.com\""));
    }
    parsed
}

fn parse_public_url(text: &str) -> Option<PublicUrl> {
    let uri: http::Uri = text.parse().ok()?;
    let https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    let host = HostPattern::parse(authority.host()).ok().filter(|host| matches!(host, HostPattern::Exact(_)))?;
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@') && !text.contains('#');
    let port_is_sound = authority.port_u16().is_some() || authority.as_str().len() == authority.host().len();
    (bare && port_is_sound).then(|| PublicUrl { https, host: host.to_string(), port: authority.port_u16() })
}

fn trusted_proxies(section: &mut Section<'_, '_>) -> Vec<IpNet> {
    let notes = section.notes;
    let items = section.take("trusted_proxies").and_then(Entry::texts).map_or_else(Vec::new, |items| items.value);
    let read = items.into_iter().filter_map(|item| {
        let Ok(network) = item.value.parse::<IpNet>() else {
            let problem = Problem::error(format!("`{}` is no network", shown(&item.value))).at(&item.span, "not a CIDR");
            notes.add(problem.help(match item.value.parse::<std::net::IpAddr>() {
                Ok(ip) => format!("for this one machine write \"{}\"", IpNet::from(ip)),
                Err(_) => "write an address and a prefix length, as in \"10.0.0.0/8\" or \"fd00::/8\"".to_owned(),
            }));
            return None;
        };
        if network.prefix_len() == 0 {
            let problem = Problem::warning("every machine is a trusted proxy").at(&item.span, "all addresses");
            notes.add(problem.help("any client can then choose its address and scheme: name the networks of your own proxies"));
        }
        Some(network)
    });
    read.collect()
}

fn underscore_headers(section: &mut Section<'_, '_>) -> UnderscoreHeaders {
    let choices = [("drop", UnderscoreHeaders::Drop), ("reject", UnderscoreHeaders::Reject), ("allow", UnderscoreHeaders::Allow)];
    section.choice("underscore_headers", &choices).map_or(UnderscoreHeaders::Drop, |chosen| chosen.value)
}

fn limits(mut section: Section<'_, '_>) -> Limits {
    let limits = Limits {
        head_bytes: section.size("head_bytes", 1 << 10..=1 << 20).unwrap_or(64 << 10),
        head_fields: section.take("head_fields").and_then(|entry| entry.number(&(8..=4096))).unwrap_or(128),
        head_time: section.duration("head_time", MILLISECOND..=DAY).unwrap_or(Duration::from_secs(15)),
        idle: section.limit("idle", MILLISECOND..=DAY).unwrap_or(Some(Duration::from_secs(75))),
        uri_bytes: section.size("uri_bytes", 64..=1 << 20).unwrap_or(16 << 10),
    };
    section.finish();
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_scheme_host_and_maybe_a_port() {
        let read = parse_public_url("https://App.example.com:8443/");

        assert_eq!(read, Some(PublicUrl { https: true, host: "app.example.com".to_owned(), port: Some(8443) }));
    }

    #[test]
    fn a_public_url_with_more_is_refused() {
        let read = ["https://a/b", "ftp://a", "a.example.com", "https://u@a", "https://a?b", "https://a:99999", "https://*.a", "https://"];

        assert_eq!(read.map(parse_public_url), [const { None }; 8]);
    }
}
