//! Where a request ends: anything that two readers may read differently is refused (RFC 9112 sections 6.1, 6.3 and 11.2).

use super::Malformed;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Version};

/// Checks what the server library lets through.
pub fn check(head: &Parts) -> Result<(), Malformed> {
    check_method(&head.method)?;
    let lengths = head.headers.get_all(CONTENT_LENGTH).iter().count();
    let codings = head.headers.get_all(TRANSFER_ENCODING).iter().count();
    if lengths > 0 {
        let plain = only(&head.headers, &CONTENT_LENGTH)
            .is_some_and(|value| (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit));
        if !plain || codings > 0 {
            return Err(Malformed::Framing);
        }
    }
    if codings > 0 {
        let chunked = only(&head.headers, &TRANSFER_ENCODING).is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
        if !chunked || head.version != Version::HTTP_11 {
            return Err(Malformed::Framing);
        }
    }
    if head.headers.contains_key(EXPECT) && !only(&head.headers, &EXPECT).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Malformed::Expectation);
    }
    Ok(())
}

fn check_method(method: &Method) -> Result<(), Malformed> {
    if matches!(*method, Method::TRACE | Method::CONNECT) {
        return Err(Malformed::MethodRefused);
    }
    let name = method.as_str();
    let plain = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
    if plain { Ok(()) } else { Err(Malformed::Method) }
}

fn only<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// Scans a raw HTTP/1 head: every line ends with CR LF, and length and coding are never given together (the server library removes one of
/// them before anybody sees the pair).
pub fn raw_head(raw: &[u8]) -> Result<(), Malformed> {
    let (mut lengths, mut codings) = (false, false);
    let mut rest = raw;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        let (line, end) = rest.split_at(at);
        let Some(after) = end.strip_prefix(b"\r\n") else { return Err(Malformed::LineEnd) };
        match line.first() {
            Some(b'c' | b'C') => lengths |= is_field(line, b"content-length"),
            Some(b't' | b'T') => codings |= is_field(line, b"transfer-encoding"),
            _ => {}
        }
        rest = after;
    }
    if lengths && codings { Err(Malformed::Framing) } else { Ok(()) }
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) && line.get(name.len()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> Parts {
        let mut builder = http::Request::builder();
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_length_or_chunked_alone_is_clear() {
        for fields in [&[("content-length", "5")][..], &[("transfer-encoding", "Chunked")], &[], &[("expect", "100-Continue")]] {
            assert_eq!(check(&head(fields)), Ok(()), "{fields:?}");
        }
    }

    #[test]
    fn any_other_framing_is_refused() {
        for fields in [
            &[("content-length", "5"), ("content-length", "5")][..],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "")],
            &[("content-length", "9223372036854775807")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(check(&head(fields)), Err(Malformed::Framing), "{fields:?}");
        }
    }

    #[test]
    fn raw_heads_with_bare_line_ends_or_both_framings_are_refused() {
        assert_eq!(raw_head(b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"), Ok(()));
        for raw in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            b"P / HTTP/1.1\r\ncontent-length: 1\r\nTransfer-Encoding:chunked\r\n\r\n",
        ] {
            assert!(raw_head(raw).is_err());
        }
    }
}
