//! Where a visitor goes next: a path of this site by construction, never another one (RFC 9700 section 4.11; ASVS 3.7.2).

use percent_encoding::percent_decode_str;

/// The most bytes: as many as other software lets an address have.
const LONGEST: usize = 8 * 1024;

/// A longer path is cut where a person reads it.
const SHOWN_LENGTH: usize = 60;

const DEVICES: &str = "/.cloakroom/sessions";

/// A local path with an optional query. There is no way to hold anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The front page.
    pub fn front() -> Self {
        ReturnTo("/".to_owned())
    }

    /// Accepts 1 to 8192 bytes of visible ASCII without a backslash, quote or bracket, whose path begins with exactly one slash, and still
    /// does after any browser or app has decoded it up to three times; never a path of ours but [`ReturnTo::devices`].
    ///
    /// What the query's escapes mean is the app's affair: no browser decodes them on its way to a page.
    pub fn parse(raw: &str) -> Option<Self> {
        let is_plain =
            raw.bytes().all(|b| matches!(b, 0x21..=0x7e) && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}'));
        let path = path_of(raw);
        if raw.len() > LONGEST || !is_plain || !has_whole_escapes(path) {
            return None;
        }
        let mut reading = path.to_owned();
        for _ in 0..=3 {
            if !is_local(&reading) {
                return None;
            }
            reading = percent_decode_str(&reading).decode_utf8().ok()?.into_owned();
        }
        is_local(&reading).then(|| ReturnTo(raw.to_owned()))
    }

    /// The page with the visitor's own devices: the only one of ours to which a login leads back.
    pub fn devices() -> Self {
        ReturnTo(DEVICES.to_owned())
    }

    /// Without the query.
    pub fn path(&self) -> &str {
        path_of(&self.0)
    }

    /// The path as a person reads it, cut to a line; `None` for a page whose path tells nobody anything.
    pub fn shown(&self) -> Option<String> {
        let path = percent_decode_str(self.path()).decode_utf8_lossy();
        match path.char_indices().nth(SHOWN_LENGTH) {
            _ if path == "/" || path == DEVICES => None,
            Some((end, _)) => Some(format!("{}…", path.get(..end).unwrap_or_default())),
            None => Some(path.into_owned()),
        }
    }

    /// For a `Location` field.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn path_of(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

fn is_local(path: &str) -> bool {
    let segments = || path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    path.starts_with('/')
        && !path.contains("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
        && !path.chars().any(|c| matches!(c, '\u{2215}' | '\u{ff0f}' | '\u{3002}' | '\u{ff0e}' | '\u{2044}'))
        && !segments().any(|segment| matches!(segment, "." | ".."))
        && (path == "/" || segments().nth(1) != Some(""))
        && (path == DEVICES || path != "/.cloakroom" && !path.starts_with("/.cloakroom/"))
}

fn has_whole_escapes(path: &str) -> bool {
    path.split('%').skip(1).all(|after| after.get(..2).is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_site_pass_as_they_are() {
        for good in ["/", "/a", "/a/b?c=d&e=%2Ff", "/a%20b", "/%E4%BD%A0", "/a?next=//x", "/a;b=c/d", "/.cloakroom/sessions"] {
            assert_eq!(ReturnTo::parse(good).as_ref().map(ReturnTo::as_str), Some(good));
        }
    }

    #[test]
    fn a_query_passes_whatever_its_escapes_mean() {
        let long = format!("/a?{}", "x".repeat(LONGEST - 3));
        for good in ["/?x=100%", "/?q=a%0Ab", "/?p=C:%5CUsers", "/?n=%ff&m=%00", "/?left=%7B%22expr%22:%22a%5C%22b%22%7D", long.as_str()] {
            assert_eq!(ReturnTo::parse(good).as_ref().map(ReturnTo::as_str), Some(good));
        }
        for bad in
            ["/?q=a\nb", "/?q=\\evil", "/?q=\"", "/?q= ", "/?q=\u{e4}", &format!("{long}x"), "//evil?x", "/%5cevil?x", "/%3f/..//evil?x"]
        {
            assert_eq!(ReturnTo::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_person_reads_the_path_without_escapes_and_query() {
        let shown = |raw: &str| ReturnTo::parse(raw).and_then(|to| to.shown());

        assert_eq!(shown("/invoices/%E4%BD%A0?id=1").as_deref(), Some("/invoices/你"));
        assert_eq!(shown("/?a=b"), None);
        assert!(shown(&format!("/{}", "a".repeat(100))).is_some_and(|path| path.chars().count() == SHOWN_LENGTH + 1));
    }

    #[test]
    fn nothing_that_may_lead_elsewhere_passes() {
        let long = format!("/{}", "a".repeat(LONGEST));
        for bad in [
            "",
            "a",
            "//evil",
            "///evil",
            "/\\evil",
            "\\/evil",
            "/%5cevil",
            "/%2f%2fevil",
            "/%2fevil",
            "/%09/evil",
            "/\t/evil",
            "/\n/evil",
            " //evil",
            "https:evil",
            "https:/evil",
            "http://good@evil",
            "//good%00.evil",
            "/.//evil",
            "/..//evil",
            "/;//evil",
            "/;/evil",
            "javascript:alert(1)",
            "data:x",
            "/%0d%0aSet-Cookie:x",
            "//evil%2f..",
            "/%E2%88%95evil",
            "/%EF%BC%8Fevil",
            "/%E3%80%82evil",
            "/\u{2215}evil",
            "/%",
            "/%zz",
            "/%255cevil",
            "/%25255cevil",
            "/a/../b",
            "/%2e%2e/b",
            "/.cloakroom/logout",
            "/.cloakroom",
            "/.cloakroom/sessions/x",
            "/.cloakroom/%73essions/../logout",
            long.as_str(),
        ] {
            assert_eq!(ReturnTo::parse(bad), None, "{bad}");
        }
    }
}
