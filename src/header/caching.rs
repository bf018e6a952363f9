//! Who may keep an answer: shared caches never keep what belongs to one visitor, and no browser a page that needed a login.

use super::names::Reserved;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers that keep one visitor's answer out of shared caches: an answer that sets our cookie gets `private` and loses `public` and
/// `s-maxage`; another answer to a session gets `private` if it says nothing itself.
///
/// A page behind a login that says nothing itself gets `no-store`: else the back button shows it after the logout.
pub fn private(headers: &HeaderMap, sets_cookie: bool, behind_login: bool) -> Vec<(HeaderName, HeaderValue)> {
    let said: Vec<&str> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    if said.is_empty() {
        let word = if behind_login && is_page(headers) { "no-store" } else { "private" };
        return vec![(CACHE_CONTROL, HeaderValue::from_static(word))];
    }
    if !sets_cookie {
        return Vec::new();
    }
    let is_shared = |word: &&&str| {
        let name = word.split('=').next().unwrap_or_default().trim();
        !name.eq_ignore_ascii_case("public") && !name.eq_ignore_ascii_case("s-maxage") && !name.eq_ignore_ascii_case("private")
    };
    let mut words: Vec<&str> = said.iter().filter(is_shared).copied().collect();
    words.insert(0, "private");
    HeaderValue::try_from(words.join(", ")).map(|value| vec![(CACHE_CONTROL, value)]).unwrap_or_default()
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind =
        headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|page| kind.eq_ignore_ascii_case(page))
}

/// A `Vary` on a header that we inject means the cookie, to a cache in front of us. `None`: leave it as it is.
pub fn vary(headers: &HeaderMap, reserved: &Reserved) -> Option<HeaderValue> {
    let said: Vec<&str> =
        headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim).collect();
    let injected = |word: &str| HeaderName::try_from(word).is_ok_and(|name| reserved.is_reserved(&name));
    if !said.iter().any(|word| injected(word)) {
        return None;
    }
    let mut words: Vec<&str> =
        said.into_iter().filter(|word| !word.is_empty() && !injected(word) && !word.eq_ignore_ascii_case("cookie")).collect();
    words.push("Cookie");
    HeaderValue::try_from(words.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn an_answer_with_our_cookie_is_private() {
        let said = |value: &str| private(&headers(&[("cache-control", value)]), true, false)[0].1.clone();

        assert_eq!(said("public, max-age=600, s-maxage=9"), "private, max-age=600");
        assert_eq!(said("no-store"), "private, no-store");
        assert_eq!(private(&headers(&[]), false, false)[0].1, "private");
        assert!(private(&headers(&[("cache-control", "public")]), false, true).is_empty());
    }

    #[test]
    fn a_page_behind_a_login_is_kept_nowhere_unless_it_says_so_itself() {
        let said = |fields: &[(&'static str, &str)]| private(&headers(fields), false, true).pop().map(|(_, value)| value);

        assert_eq!(said(&[("content-type", "Text/HTML; charset=utf-8")]).unwrap(), "no-store");
        assert_eq!(said(&[("content-type", "text/css")]).unwrap(), "private");
        assert_eq!(said(&[("content-type", "text/html"), ("cache-control", "max-age=60")]), None);
    }

    #[test]
    fn vary_on_an_injected_name_becomes_cookie() {
        let reserved = Reserved::new(["Remote-User".to_owned()].into_iter());
        let said = |value: &str| vary(&headers(&[("vary", value)]), &reserved).map(|v| v.to_str().unwrap().to_owned());

        assert_eq!(said("Accept, X-Session-User, remote-user"), Some("Accept, Cookie".into()));
        assert_eq!(said("Accept"), None);
    }
}
