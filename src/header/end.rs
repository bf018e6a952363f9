//! `Set-Cookie` lines that take an app's own cookies away (`end_app_cookies`).

use http::HeaderValue;

/// Lines that expire a cookie, one for each place where its app may have set it: browsers tell cookies apart by name, domain and path
/// (RFC 6265 section 5.3), so one that was set elsewhere stays.
///
/// `secure`: whether the request is; the prefixed names are set on secure requests only. A `__Host-` cookie has one place.
pub fn expire<'a>(name: &str, paths: impl Iterator<Item = &'a str> + Clone, domain: Option<&str>, secure: bool) -> Vec<HeaderValue> {
    let lower = name.to_ascii_lowercase();
    let is_host = lower.starts_with("__host-");
    let flag = if is_host || lower.starts_with("__secure-") { "; Secure" } else { "" };
    if !flag.is_empty() && !secure {
        return Vec::new();
    }
    let domains = [None, domain.filter(|_| !is_host)];
    let places = domains.into_iter().enumerate().filter(|(number, domain)| *number == 0 || domain.is_some());
    let lines = places.flat_map(|(_, domain)| {
        let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let paths = paths.clone().filter(move |path| !is_host || *path == "/");
        paths.map(move |path| format!("{name}=; Path={path}{domain}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{flag}"))
    });
    lines.filter_map(|line| HeaderValue::try_from(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, domain: Option<&str>, secure: bool) -> Vec<String> {
        let lines = expire(name, ["/", "/app"].into_iter(), domain, secure);
        lines.iter().map(|line| line.to_str().unwrap().replace("; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "")).collect()
    }

    #[test]
    fn a_cookie_is_expired_wherever_its_app_may_have_set_it() {
        assert_eq!(places("sid", None, false), ["sid=; Path=/", "sid=; Path=/app"]);
        assert_eq!(
            places("sid", Some("example.com"), true),
            ["sid=; Path=/", "sid=; Path=/app", "sid=; Path=/; Domain=example.com", "sid=; Path=/app; Domain=example.com"]
        );
    }

    #[test]
    fn a_prefixed_name_keeps_the_rules_of_its_prefix() {
        assert_eq!(places("__Host-sid", Some("example.com"), true), ["__Host-sid=; Path=/; Secure"]);
        assert_eq!(places("__Secure-sid", None, true), ["__Secure-sid=; Path=/; Secure", "__Secure-sid=; Path=/app; Secure"]);
        assert!(places("__Host-sid", None, false).is_empty());
    }
}
