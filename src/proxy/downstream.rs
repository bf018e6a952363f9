//! Between Pingora's session and our own types: understanding a head, stripping, writing answers. The only writer to the browser.

use super::Limits;
use crate::edge::{Departure, Edge};
use crate::endpoint::LARGEST_FORM;
use crate::header::names::Reserved;
use crate::header::{caching, cookie, strip};
use crate::inbound::{self, Inbound, Malformed};
use crate::rejection::Rejection;
use crate::reply::Reply;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A form of ours must have come within this time.
const FORM_TIME: Duration = Duration::from_secs(10);

/// A client that takes no bytes for this long is gone.
const WRITE: Duration = Duration::from_secs(60);

/// The methods that are served; an app may take others too, but for TRACE and CONNECT.
const SERVED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Sets what Pingora leaves unlimited. Idle connections are [`super::guard`]'s.
pub fn set_timeouts(session: &mut Session) {
    session.set_write_timeout(Some(WRITE));
    // RFC 9110 section 15.2: HTTP/1.0 knows no interim answers.
    let is_old = session.req_header().version == Version::HTTP_10;
    session.set_ignore_info_resp(is_old);
}

/// Reads the head into types, or says why it is refused.
pub fn understand(session: &Session, edge: &Edge, limits: Limits) -> Result<Inbound, Rejection> {
    let head = session.req_header();
    if let Some(http1) = session.as_http1() {
        let raw = http1.get_headers_raw_bytes();
        if raw.len() > limits.head_bytes {
            return Err(Rejection::HeadTooLarge);
        }
        inbound::raw_head(&raw).map_err(Rejection::Malformed)?;
    } else if head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum::<usize>() > limits.head_bytes {
        return Err(Rejection::HeadTooLarge);
    }
    if head.headers.len() > limits.head_fields {
        return Err(Rejection::HeadTooLarge);
    }
    edge.understand(head, head.raw_path(), peer(session)).map_err(|malformed| match malformed {
        Malformed::TargetTooLong => Rejection::UriTooLong,
        Malformed::MethodRefused => Rejection::MethodRefused { allow: SERVED.to_owned() },
        Malformed::Expectation => Rejection::ExpectationFailed,
        malformed => Rejection::Malformed(malformed),
    })
}

/// The other end of the connection.
pub fn peer(session: &Session) -> IpAddr {
    session.client_addr().and_then(|address| address.as_inet()).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// Takes away what no client may send. On every route, before any early return.
pub fn strip_request(session: &mut Session, edge: &Edge, inbound: &Inbound) {
    let names = strip::request(&session.req_header().headers, &edge.reserved, &edge.site, inbound);
    with_parts(session.req_header_mut(), |head| {
        for name in names {
            head.headers.remove(&name);
        }
        // What is left of `Connection` names nothing that could unpick the head further down.
        if let Some(connection) = head.headers.get_mut(CONNECTION) {
            let kept = HeaderValue::from_static(if inbound.upgrade { "upgrade" } else { "close" });
            *connection = kept;
        }
    });
}

/// Lends a request's head as plain parts. From then on its names are written in lower case, which to HTTP is all the same (RFC 9110 section
/// 5.1): beside each head the server library keeps a second map with the names as they came, and every field that we set would go through
/// both, parsed once more. It was a tenth of the work on a request with a session.
pub fn with_parts<T>(head: &mut RequestHeader, change: impl FnOnce(&mut Parts) -> T) -> T {
    let blank = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(head, blank));
    let done = change(&mut parts);
    *head = RequestHeader::from(parts);
    done
}

/// The path that was authorised, less what the route strips, is the path that is sent.
pub fn set_target(request: &mut Parts, inbound: &Inbound, path: &str) -> Result<()> {
    let is_as_it_came = |raw: &str| match inbound.target.query() {
        Some(query) => raw.strip_prefix(path).and_then(|rest| rest.strip_prefix('?')) == Some(query),
        None => raw == path,
    };
    if request.uri.path_and_query().is_some_and(|raw| is_as_it_came(raw.as_str())) {
        return Ok(());
    }
    let target = match inbound.target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    request.uri = target.parse().map_err(|_| Error::explain(ErrorType::InternalError, "a checked target is no URI"))?;
    Ok(())
}

/// The visitor's cookies without ours, in one line (HTTP/2 may send crumbs: RFC 9113 section 8.2.3).
pub fn set_cookies(headers: &mut HeaderMap, ours: &[String]) {
    let Ok(Entry::Occupied(mut lines)) = headers.try_entry(COOKIE) else { return };
    match cookie::without(lines.iter().map(HeaderValue::as_bytes), ours) {
        Some(rest) => drop(lines.insert(rest)),
        None => drop(lines.remove()),
    }
}

/// Takes away what no app may send to a browser: hop-by-hop fields, `X-Session-*`, our cookies.
pub fn strip_response(head: &mut ResponseHeader, ours: &[String]) -> Result<()> {
    for name in strip::response(&head.headers) {
        head.remove_header(&name);
    }
    let cookies: Vec<HeaderValue> = head.headers.get_all(SET_COOKIE).iter().cloned().collect();
    if cookies.iter().any(|line| cookie::sets_one_of(line.as_bytes(), ours)) {
        head.remove_header(&SET_COOKIE);
        for line in cookies.into_iter().filter(|line| !cookie::sets_one_of(line.as_bytes(), ours)) {
            head.append_header(SET_COOKIE, line)?;
        }
    }
    Ok(())
}

/// Adds our cookie after the app's own, expires the app's before them, and keeps shared caches away from one visitor's answer.
pub fn finish_response(head: &mut ResponseHeader, departure: Departure, reserved: &Reserved) -> Result<()> {
    let Departure { set_cookie, ended_cookies, is_private, is_behind_login, .. } = departure;
    if is_private {
        for (name, value) in caching::private(&head.headers, set_cookie.is_some(), is_behind_login) {
            head.insert_header(name, value)?;
        }
    }
    if let Some(vary) = caching::vary(&head.headers, reserved) {
        head.insert_header(http::header::VARY, vary)?;
    }
    if !ended_cookies.is_empty() {
        // Browsers obey these lines in order: what the app sets in this very answer belongs to whoever is signed in now.
        let own: Vec<HeaderValue> = head.headers.get_all(SET_COOKIE).iter().cloned().collect();
        head.remove_header(&SET_COOKIE);
        for line in ended_cookies.into_iter().chain(own) {
            head.append_header(SET_COOKIE, line)?;
        }
    }
    if let Some(cookie) = set_cookie {
        head.append_header(SET_COOKIE, cookie)?;
    }
    Ok(())
}

/// An HTTP/1.0 client knows no chunks: the body ends with the connection.
pub fn suit_version(session: &mut Session, head: &mut ResponseHeader) {
    if session.req_header().version == Version::HTTP_10 {
        head.remove_header(&http::header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}

/// Whether a body follows (RFC 9112 section 6.3). However small it is, an app may take any time over it.
pub fn has_body(session: &Session, head: &ResponseHeader) -> bool {
    let is_empty = || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    !matches!(head.status.as_u16(), 204 | 304) && session.req_header().method != Method::HEAD && !is_empty()
}

/// The announced length of the body.
pub fn content_length(session: &Session) -> Option<u64> {
    session.req_header().headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the body of a form of ours: small, and within ten seconds.
pub async fn read_form(session: &mut Session) -> Result<Bytes, Rejection> {
    if content_length(session).is_some_and(|length| length > LARGEST_FORM as u64) {
        return Err(Rejection::BodyTooLarge);
    }
    let reading = async {
        if session.req_header().headers.contains_key(EXPECT) {
            session.write_continue_response().await?;
        }
        let mut form = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await? {
            if form.len() + chunk.len() > LARGEST_FORM {
                return Ok(None);
            }
            form.extend_from_slice(&chunk);
        }
        Ok::<_, Box<Error>>(Some(form.freeze()))
    };
    match tokio::time::timeout(FORM_TIME, reading).await {
        Ok(Ok(Some(form))) => Ok(form),
        Ok(Ok(None)) => Err(Rejection::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(Rejection::SlowHead),
    }
}

/// Writes an answer of ours.
pub async fn write_reply(session: &mut Session, reply: Reply) -> Result<()> {
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 2))?;
    for (name, value) in reply.headers {
        head.append_header(name, value)?;
    }
    head.insert_header(CONTENT_LENGTH, reply.body.len())?;
    session.write_response_header(Box::new(head), false).await?;
    session.write_response_body(Some(reply.body), true).await
}

/// What an error of the framework means to the visitor; `None`: there is nobody left to tell.
pub fn rejection_of(error: &Error) -> Option<Rejection> {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::WriteTimedout) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Rejection::SlowHead),
        (ErrorSource::Downstream, ErrorType::ReadError) => None,
        (ErrorSource::Downstream, _) => Some(Rejection::Malformed(Malformed::Framing)),
        (_, ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) => Some(Rejection::UpstreamUnreachable),
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => Some(Rejection::UpstreamTimeout),
        (ErrorSource::Upstream, ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::H2Error | ErrorType::InvalidH2) => {
            Some(Rejection::UpstreamMalformed)
        }
        (ErrorSource::Upstream, _) => Some(Rejection::UpstreamUnreachable),
        _ => Some(Rejection::Defect),
    }
}
