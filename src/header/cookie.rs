//! The `Cookie` header without ours, and `Set-Cookie` lines that an app may not send.

use crate::session::cookie::parted;
use http::HeaderValue;

/// All lines joined by `; ` (RFC 9113 section 8.2.3), byte-exact but for our cookies; `None` when nothing is left.
pub fn without<'a>(lines: impl Iterator<Item = &'a [u8]>, ours: &[String]) -> Option<HeaderValue> {
    let mut kept: Vec<u8> = Vec::new();
    for line in lines {
        let mut rest = Some(line);
        while let Some(pairs) = rest {
            let (pair, others) = parted(pairs, b';');
            rest = others;
            if is_ours(name_of(pair), ours) || pair.trim_ascii().is_empty() {
                continue;
            }
            if kept.is_empty() {
                kept.extend_from_slice(pair.trim_ascii_start());
            } else {
                kept.push(b';');
                if !pair.starts_with(b" ") {
                    kept.push(b' ');
                }
                kept.extend_from_slice(pair);
            }
        }
    }
    if kept.is_empty() { None } else { HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok() }
}

/// Whether a `Set-Cookie` line names a cookie of ours, in any case: browsers fold the prefixes' case.
pub fn sets_one_of(line: &[u8], ours: &[String]) -> bool {
    is_ours(name_of(parted(line, b';').0), ours)
}

/// The trimmed name before `=`; a pair without `=` is all name to some readers and all value to others.
fn name_of(pair: &[u8]) -> &[u8] {
    parted(pair, b'=').0.trim_ascii()
}

fn is_ours(name: &[u8], ours: &[String]) -> bool {
    let bare = match name {
        [b'"', inside @ .., b'"'] => inside,
        _ => name,
    };
    ours.iter().any(|own| bare.eq_ignore_ascii_case(own.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(lines: &[&str]) -> Option<String> {
        without(lines.iter().map(|line| line.as_bytes()), &["sid".to_owned()]).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_our_cookies_go_and_the_rest_stays_byte_exact() {
        for (lines, kept) in [
            (&["a=1; sid=x; b=%20 2"][..], Some("a=1; b=%20 2")),
            (&["sid=x; b=2"], Some("b=2")),
            (&["a=\"x y\"; sid=x"], Some("a=\"x y\"")),
            (&["sid=x"], None),
            (&["sid=x; SID=y"], None),
            (&["a=b", "sid=x", "c=d"], Some("a=b; c=d")),
            (&["sidx=1; xsid=2"], Some("sidx=1; xsid=2")),
        ] {
            assert_eq!(rest(lines).as_deref(), kept, "{lines:?}");
        }
    }

    #[test]
    fn an_app_cannot_set_our_cookie_in_any_spelling() {
        let ours = ["sid".to_owned()];
        for line in ["sid=x", " SID = x; Path=/", "\"sid\"=x", "sid", "Sid=; Max-Age=0"] {
            assert!(sets_one_of(line.as_bytes(), &ours), "{line}");
        }
        for line in ["theme=dark", "sidx=1", "a=sid"] {
            assert!(!sets_one_of(line.as_bytes(), &ours), "{line}");
        }
    }
}
