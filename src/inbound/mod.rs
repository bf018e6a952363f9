//! A request understood: target, host, client, framing. What cannot be understood in exactly one way is refused.

mod asker;
mod client;
mod connection;
mod framing;
mod host;
mod target;

pub use asker::Asker;
pub use client::{Client, address_text};
pub use connection::Nominated;
pub use framing::raw_head;
pub use host::Host;
pub use target::{PathPolicy, Target};

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use ipnet::IpNet;
use std::net::IpAddr;

/// What is known of this site before any request comes.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Whether visitors reach us by https, and under which host and port, when TLS ends in front of us.
    pub public: Option<Public>,
    /// Peers that may say who their client is.
    pub trusted_proxies: Vec<IpNet>,
    pub path_policy: PathPolicy,
    pub underscore_headers: UnderscoreHeaders,
    /// The longest request target in bytes.
    pub uri_bytes: usize,
    /// Some route matches methods, so nothing may override them.
    pub methods_matter: bool,
}

/// `public_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    pub https: bool,
    /// Host and, unless it is the scheme's default, port.
    pub authority: String,
}

/// What happens to header names with `_`, which CGI-like stacks cannot tell from `-`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscoreHeaders {
    #[default]
    Drop,
    Reject,
    Allow,
}

/// Why a request is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Lengths or codings that two readers may read differently (RFC 9112 section 6.3).
    Framing,
    /// Line ends that are no CR LF.
    LineEnd,
    /// No target of the forms that are served, or bytes that have no place in one.
    Target,
    /// A path that other software may read as a different one.
    AmbiguousPath,
    TargetTooLong,
    /// No host, several, or none that is a host's name.
    Host,
    /// A field name with `_` while `underscore_headers = "reject"`.
    Underscore,
    /// A method that is no upper-case word.
    Method,
    /// TRACE and CONNECT are not served.
    MethodRefused,
    /// An `Expect` that is not `100-continue`.
    Expectation,
}

impl Malformed {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Malformed::Framing => "ambiguous-framing",
            Malformed::LineEnd => "bare-line-end",
            Malformed::Target => "odd-target",
            Malformed::AmbiguousPath => "ambiguous-path",
            Malformed::TargetTooLong => "target-too-long",
            Malformed::Host => "odd-host",
            Malformed::Underscore => "underscore-header",
            Malformed::Method => "odd-method",
            Malformed::MethodRefused => "method-refused",
            Malformed::Expectation => "odd-expectation",
        }
    }
}

/// A request understood.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub method: Method,
    pub version: Version,
    /// Canonical: what is matched is what is sent.
    pub target: Target,
    pub host: Host,
    /// Whether the visitor reached this site over TLS.
    pub secure: bool,
    pub client: Client,
    /// A WebSocket handshake (RFC 6455 section 4.1).
    pub upgrade: bool,
    /// A CORS preflight (Fetch standard): it carries no cookies and asks about the real request, which comes later.
    pub preflight: bool,
}

impl Inbound {
    /// Reads a request's head. `raw_target` is the target as it came, before any library's reading of it.
    pub fn understand(head: &Parts, raw_target: &[u8], peer: IpAddr, site: &Site) -> Result<Self, Malformed> {
        framing::check(head)?;
        if site.underscore_headers == UnderscoreHeaders::Reject && head.headers.keys().any(|name| name.as_str().contains('_')) {
            return Err(Malformed::Underscore);
        }
        let host = host_of(head, site)?;
        if raw_target.len() > site.uri_bytes {
            return Err(Malformed::TargetTooLong);
        }
        let target = Target::parse(raw_target, &host, head.method == Method::OPTIONS, site.path_policy)?;
        let client = Client::of(peer, &head.headers, &site.trusted_proxies);
        let secure =
            site.public.as_ref().is_some_and(|public| public.https) || (client.peer_trusted && client::forwarded_https(&head.headers));
        Ok(Inbound {
            method: head.method.clone(),
            version: head.version,
            target,
            host,
            secure,
            client,
            upgrade: is_websocket(head),
            preflight: is_preflight(head),
        })
    }

    /// Who is to read an answer of ours. Asked of the few requests that get one.
    pub fn asker(&self, headers: &HeaderMap) -> Asker {
        Asker::of(headers, self.upgrade)
    }

    /// This site as a browser writes it into `Origin` (RFC 6454): scheme, host, and the port if it is not the scheme's own.
    pub fn origin(&self) -> String {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        match self.host.port() {
            Some(port) if port != default => format!("{scheme}://{}:{port}", self.host.name()),
            _ => format!("{scheme}://{}", self.host.name()),
        }
    }
}

fn host_of(head: &Parts, site: &Site) -> Result<Host, Malformed> {
    let mut fields = head.headers.get_all(HOST).iter();
    let (first, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(Malformed::Host);
    }
    let said = first.map(|field| Host::parse(field.as_bytes())).transpose()?;
    let authority = if head.version == Version::HTTP_2 { head.uri.authority() } else { None };
    match (authority, said) {
        (Some(authority), said) => {
            let host = Host::parse(authority.as_str().as_bytes())?;
            if said.is_some_and(|said| said != host) { Err(Malformed::Host) } else { Ok(host) }
        }
        (None, Some(said)) => Ok(said),
        (None, None) if head.version == Version::HTTP_10 => {
            site.public.as_ref().map_or(Err(Malformed::Host), |public| Host::parse(public.authority.as_bytes()))
        }
        (None, None) => Err(Malformed::Host),
    }
}

fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ORIGIN) && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn is_websocket(head: &Parts) -> bool {
    let mut upgrades = head.headers.get_all(UPGRADE).iter();
    let only_websocket =
        matches!((upgrades.next(), upgrades.next()), (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"websocket"));
    // A handshake has no body (RFC 6455 section 4.1): bytes of one would be taken for frames.
    let is_bodiless =
        || !head.headers.contains_key(TRANSFER_ENCODING) && head.headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    only_websocket
        && is_bodiless()
        && head.version == Version::HTTP_11
        && head.method == Method::GET
        && Nominated::read(&head.headers).upgrade
}
